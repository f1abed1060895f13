"""Ground truth and results of a benchmark, read strictly into arrays.

Rows of a ground truth: `frame,id,x,y,w,h,considered,class,visibility`; MOT15 has world coordinates in columns 8 to
10 instead. Rows of a result: `frame,id,x,y,w,h,score`, and often three times -1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mot.errors import FormatError, SourceError
from mot.formats.sequences import Benchmark, Sequence
from mot.formats.table import Table, check_boxes, read_table
from mot.structures import Rows

# Benchmark -> the classes that its ground truth may have; MOT15 has none. 1 is a pedestrian (a dancer, a player).
CLASSES: dict[Benchmark, range] = {
    "MOT16": range(1, 14),
    "MOT17": range(1, 14),
    "MOT20": range(1, 14),
    "DanceTrack": range(1, 2),
    "SportsMOT": range(1, 2),
}
MAX_ID = 2**53  # beyond this a float64 is no longer exact


def read_truth(sequence: Sequence, frames: range | None = None) -> Rows:
    """The ground truth of a sequence, all classes, rows that do not count included.

    Args:
        sequence: from `find_sequences`.
        frames: only these, of `frame_range`; they are numbered from 1.

    Raises:
        SourceError: there is none.
        FormatError: a row is malformed, beyond the sequence, negative in size, of an id that the frame has already,
            or of a class of another benchmark; gives the line.
    """
    if sequence.gt is None:
        raise SourceError(
            f"{sequence.name}: no ground truth: there is no gt/gt.txt in {str(sequence.folder)!r}"
        )
    table = read_table(sequence.gt, fewest=8, columns=10, most=10, what="ground truth")
    classes = table.values[:, 7]
    if sequence.benchmark == "MOT15":
        table.refuse(
            np.isnan(table.values[:, 9]) & (classes > 1),
            lambda row: (
                f"column 8 is {classes[row]:g}, a class as MOT16 and later have it; MOT15 has world "
                "coordinates in columns 8 to 10: is the benchmark another?"
            ),
        )
        classes = np.ones(len(classes))
    else:
        known = CLASSES[sequence.benchmark]
        table.refuse(
            ~np.isin(classes, known),
            lambda row: (
                f"class {classes[row]:g} is not one of {sequence.benchmark}, "
                f"{known[0] if len(known) == 1 else f'{known[0]}..{known[-1]}'}: is the benchmark another?"
            ),
        )
    return _boxes(table, sequence, frames, classes)


def read_result(path: str | Path, sequence: Sequence, frames: range | None = None) -> Rows:
    """A tracker's rows for a sequence; a file without any is read as nothing found.

    Args:
        path: 7 columns and more, of which those beyond the eighth are not used; ids may be written as 1.0.
        sequence: the one that it is of.
        frames: only these, of `frame_range`; they are numbered from 1.

    Raises:
        SourceError: no such file.
        FormatError: as `read_truth`; or a class other than 1 or -1, for only pedestrians are scored; or rows that
            number the range `frames` from 1 themselves.
    """
    table = read_table(Path(path), fewest=7, columns=10, what="result")
    classes = np.nan_to_num(np.trunc(table.values[:, 7]), nan=1.0)
    table.refuse(
        classes > 1, lambda row: f"class {classes[row]:g}, expected 1 or -1: only pedestrians are scored"
    )
    boxes = _boxes(table, sequence, frames, classes)
    if (
        frames is not None
        and len(table.values)
        and not len(boxes)
        and table.values[:, 0].max() <= len(frames)
    ):
        raise FormatError(
            f"{path}: no row is of frames {frames[0]}-{frames[-1]}; it seems to count them from 1, "
            "expected the numbers of the whole sequence"
        )
    return boxes


def _boxes(
    table: Table,
    sequence: Sequence,
    frames: range | None,
    classes: NDArray[np.float64],
) -> Rows:
    """The rows of `frames`, checked, sorted."""
    check_boxes(table, sequence.length, f", the length of {sequence.name}")
    frame, ids = table.values[:, 0], table.values[:, 1]
    table.refuse(
        (ids != np.trunc(ids)) | (ids < 0) | (ids > MAX_ID),
        lambda row: f"id {ids[row]:.12g} is not a whole number from 0 (-1: a detection, not a track)",
    )
    _refuse_twice(table)
    rows = np.argsort(frame, kind="stable")
    wanted = range(1, sequence.length + 1) if frames is None else frames
    rows = rows[(frame[rows] >= wanted.start) & (frame[rows] < wanted.stop)]
    return Rows(
        frames=frame[rows].astype(np.int64) - (wanted.start - 1),
        ids=ids[rows].astype(np.int64),
        tlwh=table.values[rows, 2:6],
        scores=table.values[rows, 6],
        classes=classes[rows].astype(np.int64),
    )


def _refuse_twice(table: Table) -> None:
    """Refuse the first row whose id its frame has already."""
    frame, ids = table.values[:, 0], table.values[:, 1]
    order = np.lexsort([ids, frame])  # stable: the row that was first stays first
    again = (np.diff(frame[order]) == 0) & (np.diff(ids[order]) == 0)
    before = dict(zip(order[1:][again].tolist(), order[:-1][again].tolist(), strict=True))
    twice = np.zeros(len(ids), np.bool_)
    twice[list(before)] = True
    table.refuse(
        twice,
        lambda row: (
            f"id {ids[row]:.0f} is twice in frame {frame[row]:.0f}, also in {table.where(before[row])}"
        ),
    )
