"""MOT text: one row a box, `frame,id,x,y,w,h,score,class,…`, frames from 1, boxes as top left and size in pixels.

Read as detections (det.txt) and written as results. Column 8 holds the class only where there is more than
one; it is the index into the list of label names, and -1 otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mot.boxes import tlwh_to_xyxy, xyxy_to_tlwh
from mot.errors import ConfigError, FormatError, nearest
from mot.formats.table import check_boxes, read_table
from mot.structures import Detections, Tracks

Floats = NDArray[np.float64]
ScoreMap = Literal["clip", "logistic", "minmax"]
SCORE_MAPS: dict[str, Callable[[Floats], Floats]] = {
    "clip": lambda scores: np.clip(scores, 0, 1),
    "logistic": lambda scores: 0.5 + 0.5 * np.tanh(scores / 2),  # 1 / (1 + exp(-s)), without its overflow
    "minmax": lambda scores: (
        (scores - scores.min()) / np.ptp(scores) if np.ptp(scores) else np.ones(len(scores))
    ),
}


def read_detections(
    path: Path, label_count: int = 1, score_map: ScoreMap | None = None
) -> dict[int, Detections]:
    """The detections of each frame that has any, rows in file order.

    Args:
        path: a det.txt; columns 1 (frame), 3-6 (x, y, w, h), 7 (score), and 8 (class) where `label_count` > 1.
        label_count: number of label names; column 8 must lie in 0..label_count-1.
        score_map: how scores come into 0..1, see `map_scores`.

    Raises:
        FormatError: a row is malformed, is not finite, has a negative size, or a score outside 0..1 that no
            `score_map` brings in; gives the line.
    """
    needed = 7 if label_count == 1 else 8
    table = read_table(path, fewest=needed, columns=needed)
    check_boxes(table)
    values = table.values
    scores = map_scores(values[:, 6], score_map, table.where)
    labels = values[:, 7] if label_count > 1 else np.zeros(len(values))
    table.refuse(
        (labels != np.trunc(labels)) | (labels < 0) | (labels >= label_count),
        lambda row: f"class {labels[row]:g} is outside 0..{label_count - 1}, the labels of this config",
    )
    order = np.argsort(values[:, 0], kind="stable")
    frames, starts = np.unique(values[order, 0].astype(np.int64), return_index=True)
    xyxy, indices = tlwh_to_xyxy(values[:, 2:6]), labels.astype(np.int64)
    return {
        frame: Detections(xyxy=xyxy[rows], scores=scores[rows], labels=indices[rows])
        for frame, rows in zip(frames.tolist(), np.split(order, starts[1:]), strict=False)
    }


def map_scores(scores: Floats, how: ScoreMap | None, where: Callable[[int], str]) -> Floats:
    """Scores in 0..1.

    Detectors that are no networks (the DPM of MOT16 and MOT17, some of MOT15's) give margins or ratios: below 0, or
    far above 1. Which map is right is a matter of the detector, so nothing is guessed.

    Args:
        scores: (D,) of one whole file.
        how: `clip` cuts at 0 and 1; `logistic` is 1 / (1 + exp(-score)); `minmax` stretches the lowest and highest
            of the file to 0 and 1 (all alike: 1); None: they must be in 0..1 as they are.
        where: names the place of a row, for the message.

    Raises:
        ConfigError: no such map.
        FormatError: `how` is None, and a score is outside 0..1.
    """
    if how is None:
        outside = (scores < 0) | (scores > 1)
        if outside.any():
            row = int(np.argmax(outside))
            raise FormatError(
                f"{where(row)}: score {scores[row]:g} is outside 0..1; "
                f"detector.score_map ({' or '.join(SCORE_MAPS)}) brings it there"
            )
        return scores
    if how not in SCORE_MAPS:
        raise ConfigError(f"detector.score_map: unknown {how!r}; {nearest(how, SCORE_MAPS)}")
    return SCORE_MAPS[how](scores) if len(scores) else scores


def format_tracks(frame: int, tracks: Tracks, with_labels: bool = False, decimals: int = 3) -> str:
    """Rows of one frame, each ending in a newline; the label in column 8 if `with_labels`, else -1."""
    rows = zip(
        tracks.ids.tolist(),
        xyxy_to_tlwh(tracks.xyxy).tolist(),
        tracks.scores.tolist(),
        tracks.labels.tolist() if with_labels else [-1] * len(tracks),
        strict=True,
    )
    return "".join(
        f"{frame},{track},{_number(x, decimals)},{_number(y, decimals)},{_number(w, decimals)},"
        f"{_number(h, decimals)},{_number(score, 4)},{label},-1,-1\n"
        for track, (x, y, w, h), score, label in rows
    )


def _number(value: float, decimals: int) -> str:
    """Fixed decimals; never `-0.000`, which would tell apart results that are the same."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
