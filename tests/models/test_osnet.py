"""OSNet against the official network's answers, and its blocks against plain formulas."""

from __future__ import annotations

import re

import pytest
import torch
from embedders import fitted, floats, random
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, instance_norm, relu

from mot.models.folding import fold_batchnorm
from mot.models.osnet import OSNET, Block, Gate, Place

# Numbers in a file whose classifier knows 751 people: (512 + 1) * 751 are not ours.
FLOATS = {
    "osnet_x0_25": 593_655,
    "osnet_x1_0": 2_577_811,
    "osnet_ibn_x1_0": 2_578_707,
    "osnet_ain_x0_25": 592_919,
    "osnet_ain_x1_0": 2_574_867,
}


@pytest.mark.parametrize("name", FLOATS)
def test_sizes(name: str) -> None:
    assert floats(OSNET[name]) + 513 * 751 == FLOATS[name]


@pytest.mark.parametrize("name", ["osnet_x0_5", "osnet_ibn_x1_0", "osnet_ain_x0_75"])
def test_its_own_file_fits_and_folds(name: str) -> None:
    network = random(OSNET[name].build(1))
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    again = fitted(OSNET[name], state | {"classifier.weight": state["fc.0.weight"]})
    x = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        expected = network(x)
        torch.testing.assert_close(again(x), expected, atol=0, rtol=0)
        fold_batchnorm(again)
        torch.testing.assert_close(again(x), expected, atol=1e-5, rtol=1e-4)
    del state["conv4.1.gate.fc2.bias"]
    with pytest.raises(RuntimeError, match=r"conv4\.1\.gate\.fc2\.bias"):
        fitted(OSNET[name], state)


def test_files_of_both_kinds_are_told_apart() -> None:
    with torch.device("meta"):
        names = {name: list(spec.build(1).state_dict()) for name, spec in OSNET.items()}
    for name, spec in OSNET.items():
        for other, keys in names.items():
            marked = any(re.search(spec.dialects[0].mark, key) for key in keys)
            assert marked == (("ain" in name) == ("ain" in other))


def test_official_names() -> None:
    with torch.device("meta"):
        plain, ain = (OSNET[name].build(1).state_dict() for name in ("osnet_x0_25", "osnet_ain_x0_25"))
    assert plain["conv1.conv.weight"].shape == (16, 3, 7, 7)
    assert {"conv2.2.0.conv.weight", "conv3.0.conv2a.bn.weight", "conv4.0.conv2d.3.conv2.weight"} <= set(
        plain
    )
    assert {"pool2.0.conv.weight", "conv3.1.conv2.3.layers.3.bn.bias", "conv4.0.IN.weight"} <= set(ain)
    # instance norms keep no statistics; the branch that they normalise has no BatchNorm
    assert "conv1.bn.running_mean" not in ain
    assert "conv2.0.conv3.bn.weight" not in ain
    assert "conv3.0.IN.weight" not in ain


def norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return batch_norm(x, mean, var, weight, bias, eps=1e-5)


@pytest.mark.parametrize("ain", [False, True])
@pytest.mark.parametrize("place", ["none", "sum", "branch"])
def test_block(place: Place, ain: bool) -> None:
    block = random(Block(32, 64, place, ain))
    s = block.state_dict()
    x = torch.randn(2, 32, 8, 6)
    narrow = relu(norm(conv2d(x, s["conv1.conv.weight"]), s, "conv1.bn"))
    total = torch.zeros_like(narrow)
    for depth in (1, 2, 3, 4):
        y = narrow
        for i in range(depth):
            prefix = f"conv2{'abcd'[depth - 1]}." + (f"{i}." if depth > 1 else "")
            prefix = f"conv2.{depth - 1}.layers.{i}." if ain else prefix
            y = conv2d(
                conv2d(y, s[prefix + "conv1.weight"]), s[prefix + "conv2.weight"], padding=1, groups=16
            )
            y = relu(norm(y, s, prefix + "bn"))
        gate = relu(conv2d(y.mean((2, 3), keepdim=True), s["gate.fc1.weight"], s["gate.fc1.bias"]))
        total += y * torch.sigmoid(conv2d(gate, s["gate.fc2.weight"], s["gate.fc2.bias"]))
    y, shortcut = conv2d(total, s["conv3.conv.weight"]), conv2d(x, s["downsample.conv.weight"])
    shortcut = norm(shortcut, s, "downsample.bn")
    if place == "branch":
        y = instance_norm(y, weight=s["IN.weight"], bias=s["IN.bias"]) + shortcut
    else:
        y = norm(y, s, "conv3.bn") + shortcut
    if place == "sum":
        y = instance_norm(y, weight=s["IN.weight"], bias=s["IN.bias"])
    torch.testing.assert_close(block(x), relu(y), atol=1e-5, rtol=1e-5)


def test_one_gate_weighs_all_streams() -> None:
    assert sum(isinstance(module, Gate) for module in Block(32, 64, "none", False).modules()) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ain_x0_25"])
def test_other_sizes_other_numbers_and_tracing(name: str) -> None:
    network = random(OSNET[name].build(1))
    x = torch.randn(2, 3, 130, 70)
    with torch.inference_mode():
        found = network(x)
        traced = torch.jit.trace(network, x, check_trace=False)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(traced(x[:1]), found[:1], atol=1e-5, rtol=1e-4)
        half = network.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert found.shape == (2, 512)
    assert (found >= 0).all()
    assert half.dtype == torch.float32
    assert (half - found).abs().max() < 0.1 * found.max()
