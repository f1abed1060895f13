"""Modulated deformable convolution (DCNv2, Zhu et al. 2018, arXiv:1811.11168), 3x3, stride 1, in plain torch.

Official code: the CUDA extension that FairMOT builds (`DCN`, one deformable group). Same here: where a sample falls
between pixels, bilinear; outside the map, zeros. What differs: no compiled extension; all samples of all taps are
taken by one `grid_sample` and weighted by one matrix product.

Checked against a naive loop in `tests/models/test_dcn.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, relu

TAPS = 9  # of a 3x3 kernel, row by row
# `grid_sample` uses a thread a picture: a picture's channels are handed to it as so many pictures.
GROUPS = 4


def deform_conv2d(x: Tensor, offsets: Tensor, masks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution whose taps k are moved by d_k and scaled by m_k, at every place p anew.

        y[o](p) = b[o] + sum_ck w[o, c, k] * m_k(p) * x[c](p + p_k + d_k(p)),   p_k in {-1, 0, 1}^2

    Places are reckoned in float32 whatever the type of `x`: bfloat16 cannot tell pixel 257 from 258. The samples of
    all taps are in memory at once: B * C * 9 * H * W float32, 95 MB for 64 channels of 152 x 272.

    Args:
        x: (B, C, H, W).
        offsets: (B, 18, H, W), d in pixels: dy, dx of the first tap, dy, dx of the second, ...
        masks: (B, 9, H, W), m.
        weight: (O, C, 3, 3), w.
        bias: (O,), b.

    Returns:
        (B, O, H, W) of the type of `x`.
    """
    batch, channels, height, width = x.shape
    groups = math.gcd(channels, GROUPS)
    dy, dx = offsets.float().view(batch, TAPS, 2, height, width).unbind(2)
    tap = torch.arange(TAPS, device=x.device)[:, None, None]
    row = tap // 3 - 1 + torch.arange(height, device=x.device)[:, None] + dy
    column = tap % 3 - 1 + torch.arange(width, device=x.device) + dx
    # align_corners=False: -1 and 1 are the map's edges, so pixel i of n has its centre at (2i + 1) / n - 1; the
    # other convention divides by n - 1, which a map one pixel wide does not survive.
    grid = torch.stack([(2 * column + 1) / width, (2 * row + 1) / height], dim=-1) - 1
    grid = grid.view(batch, 1, TAPS * height, width, 2).expand(-1, groups, -1, -1, -1).flatten(0, 1)
    parts = x.float().reshape(batch * groups, channels // groups, height, width)
    samples = grid_sample(parts, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    samples = samples.view(batch, channels, TAPS, -1).mul_(masks.reshape(batch, 1, TAPS, -1))
    y = weight.flatten(1) @ samples.flatten(1, 2).to(x.dtype) + bias[:, None]
    return y.view(batch, -1, height, width)


class DeformConv(nn.Module):
    """Deformable convolution, which finds its own offsets and masks, BatchNorm, ReLU.

    `conv` holds the weights that `deform_conv2d` applies.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv_offset_mask = nn.Conv2d(channels, 3 * TAPS, 3, padding=1)
        self.conv = nn.Conv2d(channels, out, 3, padding=1)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        assert self.conv.bias is not None
        offsets, logits = self.conv_offset_mask(x).split([2 * TAPS, TAPS], dim=1)
        return relu(self.norm(deform_conv2d(x, offsets, logits.sigmoid(), self.conv.weight, self.conv.bias)))
