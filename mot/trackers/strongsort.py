"""StrongSORT: Make DeepSORT Great Again (Du et al., IEEE TMM 2023, arXiv:2202.13514).

DeepSORT with, each a switch of the config,

    NSA   measurement noise times (1 - score)^2: a sure detection is believed (Du et al., GIAOTracker, ICCVW 2021)
    EMA   one smoothed look a track, e <- unit(alpha e + (1 - alpha) f), in place of a gallery of looks
    MC    cost = lambda * cosine distance + (1 - lambda) * squared Mahalanobis distance, behind the same gate
    woC   no cascade: all confirmed tracks choose together

and a camera step before the prediction, which moves the corners of the boxes by the affine of the frame and leaves
velocities and covariances alone.

Identical to the official code (dyhBUPT/StrongSORT, flags --BoT --NSA --EMA --MC --woC, and its ECC step): all of
the above, the order of the steps, the gates, the life of a track, which tracks are reported, and that a warp too
far from the identity is not believed. With every switch off and `cascade` on it is DeepSORT.
Different on purpose: a box that the camera step would leave without area keeps its size and moves its centre; a row
says which detection made it; scores and labels are kept; a detection without area starts no track. The links across
gaps (AFLink) are not here, Gaussian-smoothed interpolation is in `mot.postprocess`.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output, also with warps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from mot import assignment, boxes, motion
from mot.appearance import Gallery, Vectors, unit
from mot.assignment import Matches, Pairs
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks
from mot.trackers import deep
from mot.trackers.table import CONFIRMED, Rows, State, embeddings_of, unassigned


@dataclass(frozen=True)
class StrongSORTConfig:
    """Parameters of StrongSORT; defaults are those of the official script with --BoT --NSA --EMA --MC --woC.

    Attributes:
        min_confidence: detections below are not used.
        nms_max_overlap: a box covered more than this by one of higher score is dropped; 1 keeps all.
        max_cosine_distance: a match by looks may not cost more; with `mc` it limits the mixed cost.
        ema: one smoothed look a track; else the last `nn_budget` looks, of which the nearest counts.
        ema_alpha: share of the old look in the smoothed one.
        nn_budget: looks a track remembers where `ema` is off.
        nsa: the higher a detection's score, the more the filter believes it.
        mc: mix the motion's distance into the cost.
        mc_lambda: share of the looks in that cost.
        cascade: tracks seen last choose first, as in DeepSORT; else all choose together.
        max_iou_distance: 1 - IoU above this is no overlap worth a match.
        max_age: frames a confirmed track outlives its last detection; in a config also seconds, as in `5s`.
        n_init: detections in a row that confirm a track.
        max_predicted: frames without a detection for which a track is still reported, where it is predicted.
        max_warp: a warp this far from the identity (Frobenius norm, pixels) is a failed estimate and not used.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    min_confidence: Annotated[float, Between(0, 1)] = 0.6
    nms_max_overlap: Annotated[float, Between(0, 1)] = 1.0
    max_cosine_distance: Annotated[float, Between(0, 2)] = 0.45
    ema: bool = True
    ema_alpha: Annotated[float, Between(0, 1)] = 0.9
    nn_budget: Annotated[int, AtLeast(1)] = 100
    nsa: bool = True
    mc: bool = True
    mc_lambda: Annotated[float, Between(0, 1)] = 0.98
    cascade: bool = False
    max_iou_distance: Annotated[float, Between(0, 1)] = 0.7
    max_age: Annotated[int, AtLeast(1), OrSeconds()] = 30
    n_init: Annotated[int, AtLeast(1)] = 3
    max_predicted: Annotated[int, AtLeast(0)] = 1
    max_warp: Annotated[float, AtLeast(0)] = 100.0
    class_aware: bool = False


class StrongSORT:
    """A smoothed look and the motion, weighed together, for all confirmed tracks at once; overlap for the rest."""

    def __init__(self, config: StrongSORTConfig | None = None) -> None:
        self.config = config or StrongSORTConfig()
        self._gallery = Gallery(1 if self.config.ema else self.config.nn_budget)
        self._table = deep.new_table("StrongSORT")

    def update(self, detections: Detections, *, dt: float = 1.0, warp: ArrayLike | None = None) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen, with embeddings.
            dt: frames since the last call, where some were skipped; see `motion.steps`.
            warp: (2, 3) affine from the previous frame's pixels to this one's; None: the camera stood still.

        Raises:
            InputError: embeddings are missing or of another width than before, `dt` is not above 0, or the warp
                is not an invertible (2, 3); the state is unchanged.
        """
        embeddings = unit(embeddings_of(detections, self._gallery.size, "StrongSORT"))
        steps, affine = motion.steps(dt), motion.check_warp(warp)
        assigned = unassigned(detections, self.config.min_confidence)
        used = deep.select(detections, assigned, self.config.nms_max_overlap)
        if affine is not None:
            self._follow_camera(affine)
        for step in steps:
            deep.predict(self._table, step)
        matches = self._match(detections.xyxy[used], detections.labels[used], embeddings[used], dt)
        self._update(matches.rows, used[matches.columns], detections, embeddings)
        fresh = used[assignment.unmatched(len(used), matches.columns)]
        deep.spawn(self._table, self._gallery, fresh, detections, embeddings)
        deep.prune(self._table, self._gallery, self.config.max_age)
        return deep.report(self._table, self.config.max_predicted, assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict() | self._gallery.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        gallery = self._gallery.restored(state)
        self._table.load_state_dict(state)
        self._gallery = gallery

    def _follow_camera(self, affine: motion.Array) -> None:
        """Move both corners of every box; a box that would lose its area keeps its size."""
        if np.linalg.norm(affine - np.eye(2, 3)) >= self.config.max_warp:
            return
        place = self._table["filter"][:, motion.X]
        xyxy = boxes.xyah_to_xyxy(place)
        moved = (xyxy.reshape(-1, 2, 2) @ affine[:, :2].T + affine[:, 2]).reshape(-1, 4)
        sound = (moved[:, 2:] > moved[:, :2]).all(axis=1)
        place[sound] = boxes.xyxy_to_xyah(moved[sound])
        place[~sound, :2] = (moved[~sound, :2] + moved[~sound, 2:]) / 2

    def _match(self, xyxy: boxes.Boxes, labels: Rows, looks: Vectors, dt: float) -> Matches:
        """The confirmed tracks by lambda * cosine + (1 - lambda) * Mahalanobis^2, then overlap."""
        table, config = self._table, self.config
        eligible, turn = table["state"] == CONFIRMED, np.zeros(len(table))
        if config.cascade:
            eligible, turn = eligible & (table["misses"] <= config.max_age), table["misses"]
        share = config.mc_lambda if config.mc else 1.0

        def cost(some: Pairs) -> deep.Array:
            return share * self._gallery.distances(some.rows, some.columns, looks) + (1 - share) * some.weight

        within, limits = (
            labels if config.class_aware else None,
            (config.max_cosine_distance, config.max_iou_distance),
        )
        return deep.match(table, eligible, turn, xyxy, within, limits, dt, cost)

    def _update(self, rows: Rows, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        bank = self._table["filter"]
        noise = motion.xyah_measurement(bank[rows, motion.X, 3])
        if self.config.nsa:
            noise *= np.square(1 - detections.scores[det])[:, None]
        motion.update(bank, rows, boxes.xyxy_to_xyah(detections.xyxy[det]), noise)
        self._gallery.add(rows, self._looks(rows, embeddings[det]))
        deep.see(self._table, rows, det, detections, self.config.n_init)

    def _looks(self, rows: Rows, vectors: Vectors) -> Vectors:
        """What the tracks `rows` remember of `vectors` (M, E): e <- alpha e + (1 - alpha) f, or f itself."""
        if not self.config.ema or not len(rows):
            return vectors
        before: Vectors = self._gallery.first(rows)
        alpha = np.float32(self.config.ema_alpha)
        return unit(alpha * before + (1 - alpha) * vectors)
