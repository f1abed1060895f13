"""What the tests of the ReID networks share: a file's tensors into a network, and how far its answer is off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mot.models.spec import ModelSpec

Array = NDArray[Any]


def fitted(spec: ModelSpec, state: Mapping[str, Array]) -> nn.Module:
    """The network with a public file's tensors: renamed, turned round, dropped as its dialect says, else strict."""
    (dialect,) = spec.dialects
    assert sum(bool(re.search(dialect.mark, name)) for name in state) == 1
    tensors: dict[str, Tensor] = {}
    for public, array in state.items():
        name = public
        for pattern, replacement in dialect.rename:
            name = re.sub(pattern, replacement, name)
        if not any(fnmatchcase(name, pattern) for pattern in dialect.unused):
            turned = any(fnmatchcase(name, pattern) for pattern in dialect.transposed)
            tensors[name] = torch.from_numpy(np.ascontiguousarray(array.T if turned else array))
    with torch.device("meta"):
        network = spec.build(1)
    for name in [name for name in tensors if name.endswith("running_mean")]:
        tensors.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def floats(spec: ModelSpec) -> int:
    """How many floating-point numbers the network holds."""
    with torch.device("meta"):
        state = spec.build(1).state_dict()
    return sum(value.numel() for value in state.values() if value.is_floating_point())


def random(network: nn.Module) -> nn.Module:
    """The network with BatchNorms that do something, for inference."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.1)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval().requires_grad_(False)
