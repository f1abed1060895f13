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

from mot import motion
from mot.assignment import Matches, join
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import bytefamily as family
from mot.trackers.bytefamily import XYAH, Mask
from mot.trackers.table import CONFIRMED, TENTATIVE, Rows, State


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
        track_buffer: frames a track outlives its last detection, at 30 frames per second; in a config
            also seconds, as in `5s`, which are the same at every rate.
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
    track_buffer: Annotated[int, AtLeast(0), OrSeconds()] = 30
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
        left = (high & (detections.scores >= config.new_threshold)).nonzero()[0]
        _, new = family.prune(table, XYAH, config, left, detections, assigned)
        family.spawn(table, XYAH, new, detections, born)
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)

    def _match(self, detections: Detections, high: Mask, low: Mask) -> Matches:
        """Known tracks with high scores, those not lost with low ones, tentative ones with what is left."""
        table, config = self._table, self.config
        tentative = table["state"] == TENTATIVE
        known, used = ~tentative, (high | low).nonzero()[0]
        pairs = family.near(table, XYAH, used, detections, config.class_aware)
        scores = detections.scores if config.fuse_score else None
        first = family.match_overlap(pairs, known, high, config.match_threshold, scores)
        known &= table["state"] == CONFIRMED
        second = family.match_overlap(pairs, known, low, config.low_match_threshold)
        third = family.match_overlap(pairs, tentative, high, config.tentative_match_threshold, scores)
        return join(first, second, third)

    def _report(self, assigned: Rows) -> Tracks:
        """Confirmed tracks: by their second detection, or in the first frame."""
        shown = (self._table["state"] == CONFIRMED).nonzero()[0]
        return self._table.report(shown, family.xyxy_of(self._table, XYAH, shown), assigned)
