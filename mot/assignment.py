"""Who goes with whom: the assignment problem, and what the field does around it."""

from __future__ import annotations

from typing import NamedTuple

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# 95 % quantiles of the chi-square distribution by degrees of freedom: a squared Mahalanobis distance above
# the one for 4 excludes a detection from a track (Wojke et al. 2017).
CHI2_95 = {1: 3.8415, 2: 5.9915, 3: 7.8147, 4: 9.4877, 5: 11.070, 6: 12.592, 7: 14.067, 8: 15.507, 9: 16.919}


class Matches(NamedTuple):
    """Rows and columns of the pairs made, (M,) int64 each, in ascending order of rows."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def join(*parts: Matches) -> Matches:
    """All pairs of several stages, one after another."""
    return Matches(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def match(cost: NDArray[np.float64], max_cost: float) -> Matches:
    """The cheapest one-to-one pairs of `cost` (T, D), those above `max_cost` dropped after the solve.

    A gate after the solve is not a limit inside it: here an expensive pair still takes part in the optimum.
    """
    rows, columns = linear_sum_assignment(cost)
    cheap = cost[rows, columns] <= max_cost
    return Matches(rows[cheap], columns[cheap])


def match_limited(cost: NDArray[np.float64], limit: float) -> Matches:
    """One-to-one pairs of `cost` (T, D) with the limit inside the solve, as ByteTrack and its relatives do.

    Minimises the sum of the costs of the pairs plus limit / 2 for every row and column left alone, so that a
    pair dearer than `limit` is never worth it. This is not `match`: cheap pairs may be given up there to make
    room for dear ones that are then dropped.
    """
    if not cost.size:
        none = np.empty(0, np.int64)
        return Matches(none, none)
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(column_of >= 0)
    return Matches(rows, column_of[rows].astype(np.int64))


def match_clamped(cost: NDArray[np.float64], max_cost: float) -> Matches:
    """Like `match`, with every cost above `max_cost` first made equal, as DeepSORT does.

    Pairs that are out of reach then cannot pull the optimum one way or another.
    """
    return match(np.where(cost > max_cost, max_cost + 1e-5, cost), max_cost)


def match_iou(iou: NDArray[np.float64], threshold: float) -> Matches:
    """Pairs of greatest total `iou` (T, D), those below `threshold` dropped, as SORT does.

    The solver is left out where the pairs above the threshold already are one-to-one; SORT does the same,
    and the result can differ from the solver's.
    """
    above = iou > threshold
    if above.any() and above.sum(axis=0).max() == 1 and above.sum(axis=1).max() == 1:
        return Matches(*np.nonzero(above))
    return match(-iou, -threshold)


def unmatched(count: int, matched: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices 0..count-1 that are not in `matched`, ascending."""
    free = np.ones(count, np.bool_)
    free[matched] = False
    return np.flatnonzero(free)
