"""Hybrid-SORT: weak cues matter for online tracking (Yang et al., AAAI 2024, arXiv:2308.00783); without ReID.

OC-SORT (`mot.trackers.ocsort`) with weak cues:

    TCM       tracklet confidence modelling: the score is a fifth axis of the Kalman filter, and a pair loses by the
              difference of the detection's score from the predicted one; in the low band the prediction is linear,
              last score + (last - the one before)
    HMIoU     height-modulated IoU: the overlap of the heights alone times the IoU, in every stage
    corners   directions (OCM) are those of the four corners, each the sum over the last observations

Identical to the official code (ymzis69/HybridSORT, trackers/hybrid_sort_tracker/hybrid_sort.py): all of these, and
that a direction that is a sum is not of length 1 when its angle is taken.
Different on purpose: see `mot.trackers.ocsort`.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output, parameters of its
MOT17 experiment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mot import boxes, motion
from mot.assignment import Matches, without
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks
from mot.trackers import observations
from mot.trackers.observations import Array, Mask, Model, corners
from mot.trackers.table import Rows, State

Loss = Callable[[Rows, Rows], Array]
SCORE = 4  # the filter's axis after x, y, scale and aspect ratio
XYSRC = Model(
    start=np.array([[10.0, 10.0, 10.0, 10.0, 10.0], [1e4, 1e4, 1e4, 0.0, 1e4]]),
    process=np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [1e-2, 1e-2, 1e-4, 0.0, 1e-4]]),
    measurement=np.array([1.0, 1.0, 10.0, 10.0, 10.0]),
)


@dataclass(frozen=True)
class HybridSORTConfig:
    """Parameters of Hybrid-SORT; defaults are those of the official MOT17 experiment.

    Attributes:
        score_threshold: detections must be above to be matched first and to start tracks.
        low_threshold: with `use_byte`, those above this and below `score_threshold` are matched second.
        max_age: frames a track outlives its last detection; in a config also seconds, as in `5s`.
        min_hits: updates in a row before a track is reported (not asked in the first `min_hits` frames).
        iou_threshold: least overlap of a detection with a track, in every stage.
        delta_t: frames of observations that give a track its direction.
        inertia: weight of that direction beside the overlap, for each corner.
        use_byte: match detections of low score to the tracks that the first stage left.
        height_modulated: overlap is HMIoU; else plain IoU.
        tcm_weight: weight of the difference in score in the first stage; 0: off.
        tcm_byte_weight: the same in the low band.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    score_threshold: Annotated[float, Between(0, 1)] = 0.6
    low_threshold: Annotated[float, Between(0, 1)] = 0.1
    max_age: Annotated[int, AtLeast(0), OrSeconds()] = 30
    min_hits: Annotated[int, AtLeast(0)] = 3
    iou_threshold: Annotated[float, Between(0, 1)] = 0.25
    delta_t: Annotated[int, AtLeast(1)] = 3
    inertia: Annotated[float, AtLeast(0)] = 0.05
    use_byte: bool = True
    height_modulated: bool = True
    tcm_weight: Annotated[float, AtLeast(0)] = 1.0
    tcm_byte_weight: Annotated[float, AtLeast(0)] = 1.0
    class_aware: bool = False


class HybridSORT:
    """Overlap, directions of corners and score, then the low scores, then overlap with the last observations."""

    def __init__(self, config: HybridSORTConfig | None = None) -> None:
        self.config = config or HybridSORTConfig()
        self._table = observations.new_table(
            "HybridSORT", axes=5, points=4, delta_t=self.config.delta_t, score_change=np.empty(0)
        )

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame. Call it for every frame, also with no detections.

        Args:
            detections: what was seen.
            dt: frames since the last call, where some were skipped; see `motion.steps`.

        Raises:
            InputError: `dt` is not above 0; the state is unchanged.
        """
        config, table, steps = self.config, self._table, motion.steps(dt)
        low = config.low_threshold if config.use_byte else None
        assigned, strong, faint = observations.bands(detections, config.score_threshold, low)
        table.keep(observations.sound(table))
        missed = observations.advance(table, steps, XYSRC.process)
        made = self._match(detections, strong, faint)
        self._update(made.rows, made.columns, detections, missed)
        fresh = without(strong, made.columns)
        scores = detections.scores[fresh, None]
        observations.spawn(table, fresh, detections, scores, XYSRC, score_change=0.0)
        table.keep(table["misses"] <= config.max_age)
        return observations.report(table, detections, config.min_hits, assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)

    def _match(self, detections: Detections, strong: Rows, faint: Rows) -> Matches:
        """By overlap + inertia * score * OCM - TCM; then BYTE by overlap - TCM; then OCR by overlap."""
        table, config, aware = self._table, self.config, self.config.class_aware
        overlaps = height_modulated if config.height_modulated else boxes.overlaps
        every, (last, known) = np.arange(len(table)), observations.last_seen(table)
        near = observations.near(table, observations.predicted(table), detections, aware, overlaps)
        shape, least = (len(table), len(strong)), config.iou_threshold
        tcm, tcm_byte = self._score_losses(detections.scores)
        made = observations.match_first(
            near(every, strong), shape, least, self._gain(detections, strong, tcm)
        )
        made = Matches(made.rows, strong[made.columns])
        made = observations.match_again(made, np.ones(len(table), np.bool_), faint, least, near, tcm_byte)
        near = observations.near(table, last, detections, aware, overlaps)
        return observations.match_again(made, known, strong, least, near)

    def _gain(self, detections: Detections, strong: Rows, tcm: Loss) -> Loss:
        """What directions and scores add to the overlap of a pair of a track and one of the `strong`."""
        table, config = self._table, self.config
        weight = config.inertia * detections.scores[strong]
        angle = observations.consistency(table, config.delta_t, corners, detections.xyxy[strong])

        def gain(rows: Rows, columns: Rows) -> Array:
            gained = weight[columns] * angle(rows, columns) - tcm(rows, strong[columns])
            if config.class_aware:
                gained[table["labels"][rows] != detections.labels[strong[columns]]] = 0.0
            return gained

        return gain

    def _score_losses(self, scores: Array) -> tuple[Loss, Loss]:
        """TCM: weighted difference of scores from the filter's prediction, and from the linear one."""
        table, config = self._table, self.config
        smooth = np.clip(table["filter"][:, motion.X, SCORE], config.score_threshold, 1.0)
        linear = np.clip(
            table["scores"] + table["score_change"], config.low_threshold, config.score_threshold
        )
        return (
            lambda rows, det: config.tcm_weight * np.abs(scores[det] - smooth[rows]),
            lambda rows, det: config.tcm_byte_weight * np.abs(scores[det] - linear[rows]),
        )

    def _update(self, rows: Rows, det: Rows, detections: Detections, missed: Mask) -> None:
        table, xyxy, scores = self._table, detections.xyxy[det], detections.scores[det]
        chosen = observations.recent(table, self.config.delta_t)
        fresh = observations.directions(table, rows, chosen, corners, xyxy)
        observations.observe(table, rows, missed, xyxy, scores[:, None], XYSRC, fresh)
        change = scores - table["scores"][rows]
        table["score_change"] = 0.0
        table["score_change"][rows] = change
        table.see(rows, det, detections)


def height_modulated(a: boxes.Boxes, b: boxes.Boxes) -> boxes.Overlaps:
    """The pairs of boxes (T, 4) and (D, 4) that overlap, by IoU times the IoU of the heights alone."""
    rows, columns, iou = boxes.overlaps(a, b)
    (_, ay1, _, ay2), (_, by1, _, by2) = a[rows].T, b[columns].T
    common = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    whole = np.maximum(ay2, by2) - np.minimum(ay1, by1)
    return boxes.Overlaps(rows, columns, iou * (common / whole))
