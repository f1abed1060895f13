"""MOT text: one row a box, `frame,id,x,y,w,h,score,class,…`, frames from 1, boxes as top left and size in pixels.

Read as detections (det.txt) and written as results. Column 8 holds the class only where there is more than
one; it is the index into the list of label names, and -1 otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mot.boxes import tlwh_to_xyxy, xyxy_to_tlwh
from mot.errors import FormatError, SourceError
from mot.structures import MAX_PIXELS, Detections, Tracks

MAX_FRAME = 10_000_000  # beyond this it is a mistake, and would keep a program busy for days

Row = tuple[int, list[float], float, int]  # frame, tlwh, score, label


def read_detections(path: Path, label_count: int = 1) -> dict[int, Detections]:
    """The detections of each frame that has any, rows in file order.

    Args:
        path: a det.txt; columns 1 (frame), 3-6 (x, y, w, h), 7 (score), and 8 (class) where `label_count` > 1.
        label_count: number of label names; column 8 must lie in 0..label_count-1.

    Raises:
        FormatError: a row is malformed, is not finite, has a negative size or a score outside 0..1; gives the line.
    """
    frames: dict[int, list[Row]] = {}
    for row in _rows(path, label_count):
        frames.setdefault(row[0], []).append(row)
    return {frame: _detections(rows) for frame, rows in frames.items()}


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


def _detections(rows: list[Row]) -> Detections:
    return Detections(
        xyxy=tlwh_to_xyxy(np.array([row[1] for row in rows], np.float64)),
        scores=np.array([row[2] for row in rows]),
        labels=np.array([row[3] for row in rows]),
    )


def _rows(path: Path, label_count: int) -> Iterator[Row]:
    """Every row of the file; blank lines are skipped."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"no detection file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not readable as text: {error}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield _parse(line, label_count)
            except ValueError as error:
                raise FormatError(f"{path}, line {number}: {error}") from None


def _parse(line: str, label_count: int) -> Row:
    """One row; a ValueError says what is wrong with it."""
    columns = line.split(",")
    needed = 7 if label_count == 1 else 8
    if len(columns) < needed:
        raise ValueError(
            f"expected {needed} or more columns (frame,id,x,y,w,h,score,…), got {line.strip()[:60]!r}"
        )
    frame, x, y, w, h, score = (_finite(columns[i], i + 1) for i in (0, 2, 3, 4, 5, 6))
    label = _finite(columns[7], 8) if label_count > 1 else 0
    if frame != int(frame) or not 1 <= frame <= MAX_FRAME:
        raise ValueError(f"frame {columns[0].strip()} is not a whole number from 1 to {MAX_FRAME}")
    if max(abs(x), abs(y), abs(w), abs(h)) > MAX_PIXELS:
        raise ValueError(f"box {x:g}, {y:g}, {w:g}, {h:g} is further than {MAX_PIXELS:g} pixels away")
    if w < 0 or h < 0:
        raise ValueError(f"negative size {w:g} x {h:g}")
    if not 0 <= score <= 1:
        raise ValueError(f"score {score:g} is outside 0..1")
    if label != int(label) or not 0 <= label < label_count:
        raise ValueError(
            f"class {columns[7].strip()} is outside 0..{label_count - 1}, the labels of this config"
        )
    return int(frame), [x, y, w, h], score, int(label)


def _finite(text: str, column: int) -> float:
    try:
        value = float("x" if "_" in text else text)  # Python would read 1_0 as 10
    except ValueError:
        raise ValueError(f"column {column} is not a number: {text.strip()[:40]!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"column {column} is {text.strip()}, expected a finite number")
    return value
