"""CLEAR MOT: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance", 2008.

Each frame is matched among the pairs that overlap enough: first as many as possible keep the id they had in the
frame before, then by the sum of overlaps. A frame without any truth or any result box is no frame before.
Equal to trackeval 1.3.0, ties included: tests/metrics/test_against_trackeval.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.errors import InputError
from mot.metrics.counts import ClearCounts
from mot.metrics.matching import contested
from mot.metrics.scene import EPS, Ints, Mask, Pairs, Prepared

KEEP = 1000.0  # weight of the id of the frame before, against overlaps of at most 1
EVENT = np.dtype([("frame", np.int64), ("kind", "U6"), ("truth_id", np.int64), ("result_id", np.int64)])


def clear(prepared: Prepared, iou: float = 0.5) -> ClearCounts:
    """The counts of CLEAR.

    Args:
        prepared: a sequence.
        iou: overlap that a match needs, 0.01..1.

    Raises:
        InputError: `iou` is outside that.
    """
    matched = _matched(prepared, iou)
    switched, resumed = _changes(prepared, matched)
    boxes = np.bincount(prepared.truth_ids)
    ratio = np.bincount(prepared.truth_ids[matched.truth], minlength=len(boxes)) / boxes
    mostly, at_least_partly = int((ratio > 0.8).sum()), int((ratio >= 0.2).sum())
    truth, result = len(prepared.truth_ids), len(prepared.result_ids)
    return ClearCounts(
        tp=len(matched),
        fn=truth - len(matched),
        fp=result - len(matched),
        switches=int(switched.sum()),
        mostly_tracked=mostly,
        partly_tracked=at_least_partly - mostly,
        mostly_lost=len(prepared.truth_names) - at_least_partly,
        fragments=int(resumed.sum()),
        similarity=float(matched.similarity.sum()),
        frames=prepared.length if truth and result else 0,
    )


def events(prepared: Prepared, iou: float = 0.5) -> NDArray[Any]:
    """What CLEAR counts as wrong, one record each, by frame: to see where two results differ.

    Args:
        prepared: a sequence.
        iou: as for `clear`.

    Returns:
        (E,) of dtype `EVENT`: frame (from 1), kind (`false`, `miss` or `switch`), truth_id and result_id as in the
        files; -1 for the one that a miss or a false box has not.
    """
    matched = _matched(prepared, iou)
    switches = matched.where(_changes(prepared, matched)[0])
    pairs = prepared.pairs
    missed = np.setdiff1d(np.arange(len(prepared.truth_ids)), matched.truth)
    false = np.setdiff1d(np.arange(len(prepared.result_ids)), matched.result)
    found = np.concatenate(
        [
            _events(prepared, "false", _frames(pairs.result_starts, false), result=false),
            _events(prepared, "miss", _frames(pairs.truth_starts, missed), truth=missed),
            _events(prepared, "switch", switches.frames, truth=switches.truth, result=switches.result),
        ]
    )
    return found[np.argsort(found["frame"], kind="stable")]


def check_iou(iou: float) -> None:
    """Refuse an overlap that matches cannot be asked for.

    Raises:
        InputError: it is outside 0.01..1.
    """
    if not 0.01 <= iou <= 1:  # at least 0.01: `contested` relies on weights far above rounding
        raise InputError(f"iou {iou:g}: expected 0.01..1")


def _matched(prepared: Prepared, iou: float) -> Pairs:
    """The pairs that CLEAR matches."""
    check_iou(iou)
    pairs = prepared.pairs.where(prepared.pairs.similarity >= iou - EPS)
    truth, result = prepared.ids(pairs)
    starts, before = np.append(pairs.starts(), len(pairs)), _frame_before(pairs)
    chosen = np.ones(len(pairs), np.bool_)
    for block in contested(pairs):
        last = slice(starts[before[block.frame]], starts[before[block.frame] + 1])
        partner = np.full(len(prepared.truth_names), -1)
        partner[truth[last][chosen[last]]] = result[last][chosen[last]]
        stays = partner[truth[block.span]] == result[block.span]
        chosen[block.span] = block.solve(KEEP * stays + pairs.similarity[block.span])
    return pairs.where(chosen)


def _compared(pairs: Pairs) -> Mask:
    """(frames,) which frames have boxes on both sides."""
    return (np.diff(pairs.truth_starts) > 0) & (np.diff(pairs.result_starts) > 0)


def _frame_before(pairs: Pairs) -> Ints:
    """(frames,) the last earlier frame with boxes on both sides; where there is none, one after the last."""
    compared = _compared(pairs)
    latest = np.maximum.accumulate(np.where(compared, np.arange(len(compared)), -1))
    before = np.append(-1, latest[:-1])
    return np.where(before < 0, len(compared), before)


def _changes(prepared: Prepared, matched: Pairs) -> tuple[Mask, Mask]:
    """(M,) which matches switch to another result id, and which resume after frames without a match."""
    truth, result = prepared.ids(matched)
    order = np.argsort(truth, kind="stable")  # each truth id's matches in the order of time
    again = truth[order][1:] == truth[order][:-1]
    time = np.cumsum(_compared(matched))[matched.frames][order]
    switched, resumed = np.zeros((2, len(matched)), np.bool_)
    switched[order[1:]] = again & (np.diff(result[order]) != 0)
    resumed[order[1:]] = again & (np.diff(time) > 1)
    return switched, resumed


def _frames(starts: Ints, rows: Ints) -> Ints:
    """Frames, from 0, of row numbers."""
    return np.searchsorted(starts, rows, side="right") - 1


def _events(
    prepared: Prepared, kind: str, frames: Ints, truth: Ints | None = None, result: Ints | None = None
) -> NDArray[Any]:
    """Records of one kind, of rows of the truth, the result or both."""
    found = np.full(len(frames), -1, EVENT)
    found["frame"], found["kind"] = frames + 1, kind
    if truth is not None:
        found["truth_id"] = prepared.truth_names[prepared.truth_ids[truth]]
    if result is not None:
        found["result_id"] = prepared.result_names[prepared.result_ids[result]]
    return found
