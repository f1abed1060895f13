"""Non-maximum suppression of a whole batch in torch, on its device, without a loop over boxes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """Boxes of a batch, one row a frame, padded at the end to the longest.

    Attributes:
        xyxy: (B, K, 4).
        scores: (B, K), descending in each frame; 0 in the padding.
        labels: (B, K) int64.
        rows: (B, K) int64, which of the network's rows each is.
        valid: (B, K) bool, False in the padding and where suppressed.
    """

    xyxy: Tensor
    scores: Tensor
    labels: Tensor
    rows: Tensor
    valid: Tensor


def candidates(
    boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float, limit: int, fixed: bool = False
) -> Candidates:
    """The boxes with a score above `threshold`, each with its best label; of each frame the best `limit`, in order.

    A score and its place make one whole number, so that the greatest are the best, and of equal scores the first:
    no two are alike, and no tie depends on the rest of the batch.

    Args:
        boxes: (B, A, 4) xyxy.
        scores: (B, A, C); the result's are float32.
        labels: (C,) int64, the label that each column of `scores` stands for.
        threshold: scores at or below are left out; 0 or more, because floats below 0 order the other way as bits.
        limit: boxes of a frame at most.
        fixed: rows as long as they can get, for a device that one would have to wait for to know more.
    """
    best, column = scores.max(dim=2)
    above, last = best > threshold, best.shape[1] - 1
    places = torch.arange(last, -1, -1, device=best.device)
    keys = (torch.where(above, best.float().view(torch.int32), 0).long() << 32) | places
    width = min(limit, len(places))
    if not fixed:
        width = min(int(above.sum(dim=1).max()), width)
    keys = keys.topk(width, dim=1).values
    valid = keys >> 32 > 0
    rows = torch.where(valid, last - (keys & 0xFFFFFFFF), 0)
    return Candidates(
        torch.where(valid[..., None], boxes.gather(1, rows[..., None].expand(-1, -1, 4)), 0),
        (keys >> 32).int().view(torch.float32),
        torch.where(valid, labels[column.gather(1, rows)], 0),
        rows,
        valid,
    )


def suppress(rows: Candidates, iou_threshold: float, rounds: int = 1) -> Candidates:
    """Of two boxes of one frame and label that overlap more than `iou_threshold`, only the better stays valid.

    Greedy suppression is the fixed point of "a box stays if no better box that stays overlaps it"; repeating
    that rule for all boxes at once settles the first k after k rounds, in practice after three or four.

    Args:
        rows: from `candidates`.
        iou_threshold: more is too much.
        rounds: between two looks at whether it is settled, for a device where a look is a wait; changes no result.
    """
    better = torch.ones(rows.valid.shape[1:] * 2, dtype=torch.bool, device=rows.valid.device).triu(1)
    rivals = (
        (pairwise_iou(rows.xyxy) > iou_threshold) & (rows.labels[:, :, None] == rows.labels[:, None]) & better
    )
    stays = rows.valid
    while True:
        for _ in range(rounds):
            before, stays = stays, rows.valid & ~(rivals & stays[:, :, None]).any(dim=1)
        if torch.equal(before, stays):
            return rows._replace(valid=stays)


def compact(rows: Candidates) -> Candidates:
    """The valid boxes of each frame moved to its front, in their order, and all frames cut to the fullest."""
    width = int(rows.valid.sum(dim=1).max())
    order = rows.valid.sort(dim=1, descending=True, stable=True).indices[:, :width]
    xyxy = rows.xyxy.gather(1, order[..., None].expand(-1, -1, 4))
    return Candidates(xyxy, *(part.gather(1, order) for part in rows[1:]))


def pairwise_iou(xyxy: Tensor) -> Tensor:
    """(B, K, K) intersection over union of the boxes (B, K, 4) of each frame with each other."""
    x1, y1, x2, y2 = xyxy.unbind(dim=2)
    w = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    h = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    overlap = w.clamp_(min=0) * h.clamp_(min=0)
    area = (x2 - x1) * (y2 - y1)
    union = area[:, :, None] + area[:, None] - overlap
    return overlap / union.clamp(min=1e-9)
