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

from mot import assignment, boxes, motion
from mot.appearance import Gallery, Vectors, unit
from mot.assignment import Matches, Pairs
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks
from mot.trackers import deep
from mot.trackers.table import CONFIRMED, Rows, State, embeddings_of, unassigned


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
        max_age: frames a confirmed track outlives its last detection; in a config also seconds, as in `5s`.
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
    max_age: Annotated[int, AtLeast(1), OrSeconds()] = 30
    n_init: Annotated[int, AtLeast(1)] = 3
    max_predicted: Annotated[int, AtLeast(0)] = 1
    class_aware: bool = False


class DeepSORT:
    """Appearance first, for the tracks seen last first; overlap for the rest."""

    def __init__(self, config: DeepSORTConfig | None = None) -> None:
        self.config = config or DeepSORTConfig()
        self._gallery = Gallery(self.config.nn_budget)
        self._table = deep.new_table("DeepSORT")

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen, with embeddings.
            dt: frames since the last call, where some were skipped; see `motion.steps`.

        Raises:
            InputError: embeddings are missing, or of another width than before; the state is unchanged.
        """
        embeddings = unit(embeddings_of(detections, self._gallery.size, "DeepSORT"))
        steps = motion.steps(dt)
        assigned = unassigned(detections, self.config.min_confidence)
        used = deep.select(detections, assigned, self.config.nms_max_overlap)
        for step in steps:
            deep.predict(self._table, step)
        matches = self._match(
            detections.xyxy[used], detections.labels[used], embeddings.take(used, axis=0), dt
        )
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

    def _match(self, xyxy: boxes.Boxes, labels: Rows, looks: Vectors, dt: float) -> Matches:
        """The cascade of the confirmed tracks by appearance, then overlap."""
        table, config = self._table, self.config
        eligible = (table["state"] == CONFIRMED) & (table["misses"] <= config.max_age)
        limits = config.max_cosine_distance, config.max_iou_distance

        def cost(some: Pairs) -> deep.Array:
            made = np.full(len(some.rows), np.inf)
            near = ~self._gallery.apart(some.rows, some.columns, looks, limits[0])
            some = some.where(near)
            enough = np.where(assignment.alone(some), limits[0], -np.inf)
            made[near] = self._gallery.distances(some.rows, some.columns, looks, config.nn_nearest, enough)
            return made

        within = labels if config.class_aware else None
        return deep.match(table, eligible, table["misses"], xyxy, within, limits, dt, cost)

    def _update(self, rows: Rows, det: Rows, detections: Detections, embeddings: Vectors) -> None:
        bank = self._table["filter"]
        noise = motion.xyah_measurement(bank[rows, motion.X, 3])
        motion.update(bank, rows, boxes.xyxy_to_xyah(detections.xyxy[det]), noise)
        self._gallery.add(rows, embeddings.take(det, axis=0))
        deep.see(self._table, rows, det, detections, self.config.n_init)
