"""One-to-one pairs of the greatest total weight. Twins: `heaviest`, `match_iou` and `_settle` of `mot.assignment`.

`solve` is the shortest augmenting path algorithm of `scipy.optimize.linear_sum_assignment` step by step (Crouse
2016, "On implementing 2D rectangular assignment algorithms"): where several solutions are as good, it finds the
same one as scipy. What needs no solver is settled in the same rounds as by the twin, so that both leave the solver
the same cells, and equal weights end up in the same pairs with and without numba.

Values are taken one by one, not by masks and arrays of indices: that compiles in a third of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F1, ANY_F2, ANY_I1, B1, FLOAT, I1, INT, kernel

SMALL, FEW, MARGIN = 1_000, 100, 1e-9  # as in mot.assignment


@kernel()
def _taken(values: Any, places: Any) -> Any:
    """(M,) the values at some places (M,)."""
    taken = np.empty(len(places), values.dtype)
    for m in range(len(places)):
        taken[m] = values[places[m]]
    return taken


@kernel()
def _above(weight: Any, least: float) -> Any:
    """Places (M,) of the weights above the `least`."""
    places, count = np.empty(len(weight), np.int64), 0
    for p in range(len(weight)):
        if weight[p] > least:
            places[count] = p
            count += 1
    return places[:count]


@kernel()
def _augment(
    cost: Any,
    u: Any,
    v: Any,
    path: Any,
    row_of: Any,
    low: Any,
    in_row: Any,
    in_column: Any,
    left: Any,
    i: int,
) -> tuple[int, float]:
    """The end of the shortest augmenting path from row `i`, and its length."""
    columns = cost.shape[1]
    for it in range(columns):
        left[it] = columns - it - 1  # backwards: equal costs give the identity
        in_column[it], low[it] = False, np.inf
    for r in range(len(in_row)):
        in_row[r] = False
    number, length, sink = columns, 0.0, -1
    while sink < 0:
        index, lowest = -1, np.inf
        in_row[i] = True
        for it in range(number):
            j = left[it]
            reach = length + cost[i, j] - u[i] - v[j]
            if reach < low[j]:
                path[j], low[j] = i, reach
            # of equals one that ends the search
            if low[j] < lowest or (low[j] == lowest and row_of[j] == -1):
                lowest, index = low[j], it
        length = lowest
        if index < 0:
            return -1, length  # not a number somewhere
        j = left[index]
        if row_of[j] == -1:
            sink = j
        else:
            i = row_of[j]
        in_column[j] = True
        number -= 1
        left[index] = left[number]
    return sink, length


@kernel()
def _assign(cost: Any) -> Any:
    """(R,) the column of each row of least total `cost` (R, C), C >= R."""
    rows, columns = cost.shape
    u, v, low = np.zeros(rows), np.zeros(columns), np.empty(columns)
    path, left = np.full(columns, -1, np.int64), np.empty(columns, np.int64)
    column_of, row_of = np.full(rows, -1, np.int64), np.full(columns, -1, np.int64)
    in_row, in_column = np.empty(rows, np.bool_), np.empty(columns, np.bool_)
    for current in range(rows):
        sink, length = _augment(cost, u, v, path, row_of, low, in_row, in_column, left, current)
        if sink < 0:
            return column_of
        u[current] += length
        for i in range(rows):
            if in_row[i] and i != current:
                u[i] += length - low[column_of[i]]
        for j in range(columns):
            if in_column[j]:
                v[j] -= length - low[j]
        j = sink
        while True:
            i = path[j]
            row_of[j] = i
            column_of[i], j = j, column_of[i]
            if i == current:
                break
    return column_of


@kernel()
def _solve(weight: Any) -> Any:
    """(R,) the column of each row of greatest total weight (R, C), -1: none."""
    rows, columns = weight.shape
    cost = np.empty((min(rows, columns), max(rows, columns)))
    for i in range(rows):
        for j in range(columns):
            if rows <= columns:
                cost[i, j] = -weight[i, j]
            else:
                cost[j, i] = -weight[i, j]
    turned = _assign(cost)
    if rows <= columns:
        return turned
    partner = np.full(rows, -1, np.int64)
    for j in range(columns):
        if turned[j] >= 0:
            partner[turned[j]] = j
    return partner


@kernel(ANY_F2)
def solve(weight: Any) -> Any:
    """(R,) the column of each row of greatest total `weight` (R, C), -1 where rows are left over.

    Twin: `linear_sum_assignment(weight, maximize=True)`; equal solutions are chosen between as it does.
    """
    return _solve(weight)


@kernel()
def _one_to_one(rows: Any, columns: Any, shape: tuple[int, int]) -> bool:
    """Whether there is a pair, and no row and no column has two."""
    if not 0 < len(rows) <= min(shape):
        return False
    row, column = np.zeros(shape[0], np.bool_), np.zeros(shape[1], np.bool_)
    for p in range(len(rows)):
        if row[rows[p]] or column[columns[p]]:
            return False
        row[rows[p]] = column[columns[p]] = True
    return True


@kernel()
def _dominant(rows: Any, columns: Any, weight: Any, shape: tuple[int, int], bound: float) -> Any:
    """(P,) which pairs are worth more than the best others of their row and column together, and `bound`."""
    best_row, best_column = np.full(shape[0], bound), np.full(shape[1], bound)
    for p in range(len(rows)):
        best_row[rows[p]] = max(best_row[rows[p]], weight[p])
        best_column[columns[p]] = max(best_column[columns[p]], weight[p])
    next_row, next_column = np.full(shape[0], bound), np.full(shape[1], bound)
    tops_row, tops_column = np.zeros(shape[0], np.int64), np.zeros(shape[1], np.int64)
    sure = np.empty(len(rows), np.bool_)
    for p in range(len(rows)):
        i, j = rows[p], columns[p]
        sure[p] = weight[p] >= best_row[i] and weight[p] >= best_column[j]
        if sure[p]:
            tops_row[i] += 1
            tops_column[j] += 1
        else:
            next_row[i], next_column[j] = max(next_row[i], weight[p]), max(next_column[j], weight[p])
    for p in range(len(rows)):
        if sure[p]:
            i, j = rows[p], columns[p]
            alone = tops_row[i] * tops_column[j] == 1  # equals of one row or column hide each other
            sure[p] = alone and weight[p] > next_row[i] + next_column[j] + bound + MARGIN
    return sure


@kernel()
def _settle(rows: Any, columns: Any, weight: Any, shape: tuple[int, int], bound: float, partner: Any) -> Any:
    """Write to `partner` (T,) what needs no solver; gives the pairs (rows, columns, weight) that are left."""
    taken = np.zeros(shape[1], np.bool_)
    while len(rows):
        sure, any_, count = _dominant(rows, columns, weight, shape, bound), False, 0
        for p in range(len(rows)):
            if sure[p]:
                partner[rows[p]], taken[columns[p]], any_ = columns[p], True, True
        left = np.empty(len(rows), np.int64)
        for p in range(len(rows)):
            if partner[rows[p]] < 0 and not taken[columns[p]]:
                left[count] = p
                count += 1
        left = left[:count]
        rows, columns, weight = _taken(rows, left), _taken(columns, left), _taken(weight, left)
        if len(rows) <= FEW or not any_:
            break
    return rows, columns, weight


@kernel(ANY_I1, ANY_I1, ANY_F1, INT, INT, FLOAT)
def settle(
    rows: Any, columns: Any, weight: Any, height: int, width: int, bound: float
) -> tuple[Any, Any, Any]:
    """(T,) the column of each row whose pair is in every optimum where all else is worth `bound` at most, -1: open.

    And the open rows, and the open columns. With an infinite bound all are. Twin: `mot.assignment._settle`.
    """
    partner = np.full(height, -1, np.int64)
    if height * width > SMALL and bound < np.inf:
        every = np.arange(len(rows))
        pairs = _taken(rows, every), _taken(columns, every), _taken(weight, every)
        _settle(*pairs, (height, width), bound, partner)
    open_rows, open_columns = np.empty(height, np.int64), np.empty(width, np.int64)
    free, m, n = np.ones(width, np.bool_), 0, 0
    for i in range(height):
        if partner[i] < 0:
            open_rows[m] = i
            m += 1
        else:
            free[partner[i]] = False
    for j in range(width):
        if free[j]:
            open_columns[n] = j
            n += 1
    return partner, open_rows[:m], open_columns[:n]


@kernel(I1, I1, I1, ANY_F2, ANY_I1, ANY_I1, ANY_F1)
def complete(
    partner: Any, open_rows: Any, open_columns: Any, gain: Any, rows: Any, columns: Any, weight: Any
) -> tuple[Any, Any]:
    """Rows and columns matched, when what `settle` left open is solved with `gain` in every cell, and the pairs.

    Twin: the second half of `mot.assignment.heaviest_of_all`. Fills `partner` (T,).
    """
    cells = gain.copy()
    row, column = np.full(len(partner), -1, np.int64), np.full(1, -1, np.int64)
    for m in range(len(open_rows)):
        row[open_rows[m]] = m
    if len(open_columns):
        column = np.full(open_columns[-1] + 1, -1, np.int64)
    for n in range(len(open_columns)):
        column[open_columns[n]] = n
    for p in range(len(rows)):
        if row[rows[p]] >= 0 and columns[p] < len(column) and column[columns[p]] >= 0:
            cells[row[rows[p]], column[columns[p]]] += weight[p]
    if cells.size:
        found = _solve(cells)
        for m in range(len(open_rows)):
            if found[m] >= 0:
                partner[open_rows[m]] = open_columns[found[m]]
    made, count = np.empty(len(partner), np.int64), 0
    for i in range(len(partner)):
        if partner[i] >= 0:
            made[count] = i
            count += 1
    made = made[:count]
    return made, _taken(partner, made)


@kernel()
def _numbers(places: Any, size: int) -> tuple[Any, int]:
    """(size,) numbers from 0 for the places that occur, ascending, -1 for the others, and how many occur."""
    number, count = np.full(size, -1, np.int64), 0
    for p in range(len(places)):
        number[places[p]] = 0
    for i in range(size):
        if number[i] == 0:
            number[i] = count
            count += 1
    return number, count


@kernel()
def _together(rows: Any, columns: Any, shape: tuple[int, int], partner: Any) -> Any:
    """Places (M,) of the pairs that share a row or a column with another; the others go to `partner` (T,)."""
    row, column = np.zeros(shape[0], np.int64), np.zeros(shape[1], np.int64)
    for p in range(len(rows)):
        row[rows[p]] += 1
        column[columns[p]] += 1
    left, count = np.empty(len(rows), np.int64), 0
    for p in range(len(rows)):
        if row[rows[p]] * column[columns[p]] == 1:
            partner[rows[p]] = columns[p]
        else:
            left[count] = p
            count += 1
    return left[:count]


@kernel()
def _partners(rows: Any, columns: Any, weight: Any, shape: tuple[int, int]) -> Any:
    """(T,) the column of each row in the heaviest of these pairs, all of weight above 0, -1: none."""
    partner = np.full(shape[0], -1, np.int64)
    if shape[0] * shape[1] <= SMALL:
        dense = np.zeros(shape)
        for p in range(len(rows)):
            dense[rows[p], columns[p]] = weight[p]
        return _solve(dense)
    left = _together(rows, columns, shape, partner)
    rows, columns, weight = _taken(rows, left), _taken(columns, left), _taken(weight, left)
    if len(rows) > FEW:
        rows, columns, weight = _settle(rows, columns, weight, shape, 0.0, partner)
    if len(rows):
        row, height = _numbers(rows, shape[0])
        column, width = _numbers(columns, shape[1])
        dense, back = np.zeros((height, width)), np.empty(width, np.int64)
        for p in range(len(rows)):
            dense[row[rows[p]], column[columns[p]]] = weight[p]
            back[column[columns[p]]] = columns[p]
        found = _solve(dense)
        for i in range(shape[0]):
            if row[i] >= 0 and found[row[i]] >= 0:
                partner[i] = back[found[row[i]]]
    return partner


@kernel()
def _heaviest(rows: Any, columns: Any, weight: Any, shape: tuple[int, int]) -> Any:
    """(M,) which pairs are the heaviest; none of weight 0 or less."""
    worth, count = _above(weight, 0.0), 0
    if not len(worth):
        return worth
    partner = _partners(_taken(rows, worth), _taken(columns, worth), _taken(weight, worth), shape)
    for n in range(len(worth)):
        p = worth[n]
        if partner[rows[p]] == columns[p]:
            worth[count] = p
            count += 1
    return worth[:count]


@kernel(ANY_I1, ANY_I1, ANY_F1, INT, INT)
def heaviest(rows: Any, columns: Any, weight: Any, height: int, width: int) -> tuple[Any, Any, Any]:
    """Rows, columns and weight of those of the pairs (P,) that are one-to-one and of the greatest total weight.

    None of weight 0 or less; in the order given.
    """
    chosen = _heaviest(rows, columns, weight, (height, width))
    return _taken(rows, chosen), _taken(columns, chosen), _taken(weight, chosen)


@kernel(ANY_I1, ANY_I1, ANY_F1, INT, INT, FLOAT)
def match_iou(
    rows: Any, columns: Any, iou: Any, height: int, width: int, threshold: float
) -> tuple[Any, Any]:
    """Rows and columns of the pairs of greatest total overlap, those below `threshold` dropped, as SORT does."""
    above = _above(iou, threshold)
    some, others = _taken(rows, above), _taken(columns, above)
    if _one_to_one(some, others, (height, width)):
        return some, others
    chosen, count = _heaviest(rows, columns, iou, (height, width)), 0
    for n in range(len(chosen)):
        if iou[chosen[n]] >= threshold:
            chosen[count] = chosen[n]
            count += 1
    return _taken(rows, chosen[:count]), _taken(columns, chosen[:count])


@kernel(ANY_I1, ANY_I1, ANY_F1, B1, B1, FLOAT, ANY_F1)
def match_overlap(
    rows: Any, columns: Any, iou: Any, tracks: Any, detections: Any, limit: float, scores: Any
) -> tuple[Any, Any]:
    """Rows and columns of least cost below `limit` of the `tracks` (T,) and `detections` (D,) that are marked.

    Those matched are then unmarked. `scores` (D,) weigh the IoU; empty: they do not. Twin:
    `mot.trackers.bytefamily.match_overlap`.
    """
    some, count = np.empty(len(rows), np.int64), 0
    for p in range(len(rows)):
        if tracks[rows[p]] and detections[columns[p]]:
            some[count] = p
            count += 1
    some = some[:count]
    rows, columns, weight = _taken(rows, some), _taken(columns, some), _taken(iou, some)
    for n in range(count):
        if len(scores):
            weight[n] *= scores[columns[n]]
        weight[n] -= 1.0 - limit
    chosen = _heaviest(rows, columns, weight, (len(tracks), len(detections)))
    rows, columns = _taken(rows, chosen), _taken(columns, chosen)
    for n in range(len(rows)):
        tracks[rows[n]] = detections[columns[n]] = False
    return rows, columns
