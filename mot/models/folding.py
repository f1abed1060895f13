"""BatchNorm folded into the convolution before it: at inference it is only a scale and a shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[Any]


def fold(
    conv: nn.Conv2d, weight: Array, bn: Mapping[str, Array] | None, eps: float, bias: Array | None = None
) -> None:
    """Fill `conv` (which has a bias) so that it does convolution and BatchNorm in one.

        y = gamma * (w x - mean) / sqrt(var + eps) + beta

    Args:
        conv: the convolution to fill.
        weight: (O, I, k, k).
        bn: `weight` (gamma), `bias` (beta), `running_mean`, `running_var`, (O,) each; None: there is none.
        eps: the epsilon that the network was trained with.
        bias: (O,), where there is no BatchNorm.
    """
    shift = np.zeros(len(weight)) if bias is None else bias
    if bn is not None:
        scale = bn["weight"].astype(np.float64) / np.sqrt(bn["running_var"].astype(np.float64) + eps)
        weight = weight * scale[:, None, None, None]
        shift = bn["bias"] - bn["running_mean"] * scale
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(np.asarray(weight, np.float32)))
        conv.bias.copy_(torch.from_numpy(np.asarray(shift, np.float32)))
