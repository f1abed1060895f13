"""BatchNorm folded into the convolution before it: at inference it is only a scale and a shift."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mot.errors import WeightsError


class Normalised(NamedTuple):
    """A convolution and the BatchNorm that is applied to its output, and nowhere else.

    Attributes:
        conv, norm: full names; `norm` is empty where there is none.
        layers: the two modules.
    """

    conv: str
    norm: str
    layers: tuple[nn.Conv2d, nn.BatchNorm2d | None]


def normalised(network: nn.Module) -> Iterator[Normalised]:
    """The convolutions in the order of their registration.

    The rule that every network here keeps: a BatchNorm that is registered right after a convolution, in the same
    parent, belongs to it.
    """
    for path, parent in network.named_modules():
        children = list(parent.named_children())
        for (name, conv), (after, norm) in zip_longest(children, children[1:], fillvalue=("", None)):
            if isinstance(conv, nn.Conv2d):
                prefix = f"{path}." if path else ""
                if isinstance(norm, nn.BatchNorm2d):
                    yield Normalised(prefix + name, prefix + after, (conv, norm))
                else:
                    yield Normalised(prefix + name, "", (conv, None))


def fold_batchnorm(network: nn.Module, source: str = "network") -> None:
    """Folds every BatchNorm of `normalised`, in place.

    y = gamma * (w x + b - mean) / sqrt(var + eps) + beta

    Raises:
        WeightsError: a layer divides by the root of a negative variance, or overflows; begins with `source`.
    """
    for _, name, (conv, norm) in list(normalised(network)):
        if norm is not None:
            if not _fold(conv, norm):
                raise WeightsError(f"{source}: {name} is not finite once folded: a negative variance?")
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, nn.Identity())
    for name, left in network.named_modules():  # those after a linear layer
        variance = left.running_var if isinstance(left, _BatchNorm) else None
        if variance is not None and (variance < 0).any():
            raise WeightsError(f"{source}: {name} has a negative variance")


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Computed in float64, so that only the last rounding is lost; False where a number is not finite."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    before = 0 if conv.bias is None else conv.bias.double()
    bias = norm.bias.double() + (before - norm.running_mean.double()) * scale
    conv.weight = nn.Parameter(
        (conv.weight.double() * scale[:, None, None, None]).float(), requires_grad=False
    )
    conv.bias = nn.Parameter(bias.float(), requires_grad=False)
    return bool(conv.weight.isfinite().all() and conv.bias.isfinite().all())
