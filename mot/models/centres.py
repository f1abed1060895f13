"""Boxes and embeddings from maps of centres: the heads of FairMOT and what they mean.

Paper: Zhang et al. 2020, arXiv:2004.01888, after CenterNet (Zhou et al. 2019, arXiv:1904.07850). Official code:
ifzhang/FairMOT, `mot_decode`; PaddleDetection's `CenterNetPostProcess` does the same. No NMS: a peak is a cell that
no neighbour exceeds. What differs: the boxes stay in input pixels; mapping them to the picture is for the caller.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from mot.models.spec import Joint, Shape

STRIDE = 4  # input pixels a cell; the official `--down_ratio`
TOP = 500  # boxes a picture; the official `--K`
LTRB, REG = 4, 2  # channels of the heads `wh` and `reg`

Maps = tuple[Tensor, Tensor, Tensor, Tensor]


def head(channels: int, wide: int, out: int, act: nn.Module) -> nn.Sequential:
    """(B, channels, h, w) to (B, out, h, w)."""
    return nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1), act, nn.Conv2d(wide, out, 1))


def classes(shapes: Mapping[str, Shape]) -> int:
    """The channels of the head `hm`."""
    return shapes["hm.2.weight"][0]


def decode(maps: Maps) -> Joint:
    """The highest peaks, best first; where they are fewer than the rows, the rest have score 0.

        heat = sigmoid(hm),  a peak where heat = max of its 3x3 neighbours in the same class
        cx = x + reg_x,  cy = y + reg_y
        box = (cx - wh_0, cy - wh_1, cx + wh_2, cy + wh_3) * 4: how far left, top, right and bottom lie

    Args:
        maps: `hm` (B, C, h, w), `wh` (B, 4, h, w), `reg` (B, 2, h, w) and `id` (B, E, h, w), of any float type.

    Returns:
        A = min(500, C * h * w) rows a picture, each with a score in the class of its peak only; a cell that peaks
        in two classes gives two rows.
    """
    hm, wh, reg, embeddings = (each.float() for each in maps)
    _, count, height, width = hm.shape
    heat = hm.sigmoid()
    peaks = heat * (max_pool2d(heat, 3, stride=1, padding=1) == heat)
    best, index = peaks.flatten(1).topk(min(TOP, count * height * width))
    label, cells = index // (height * width), index % (height * width)
    left, top, right, bottom = _at(wh, cells).unbind(1)
    dx, dy = _at(reg, cells).unbind(1)
    cx, cy = cells % width + dx, cells // width + dy
    boxes = torch.stack([cx - left, cy - top, cx + right, cy + bottom], dim=2) * STRIDE
    scores = best[..., None] * (label[..., None] == torch.arange(count, device=hm.device))
    return Joint(boxes, scores, (embeddings,), cells)


def _at(values: Tensor, cells: Tensor) -> Tensor:
    """(B, N, h, w) at (B, A) cells: (B, N, A)."""
    return values.flatten(2).gather(2, cells[:, None].expand(-1, values.shape[1], -1))
