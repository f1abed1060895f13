"""The interpreter of layer tables against the same layers called by hand."""

import re

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, interpolate, leaky_relu, max_pool2d

from mot.models.darknet import DARKNET53, Layers, convolutions, corners, paddle_names, pyramid, run
from mot.models.jde_darknet53 import LAYERS
from mot.models.yolov3 import full_layers

EVERY_KIND: Layers = (
    ("conv", 8, 3, 2),  # 0
    ("conv", 4, 1, 1),
    ("conv", 8, 3, 1),
    ("shortcut", -3),
    ("maxpool", 2),
    ("maxpool", 1),  # 5
    ("linear", 6, 1),
    ("head", -1),
    ("route", -3),
    ("upsample",),
    ("route", -1, 3),  # 10
    ("linear", 5, 3),
    ("head", -1),
)


def filled(layers: Layers, eps: float = 1e-3) -> nn.ModuleDict:
    """With BatchNorms that do something."""
    torch.manual_seed(0)
    modules = convolutions(layers, eps).eval()
    for name, tensor in modules.state_dict().items():
        if "batch_norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return modules


def test_every_kind_of_layer_by_hand() -> None:
    modules = filled(EVERY_KIND)
    weights = modules.state_dict()

    def conv(i: int, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        w, bn = weights[f"{i}.conv_{i}.weight"], f"{i}.batch_norm_{i}"
        y = conv2d(x, w, stride=stride, padding=w.shape[2] // 2)
        mean, var, gamma, beta = (
            weights[f"{bn}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return leaky_relu(batch_norm(y, mean, var, gamma, beta, eps=1e-3), 0.1)

    def linear(i: int, x: torch.Tensor) -> torch.Tensor:
        w = weights[f"{i}.conv_{i}.weight"]
        return conv2d(x, w, weights[f"{i}.conv_{i}.bias"], padding=w.shape[2] // 2)

    x = torch.randn(2, 3, 16, 24)
    down = conv(0, x, stride=2)
    block = down + conv(2, conv(1, down))
    small = max_pool2d(block, 2)
    # a window that hangs over sees the last row or column alone
    wide = torch.cat([small, small[..., -1:]], dim=3)
    pooled = max_pool2d(torch.cat([wide, wide[:, :, -1:]], dim=2), 2, stride=1)
    joined = torch.cat([interpolate(pooled, scale_factor=2, mode="nearest"), block], dim=1)
    with torch.inference_mode():
        first, second = run(EVERY_KIND, modules, x)
    torch.testing.assert_close(first, linear(6, pooled))
    torch.testing.assert_close(second, linear(11, joined))


def test_pool_of_stride_1_pads_with_nothing() -> None:
    """Zeros there, as PyTorch-YOLOv3 has them, would win against negative neighbours."""
    layers: Layers = (("maxpool", 1), ("head", -1))
    (out,) = run(layers, convolutions(layers, 1e-6), torch.full((1, 3, 2, 2), -1.0))
    assert out.eq(-1).all()


def test_registered_in_the_order_of_the_layers() -> None:
    names = [name for name, module in filled(EVERY_KIND).named_modules() if isinstance(module, nn.Conv2d)]
    assert names == [f"{i}.conv_{i}" for i in (0, 1, 2, 6, 11)]


def test_pyramid_counts_its_layers_as_the_cfg_files_do() -> None:
    assert len(DARKNET53) == 75
    for layers, linear in (
        (full_layers(80), [81, 93, 105]),
        (LAYERS, [81, 83, 96, 98, 111, 113]),
    ):
        assert [i for i, layer in enumerate(layers) if layer[0] == "linear"] == linear
    tail: Layers = (("linear", 1, 1), ("head", 36), ("head", 61), ("head", 74))
    with torch.device("meta"):
        modules = convolutions(pyramid(tail), 1e-6)
        maps = run(pyramid(tail), modules, torch.empty(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps[:3]] == [(256, 8, 12), (512, 4, 6), (1024, 2, 3)]


def test_paddle_names_reach_every_layer_once() -> None:
    layers = full_layers(1)
    pairs = paddle_names(layers, ("yolo_head.yolo_output",))
    targets = [new for _, new in pairs if re.fullmatch(r"module_list\.\d+\.", new)]
    expected = {f"module_list.{i}." for i, layer in enumerate(layers) if layer[0] in ("conv", "linear")}
    assert len(targets) == len(expected)
    assert set(targets) == expected


def test_corners_are_x_then_y() -> None:
    assert corners(torch.empty(1, 1, 2, 3)).tolist() == [[[0, 0], [1, 0], [2, 0]], [[0, 1], [1, 1], [2, 1]]]
