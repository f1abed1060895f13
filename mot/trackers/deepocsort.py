"""Deep OC-SORT: OC-SORT with adaptive re-identification (Maggiolino et al., ICIP 2023, arXiv:2302.11813).

OC-SORT (`mot.trackers.ocsort`, without BYTE) with three additions:

    looks      one smoothed embedding a track, e <- unit(a e + (1 - a) f); the less sure the detection, the closer
               is a to 1:  a = a0 + (1 - a0) (1 - trust),  trust = (score - threshold) / (1 - threshold)
    weights    a similarity counts more where it stands out: w + half of how far the best similarity of its row
               is above the second best + the same of its column, each difference at most `weight_bonus`
    camera     observations, positions and velocities follow the affine `warp` before the prediction

Identical to the official code (GerardMaggiolino/Deep-OC-SORT, integrated_ocsort_embedding, --grid_off
--new_kf_off): all of these. As there, the camera changes neither a filter's scale nor the covariance of position
with velocity.
Different on purpose: everything observed follows the camera once a frame. In the official code the newest
observation shares memory with its entry in a table and is moved twice, up to `delta_t` frames long, and the place
from which the virtual path starts misses the first move; `official_warp` repeats both. The filters stay
independent axes: exact for a rotation with uniform scale, as a video gives it; of any other affine they take the
diagonal. See `mot.trackers.ocsort` for the rest.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output, without warps and
with them (and `official_warp`). With warps but without `official_warp`, 99 of the 2,594 frames of the seven
sequences differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from mot import motion
from mot.appearance import Gallery, Vectors, unit
from mot.assignment import Matches, without
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks
from mot.trackers import observations
from mot.trackers.observations import XYSR, Array, Mask, centre
from mot.trackers.table import Rows, State, embeddings_of


@dataclass(frozen=True)
class DeepOCSORTConfig:
    """Parameters of Deep OC-SORT; defaults are the official ones.

    Attributes:
        score_threshold: detections must be above to be used.
        max_age: frames a track outlives its last detection; in a config also seconds, as in `5s`.
        min_hits: updates in a row before a track is reported (not asked in the first `min_hits` frames).
        iou_threshold: least overlap of a detection with a track, however alike they look.
        delta_t: frames between the two observations that give a track its direction.
        inertia: weight of that direction beside the overlap.
        embedding_weight: weight of the similarity of looks beside the overlap.
        embedding_alpha: share of the old look in the smoothed one, for a detection of score 1.
        adaptive_weights: let similarities that stand out weigh more.
        weight_bonus: limit of what they gain by row and by column.
        official_warp: let the camera move observations as the official code does, by two slips.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    score_threshold: Annotated[float, Between(0, 1)] = 0.6
    max_age: Annotated[int, AtLeast(0), OrSeconds()] = 30
    min_hits: Annotated[int, AtLeast(0)] = 3
    iou_threshold: Annotated[float, Between(0, 1)] = 0.3
    delta_t: Annotated[int, AtLeast(1)] = 3
    inertia: Annotated[float, AtLeast(0)] = 0.2
    embedding_weight: Annotated[float, AtLeast(0)] = 0.75
    embedding_alpha: Annotated[float, Between(0, 1)] = 0.95
    adaptive_weights: bool = True
    weight_bonus: Annotated[float, AtLeast(0)] = 0.5
    official_warp: bool = False
    class_aware: bool = False


class DeepOCSORT:
    """Overlap, direction and looks, then overlap with where a track was last seen."""

    def __init__(self, config: DeepOCSORTConfig | None = None) -> None:
        self.config = config or DeepOCSORTConfig()
        self._gallery = Gallery(1)
        self._table = observations.new_table("DeepOCSORT", axes=4, points=1, delta_t=self.config.delta_t)

    def update(self, detections: Detections, *, dt: float = 1.0, warp: ArrayLike | None = None) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen, with embeddings.
            dt: frames since the last call, where some were skipped; see `motion.steps`.
            warp: (2, 3) affine from the last call's picture to this one; None: the camera stood still.

        Raises:
            InputError: embeddings are missing or of another width than before, `dt` is not above 0, or `warp` is
                not (2, 3), not finite or not invertible; the state is unchanged.
        """
        embeddings = unit(embeddings_of(detections, self._gallery.size, "DeepOCSORT"))
        config, table, steps, affine = self.config, self._table, motion.steps(dt), motion.check_warp(warp)
        assigned, strong, _ = observations.bands(detections, config.score_threshold, None)
        self._keep(observations.sound(table))
        if affine is not None:
            self._follow_camera(affine)
        missed = observations.advance(table, steps, XYSR.process)
        made = self._match(detections, strong, embeddings)
        self._update(made, detections, embeddings, missed)
        fresh = without(strong, made.columns)
        self._gallery.append(embeddings[fresh])
        observations.spawn(table, fresh, detections, np.empty((len(fresh), 0)), XYSR)
        self._keep(table["misses"] <= config.max_age)
        return observations.report(table, detections, config.min_hits, assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict() | self._gallery.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        gallery = self._gallery.restored(state)
        self._table.load_state_dict(state)
        self._gallery = gallery

    def _keep(self, mask: Mask) -> None:
        self._table.keep(mask)
        self._gallery.keep(mask)

    def _follow_camera(self, affine: Array) -> None:
        """Observations, and the filters in both their states: x <- M x + t, v <- M v, P <- M P M^T."""
        table, rotation, shift = self._table, affine[:, :2], affine[:, 2]
        for bank in (table["filter"], table["frozen"]):
            bank[:, motion.X, :2] = bank[:, motion.X, :2] @ rotation.T + shift
            bank[:, motion.V, :2] = bank[:, motion.V, :2] @ rotation.T
            for variance in (motion.PXX, motion.PVV):
                bank[:, variance, :2] = bank[:, variance, :2] @ np.square(rotation).T
        table["seen"] = _moved(table["seen"], affine)
        moving = np.ones(len(table), np.bool_)
        if self.config.official_warp:
            moving = table["misses"] > 0
            twice = table["misses"] <= self.config.delta_t
            table["seen"][twice, -1] = _moved(table["seen"][twice, -1], affine)
        table["anchor"][moving, :2] = table["anchor"][moving, :2] @ rotation.T + shift

    def _match(self, detections: Detections, strong: Rows, embeddings: Vectors) -> Matches:
        """By IoU + inertia * score * OCM + weight * similarity; then OCR by IoU alone."""
        table, config, aware = self._table, self.config, self.config.class_aware
        every, (last, known) = np.arange(len(table)), observations.last_seen(table)
        near = observations.near(table, observations.predicted(table), detections, aware)
        shape, least = (len(table), len(strong)), config.iou_threshold
        gain = self._gain(detections, strong, embeddings[strong])
        made = observations.match_first(near(every, strong), shape, least, gain)
        near = observations.near(table, last, detections, aware)
        return observations.match_again(Matches(made.rows, strong[made.columns]), known, strong, least, near)

    def _gain(self, detections: Detections, strong: Rows, looks: Vectors) -> Callable[[Rows, Rows], Array]:
        """What direction and look add to the IoU of a pair of a track and one of the `strong`."""
        table, config = self._table, self.config
        weight = config.inertia * detections.scores[strong]
        angle = observations.consistency(table, config.delta_t, centre, detections.xyxy[strong])

        def gain(rows: Rows, columns: Rows) -> Array:
            gained = weight[columns] * angle(rows, columns) + self._alike(looks)[rows, columns]
            if config.class_aware:
                gained[table["labels"][rows] != detections.labels[strong[columns]]] = 0.0
            return gained

        return gain

    def _alike(self, embeddings: Vectors) -> Array:
        """(T, D) weighted similarities of looks."""
        alike = (self._gallery.first(slice(None)) @ embeddings.T).astype(np.float64)
        weight = np.full(alike.shape, self.config.embedding_weight)
        if self.config.adaptive_weights:
            for axis in (0, 1):
                weight += np.minimum(_lead(alike, axis), self.config.weight_bonus) / 2
        return np.asarray(alike * weight)

    def _update(self, made: Matches, detections: Detections, embeddings: Vectors, missed: Mask) -> None:
        table, (rows, det) = self._table, made
        xyxy = detections.xyxy[det]
        oldest = observations.oldest(table, self.config.delta_t)
        fresh = observations.directions(table, rows, oldest, centre, xyxy)
        observations.observe(table, rows, missed, xyxy, np.empty((len(rows), 0)), XYSR, fresh)
        self._remember(rows, detections.scores[det], embeddings[det])
        table.see(rows, det, detections)

    def _remember(self, rows: Rows, scores: Array, vectors: Vectors) -> None:
        """What the tracks `rows` (M,) look like now: e <- unit(a e + (1 - a) f)."""
        if not len(rows):
            return
        threshold, least = self.config.score_threshold, self.config.embedding_alpha
        trust = (scores - threshold) / (1 - threshold)
        alpha = (least + (1 - least) * (1 - trust)).astype(np.float32)[:, None]
        before: Vectors = self._gallery.first(rows)
        self._gallery.add(rows, unit(alpha * before + (1 - alpha) * vectors))


def _moved(xyxy: Array, affine: Array) -> Array:
    """Boxes (…, 4) through the corners that the affine (2, 3) makes of their top left and bottom right."""
    corner = xyxy.reshape(*xyxy.shape[:-1], 2, 2) @ affine[:, :2].T + affine[:, 2]
    return np.concatenate([corner.min(axis=-2), corner.max(axis=-2)], axis=-1)


def _lead(alike: Array, axis: int) -> Array:
    """How far the best along `axis` of (T, D) is above the second best, kept as an axis of length 1."""
    if alike.shape[axis] < 2:
        return np.zeros((1, 1))
    best = np.partition(alike, -2, axis=axis).take([-2, -1], axis=axis)
    return np.asarray(np.diff(best, axis=axis))
