"""Who goes with whom: the assignment problem, and what the field does around it.

All matching here is one problem: one-to-one pairs of the greatest total weight, out of the pairs that have any.
What the trackers call a cost becomes a weight by taking it from the limit that a pair must stay below:

    limit inside the solve   ByteTrack and its relatives: a pair is worth limit - cost
    costs clamped            DeepSORT: costs above the limit are made equal, which are then worth nothing
    gate after the solve     SORT: a pair is worth its overlap, and a match of too little is dropped afterwards
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mot import kernels

# 95 % quantiles of the chi-square distribution by degrees of freedom: a squared Mahalanobis distance above
# the one for 4 excludes a detection from a track (Wojke et al. 2017).
CHI2_95 = {1: 3.8415, 2: 5.9915, 3: 7.8147, 4: 9.4877, 5: 11.070, 6: 12.592, 7: 14.067, 8: 15.507, 9: 16.919}
SMALL = 1_000  # cells up to which a solver is faster than looking for what needs none
FEW = 100  # pairs that are not worth another look
CLAMP = 1e-5  # by which DeepSORT lifts a clamped cost above the limit
MARGIN = 1e-9  # by which a pair must be worth more than all that it displaces; above rounding

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Matches(NamedTuple):
    """Rows and columns of the pairs made, (M,) int64 each, in ascending order of rows."""

    rows: Rows
    columns: Rows


class Pairs(NamedTuple):
    """Pairs that may be made: rows (P,) and columns (P,), none twice, and what each is worth (P,)."""

    rows: Rows
    columns: Rows
    weight: Array

    def of(self, matches: Matches, count: int) -> Pairs:
        """Those that are among the `matches` of `count` rows."""
        partner = np.full(count, -1)
        partner[matches.rows] = matches.columns
        return self.where(partner[self.rows] == self.columns)

    def where(self, mask: Mask) -> Pairs:
        """Those marked in (P,) `mask`."""
        there = mask.nonzero()[0]
        return Pairs(self.rows[there], self.columns[there], self.weight[there])


NOTHING = Matches(np.empty(0, np.int64), np.empty(0, np.int64))


def join(*parts: Matches) -> Matches:
    """All pairs of several stages, one after another."""
    parts = tuple(part for part in parts if len(part.rows)) or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return Matches(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def heaviest(pairs: Pairs, shape: tuple[int, int]) -> Pairs:
    """Those of the `pairs` that are one-to-one and of the greatest total weight; none of weight 0 or less.

    Args:
        pairs: those that may be made, by rows.
        shape: number of rows and of columns.
    """
    if kernels.fast:
        return Pairs(*kernels.fast.heaviest(*pairs, *shape))
    worth = pairs.weight > 0
    if not worth.all():
        pairs = pairs.where(worth)
    if not len(pairs.rows) or one_to_one(pairs, shape):
        return pairs
    partner = np.full(shape[0], -1)
    left = pairs
    if shape[0] * shape[1] > SMALL:
        single = alone(pairs)
        partner[pairs.rows[single]] = pairs.columns[single]
        left = pairs.where(~single)
        if len(left.rows) > FEW:
            left = _settle(left, shape, 0.0, partner)
    _solve(left, shape, partner)
    return pairs.where(partner[pairs.rows] == pairs.columns)


def heaviest_of_all(
    pairs: Pairs, shape: tuple[int, int], gain: Callable[[Rows, Rows], Array], bound: float = np.inf
) -> Matches:
    """One-to-one pairs of the greatest total weight where every cell gains; as many as the shorter side is long.

    Args:
        pairs: the cells that are worth something without the gain.
        shape: number of rows and of columns.
        gain: rows and columns, of shapes that go together -> what is added there.
        bound: what no gain is further from 0 than; where it is known, only the cells that matter are asked for it.
    """
    if not min(shape):
        return NOTHING
    if kernels.fast:
        return Matches(*kernels.fast.heaviest_of_all(*pairs, *shape, gain, bound))
    partner = np.full(shape[0], -1)
    if shape[0] * shape[1] > SMALL and bound < np.inf:
        weighed = pairs._replace(weight=pairs.weight + gain(pairs.rows, pairs.columns))
        _settle(weighed, shape, bound, partner)
    rows, columns = (partner < 0).nonzero()[0], unmatched(shape[1], partner[partner >= 0])
    cells = gain(rows[:, None], columns)
    place = np.full(shape[1], -1)
    place[columns] = np.arange(len(columns))
    there = (partner[pairs.rows] < 0) & (place[pairs.columns] >= 0)
    cells[rows.searchsorted(pairs.rows[there]), place[pairs.columns[there]]] += pairs.weight[there]
    found = linear_sum_assignment(cells, maximize=True)
    partner[rows[found[0]]] = columns[found[1]]
    made = (partner >= 0).nonzero()[0]
    return Matches(made, partner[made])


def _settle(pairs: Pairs, shape: tuple[int, int], bound: float, partner: Rows) -> Pairs:
    """Write to `partner` (T,) what needs no solver; gives the pairs of the rows and columns that are left.

    A pair that is worth more than the best others of its row and of its column together is in every optimum:
    whatever had it not would gain by making it and joining those whom it parts.
    """
    while len(pairs.rows):
        sure = _dominant(pairs, shape, bound)
        partner[pairs.rows[sure]] = pairs.columns[sure]
        pairs = pairs.where(
            (partner[pairs.rows] < 0) & ~_member(pairs.columns[sure], shape[1])[pairs.columns]
        )
        if len(pairs.rows) <= FEW or not sure.any():
            break
    return pairs


def _solve(pairs: Pairs, shape: tuple[int, int], partner: Rows) -> None:
    """Write the heaviest of the `pairs` to `partner` (T,), by the dense solver; other cells are worth 0."""
    rows, columns, weight = pairs
    if not len(rows):
        return
    if shape[0] * shape[1] <= SMALL:
        dense = np.zeros(shape)
        dense[rows, columns] = weight
        made, with_ = linear_sum_assignment(dense, maximize=True)
        partner[made] = with_
        return
    there = _member(rows, shape[0]).nonzero()[0], _member(columns, shape[1]).nonzero()[0]
    dense = np.zeros((len(there[0]), len(there[1])))
    dense[there[0].searchsorted(rows), there[1].searchsorted(columns)] = weight
    made, with_ = linear_sum_assignment(dense, maximize=True)
    partner[there[0][made]] = there[1][with_]


def _dominant(pairs: Pairs, shape: tuple[int, int], bound: float) -> Mask:
    """(P,) which pairs are worth more than the best others of their row and column together, and `bound`."""
    rows, columns, weight = pairs
    best = _best(rows, weight, shape[0], bound)[rows], _best(columns, weight, shape[1], bound)[columns]
    top = (weight >= best[0]) & (weight >= best[1])
    below = np.where(top, bound, weight)
    rivals = _best(rows, below, shape[0], bound)[rows] + _best(columns, below, shape[1], bound)[columns]
    # two of one row, or column, that are worth the same hide each other
    alone = (
        np.bincount(rows[top], minlength=shape[0])[rows]
        * np.bincount(columns[top], minlength=shape[1])[columns]
    )
    return np.asarray(top & (alone == 1) & (weight > rivals + bound + MARGIN))


def _best(places: Rows, weight: Array, size: int, least: float) -> Array:
    """(size,) the greatest weight at each place, at least `least`."""
    best = np.full(size, least)
    np.maximum.at(best, places, weight)
    return best


def match_iou(pairs: Pairs, shape: tuple[int, int], threshold: float) -> Matches:
    """Pairs of greatest total overlap, those below `threshold` dropped, as SORT does.

    The solver is left out where the pairs above the threshold already are one-to-one; SORT does the same,
    and the result can differ from the solver's.

    Args:
        pairs: all that overlap, and their IoU.
        shape: number of rows and of columns.
        threshold: least IoU.
    """
    if kernels.fast:
        return Matches(*kernels.fast.match_iou(*pairs, *shape, threshold))
    above = pairs.where(pairs.weight > threshold)
    if one_to_one(above, shape):
        return matches(above)
    found = heaviest(pairs, shape)
    return matches(found.where(found.weight >= threshold))


def matches(pairs: Pairs) -> Matches:
    """Without what they are worth."""
    return Matches(pairs.rows, pairs.columns)


def alone(pairs: Pairs) -> Mask:
    """(P,) which pairs are the only ones of their row and of their column."""
    rows, columns, _ = pairs
    return np.asarray(np.bincount(rows)[rows] * np.bincount(columns)[columns] == 1)


def one_to_one(pairs: Pairs, shape: tuple[int, int]) -> bool:
    """Whether there is a pair, and no row and no column has two."""
    rows, columns, _ = pairs
    return bool(
        0 < len(rows) <= min(shape)
        and np.count_nonzero(_member(rows, shape[0])) == len(rows)
        and np.count_nonzero(_member(columns, shape[1])) == len(rows)
    )


def _member(places: Rows, size: int) -> Mask:
    """(size,) which places occur."""
    found = np.zeros(size, np.bool_)
    found[places] = True
    return found


def unmatched(count: int, matched: Rows) -> Rows:
    """The indices 0..count-1 that are not in `matched`, ascending."""
    free = np.ones(count, np.bool_)
    free[matched] = False
    return free.nonzero()[0]


def without(rows: Rows, taken: Rows) -> Rows:
    """Those of `rows` (N,) that are not `taken` (M,)."""
    free = np.ones(1 + max(rows.max(initial=0), taken.max(initial=0)), np.bool_)
    free[taken] = False
    return rows[free[rows]]
