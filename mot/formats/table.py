"""Numbers in text: rows of columns parted by commas (or by spaces alone), boxes in columns 3 to 6.

A clean file is read by numpy's own parser; anything else goes line by line, which finds the line to complain about.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mot.errors import FormatError, SourceError
from mot.structures import MAX_PIXELS

MAX_FRAME = 10_000_000  # beyond this it is a mistake, and would keep a program busy for days


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of one file.

    Attributes:
        path: where they were read.
        text: the file.
        values: (N, columns) float64; NaN where a row has fewer columns.
    """

    path: Path
    text: str
    values: NDArray[np.float64]

    def where(self, row: int) -> str:
        """The file and the line of row number `row`; blank lines are no rows."""
        lines = [number for number, line in enumerate(self.text.split("\n"), start=1) if line.strip()]
        return f"{self.path}, line {lines[row]}"

    def refuse(self, bad: NDArray[np.bool_], say: Callable[[int], str]) -> None:
        """Raise a FormatError for the first row marked in (N,) `bad`; `say(row)` tells what is wrong with it."""
        if bad.any():
            row = int(np.argmax(bad))
            raise FormatError(f"{self.where(row)}: {say(row)}")


def read_table(
    path: Path, fewest: int, columns: int, most: int | None = None, what: str = "detection file"
) -> Table:
    """The first `columns` columns of every row.

    Args:
        path: a text file; may have CRLF, blanks around numbers, blank lines and a comma at the end of rows.
        fewest: columns that every row must have.
        columns: columns to read where they are there.
        most: columns that a row may have; None: any number.
        what: what the file is called in the error where it does not exist.

    Raises:
        SourceError: no such file.
        FormatError: not text, or a row with too few or too many columns or with something that is not a finite
            number; gives the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"no {what} {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not readable as text: {error}") from None
    values = _clean(text, fewest, columns, most)
    if values is None:
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    rows.append(_parse(line, fewest, columns, most))
                except ValueError as error:
                    raise FormatError(f"{path}, line {number}: {error}") from None
        values = np.array(rows, np.float64).reshape(len(rows), columns)
    return Table(path, text, values)


def check_boxes(table: Table, last: int = MAX_FRAME, whose: str = "") -> None:
    """Refuse rows whose frame is not one of 1..last, or whose box no image has.

    Args:
        table: frames in column 1; left, top, width, height in columns 3 to 6.
        last: the last frame.
        whose: what has that many frames, for the message.

    Raises:
        FormatError: gives the line.
    """
    frames, tlwh = table.values[:, 0], table.values[:, 2:6]
    table.refuse(
        (frames != np.trunc(frames)) | (frames < 1) | (frames > last),
        lambda row: f"frame {frames[row]:.12g} is not a whole number from 1 to {last}{whose}",
    )
    table.refuse(
        np.abs(tlwh).max(axis=1, initial=0) > MAX_PIXELS,
        lambda row: (
            f"box {', '.join(f'{v:g}' for v in tlwh[row])} is further than {MAX_PIXELS:g} pixels away"
        ),
    )
    table.refuse(
        tlwh[:, 2:].min(axis=1, initial=0) < 0,
        lambda row: f"negative size {tlwh[row, 2]:g} x {tlwh[row, 3]:g}",
    )


def _clean(text: str, fewest: int, columns: int, most: int | None) -> NDArray[np.float64] | None:
    """The table of a file of equal, finite rows; None where there is anything else, or nothing."""
    if not text.strip():
        return None  # numpy would warn
    try:
        values = np.loadtxt(io.StringIO(text), delimiter=",", comments=None, ndmin=2)
    except ValueError:
        return None
    width = values.shape[1]
    if width < fewest or (most is not None and width > most):
        return None
    values = values[:, :columns]
    if not np.isfinite(values).all():
        return None
    return np.pad(values, ((0, 0), (0, columns - values.shape[1])), constant_values=np.nan)


def _parse(line: str, fewest: int, columns: int, most: int | None) -> list[float]:
    """One row; a ValueError says what is wrong with it."""
    line = line.strip().removesuffix(",")
    cells = line.split(",") if "," in line else line.split()
    if len(cells) < fewest or (most is not None and len(cells) > most):
        wanted = f"{fewest} or more" if most is None else f"{fewest} to {most}"
        raise ValueError(f"expected {wanted} columns (frame,id,x,y,w,h,score,…), got {line[:60]!r}")
    row = [_finite(cell, number) for number, cell in enumerate(cells[:columns], start=1)]
    return row + [math.nan] * (columns - len(row))


def _finite(text: str, column: int) -> float:
    try:
        value = float("x" if "_" in text else text)  # Python would read 1_0 as 10
    except ValueError:
        raise ValueError(f"column {column} is not a number: {text.strip()[:40]!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"column {column} is {text.strip()}, expected a finite number")
    return value
