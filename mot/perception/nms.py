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


def candidates(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float, limit: int) -> Candidates:
    """The boxes with a score above `threshold`, each with its best label; of each frame the best `limit`, in order.

    Args:
        boxes: (B, A, 4) xyxy.
        scores: (B, A, C).
        labels: (C,) int64, the label that each column of `scores` stands for.
        threshold: scores at or below are left out.
        limit: boxes of a frame at most.
    """
    best, column = scores.max(dim=2)
    frame, anchor = torch.nonzero(best > threshold, as_tuple=True)
    score, column = best[frame, anchor], column[frame, anchor]
    # two stable sorts: by frame, then by score, then by place; ties never depend on the rest of the batch
    order = torch.argsort(score, descending=True, stable=True)
    order = order[torch.argsort(frame[order], stable=True)]
    frame, anchor, column, score = frame[order], anchor[order], column[order], score[order]
    count = torch.bincount(frame, minlength=len(boxes))
    place = torch.arange(len(frame), device=frame.device) - (count.cumsum(0) - count)[frame]
    kept = place < limit
    frame, anchor, column, score, place = (part[kept] for part in (frame, anchor, column, score, place))
    width = min(int(count.max()), limit)
    shape = (len(boxes), width)
    out = Candidates(
        boxes.new_zeros((*shape, 4)),
        scores.new_zeros(shape),
        labels.new_zeros(shape),
        labels.new_zeros(shape),
        torch.zeros(shape, dtype=torch.bool, device=boxes.device),
    )
    out.xyxy[frame, place] = boxes[frame, anchor]
    out.scores[frame, place] = score
    out.labels[frame, place] = labels[column]
    out.rows[frame, place] = anchor
    out.valid[frame, place] = True
    return out


def suppress(rows: Candidates, iou_threshold: float) -> Candidates:
    """Of two boxes of one frame and label that overlap more than `iou_threshold`, only the better stays valid.

    Greedy suppression is the fixed point of "a box stays if no better box that stays overlaps it"; repeating
    that rule for all boxes at once settles the first k after k rounds, in practice after three or four.
    """
    better = torch.ones(rows.valid.shape[1:] * 2, dtype=torch.bool, device=rows.valid.device).triu(1)
    rivals = (
        (pairwise_iou(rows.xyxy) > iou_threshold) & (rows.labels[:, :, None] == rows.labels[:, None]) & better
    )
    stays = rows.valid
    while True:
        settled = rows.valid & ~(rivals & stays[:, :, None]).any(dim=1)
        if torch.equal(settled, stays):
            return rows._replace(valid=stays)
        stays = settled


def pairwise_iou(xyxy: Tensor) -> Tensor:
    """(B, K, K) intersection over union of the boxes (B, K, 4) of each frame with each other."""
    x1, y1, x2, y2 = xyxy.unbind(dim=2)
    w = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    h = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    overlap = w.clamp_(min=0) * h.clamp_(min=0)
    area = (x2 - x1) * (y2 - y1)
    union = area[:, :, None] + area[:, None] - overlap
    return overlap / union.clamp(min=1e-9)
