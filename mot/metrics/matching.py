"""One-to-one matching of the boxes of a frame: scipy's solver, called only where there is something to decide.

Ties between equal totals go as the solver takes them, by the order of rows. So it is always given the whole frame,
as a matrix of truth rows by result rows with 0 for pairs that may not match, never a part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mot.metrics.scene import Floats, Ints, Mask, Pairs


class Block(NamedTuple):
    """The p pairs of one frame, as cells of a matrix of its truth rows by its result rows."""

    frame: int
    span: slice  # where they lie in the pairs
    shape: tuple[int, int]
    cells: Ints  # (p,) row * columns + column

    def dense(self, values: Floats) -> Floats:
        """The matrix with the (p,) `values` in its cells, 0 elsewhere."""
        matrix = np.zeros(self.shape)
        matrix.reshape(-1)[self.cells] = values
        return matrix

    def solve(self, weight: Floats) -> Mask:
        """(p,) which pairs are in the matching of largest total `weight` (p,)."""
        rows, columns = linear_sum_assignment(self.dense(-weight))
        chosen = np.zeros(self.shape, np.bool_)
        chosen[rows, columns] = True
        return chosen.reshape(-1)[self.cells]


def contested(pairs: Pairs) -> Iterator[Block]:
    """The frames in which a box has more than one pair, ascending.

    In any other frame no pair excludes another. With positive weights the best total is then that of all pairs
    together, by a margin of the smallest weight, so the solver would choose them all.
    """
    shared = (np.bincount(pairs.truth)[pairs.truth] > 1) | (np.bincount(pairs.result)[pairs.result] > 1)
    heights, widths = np.diff(pairs.truth_starts), np.diff(pairs.result_starts)
    rows = pairs.truth - pairs.truth_starts[pairs.frames]
    cells = rows * widths[pairs.frames] + pairs.result - pairs.result_starts[pairs.frames]
    frames = np.unique(pairs.frames[shared])
    starts = pairs.starts()
    columns = (frames, starts[frames], starts[frames + 1], heights[frames], widths[frames])
    for frame, start, stop, height, width in zip(*(column.tolist() for column in columns), strict=True):
        span = slice(start, stop)
        yield Block(frame, span, (height, width), cells[span])


def match(pairs: Pairs, weight: Floats) -> Mask:
    """(P,) which pairs are matched, each frame for itself, by the largest total `weight` (P,)."""
    chosen = np.ones(len(pairs), np.bool_)
    for block in contested(pairs):
        chosen[block.span] = block.solve(weight[block.span])
    return chosen
