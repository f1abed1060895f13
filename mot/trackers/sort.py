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
from numpy.typing import NDArray

from mot import assignment, boxes, motion
from mot.config import AtLeast, Between
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.table import TrackTable


@dataclass(frozen=True)
class SORTConfig:
    """Parameters of SORT; defaults are the official ones.

    Attributes:
        max_age: frames a track outlives its last detection.
        min_hits: detections in a row before a track is reported (not asked in the first `min_hits` frames).
        iou_threshold: least overlap of a detection with the predicted box.
        score_threshold: detections below are not used; the official code uses all.
    """

    max_age: Annotated[int, AtLeast(0)] = 1
    min_hits: Annotated[int, AtLeast(0)] = 3
    iou_threshold: Annotated[float, Between(0, 1)] = 0.3
    score_threshold: Annotated[float, Between(0, 1)] = 0.0


class SORT:
    """Kalman prediction, IoU, Hungarian algorithm; nothing else."""

    def __init__(self, config: SORTConfig | None = None) -> None:
        self.config = config or SORTConfig()
        self._frame = 0
        self._next_id = 1
        self._table = TrackTable(
            ids=np.empty(0, np.int64),
            filter=np.empty((0, 5, 4)),
            misses=np.empty(0, np.int64),
            streak=np.empty(0, np.int64),
            scores=np.empty(0),
            labels=np.empty(0, np.int64),
            det_index=np.empty(0, np.int64),
        )

    def update(self, detections: Detections) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections."""
        self._frame += 1
        assigned = np.full(len(detections), Reason.UNMATCHED, np.int64)
        assigned[detections.scores < self.config.score_threshold] = Reason.BELOW_THRESHOLD
        used = np.flatnonzero((assigned != Reason.BELOW_THRESHOLD) & (boxes.area(detections.xyxy) > 0))
        self._predict()
        matches = self._match(detections.xyxy[used])
        self._update(matches.rows, used[matches.columns], detections)
        self._spawn(used[assignment.unmatched(len(used), matches.columns)], detections)
        self._prune()
        return self._report(assigned)

    def _predict(self) -> None:
        table = self._table
        bank = table["filter"]
        shrinking = bank[:, motion.X, 2] + bank[:, motion.V, 2] <= 0
        bank[shrinking, motion.V, 2] = 0.0
        motion.predict(bank, *motion.XYSR_PROCESS)
        table["streak"][table["misses"] > 0] = 0
        table["misses"] += 1
        table["det_index"] = -1

    def _match(self, xyxy: boxes.Boxes) -> assignment.Matches:
        predicted = boxes.xysr_to_xyxy(self._table["filter"][:, motion.X])
        return assignment.match_iou(boxes.iou(predicted, xyxy), self.config.iou_threshold)

    def _update(self, rows: NDArray[np.int64], det: NDArray[np.int64], detections: Detections) -> None:
        table = self._table
        motion.update(
            table["filter"], rows, boxes.xyxy_to_xysr(detections.xyxy[det]), motion.XYSR_MEASUREMENT
        )
        table["misses"][rows] = 0
        table["streak"][rows] += 1
        table["scores"][rows] = detections.scores[det]
        table["labels"][rows] = detections.labels[det]
        table["det_index"][rows] = det

    def _spawn(self, det: NDArray[np.int64], detections: Detections) -> None:
        zeros = np.zeros(len(det), np.int64)
        self._table.append(
            ids=self._next_id + np.arange(len(det)),
            filter=motion.start(boxes.xyxy_to_xysr(detections.xyxy[det]), *motion.XYSR_START),
            misses=zeros,
            streak=zeros,
            scores=detections.scores[det],
            labels=detections.labels[det],
            det_index=det,
        )
        self._next_id += len(det)

    def _prune(self) -> None:
        self._table.keep(self._table["misses"] <= self.config.max_age)

    def _report(self, assigned: NDArray[np.int64]) -> Tracks:
        table = self._table
        seen = table["det_index"] >= 0
        assigned[table["det_index"][seen]] = table["ids"][seen]
        confirmed = table["streak"] >= self.config.min_hits
        shown = np.flatnonzero(seen & (confirmed | (self._frame <= self.config.min_hits)))
        return Tracks(
            ids=table["ids"][shown],
            xyxy=boxes.xysr_to_xyxy(table["filter"][shown, motion.X]),
            scores=table["scores"][shown],
            labels=table["labels"][shown],
            det_index=table["det_index"][shown],
            state=np.where(confirmed[shown], TrackState.CONFIRMED, TrackState.TENTATIVE).astype(np.int8),
            assigned=assigned,
        )
