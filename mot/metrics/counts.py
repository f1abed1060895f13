"""What the metrics count, as records that add up. Every ratio is made from them, in `mot.metrics.scores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from mot.errors import InputError
from mot.metrics.scene import Floats, Ints

THRESHOLDS = np.arange(0.05, 0.99, 0.05)  # (19,) HOTA's alpha; to the last bit as in trackeval
THRESHOLDS.setflags(write=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxCounts:
    """How much was scored."""

    result_boxes: int
    truth_boxes: int
    result_ids: int
    truth_ids: int


@dataclass(frozen=True, kw_only=True, eq=False)
class HotaCounts:
    """(19,) each, one number a threshold.

    Attributes:
        tp: matches.
        fn: truth boxes without one.
        fp: result boxes without one.
        similarity: sum of the matches' IoU.
        association: sum over the matches of their association score; divided by `tp` it is AssA.
        association_recall: the same for AssRe.
        association_precision: the same for AssPr.
    """

    tp: Ints
    fn: Ints
    fp: Ints
    similarity: Floats
    association: Floats
    association_recall: Floats
    association_precision: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ClearCounts:
    """CLEAR's.

    Attributes:
        tp: matches.
        fn: truth boxes without one.
        fp: result boxes without one.
        switches: matches of a truth id to another result id than at its last match.
        mostly_tracked: truth ids matched in more than 80 % of their frames.
        partly_tracked: in 20 % to 80 %.
        mostly_lost: in less than 20 %.
        fragments: times that a truth id is matched again after frames without a match.
        similarity: sum of the matches' IoU.
        frames: frames of the sequence; 0 if truth or result is empty.
    """

    tp: int
    fn: int
    fp: int
    switches: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    fragments: int
    similarity: float
    frames: int


@dataclass(frozen=True, kw_only=True, eq=False)
class IdentityCounts:
    """Boxes that carry the id which fits best over the whole sequence (tp); truth (fn), result (fp) boxes left."""

    tp: int
    fn: int
    fp: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """All of one sequence, or of several together.

    Attributes:
        boxes: how much was scored.
        hota: HOTA's.
        clear: CLEAR's.
        identity: Identity's.
        sequences: how many were combined; 0 = a sequence by itself, see `scores`.
    """

    boxes: BoxCounts
    hota: HotaCounts
    clear: ClearCounts
    identity: IdentityCounts
    sequences: int = 0


Record = TypeVar("Record", BoxCounts, HotaCounts, ClearCounts, IdentityCounts)


def combine(counts: Sequence[Counts]) -> Counts:
    """The counts of several sequences together: long ones weigh more, as in trackeval's combined row.

    Raises:
        InputError: there are none.
    """
    if not counts:
        raise InputError("no sequences to combine")
    return Counts(
        boxes=_sum([count.boxes for count in counts]),
        hota=_sum([count.hota for count in counts]),
        clear=_sum([count.clear for count in counts]),
        identity=_sum([count.identity for count in counts]),
        sequences=sum(max(1, count.sequences) for count in counts),
    )


def _sum(records: list[Record]) -> Record:
    """Field by field."""
    first = records[0]
    return type(first)(**{f.name: sum(getattr(record, f.name) for record in records) for f in fields(first)})
