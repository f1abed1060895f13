"""ByteTrack: associating every detection box (Zhang et al., ECCV 2022, arXiv:2110.06864).

Identical to the official code (ifzhang/ByteTrack): the filter of DeepSORT, the two bands of scores, the three
association steps with their limits inside the solve, IoU of whole pixels, fused with the score, the life of a
track (`bytefamily` tells it) and which tracks are reported.
Different on purpose: ids have no gaps; boxes are not filtered by shape afterwards; a row says which detection
made it; with `dt` above 1 a track seen once is, as always here, not predicted before it is associated.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mot import boxes, motion
from mot.assignment import Matches, join
from mot.config import AtLeast, Between
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import bytefamily as family
from mot.trackers.bytefamily import XYAH
from mot.trackers.table import Rows, State


@dataclass(frozen=True)
class ByteTrackConfig:
    """Parameters of ByteTrack; defaults are those of the official script.

    Attributes:
        high_threshold: detections above are associated first (official: track_thresh).
        low_threshold: detections between this and `high_threshold` only keep tracks alive.
        new_threshold: least score that starts a track (official: track_thresh + 0.1).
        match_threshold: greatest cost of a match in the first step, 1 - IoU * score.
        low_match_threshold: greatest 1 - IoU of a match with a detection of low score.
        tentative_match_threshold: greatest cost of the match that confirms a track.
        track_buffer: frames a track outlives its last detection, at 30 frames per second.
        frame_rate: frames per second of the source, by which `track_buffer` is scaled; None: 30, or what
            the source says where `mot.Tracker` knows it.
        fuse_score: weigh IoU by the score; the official code does not for MOT20.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    high_threshold: Annotated[float, Between(0, 1)] = 0.5
    low_threshold: Annotated[float, Between(0, 1)] = 0.1
    new_threshold: Annotated[float, Between(0, 1)] = 0.6
    match_threshold: Annotated[float, Between(0, 1)] = 0.8
    low_match_threshold: Annotated[float, Between(0, 1)] = 0.5
    tentative_match_threshold: Annotated[float, Between(0, 1)] = 0.7
    track_buffer: Annotated[int, AtLeast(0)] = 30
    frame_rate: Annotated[float, AtLeast(0.001)] | None = None
    fuse_score: bool = True
    class_aware: bool = False


class ByteTrack:
    """High scores first; low scores then say that somebody half hidden is still there."""

    def __init__(self, config: ByteTrackConfig | None = None) -> None:
        self.config = config or ByteTrackConfig()
        self._table = family.make_table("ByteTrack")

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen.
            dt: frames since the last call, where some were skipped; see `motion.steps`.
        """
        steps, config, table = motion.steps(dt), self.config, self._table
        born = TrackState.CONFIRMED if table.updates == 0 else TrackState.TENTATIVE
        assigned, high, low = family.bands(detections, config.low_threshold, config.high_threshold)
        for step in steps:
            family.predict(table, XYAH, step)
        matches = self._match(detections, high, low)
        family.see(table, XYAH, matches, detections)
        left = family.without(high, matches.columns)
        left = left[detections.scores[left] >= config.new_threshold]
        _, new = family.prune(table, XYAH, config, left, detections, assigned)
        family.spawn(table, XYAH, new, detections, born)
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)

    def _match(self, detections: Detections, high: Rows, low: Rows) -> Matches:
        """Known tracks with high scores, those not lost with low ones, tentative ones with what is left."""
        state, config = self._table["state"], self.config
        xyxy = family.xyxy_of(self._table, XYAH)
        known = np.flatnonzero(state != TrackState.TENTATIVE)
        first = self._stage(xyxy, known, high, detections, config.match_threshold, config.fuse_score)
        unseen = family.without(np.flatnonzero(state == TrackState.CONFIRMED), first.rows)
        second = self._stage(xyxy, unseen, low, detections, config.low_match_threshold, False)
        tentative, left = np.flatnonzero(state == TrackState.TENTATIVE), family.without(high, first.columns)
        limit = config.tentative_match_threshold
        third = self._stage(xyxy, tentative, left, detections, limit, config.fuse_score)
        return join(first, second, third)

    def _stage(
        self, xyxy: boxes.Boxes, rows: Rows, det: Rows, detections: Detections, limit: float, fuse: bool
    ) -> Matches:
        """The tracks `rows`, at `xyxy` (T, 4), and the detections `det` by IoU, fused with the score or not."""
        cost = family.iou_distance(xyxy[rows], detections.xyxy[det])
        if fuse:
            cost = family.fuse_score(cost, detections.scores[det])
        return family.match(self._table, cost, limit, rows, det, detections, self.config.class_aware)

    def _report(self, assigned: Rows) -> Tracks:
        """Confirmed tracks: by their second detection, or in the first frame."""
        shown = np.flatnonzero(self._table["state"] == TrackState.CONFIRMED)
        return self._table.report(shown, family.xyxy_of(self._table, XYAH)[shown], assigned)
