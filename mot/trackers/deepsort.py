"""DeepSORT: SORT with a deep association metric (Wojke et al., ICIP 2017, arXiv:1703.07402).

Identical to the official code (nwojke/deep_sort): its non-maximum suppression, the Kalman filter over centre,
aspect ratio and height, the matching cascade by appearance behind a Mahalanobis gate, IoU for what is left,
the life of a track, the gallery, and that a track missed once is still reported.
Different on purpose: the distance can be the mean of several nearest looks; a row says which detection made
it; scores and labels are kept; a detection without area starts no track.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from mot import assignment, boxes, motion
from mot.appearance import Gallery, Vectors
from mot.assignment import CHI2_95, Matches
from mot.config import AtLeast, Between
from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.table import TrackTable

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class DeepSORTConfig:
    """Parameters of DeepSORT; defaults are those of the official script.

    Attributes:
        min_confidence: detections below are not used.
        nms_max_overlap: a box covered more than this by one of higher score is dropped; 1 keeps all.
        max_cosine_distance: appearance further than this is another person.
        nn_budget: embeddings a track remembers.
        nn_nearest: of these, the nearest so many are averaged for the distance; 1 is the official minimum.
        max_iou_distance: 1 - IoU above this is no overlap worth a match.
        max_age: frames a confirmed track outlives its last detection.
        n_init: detections in a row that confirm a track.
        max_predicted: frames without a detection for which a track is still reported, where it is predicted.
    """

    min_confidence: Annotated[float, Between(0, 1)] = 0.3
    nms_max_overlap: Annotated[float, Between(0, 1)] = 1.0
    max_cosine_distance: Annotated[float, Between(0, 2)] = 0.2
    nn_budget: Annotated[int, AtLeast(1)] = 100
    nn_nearest: Annotated[int, AtLeast(1)] = 1
    max_iou_distance: Annotated[float, Between(0, 1)] = 0.7
    max_age: Annotated[int, AtLeast(1)] = 30
    n_init: Annotated[int, AtLeast(1)] = 3
    max_predicted: Annotated[int, AtLeast(0)] = 1


class DeepSORT:
    """Appearance first, for the tracks seen last first; overlap for the rest."""

    def __init__(self, config: DeepSORTConfig | None = None) -> None:
        self.config = config or DeepSORTConfig()
        self._next_id = 1
        self._gallery = Gallery(self.config.nn_budget)
        self._table = TrackTable(
            ids=np.empty(0, np.int64),
            state=np.empty(0, np.int8),
            filter=np.empty((0, 5, 4)),
            hits=np.empty(0, np.int64),
            misses=np.empty(0, np.int64),
            scores=np.empty(0),
            labels=np.empty(0, np.int64),
            det_index=np.empty(0, np.int64),
        )

    def update(self, detections: Detections) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Raises:
            InputError: embeddings are missing, or of another width than before; the state is unchanged.
        """
        embeddings = self._embeddings(detections)
        assigned = np.full(len(detections), Reason.UNMATCHED, np.int64)
        used = self._select(detections, assigned)
        self._predict()
        matches = self._match(detections.xyxy[used], embeddings[used])
        self._update(matches.rows, used[matches.columns], detections, embeddings)
        self._spawn(used[assignment.unmatched(len(used), matches.columns)], detections, embeddings)
        self._prune()
        return self._report(assigned)

    def _embeddings(self, detections: Detections) -> Vectors:
        size = self._gallery.size
        if detections.embeddings is None:
            if len(detections):
                raise InputError(f"embeddings: DeepSORT needs ({len(detections)}, E) float32, got None")
            return np.empty((0, size or 1), np.float32)
        if size not in (None, detections.embeddings.shape[1]) and len(detections):
            raise InputError(f"embeddings: width was {size} so far, got {detections.embeddings.shape}")
        return detections.embeddings

    def _select(self, detections: Detections, assigned: Rows) -> Rows:
        """Rows of the detections worth tracking; why the others are not is written to `assigned`."""
        assigned[detections.scores < self.config.min_confidence] = Reason.BELOW_THRESHOLD
        above = np.flatnonzero((assigned != Reason.BELOW_THRESHOLD) & (boxes.area(detections.xyxy) > 0))
        kept = boxes.suppress(detections.xyxy[above], detections.scores[above], self.config.nms_max_overlap)
        assigned[np.delete(above, kept)] = Reason.SUPPRESSED
        return above[kept]

    def _predict(self) -> None:
        table = self._table
        motion.predict(table["filter"], *motion.xyah_process(table["filter"][:, motion.X, 3]))
        table["misses"] += 1
        table["det_index"] = -1

    def _match(self, xyxy: boxes.Boxes, embeddings: Vectors) -> Matches:
        """The cascade of the confirmed tracks, then IoU for the tentative ones and those missed just now."""
        table = self._table
        confirmed = table["state"] == TrackState.CONFIRMED
        first = self._match_appearance(np.flatnonzero(confirmed), xyxy, embeddings)
        free = np.ones(len(table), np.bool_)
        free[first.rows] = False
        rows = np.flatnonzero(free & (~confirmed | (table["misses"] == 1)))
        left = assignment.unmatched(len(xyxy), first.columns)
        second = self._match_iou(rows, left, xyxy)
        return Matches(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))

    def _match_appearance(self, confirmed: Rows, xyxy: boxes.Boxes, embeddings: Vectors) -> Matches:
        """Tracks by the age of their last detection, youngest first, each age choosing from what is left."""
        left = np.arange(len(xyxy))
        made: list[Matches] = [Matches(left[:0], left[:0])]
        misses = self._table["misses"]
        cost = self._appearance_cost(xyxy, embeddings) if len(confirmed) and len(left) else np.empty((0, 0))
        for age in np.unique(misses[confirmed]):
            if not len(left) or age > self.config.max_age:
                break
            rows = confirmed[misses[confirmed] == age]
            found = assignment.match_clamped(cost[np.ix_(rows, left)], self.config.max_cosine_distance)
            made.append(Matches(rows[found.rows], left[found.columns]))
            left = np.delete(left, found.columns)
        return Matches(*(np.concatenate(part) for part in zip(*made, strict=True)))

    def _appearance_cost(self, xyxy: boxes.Boxes, embeddings: Vectors) -> NDArray[np.float64]:
        """(T, D) cosine distances; infinite where the motion says that it cannot be."""
        bank = self._table["filter"]
        noise = motion.xyah_measurement(bank[:, motion.X, 3])
        gate = motion.squared_mahalanobis(bank, boxes.xyxy_to_xyah(xyxy), noise) > CHI2_95[4]
        return np.where(gate, np.inf, self._gallery.cosine_distance(embeddings, self.config.nn_nearest))

    def _match_iou(self, rows: Rows, columns: Rows, xyxy: boxes.Boxes) -> Matches:
        predicted = boxes.xyah_to_xyxy(self._table["filter"][rows, motion.X])
        found = assignment.match_clamped(
            1.0 - boxes.iou(predicted, xyxy[columns]), self.config.max_iou_distance
        )
        return Matches(rows[found.rows], columns[found.columns])

    def _update(self, rows: Rows, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        table = self._table
        noise = motion.xyah_measurement(table["filter"][rows, motion.X, 3])
        motion.update(table["filter"], rows, boxes.xyxy_to_xyah(detections.xyxy[det]), noise)
        self._gallery.add(rows, embeddings[det])
        table["hits"][rows] += 1
        table["misses"][rows] = 0
        table["state"][rows[table["hits"][rows] >= self.config.n_init]] = TrackState.CONFIRMED
        table["scores"][rows] = detections.scores[det]
        table["labels"][rows] = detections.labels[det]
        table["det_index"][rows] = det

    def _spawn(self, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        xyah = boxes.xyxy_to_xyah(detections.xyxy[det])
        count = len(det)
        self._gallery.append(embeddings[det])
        self._table.append(
            ids=self._next_id + np.arange(count),
            state=np.full(count, TrackState.TENTATIVE),
            filter=motion.start(xyah, *motion.xyah_start(xyah[:, 3])),
            hits=np.ones(count),
            misses=np.zeros(count),
            scores=detections.scores[det],
            labels=detections.labels[det],
            det_index=det,
        )
        self._next_id += count

    def _prune(self) -> None:
        """A tentative track goes at its first miss, a confirmed one after `max_age`."""
        table = self._table
        limit = np.where(table["state"] == TrackState.CONFIRMED, self.config.max_age, 0)
        alive = table["misses"] <= limit
        self._gallery.keep(alive)
        table.keep(alive)

    def _report(self, assigned: Rows) -> Tracks:
        table = self._table
        seen = table["det_index"] >= 0
        assigned[table["det_index"][seen]] = table["ids"][seen]
        shown = np.flatnonzero(
            (table["state"] == TrackState.CONFIRMED) & (table["misses"] <= self.config.max_predicted)
        )
        return Tracks(
            ids=table["ids"][shown],
            xyxy=boxes.xyah_to_xyxy(table["filter"][shown, motion.X]),
            scores=table["scores"][shown],
            labels=table["labels"][shown],
            det_index=table["det_index"][shown],
            state=table["state"][shown],
            assigned=assigned,
        )
