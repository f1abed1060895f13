"""Boxes as (N, 4) float64 arrays: conversions and overlaps. numpy only.

xyxy    left, top, right, bottom
tlwh    left, top, width, height
xyah    centre x, centre y, aspect ratio w/h, height       (DeepSORT's Kalman state)
xysr    centre x, centre y, scale w*h, aspect ratio w/h    (SORT's Kalman state)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]


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


def xyxy_to_xyah(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to xyah; the height must not be 0."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    return np.column_stack([xyxy[:, :2] + size / 2, size[:, 0] / size[:, 1], size[:, 1]])


def xyah_to_xyxy(xyah: Boxes) -> Boxes:
    """(N, 4) xyah to xyxy."""
    size = np.column_stack([xyah[:, 2] * xyah[:, 3], xyah[:, 3]])
    return np.hstack([xyah[:, :2] - size / 2, xyah[:, :2] + size / 2])


def xyxy_to_xysr(xyxy: Boxes) -> Boxes:
    """(N, 4) xyxy to xysr; the height must not be 0."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    return np.column_stack([xyxy[:, :2] + size / 2, size[:, 0] * size[:, 1], size[:, 0] / size[:, 1]])


def xysr_to_xyxy(xysr: Boxes) -> Boxes:
    """(N, 4) xysr to xyxy; scale and ratio must be positive."""
    width = np.sqrt(xysr[:, 2] * xysr[:, 3])
    size = np.column_stack([width, xysr[:, 2] / width])
    return np.hstack([xysr[:, :2] - size / 2, xysr[:, :2] + size / 2])


def area(xyxy: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(N,) areas in square pixels, `extra` pixels added to both sides."""
    size = xyxy[:, 2:] - xyxy[:, :2] + extra
    product: NDArray[np.float64] = size[:, 0] * size[:, 1]
    return product


def clip(xyxy: Boxes, height: int, width: int) -> Boxes:
    """(N, 4) boxes cut to an image of `height` x `width` pixels; a box outside becomes empty."""
    return np.clip(xyxy, 0, [width, height, width, height])


def intersection(a: Boxes, b: Boxes, extra: float = 0.0) -> NDArray[np.float64]:
    """(T, D) overlap areas of `a` (T, 4) with `b` (D, 4); `extra` pixels are added to each side.

    One (T, D) array per coordinate, in place: a (T, D, 2) temporary costs twice the time.
    """
    w = np.minimum(a[:, 2, None], b[:, 2])
    w -= np.maximum(a[:, 0, None], b[:, 0])
    h = np.minimum(a[:, 3, None], b[:, 3])
    h -= np.maximum(a[:, 1, None], b[:, 1])
    if extra:
        w += extra
        h += extra
    np.maximum(w, 0, out=w)
    np.maximum(h, 0, out=h)
    w *= h
    return w


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
    return np.divide(overlap, union, out=overlap, where=union > 0)


def suppress(xyxy: Boxes, scores: NDArray[np.float64], max_overlap: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression as DeepSORT does it: rows kept, ascending.

    A box goes when one of higher score covers more than `max_overlap` of it; sides count one pixel more.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    if max_overlap >= 1:
        return np.arange(len(scores))
    overlap = intersection(xyxy[order], xyxy[order], extra=1.0)
    covered = overlap / np.diagonal(overlap) > max_overlap  # (i, j): i covers j
    kept = np.ones(len(order), np.bool_)
    for i in range(len(order)):
        if kept[i]:
            kept[i + 1 :] &= ~covered[i, i + 1 :]
    return np.sort(order[kept])
