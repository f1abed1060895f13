"""The pairs of boxes that overlap. Twin: `mot.boxes.overlaps`; the IoUs have the same bits.

Few boxes are compared each with each. Of many, those of `b` are laid into the cells of a grid by their top left
corners, a cell no smaller than the largest of them, so that what can overlap a box lies in a few cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mot.kernels.jit import ANY_B1, ANY_F2, FLOAT, kernel

PLAIN = 1_500  # cells of the (T, D) array up to which each is compared with each
TINY = 1e-300  # as in mot.boxes


@kernel()
def _copy(of: Any, i: int, to: Any, j: int) -> None:
    """Row `i` of boxes to row `j` of others."""
    to[j, 0], to[j, 1], to[j, 2], to[j, 3] = of[i, 0], of[i, 1], of[i, 2], of[i, 3]


@kernel()
def _sides(boxes: Any, extra: float) -> tuple[Any, Any]:
    """(N, 4) boxes with `extra` added to right and bottom, and their areas (N,)."""
    grown, area = np.empty((len(boxes), 4)), np.empty(len(boxes))
    for i in range(len(boxes)):
        x1, y1, x2, y2 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
        w, h = x2 - x1, y2 - y1
        if extra != 0.0:
            w += extra
            h += extra
            x2 += extra
            y2 += extra
        grown[i, 0], grown[i, 1], grown[i, 2], grown[i, 3], area[i] = x1, y1, x2, y2, w * h
    return grown, area


@kernel()
def _griddable(b: Any) -> bool:
    """Whether all numbers are finite, and so are the distances between them."""
    for j in range(len(b)):
        for k in range(4):
            if not abs(b[j, k]) < 1e300:
                return False
    return True


@kernel()
def _plain(a: Any, b: Any, area_a: Any, area_b: Any, rows: Any, columns: Any, iou: Any) -> int:
    """Each with each: how many pairs there are; the first ones are written down, as many as there is room for."""
    count = 0
    for i in range(len(a)):
        x1, y1, x2, y2 = a[i, 0], a[i, 1], a[i, 2], a[i, 3]
        for j in range(len(b)):
            w = min(x2, b[j, 2]) - max(x1, b[j, 0])
            h = min(y2, b[j, 3]) - max(y1, b[j, 1])
            if w > 0.0 and h > 0.0:
                cross = w * h
                union = area_a[i] + area_b[j] - cross
                value = cross / (TINY if union < TINY else union)
                if value > 0.0:
                    if count < len(rows):
                        rows[count], columns[count], iou[count] = i, j, value
                    count += 1
    return count


@kernel()
def _axis(low: Any, high: Any, count: int) -> tuple[float, float, float, int]:
    """A grid over one axis for boxes from `low` (D,) to `high` (D,): origin, cell, greatest size, cells."""
    size, least, greatest = 0.0, low[0], low[0]
    for j in range(len(low)):
        size = max(size, high[j] - low[j])
        least, greatest = min(least, low[j]), max(greatest, low[j])
    span = greatest - least
    # not more than `count` cells, however small the boxes
    cell = max(max(size, span / count), TINY)
    return least, cell, size, int(span / cell) + 1


@kernel()
def _reach(low: float, high: float, axis: tuple[float, float, float, int]) -> tuple[int, int]:
    """First and last cell of the boxes that can overlap what goes from `low` to `high`; first > last: none."""
    least, cell, size, number = axis
    hair = 1e-12 * (abs(low) + abs(high) + abs(least) + size)  # far more than rounding
    first, last = (low - size - least - hair) / cell, (high - least + hair) / cell
    if not (last >= 0.0 and first < number):  # not a number: nothing overlaps that
        return 1, 0
    return int(max(first, 0.0)), int(min(last, number - 1.0))


@kernel()
def _grid(a: Any, b: Any, area_a: Any, area_b: Any, rows: Any, columns: Any, iou: Any) -> int:
    """The same by cells."""
    number = int(math.sqrt(len(b))) + 1
    across, down = _axis(b[:, 0], b[:, 2], number), _axis(b[:, 1], b[:, 3], number)
    cells = across[3] * down[3]
    start, home = np.zeros(cells + 1, np.int64), np.empty(len(b), np.int64)
    for j in range(len(b)):
        home[j] = int((b[j, 1] - down[0]) / down[1]) * across[3] + int((b[j, 0] - across[0]) / across[1])
        start[home[j] + 1] += 1
    for k in range(cells):
        start[k + 1] += start[k]
    order, sorted_, place = np.empty(len(b), np.int64), np.empty((len(b), 4)), start.copy()
    for j in range(len(b)):
        k = place[home[j]]
        place[home[j]] = k + 1
        order[k] = j
        _copy(b, j, sorted_, k)
    count = 0
    for i in range(len(a)):
        x1, y1, x2, y2, begin = a[i, 0], a[i, 1], a[i, 2], a[i, 3], count
        left, right = _reach(x1, x2, across)
        top, bottom = _reach(y1, y2, down)
        for strip in range(top, bottom + 1):
            if right < left:
                break
            for k in range(start[strip * across[3] + left], start[strip * across[3] + right + 1]):
                w = min(x2, sorted_[k, 2]) - max(x1, sorted_[k, 0])
                h = min(y2, sorted_[k, 3]) - max(y1, sorted_[k, 1])
                if w > 0.0 and h > 0.0:
                    j, cross = order[k], w * h
                    union = area_a[i] + area_b[j] - cross
                    value = cross / (TINY if union < TINY else union)
                    if value > 0.0:
                        if count < len(rows):
                            spot = count  # keep the columns of a row ascending
                            while spot > begin and columns[spot - 1] > j:
                                columns[spot], iou[spot] = columns[spot - 1], iou[spot - 1]
                                spot -= 1
                            rows[count], columns[spot], iou[spot] = i, j, value
                        count += 1
    return count


@kernel()
def _overlaps(a: Any, b: Any, extra: float) -> tuple[Any, Any, Any]:
    """See `overlaps`."""
    grown_a, area_a = _sides(a, extra)
    grown_b, area_b = _sides(b, extra)
    room, plain = 4 * len(a) + 16, len(a) * len(b) <= PLAIN or not _griddable(b)
    while True:
        rows, columns, iou = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        if plain:
            count = _plain(grown_a, grown_b, area_a, area_b, rows, columns, iou)
        else:
            count = _grid(grown_a, grown_b, area_a, area_b, rows, columns, iou)
        if count <= room:
            return rows[:count], columns[:count], iou[:count]
        room = count


@kernel(ANY_F2, ANY_F2, FLOAT)
def overlaps(a: Any, b: Any, extra: float) -> tuple[Any, Any, Any]:
    """Rows (P,), columns (P,) and IoU (P,) of the pairs of `a` (T, 4) and `b` (D, 4) with an IoU above 0.

    By rows, and by columns within a row; `extra` pixels are added to all sides.
    """
    return _overlaps(a, b, extra)


@kernel(ANY_F2, ANY_F2, ANY_B1, FLOAT, FLOAT)
def alike(left: Any, tracks: Any, hidden: Any, extra: float, limit: float) -> tuple[Any, Any]:
    """Pairs with an IoU above `limit`: places (P,) and tracks that are hidden (P,).

    A place is a row of `left` (N, 4), or len(left) + the how-manieth it is of the `tracks` (T, 4) that are not
    `hidden` (T,). Twin: `mot.trackers.bytefamily._same`, but for the labels.
    """
    lost, count = np.empty(len(tracks), np.int64), 0
    places, number = np.empty((len(left) + len(tracks), 4)), len(left)
    others = np.empty((len(tracks), 4))
    for i in range(len(left)):
        _copy(left, i, places, i)
    for i in range(len(tracks)):
        if hidden[i]:
            _copy(tracks, i, others, count)
            lost[count] = i
            count += 1
        else:
            _copy(tracks, i, places, number)
            number += 1
    rows, columns, iou = _overlaps(places[:number], others[:count], extra)
    count = 0
    for p in range(len(rows)):
        if iou[p] > limit:
            rows[count], columns[count] = rows[p], lost[columns[p]]
            count += 1
    return rows[:count], columns[:count]
