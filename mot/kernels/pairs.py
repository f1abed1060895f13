"""Choosing among pairs without a solver. Twins in `mot.assignment`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F1, ANY_I1, FLOAT, INT, kernel


@kernel()
def _chosen(rows: Any, columns: Any, mask: Any) -> tuple[Any, Any]:
    """Rows and columns where a mask (P,) is True."""
    some, others, count = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), 0
    for p in range(len(rows)):
        if mask[p]:
            some[count], others[count] = rows[p], columns[p]
            count += 1
    return some[:count], others[:count]


@kernel(ANY_I1, ANY_I1, ANY_F1, INT, INT, FLOAT)
def clear_cut(
    rows: Any, columns: Any, weight: Any, height: int, width: int, least: float
) -> tuple[bool, Any, Any]:
    """Whether the pairs of weight above `least` are one-to-one, and those. Twin: `one_to_one` after `where`."""
    above, row, column = np.empty(len(rows), np.bool_), np.zeros(height, np.int64), np.zeros(width, np.int64)
    clear, count = True, 0
    for p in range(len(rows)):
        above[p] = weight[p] > least
        if above[p]:
            row[rows[p]] += 1
            column[columns[p]] += 1
            count += 1
            clear = clear and row[rows[p]] == 1 and column[columns[p]] == 1
    some, others = _chosen(rows, columns, above)
    return clear and count > 0, some, others


@kernel(ANY_I1, ANY_I1, ANY_F1, ANY_I1, ANY_I1, INT, FLOAT)
def agreed(
    rows: Any, columns: Any, weight: Any, made_rows: Any, made_columns: Any, height: int, least: float
) -> tuple[Any, Any]:
    """Rows and columns of the pairs of weight `least` or more that are among those made.

    Twin: `Pairs.of`, then `where`.
    """
    partner, mask = np.full(height, -1, np.int64), np.empty(len(rows), np.bool_)
    for m in range(len(made_rows)):
        partner[made_rows[m]] = made_columns[m]
    for p in range(len(rows)):
        mask[p] = partner[rows[p]] == columns[p] and weight[p] >= least
    return _chosen(rows, columns, mask)
