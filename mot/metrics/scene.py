"""One sequence, ready to be scored: who is where, and how much each pair of boxes overlaps, computed once for all.

Rows are sorted by frame and keep their file's order within it, because equal overlaps are resolved by that order.
Only pairs that overlap are stored: of a crowded frame's truth x result pairs they are a few in a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPS = float(np.finfo(np.float64).eps)
CHUNK = 2**18  # box pairs compared at once: what a core's own cache holds


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of a truth row and a result row of one frame, sorted by truth row, then result row.

    Attributes:
        frames: (P,) from 0.
        truth: (P,) rows of the truth.
        result: (P,) rows of the result.
        similarity: (P,) intersection over union, above 0.
        truth_starts: (frames + 1,) the truth rows of frame f are truth_starts[f] up to truth_starts[f + 1].
        result_starts: (frames + 1,) the same for the result.
    """

    frames: Ints
    truth: Ints
    result: Ints
    similarity: Floats
    truth_starts: Ints
    result_starts: Ints

    def __len__(self) -> int:
        return len(self.frames)

    def starts(self) -> Ints:
        """(frames + 1,) where each frame's pairs begin."""
        return np.searchsorted(self.frames, np.arange(len(self.truth_starts)))

    def where(self, mask: Mask) -> Pairs:
        """The pairs chosen by a (P,) mask; the rows stay."""
        return replace(
            self,
            frames=self.frames[mask],
            truth=self.truth[mask],
            result=self.result[mask],
            similarity=self.similarity[mask],
        )

    def without(self, truth: Mask, result: Mask) -> Pairs:
        """What is left when the rows marked in (G,) `truth` and (R,) `result` go; the others are renumbered."""
        left = self.where(~truth[self.truth] & ~result[self.result])
        truth_row, result_row = (np.append(0, np.cumsum(~gone)) for gone in (truth, result))
        return replace(
            left,
            truth=truth_row[left.truth],
            result=result_row[left.result],
            truth_starts=truth_row[left.truth_starts],
            result_starts=result_row[left.result_starts],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What the metrics count in.

    Attributes:
        pairs: every overlapping pair.
        truth_ids: (G,) 0..K-1, an index into `truth_names`.
        result_ids: (R,) the same for the result.
        truth_names: (K,) the ids as the ground truth gives them, ascending.
        result_names: the same for the result.
    """

    pairs: Pairs
    truth_ids: Ints
    result_ids: Ints
    truth_names: Ints
    result_names: Ints

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(self.pairs.truth_starts) - 1

    def ids(self, pairs: Pairs) -> tuple[Ints, Ints]:
        """(P,) truth ids and (P,) result ids of some of its pairs."""
        return self.truth_ids[pairs.truth], self.result_ids[pairs.result]

    def per_id_pair(self, pairs: Pairs, weights: Floats | None = None) -> NDArray[np.float64]:
        """(truth ids, result ids) how many of `pairs` each two ids share, or the sum of their weights."""
        shape = len(self.truth_names), len(self.result_names)
        truth, result = self.ids(pairs)
        total = np.bincount(truth * shape[1] + result, weights, minlength=shape[0] * shape[1])
        return total.reshape(shape).astype(np.float64, copy=False)


def overlapping(truth: Floats, truth_starts: Ints, result: Floats, result_starts: Ints) -> Pairs:
    """Every pair of boxes of one frame whose IoU is above 0.

    Args:
        truth: (G, 4) xyxy, sorted by frame.
        truth_starts: see `Pairs`.
        result: (R, 4) xyxy, sorted by frame.
        result_starts: see `Pairs`.
    """
    widest = max(1, int(np.diff(truth_starts).max(initial=0) * np.diff(result_starts).max(initial=0)))
    step = max(1, CHUNK // widest)
    found = []
    for first in range(0, len(truth_starts) - 1, step):
        a, a_row = _padded(truth, truth_starts[first : first + step + 1])
        b, b_row = _padded(result, result_starts[first : first + step + 1])
        a, b = a[:, :, :, None], b[:, :, None, :]
        meet = (a[0] < b[2]) & (b[0] < a[2]) & (a[1] < b[3]) & (b[1] < a[3])
        frame, i, j = np.nonzero(meet)
        found.append((frame + first, a_row[frame, i], b_row[frame, j]))
    frames, rows, columns = (np.concatenate(part) for part in zip(*found, strict=True))
    similarity = _iou(truth[rows], result[columns])
    pairs = Pairs(
        frames=frames,
        truth=rows,
        result=columns,
        similarity=similarity,
        truth_starts=truth_starts,
        result_starts=result_starts,
    )
    return pairs.where(similarity > 0)


def _padded(xyxy: Floats, starts: Ints) -> tuple[Floats, Ints]:
    """(4, frames, most boxes) coordinates, filled up with NaN, which meets nothing; and (frames, most) rows."""
    counts = np.diff(starts)
    columns = np.arange(counts.max(initial=0))
    rows = starts[:-1, None] + columns
    real = columns < counts[:, None]
    boxes = np.full((4, *rows.shape), np.nan)
    boxes[:, real] = xyxy[starts[0] : starts[-1]].T
    return boxes, rows


def _iou(a: Floats, b: Floats) -> Floats:
    """(P,) IoU of a[i] and b[i]; 0 where a box, or both together, have no area to speak of."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    overlap = np.maximum(width, 0) * np.maximum(height, 0)
    area_a, area_b = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (a, b))
    union = area_a + area_b - overlap
    real = (area_a > EPS) & (area_b > EPS) & (union > EPS)
    iou: Floats = np.divide(overlap, union, out=np.zeros(len(a)), where=real)
    return iou
