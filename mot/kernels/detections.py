"""What a frame brings: whether it is sound, and which band of scores each detection is in."""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F1, ANY_F2, ANY_I1, FLOAT, kernel

MAX_LABELS, MAX_PIXELS = 2**16, 1e7  # as in mot.structures
MIN_SIDE = 1e-6  # as in mot.trackers.table
BELOW_THRESHOLD, UNMATCHED = -1, -4  # as in mot.structures.Reason


@kernel(ANY_F2, ANY_F1, ANY_I1)
def sound(xyxy: Any, scores: Any, labels: Any) -> bool:
    """Whether all values are as documented. Twin: the second half of `mot.structures._sound`."""
    for i in range(len(scores)):
        x1, y1, x2, y2 = xyxy[i, 0], xyxy[i, 1], xyxy[i, 2], xyxy[i, 3]
        # a NaN makes each of these False
        inside = x1 >= -MAX_PIXELS and y1 >= -MAX_PIXELS and x2 <= MAX_PIXELS and y2 <= MAX_PIXELS
        if not (inside and x1 <= x2 and y1 <= y2 and 0.0 <= scores[i] <= 1.0 and 0 <= labels[i] < MAX_LABELS):
            return False
    return True


@kernel()
def _has_area(xyxy: Any, i: int) -> bool:
    width, height = xyxy[i, 2] - xyxy[i, 0], xyxy[i, 3] - xyxy[i, 1]
    found: bool = width > MIN_SIDE and height > MIN_SIDE
    return found


@kernel(ANY_F2, ANY_F1, FLOAT)
def usable(xyxy: Any, scores: Any, threshold: float) -> tuple[Any, Any]:
    """Reasons (D,) so far, and rows of those to use. Twins: `unassigned` and `usable` of `mot.trackers.table`."""
    assigned, rows, count = np.empty(len(scores), np.int64), np.empty(len(scores), np.int64), 0
    for i in range(len(scores)):
        assigned[i] = BELOW_THRESHOLD if scores[i] < threshold else UNMATCHED
        if assigned[i] == UNMATCHED and _has_area(xyxy, i):
            rows[count] = i
            count += 1
    return assigned, rows[:count]


@kernel(ANY_F2, ANY_F1, FLOAT, FLOAT)
def split(xyxy: Any, scores: Any, low: float, high: float) -> tuple[Any, Any, Any]:
    """Reasons (D,) so far, masks (D,) of those above `high` and of those between. Twin: `bytefamily.bands`.

    With `low` infinite, `observations.bands` without a low band.
    """
    assigned = np.empty(len(scores), np.int64)
    above, below = np.empty(len(scores), np.bool_), np.empty(len(scores), np.bool_)
    for i in range(len(scores)):
        above[i], below[i] = scores[i] > high, low < scores[i] < high
        assigned[i] = UNMATCHED if above[i] or below[i] else BELOW_THRESHOLD
        if not _has_area(xyxy, i):
            above[i] = below[i] = False
    return assigned, above, below
