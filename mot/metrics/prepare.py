"""Ground truth and result of one sequence -> what is scored, by the rules of the MOTChallenge benchmarks.

A result box on a person nobody has to find (on a vehicle, in a mirror, a poster) is neither right nor wrong: where
the best matching of a frame, at IoU 0.5, gives it to such a distractor, it is left out. After that only pedestrians
that are not marked with 0 remain of the ground truth. MOT15 has no classes, hence only the mark.
Behaviour as of trackeval 1.3.0's MotChallenge2DBox; the code is our own.
"""

from __future__ import annotations

import numpy as np

from mot.boxes import tlwh_to_xyxy
from mot.errors import ConfigError, InputError, nearest
from mot.metrics.matching import match
from mot.metrics.scene import EPS, Ints, Mask, Pairs, Prepared, overlapping
from mot.structures import MAX_PIXELS, Rows

PEDESTRIAN, CLASSES = 1, range(1, 14)  # https://motchallenge.net: 1 pedestrian … 13 crowd
# 2 person on vehicle, 6 non-MOT vehicle, 7 static person, 8 distractor, 12 reflection
_MOT16 = frozenset({2, 7, 8, 12})
# benchmark -> classes of its distractors; None where column 8 is not a class
DISTRACTORS: dict[str, frozenset[int] | None] = {
    "MOT15": None,
    "MOT16": _MOT16,
    "MOT17": _MOT16,
    "MOT20": _MOT16 | {6},
    "DanceTrack": _MOT16,
    "SportsMOT": _MOT16,
}


def prepare(truth: Rows, result: Rows, length: int, benchmark: str = "MOT17") -> Prepared:
    """What of `truth` and `result` is scored, and the overlaps of its boxes.

    Args:
        truth: ground truth, all its classes.
        result: a tracker's rows.
        length: number of frames of the sequence.
        benchmark: a name in `DISTRACTORS`.

    Raises:
        ConfigError: an unknown benchmark.
        InputError: a frame outside 1..length, an id twice in a frame, a coordinate that is not a number or too
            large, a class that the benchmark does not know, or a result of another class than 1.
    """
    if length < 1:
        raise InputError(f"a sequence of {length} frames: expected 1 or more")
    if benchmark not in DISTRACTORS:
        raise ConfigError(f"unknown benchmark {benchmark!r}; {nearest(benchmark, DISTRACTORS)}")
    distractors = DISTRACTORS[benchmark]
    gt, found = _sorted(truth, length, "ground truth"), _sorted(result, length, "result")
    _check_classes(gt, found, distractors is not None)
    pairs = overlapping(
        tlwh_to_xyxy(gt.tlwh), _starts(gt, length), tlwh_to_xyxy(found.tlwh), _starts(found, length)
    )
    ignored, excused = np.trunc(gt.scores) == 0, np.zeros(len(found), np.bool_)
    if distractors is not None:
        ignored |= gt.classes != PEDESTRIAN
        excused[_on(pairs, np.isin(gt.classes, list(distractors)))] = True
    truth_names, truth_ids = np.unique(gt.ids[~ignored], return_inverse=True)
    result_names, result_ids = np.unique(found.ids[~excused], return_inverse=True)
    return Prepared(
        pairs=pairs.without(ignored, excused),
        truth_ids=truth_ids,
        result_ids=result_ids,
        truth_names=truth_names,
        result_names=result_names,
    )


def _on(pairs: Pairs, distractor: Mask) -> Ints:
    """Result rows that are matched to the truth rows marked in (G,) `distractor`."""
    close = pairs.where(pairs.similarity >= 0.5 - EPS)
    close = close.where(np.isin(close.frames, close.frames[distractor[close.truth]]))
    matched = close.where(match(close, close.similarity))
    return matched.result[distractor[matched.truth]]


def _starts(boxes: Rows, length: int) -> Ints:
    """(length + 1,) where each frame begins in rows sorted by frame."""
    return np.searchsorted(boxes.frames, np.arange(1, length + 2))


def _sorted(boxes: Rows, length: int, what: str) -> Rows:
    """By frame, file order within; refuses what no metric can count."""
    outside = (boxes.frames < 1) | (boxes.frames > length)
    if outside.any():
        raise InputError(
            f"{what}: frame {boxes.frames[outside][0]} is outside 1..{length}, the sequence's frames"
        )
    wild = ~(np.abs(boxes.tlwh) <= MAX_PIXELS).all(axis=1)  # NaN too
    if wild.any():
        row = int(np.flatnonzero(wild)[0])
        raise InputError(
            f"{what}: frame {boxes.frames[row]}, id {boxes.ids[row]}: box {boxes.tlwh[row].tolist()}"
        )
    order = np.lexsort([boxes.ids, boxes.frames])
    frames, ids = boxes.frames[order], boxes.ids[order]
    twice = np.flatnonzero((frames[1:] == frames[:-1]) & (ids[1:] == ids[:-1]))
    if len(twice):
        raise InputError(f"{what}: id {ids[twice[0]]} is twice in frame {frames[twice[0]]}")
    order = np.argsort(boxes.frames, kind="stable")
    return Rows(
        frames=boxes.frames[order],
        ids=boxes.ids[order],
        tlwh=boxes.tlwh[order],
        scores=boxes.scores[order],
        classes=boxes.classes[order],
    )


def _check_classes(truth: Rows, result: Rows, has_classes: bool) -> None:
    strange = ~np.isin(truth.classes, CLASSES)
    if has_classes and strange.any():
        raise InputError(
            f"ground truth: frame {truth.frames[strange][0]} has class {truth.classes[strange][0]}, "
            f"expected 1..{CLASSES[-1]} (is it of another benchmark?)"
        )
    other = result.classes > PEDESTRIAN
    if other.any():
        raise InputError(
            f"result: frame {result.frames[other][0]} has class {result.classes[other][0]}, expected 1 or -1: "
            "only pedestrians are scored"
        )
