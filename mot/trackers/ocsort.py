"""OC-SORT: Observation-Centric SORT (Cao et al., CVPR 2023, arXiv:2203.14360).

SORT with what `mot.trackers.observations` describes: directions in the cost (OCM), a second chance by the last
observation (OCR), and filters put right along a virtual path when a track is found again (ORU). With
`use_byte`, detections of low score are matched to the tracks left over before the second chance, as ByteTrack
does.

Identical to the official code (noahcao/OC_SORT, before and after its 2026 refactoring): all of these, the
order of the stages, the short cut around the solver, births, deaths, and that the boxes reported are the
detections themselves.
Different on purpose: what was never observed is masked, where the official code has boxes of -1 (and takes a
box left of or above the picture for one); the aspect ratio is w / h without 1e-6 added to h, so that the very
first boxes of a track differ from the official ones by about 1e-6 px; ids count up from 1 without gaps.
Proof: `tests/trackers/test_reference_runs.py` compares every frame with the official output, with and without
BYTE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from mot import motion
from mot.assignment import Matches, without
from mot.config import AtLeast, Between, OrSeconds
from mot.structures import Detections, Tracks
from mot.trackers import observations
from mot.trackers.observations import XYSR, Array, Mask, centre
from mot.trackers.table import Rows, State


@dataclass(frozen=True)
class OCSORTConfig:
    """Parameters of OC-SORT; defaults are the official ones.

    Attributes:
        score_threshold: detections must be above to be matched first and to start tracks.
        low_threshold: with `use_byte`, those above this and below `score_threshold` are matched second.
        max_age: frames a track outlives its last detection; in a config also seconds, as in `5s`.
        min_hits: updates in a row before a track is reported (not asked in the first `min_hits` frames).
        iou_threshold: least overlap of a detection with a track, in every stage.
        delta_t: frames between the two observations that give a track its direction.
        inertia: weight of that direction beside the overlap.
        use_byte: match detections of low score to the tracks that the first stage left.
        class_aware: match within a label only; else a track's label is the one it was seen with most often.
    """

    score_threshold: Annotated[float, Between(0, 1)] = 0.6
    low_threshold: Annotated[float, Between(0, 1)] = 0.1
    max_age: Annotated[int, AtLeast(0), OrSeconds()] = 30
    min_hits: Annotated[int, AtLeast(0)] = 3
    iou_threshold: Annotated[float, Between(0, 1)] = 0.3
    delta_t: Annotated[int, AtLeast(1)] = 3
    inertia: Annotated[float, AtLeast(0)] = 0.2
    use_byte: bool = False
    class_aware: bool = False


class OCSORT:
    """Overlap and direction, then the low scores, then overlap with where a track was last seen."""

    def __init__(self, config: OCSORTConfig | None = None) -> None:
        self.config = config or OCSORTConfig()
        self._table = observations.new_table("OCSORT", axes=4, points=1, delta_t=self.config.delta_t)

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
        missed = observations.advance(table, steps, XYSR.process)
        made = self._match(detections, strong, faint)
        self._update(made.rows, made.columns, detections, missed)
        fresh = without(strong, made.columns)
        observations.spawn(table, fresh, detections, np.empty((len(fresh), 0)), XYSR)
        table.keep(table["misses"] <= config.max_age)
        return observations.report(table, detections, config.min_hits, assigned)

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays."""
        return self._table.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        self._table.load_state_dict(state)

    def _match(self, detections: Detections, strong: Rows, faint: Rows) -> Matches:
        """By IoU + inertia * score * OCM; then, by IoU alone, BYTE and OCR."""
        table, config, aware = self._table, self.config, self.config.class_aware
        every, (last, known) = np.arange(len(table)), observations.last_seen(table)
        near = observations.near(table, observations.predicted(table), detections, aware)
        gain, bound = self._gain(detections, strong)
        shape, least = (len(table), len(strong)), config.iou_threshold
        made = observations.match_first(near(every, strong), shape, least, gain, bound)
        made = Matches(made.rows, strong[made.columns])
        if len(faint):
            made = observations.match_again(made, np.ones(len(table), np.bool_), faint, least, near)
        near = observations.near(table, last, detections, aware)
        return observations.match_again(made, known, strong, least, near)

    def _gain(self, detections: Detections, strong: Rows) -> tuple[Callable[[Rows, Rows], Array], float]:
        """What the direction adds to the IoU of a pair of a track and one of the `strong`, and at most."""
        table, config = self._table, self.config
        weight, aware = config.inertia * detections.scores[strong], config.class_aware
        angle = observations.consistency(table, config.delta_t, centre, detections.xyxy[strong])

        def gain(rows: Rows, columns: Rows) -> Array:
            gained = weight[columns] * angle(rows, columns)
            if aware:
                gained[table["labels"][rows] != detections.labels[strong[columns]]] = 0.0
            return gained

        return gain, 0.5 * float(weight.max(initial=0.0))

    def _update(self, rows: Rows, det: Rows, detections: Detections, missed: Mask) -> None:
        table, xyxy = self._table, detections.xyxy.take(det, axis=0)
        oldest = observations.oldest(table, self.config.delta_t)
        fresh = observations.directions(table, rows, oldest, centre, xyxy)
        observations.observe(table, rows, missed, xyxy, np.empty((len(rows), 0)), XYSR, fresh)
        table.see(rows, det, detections)
