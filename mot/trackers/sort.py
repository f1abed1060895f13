"""SORT: Simple Online and Realtime Tracking (Bewley et al., ICIP 2016, arXiv:1602.00763).

Identical to the official code (abewley/sort): the Kalman filter over centre, scale and aspect ratio, the
association by greatest total IoU with its short cut, births, deaths and which tracks are reported.
Different on purpose: ids count up from 1 without gaps by class-wide counters; a row says which detection made
it; a detection without area starts no track (the official code divides by its height).
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mot import assignment, boxes, kernels, motion
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks, TrackState
from mot.trackers.table import CONFIRMED, TENTATIVE, Rows, State, TrackTable, split


@dataclass(frozen=True)
class SORTConfig:
    """Parameters of SORT; defaults are the official ones.

    Attributes:
        max_age: frames a track outlives its last detection; in a config also seconds, as in `5s`.
        min_hits: detections in a row before a track is reported (not asked in the first `min_hits` frames).
        iou_threshold: least overlap of a detection with the predicted box.
        score_threshold: detections below are not used; the official code uses all.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    max_age: Annotated[int, AtLeast(0), OrSeconds()] = 1
    min_hits: Annotated[int, AtLeast(0)] = 3
    iou_threshold: Annotated[float, Between(0, 1)] = 0.3
    score_threshold: Annotated[float, Between(0, 1)] = 0.0
    class_aware: bool = False


class SORT:
    """Kalman prediction, IoU, Hungarian algorithm; nothing else."""

    def __init__(self, config: SORTConfig | None = None) -> None:
        self.config = config or SORTConfig()
        self._table = TrackTable("SORT", filter=np.empty((0, 5, 4)), streak=np.empty(0, np.int64))

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen.
            dt: frames since the last call, where some were skipped; see `motion.steps`.
        """
        steps = motion.steps(dt)
        assigned, used = split(detections, self.config.score_threshold)
        self._table["streak"][self._table["misses"] > 0] = 0
        for step in steps:
            self._predict(step)
        matches = self._match(detections.xyxy.take(used, axis=0), detections.labels[used])
        self._update(matches.rows, used[matches.columns], detections)
        self._spawn(used[assignment.unmatched(len(used), matches.columns)], detections)
        self._table.keep(self._table["misses"] <= self.config.max_age)
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)

    def _predict(self, dt: float) -> None:
        table = self._table
        bank = table["filter"]
        if kernels.fast:
            kernels.fast.predict_xysr(bank, motion.XYSR_PROCESS, dt)
            table.step(dt)
            return
        shrinking = bank[:, motion.X, 2] + bank[:, motion.V, 2] <= 0
        bank[shrinking, motion.V, 2] = 0.0
        motion.predict(bank, motion.XYSR_PROCESS[0], motion.XYSR_PROCESS[1], dt)
        table.step(dt)

    def _match(self, xyxy: boxes.Boxes, labels: Rows) -> assignment.Matches:
        predicted = boxes.xysr_to_xyxy(self._table["filter"][:, motion.X])
        pairs = assignment.Pairs(*boxes.overlaps(predicted, xyxy))
        if self.config.class_aware:
            pairs = pairs.where(self._table["labels"][pairs.rows] == labels[pairs.columns])
        return assignment.match_iou(pairs, (len(predicted), len(xyxy)), self.config.iou_threshold)

    def _update(self, rows: Rows, det: Rows, detections: Detections) -> None:
        table = self._table
        xysr = boxes.xyxy_to_xysr(detections.xyxy.take(det, axis=0))
        motion.update(table["filter"], rows, xysr, motion.XYSR_MEASUREMENT)
        table["streak"][rows] += 1
        table.see(rows, det, detections)

    def _spawn(self, det: Rows, detections: Detections) -> None:
        if not len(det):
            return
        bank = motion.start(boxes.xyxy_to_xysr(detections.xyxy[det]), *motion.XYSR_START)
        self._table.spawn(det, detections, TrackState.TENTATIVE, filter=bank, streak=np.zeros(len(det)))

    def _report(self, assigned: Rows) -> Tracks:
        table = self._table
        ready = table["streak"] >= self.config.min_hits
        table["state"] = np.where(ready, CONFIRMED, TENTATIVE)
        shown = ((table["det_index"] >= 0) & (ready | (table.updates < self.config.min_hits))).nonzero()[0]
        return table.report(
            shown, boxes.xysr_to_xyxy(table["filter"].take(shown, axis=0)[:, motion.X]), assigned
        )
