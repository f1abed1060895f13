"""BoT-SORT: robust associations (Aharon et al., 2022, arXiv:2206.14651).

ByteTrack with a Kalman filter over width and height instead of ratio and height, camera motion compensation, and,
with `with_reid`, a smoothed embedding that can lower the cost of a pair:

    look = cosine distance / 2, but 1 where that exceeds appearance_threshold or 1 - IoU proximity_threshold
    cost = min(1 - IoU * score, look)

Identical to the official code (NirAharon/BoT-SORT): the above; where the camera's motion comes in (after the
prediction, tentative tracks too) and that it turns means and covariances by blocks; the life of a track
(`bytefamily` tells it), and that tracks of a single frame are reported.
Different on purpose: the camera's motion is given as `warp`, no tracker sees pixels; ids have no gaps; boxes are
not filtered by shape afterwards; a row says which detection made it. Without a rotation the closed form per axis
does the work. Embeddings are smoothed in float64.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output: plain, with warps,
with embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from mot import boxes, motion
from mot.assignment import Matches, Pairs, join
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import bytefamily as family
from mot.trackers.bytefamily import Array, Mask
from mot.trackers.table import CONFIRMED, LOST, TENTATIVE, Rows, State, TrackTable


@dataclass(frozen=True)
class BoTSORTConfig:
    """Parameters of BoT-SORT; defaults are those of the official script.

    Attributes:
        high_threshold: detections above are associated first (official: track_high_thresh).
        low_threshold: detections between this and `high_threshold` only keep tracks alive.
        new_threshold: least score that starts a track (official: new_track_thresh).
        match_threshold: greatest cost of a match in the first step.
        low_match_threshold: greatest 1 - IoU of a match with a detection of low score.
        tentative_match_threshold: greatest cost of the match that confirms a track.
        track_buffer: frames a track outlives its last detection, at 30 frames per second; in a config
            also seconds, as in `5s`, which are the same at every rate.
        frame_rate: frames per second of the source, by which `track_buffer` is scaled; None: 30, or what
            the source says where `mot.Tracker` knows it.
        fuse_score: weigh IoU by the score; the official code does not for MOT20.
        with_reid: use embeddings, which every frame must then have.
        proximity_threshold: looks say nothing about a pair whose 1 - IoU is above.
        appearance_threshold: looks whose cosine distance / 2 is above are not alike.
        smoothing: weight of a track's past look against the newest one.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    high_threshold: Annotated[float, Between(0, 1)] = 0.6
    low_threshold: Annotated[float, Between(0, 1)] = 0.1
    new_threshold: Annotated[float, Between(0, 1)] = 0.7
    match_threshold: Annotated[float, Between(0, 1)] = 0.8
    low_match_threshold: Annotated[float, Between(0, 1)] = 0.5
    tentative_match_threshold: Annotated[float, Between(0, 1)] = 0.7
    track_buffer: Annotated[int, AtLeast(0), OrSeconds()] = 30
    frame_rate: Annotated[float, AtLeast(0.001)] | None = None
    fuse_score: bool = True
    with_reid: bool = False
    proximity_threshold: Annotated[float, Between(0, 1)] = 0.5
    appearance_threshold: Annotated[float, Between(0, 1)] = 0.25
    smoothing: Annotated[float, Between(0, 1)] = 0.9
    class_aware: bool = False


XYWH = family.Coordinates(
    of=boxes.xyxy_to_xywh,
    xyxy=boxes.xywh_to_xyxy,
    sides=slice(2, 4),
    start=motion.xywh_start,
    process=motion.xywh_process,
    measurement=motion.xywh_measurement,
    resting=slice(2, 4),
)


class BoTSORT:
    """ByteTrack that knows how the camera moved and, if asked, what everybody looks like."""

    def __init__(self, config: BoTSORTConfig | None = None) -> None:
        self.config = config or BoTSORTConfig()
        self._table = family.make_table("BoTSORT")
        self._looks = family.Looks()

    def update(self, detections: Detections, *, dt: float = 1.0, warp: ArrayLike | None = None) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen; with embeddings if the config says `with_reid`.
            dt: frames since the last call, where some were skipped; see `motion.steps`.
            warp: (2, 3) affine from the pixels of the last call's frame to this one's; None: the camera stood.

        Raises:
            InputError: `dt` is not positive; the warp is not (2, 3), finite and invertible; embeddings are needed
                and missing, or of another width than before. The state is unchanged.
        """
        steps, moved, looks = motion.steps(dt), motion.check_warp(warp), self._embeddings(detections)
        table, config = self._table, self.config
        born = TrackState.CONFIRMED if table.updates == 0 else TrackState.TENTATIVE
        assigned, high, low = family.bands(detections, config.low_threshold, config.high_threshold)
        for step in steps:
            family.predict(table, XYWH, step)
        if moved is not None:
            table = self._warp(moved)
        matches = self._match(detections, looks, high, low)
        family.see(table, XYWH, matches, detections)
        sure = detections.scores[matches.columns] > config.high_threshold
        self._looks.add(matches.rows[sure], looks.take(matches.columns[sure], axis=0), config.smoothing)
        left = (high & (detections.scores >= config.new_threshold)).nonzero()[0]
        stay, new = family.prune(table, XYWH, config, left, detections, assigned)
        self._looks.keep(stay)
        family.spawn(table, XYWH, new, detections, born)
        self._looks.append(looks[new])
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict() | self._looks.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        row = state.get("filter", np.empty(0)).shape[1:]
        table, looks = family.make_table("BoTSORT", row if row == motion.COUPLED else (5, 4)), family.Looks()
        table.load_state_dict(state)
        looks.load_state_dict(state)
        self._table, self._looks = table, looks

    def _embeddings(self, detections: Detections) -> Array:
        """(D, E); without ReID looks have no width, and nothing to say."""
        if self.config.with_reid:
            return family.unit_looks(detections, self._looks, "BoTSORT with with_reid")
        return np.empty((len(detections), 0))

    def _warp(self, warp: Array) -> TrackTable:
        """All tracks follow the camera; with the first rotation the table becomes one of coupled filters."""
        bank = motion.warped(self._table["filter"], warp)
        if bank.shape == self._table["filter"].shape:
            self._table["filter"] = bank
        else:
            state = self._table.state_dict() | {"filter": bank}
            self._table = family.make_table("BoTSORT", bank.shape[1:])
            self._table.load_state_dict(state)
        return self._table

    def _match(self, detections: Detections, looks: Array, high: Mask, low: Mask) -> Matches:
        """Known tracks with high scores, those not lost with low ones, tentative ones with what is left."""
        table, config = self._table, self.config
        tentative = table["state"] == TENTATIVE
        known, used = ~tentative, (high | low).nonzero()[0]
        pairs = family.near(table, XYWH, used, detections, config.class_aware)
        first = self._stage(pairs, known, high, detections, looks, config.match_threshold)
        known &= table["state"] == CONFIRMED
        second = family.match_overlap(pairs, known, low, config.low_match_threshold)
        third = self._stage(pairs, tentative, high, detections, looks, config.tentative_match_threshold)
        return join(first, second, third)

    def _stage(
        self, pairs: Pairs, tracks: Mask, det: Mask, detections: Detections, looks: Array, limit: float
    ) -> Matches:
        """By overlap, or by look where that costs less; see the equations above."""
        config = self.config
        scores = detections.scores if config.fuse_score else None
        if not config.with_reid:
            return family.match_overlap(pairs, tracks, det, limit, scores)
        pairs = family.between(pairs, tracks, det)
        gain = pairs.weight if scores is None else pairs.weight * scores[pairs.columns]
        alike = np.zeros(len(pairs.rows))
        close = (pairs.weight >= 1.0 - config.proximity_threshold).nonzero()[0]
        distance = self._looks.distances(pairs.rows[close], looks.take(pairs.columns[close], axis=0))
        alike[close] = 1.0 - distance / 2
        alike[alike < 1.0 - config.appearance_threshold] = 0.0
        return family.match(pairs._replace(weight=np.maximum(gain, alike) - (1.0 - limit)), tracks, det)

    def _report(self, assigned: Rows) -> Tracks:
        """All tracks that are not lost, those of a single frame too."""
        shown = (self._table["state"] != LOST).nonzero()[0]
        return self._table.report(shown, family.xyxy_of(self._table, XYWH, shown), assigned)
