"""Boxes as (N, 4) float64 arrays: conversions and overlaps. numpy only.

xyxy    left, top, right, bottom
tlwh    left, top, width, height
xywh    centre x, centre y, width, height                  (BoT-SORT's Kalman state)
xyah    centre x, centre y, aspect ratio w/h, height       (DeepSORT's Kalman state)
xysr    centre x, centre y, scale w*h, aspect ratio w/h    (SORT's Kalman state)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mot import kernels

Boxes = NDArray[np.float64]
Rows = NDArray[np.int64]
TINY = 1e-300  # square pixels; what two empty boxes are divided by
DENSE = 1_000  # cells up to which all overlaps are computed
SWEPT = 2_000_000  # cells up to which sorting by left edges is enough
HAIR = 1e-6  # pixels, above rounding


def xyxy_to_tlwh(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to tlwh."""
    tlwh = xyxy.copy()
    tlwh[:, 2:] -= xyxy[:, :2]
    return tlwh


def tlwh_to_xyxy(tlwh: Boxes) -> Boxes:
    """(N, 4) tlwh to xyxy."""
    xyxy = tlwh.copy()
    xyxy[:, 2:] += tlwh[:, :2]
    return xyxy


def xyxy_to_xywh(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to xywh."""
    if kernels.fast:
        made: Boxes = kernels.fast.xyxy_to_xywh(xyxy)
        return made
    return _centred(xyxy).T.copy()


def xywh_to_xyxy(xywh: Boxes) -> Boxes:
    """(N, 4) xywh to xyxy."""
    if kernels.fast:
        made: Boxes = kernels.fast.xywh_to_xyxy(xywh)
        return made
    return _around(xywh.T.copy())


def xyxy_to_xyah(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to xyah; the height must not be 0."""
    if kernels.fast:
        made: Boxes = kernels.fast.xyxy_to_xyah(xyxy)
        return made
    xyah = _centred(xyxy)
    xyah[2] /= xyah[3]
    return xyah.T.copy()


def xyah_to_xyxy(xyah: Boxes) -> Boxes:
    """(N, 4) xyah to xyxy."""
    if kernels.fast:
        made: Boxes = kernels.fast.xyah_to_xyxy(xyah)
        return made
    xywh = xyah.T.copy()
    xywh[2] *= xywh[3]
    return _around(xywh)


def xyxy_to_xysr(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to xysr; the height must not be 0."""
    if kernels.fast:
        made: Boxes = kernels.fast.xyxy_to_xysr(xyxy)
        return made
    xysr = _centred(xyxy)
    ratio = xysr[2] / xysr[3]
    xysr[2] *= xysr[3]
    xysr[3] = ratio
    return xysr.T.copy()


def xysr_to_xyxy(xysr: Boxes) -> Boxes:
    """(N, 4) xysr to xyxy; scale and ratio must be positive."""
    if kernels.fast:
        made: Boxes = kernels.fast.xysr_to_xyxy(xysr)
        return made
    xywh = xysr.T.copy()
    w = np.sqrt(xywh[2] * xywh[3])
    np.divide(xywh[2], w, out=xywh[3])
    xywh[2] = w
    return _around(xywh)


def _centred(xyxy: Boxes) -> Boxes:
    """(4, N) centres and sizes of boxes (N, 4): with the numbers of all boxes side by side they are quicker."""
    coordinates = xyxy.T.copy()
    centre, size = coordinates[:2], coordinates[2:]
    size -= centre
    centre += size * 0.5
    return coordinates


def _around(xywh: Boxes) -> Boxes:
    """(N, 4) xyxy of boxes (4, N), as `_centred` has them, which is written over."""
    centre, size = xywh[:2], xywh[2:]
    half = size * 0.5
    np.add(centre, half, out=size)
    centre -= half
    return xywh.T.copy()


def area(xyxy: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(N,) areas in square pixels, `extra` pixels added to both sides."""
    x1, y1, x2, y2 = xyxy.T
    w, h = x2 - x1, y2 - y1
    if extra:
        w += extra
        h += extra
    w *= h
    return np.asarray(w)


def clip(xyxy: Boxes, height: int, width: int) -> Boxes:
    """(N, 4) boxes cut to an image of `height` x `width` pixels; a box outside becomes empty."""
    return np.clip(xyxy, 0, [width, height, width, height])


def intersection(a: Boxes, b: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(T, D) overlap areas of `a` (T, 4) with `b` (D, 4); `extra` pixels are added to each side.

    One (T, D) array per coordinate, in place: a (T, D, 2) temporary costs twice the time.
    """
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T[:, :, None], b.T.copy()  # rows of numbers side by side
    w, h = np.minimum(ax2, bx2), np.minimum(ay2, by2)
    if extra:
        w += extra
        h += extra
    w -= np.maximum(ax1, bx1)
    h -= np.maximum(ay1, by1)
    np.maximum(w, 0.0, out=w)
    np.maximum(h, 0.0, out=h)
    w *= h
    return np.asarray(w)


def iou(a: Boxes, b: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(T, D) intersection over union of `a` (T, 4) with `b` (D, 4); 0 where both boxes are empty.

    Args:
        a: (T, 4) boxes.
        b: (D, 4) boxes.
        extra: pixels added to every width and height, of boxes and of overlaps: 1 counts whole pixels, as
            cython_bbox does for ByteTrack and its relatives.
    """
    overlap = intersection(a, b, extra)
    union = np.add(area(a, extra)[:, None], area(b, extra))
    union -= overlap
    np.maximum(union, TINY, out=union)
    return np.divide(overlap, union, out=overlap)


class Overlaps(NamedTuple):
    """The pairs of boxes that overlap: rows (P,) of the one set, columns (P,) of the other, and their IoU (P,)."""

    rows: Rows
    columns: Rows
    iou: NDArray[np.float64]


def overlaps(a: Boxes, b: Boxes, extra: float = 0.0) -> Overlaps:
    """The pairs of `a` (T, 4) and `b` (D, 4) with an IoU above 0, by rows: what `iou` has that is not 0.

    No (T, D) array is made where that would be large.
    """
    if kernels.fast:
        return Overlaps(*kernels.fast.overlaps(a, b, extra))
    if len(a) * len(b) <= DENSE:
        flat = iou(a, b, extra).ravel()
        cells = (flat > 0).nonzero()[0]
        rows = cells // max(len(b), 1)
        return Overlaps(rows, cells - rows * len(b), flat[cells])
    rows, columns = neighbours(a, b, extra)
    iou_ = iou_of(a.take(rows, axis=0), b.take(columns, axis=0), extra)
    meet = (iou_ > 0).nonzero()[0]
    return Overlaps(rows[meet], columns[meet], iou_[meet])


def iou_of(a: Boxes, b: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(P,) intersection over union of each of `a` (P, 4) with its own of `b` (P, 4); see `iou`."""
    a, b = a.T.copy(), b.T.copy()
    size_a, size_b, common = a[2:] - a[:2], b[2:] - b[:2], np.minimum(a[2:], b[2:])
    if extra:
        for size in (size_a, size_b, common):
            size += extra
    common -= np.maximum(a[:2], b[:2])
    np.maximum(common, 0.0, out=common)
    overlap = common[0] * common[1]
    union = size_a[0] * size_a[1]
    union += size_b[0] * size_b[1]
    union -= overlap
    np.maximum(union, TINY, out=union)
    overlap /= union
    return np.asarray(overlap)


def neighbours(a: Boxes, b: Boxes, extra: float = 0.0) -> tuple[Rows, Rows]:
    """Rows and columns of all pairs of `a` (T, 4) and `b` (D, 4) that overlap, and of some that do not; by rows.

    Up to `SWEPT` cells `b` is sorted by left edges: what can overlap a box of `a` is in one run, found by two
    binary searches. Beyond, `b` is sorted by strips as high as the tallest box, and by left edges within a strip:
    what can overlap is in one run in each of the three strips at most that a box can reach.
    """
    if len(a) * len(b) <= SWEPT:
        return _swept(a, b, extra)
    ax1, ay1, ax2, ay2 = a.T.copy()
    size_a, size_b = (a[:, 2:] - a[:, :2]).max(axis=0), (b[:, 2:] - b[:, :2]).max(axis=0)
    height = max(size_a[1], size_b[1], 1.0) + extra
    left, right = b[:, 0].min(), b[:, 0].max()
    stride = 2.0 * (right - left) + 1.0  # from strip to strip; more than a run is long
    strip = np.floor(b[:, 1] / height)
    lowest = strip.min()
    key = (strip - lowest) * stride + (b[:, 0] - left)
    order = key.argsort()
    key = key[order]
    first = np.floor((ay1 - size_b[1] - extra) / height - 1e-9)
    last = np.floor((ay2 + extra) / height + 1e-9)
    count = np.maximum((last - first).astype(np.int64) + 1, 0)  # a box inside out reaches no strip
    row = np.arange(len(a)).repeat(count)
    base = runs(first - lowest, count) * stride
    # a hair wider than the boxes, for keys are rounded; but never into the next strip
    hair = 1e-9 * stride
    start = np.maximum(ax1 - (size_b[0] + extra + left) - hair, -hair)
    end = np.minimum(ax2 + (extra - left) + hair, right - left + hair)
    low = key.searchsorted(base + start[row])
    count = np.maximum(key.searchsorted(base + end[row], "right") - low, 0)
    return row.repeat(count), order[runs(low, count)]


def _swept(a: Boxes, b: Boxes, extra: float) -> tuple[Rows, Rows]:
    """Those `neighbours` that meet in both directions, but for a hair."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2), reach = a.T, b.T, extra + HAIR
    order = bx1.argsort()
    left = bx1[order]
    low = left.searchsorted(ax1 - ((bx2 - bx1).max(initial=0.0) + reach))
    count = np.maximum(left.searchsorted(ax2 + reach) - low, 0)  # a box inside out has none
    rows, columns = np.arange(len(a)).repeat(count), order[runs(low, count)]
    meet = (ay1 - reach)[rows] < by2[columns]
    meet &= (ay2 + reach)[rows] > by1[columns]
    near = meet.nonzero()[0]
    return rows[near], columns[near]


def runs(first: Rows, count: Rows) -> Rows:
    """(sum of counts,) whole numbers, so many (N,) from each of the first ones (N,) on."""
    total = count.cumsum()
    return np.asarray(np.arange(total[-1] if len(total) else 0) + (first - total + count).repeat(count))


def suppress(xyxy: Boxes, scores: NDArray[np.float64], max_overlap: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression as DeepSORT does it: rows kept, ascending.

    A box goes when one of higher score covers more than `max_overlap` of it; sides count one pixel more.
    """
    if max_overlap >= 1:
        return np.arange(len(scores))
    order = np.argsort(scores, kind="stable")[::-1]
    overlap = intersection(xyxy[order], xyxy[order], extra=1.0)
    covered = overlap / np.diagonal(overlap) > max_overlap  # (i, j): i covers j
    kept = np.ones(len(order), np.bool_)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~covered[i, i + 1 :]
    return np.sort(order[kept])
