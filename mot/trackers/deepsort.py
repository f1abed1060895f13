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
from mot.trackers.table import Rows, State, TrackTable, unassigned, usable


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
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
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
    class_aware: bool = False


class DeepSORT:
    """Appearance first, for the tracks seen last first; overlap for the rest."""

    def __init__(self, config: DeepSORTConfig | None = None) -> None:
        self.config = config or DeepSORTConfig()
        self._gallery = Gallery(self.config.nn_budget)
        self._table = TrackTable(filter=np.empty((0, 5, 4)), hits=np.empty(0, np.int64))

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen, with embeddings.
            dt: frames since the last call, where some were skipped; see `motion.steps`.

        Raises:
            InputError: embeddings are missing, or of another width than before; the state is unchanged.
        """
        embeddings, steps = self._embeddings(detections), motion.steps(dt)
        assigned = unassigned(detections, self.config.min_confidence)
        used = self._select(detections, assigned)
        for step in steps:
            self._predict(step)
        matches = self._match(detections[used], embeddings[used], dt)
        self._update(matches.rows, used[matches.columns], detections, embeddings)
        self._spawn(used[assignment.unmatched(len(used), matches.columns)], detections, embeddings)
        self._prune()
        return self._report(assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict() | self._gallery.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)
        self._gallery.load_state_dict(state)

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
        above = usable(detections, assigned)
        kept = boxes.suppress(detections.xyxy[above], detections.scores[above], self.config.nms_max_overlap)
        assigned[np.delete(above, kept)] = Reason.SUPPRESSED
        return above[kept]

    def _predict(self, dt: float) -> None:
        bank = self._table["filter"]
        motion.predict(bank, *motion.xyah_process(bank[:, motion.X, 3]), dt=dt)
        self._table.step(dt)

    def _match(self, detections: Detections, embeddings: Vectors, dt: float) -> Matches:
        """The cascade of the confirmed tracks, then IoU for the tentative ones and those missed just now."""
        table, xyxy = self._table, detections.xyxy
        confirmed = table["state"] == TrackState.CONFIRMED
        allowed = np.ones((len(table), len(xyxy)), np.bool_)
        if self.config.class_aware:
            allowed = table["labels"][:, None] == detections.labels
        first = self._match_appearance(np.flatnonzero(confirmed), xyxy, embeddings, allowed)
        free = np.ones(len(table), np.bool_)
        free[first.rows] = False
        rows = np.flatnonzero(free & (~confirmed | (table["misses"] <= dt)))
        left = assignment.unmatched(len(xyxy), first.columns)
        second = self._match_iou(rows, left, xyxy, allowed)
        return Matches(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))

    def _match_appearance(
        self, confirmed: Rows, xyxy: boxes.Boxes, embeddings: Vectors, allowed: NDArray[np.bool_]
    ) -> Matches:
        """Tracks by the age of their last detection, youngest first, each age choosing from what is left."""
        left = np.arange(len(xyxy))
        made: list[Matches] = [Matches(left[:0], left[:0])]
        misses = self._table["misses"]
        if len(confirmed) and len(left):
            cost = np.where(allowed, self._appearance_cost(xyxy, embeddings), np.inf)
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

    def _match_iou(self, rows: Rows, columns: Rows, xyxy: boxes.Boxes, allowed: NDArray[np.bool_]) -> Matches:
        predicted = boxes.xyah_to_xyxy(self._table["filter"][rows, motion.X])
        cost = np.where(allowed[np.ix_(rows, columns)], 1.0 - boxes.iou(predicted, xyxy[columns]), np.inf)
        found = assignment.match_clamped(cost, self.config.max_iou_distance)
        return Matches(rows[found.rows], columns[found.columns])

    def _update(self, rows: Rows, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        table = self._table
        noise = motion.xyah_measurement(table["filter"][rows, motion.X, 3])
        motion.update(table["filter"], rows, boxes.xyxy_to_xyah(detections.xyxy[det]), noise)
        self._gallery.add(rows, embeddings[det])
        table["hits"][rows] += 1
        table["state"][rows[table["hits"][rows] >= self.config.n_init]] = TrackState.CONFIRMED
        table.see(rows, det, detections)

    def _spawn(self, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        xyah = boxes.xyxy_to_xyah(detections.xyxy[det])
        bank = motion.start(xyah, *motion.xyah_start(xyah[:, 3]))
        self._gallery.append(embeddings[det])
        self._table.spawn(det, detections, TrackState.TENTATIVE, filter=bank, hits=np.ones(len(det)))

    def _prune(self) -> None:
        """A tentative track goes at its first miss, a confirmed one after `max_age`."""
        table = self._table
        limit = np.where(table["state"] == TrackState.CONFIRMED, self.config.max_age, 0)
        alive = table["misses"] <= limit
        self._gallery.keep(alive)
        table.keep(alive)

    def _report(self, assigned: Rows) -> Tracks:
        table = self._table
        confirmed = table["state"] == TrackState.CONFIRMED
        shown = np.flatnonzero(confirmed & (table["misses"] <= self.config.max_predicted))
        return table.report(shown, boxes.xyah_to_xyxy(table["filter"][shown, motion.X]), assigned)
