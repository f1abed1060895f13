"""Networks written as darknet writes them (pjreddie/darknet): a row of layers, each fed by the one before it.

A layer is its kind and numbers; layers are counted as in the .cfg file, those without weights too:

    ("conv", channels, kernel, stride)   convolution, BatchNorm, leaky ReLU 0.1
    ("linear", channels, kernel)         convolution with a bias and nothing after it
    ("shortcut", layer)                  adds the output of that layer
    ("route", layer, ...)                joins outputs along the channels
    ("upsample",)                        doubles height and width, nearest neighbour
    ("maxpool", stride)                  2x2
    ("head", layer)                      hands an output to the caller and passes its own input on

A negative layer counts back from here. Tensors are named as in PyTorch-YOLOv3 and JDE, `module_list.{i}.conv_{i}`
and `.batch_norm_{i}`. They are registered in the order of a darknet file, in which each convolution has beta,
gamma, mean and variance, or its bias, before its weight.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d, pad

Layer = tuple[str | int, ...]
Layers = tuple[Layer, ...]
Anchors = tuple[tuple[float, float], ...]  # width and height in input pixels; coarsest map first

STRIDE = 32  # of the coarsest head; each further one is twice as fine


def residual(channels: int, count: int) -> Layers:
    """A step down to `channels` at half the size, then residual blocks."""
    block: Layers = (("conv", channels // 2, 1, 1), ("conv", channels, 3, 1), ("shortcut", -3))
    return (("conv", channels, 3, 2), *block * count)


# Layers 0 to 74; 36, 61 and 74 have stride 8, 16 and 32.
DARKNET53: Layers = (
    ("conv", 32, 3, 1),
    *residual(64, 1),
    *residual(128, 2),
    *residual(256, 8),
    *residual(512, 8),
    *residual(1024, 4),
)


def pyramid(tail: Layers) -> Layers:
    """Darknet-53 with YOLOv3's three branches, coarse to fine, each ending in `tail`."""
    back = -2 - len(tail)  # to the fifth of the six convolutions before the tail

    def branch(channels: int) -> Layers:
        return (("conv", channels, 1, 1), ("conv", 2 * channels, 3, 1)) * 3 + tail

    def finer(channels: int, layer: int) -> Layers:
        return (("route", back), ("conv", channels, 1, 1), ("upsample",), ("route", -1, layer))

    return (*DARKNET53, *branch(512), *finer(256, 61), *branch(256), *finer(128, 36), *branch(128))


def convolutions(layers: Layers, eps: float) -> nn.ModuleDict:
    """The layers that have weights, by their number, for 3 input channels; `eps` is the BatchNorms'."""
    modules = nn.ModuleDict()
    channels: list[int] = []
    for i, (kind, *numbers) in enumerate(layers):
        inputs = out = channels[-1] if channels else 3
        match kind, [int(number) for number in numbers]:
            case "conv", [out, kernel, stride]:
                conv = nn.Conv2d(inputs, out, kernel, stride, kernel // 2, bias=False)
                norm = nn.BatchNorm2d(out, eps)
                modules[str(i)] = nn.Sequential(OrderedDict([(f"conv_{i}", conv), (f"batch_norm_{i}", norm)]))
            case "linear", [out, kernel]:
                conv = nn.Conv2d(inputs, out, kernel, padding=kernel // 2)
                modules[str(i)] = nn.Sequential(OrderedDict([(f"conv_{i}", conv)]))
            case "route", others:
                out = sum(channels[j] for j in others)
        channels.append(out)
    return modules


def run(layers: Layers, modules: nn.ModuleDict, x: Tensor) -> tuple[Tensor, ...]:
    """The outputs that the heads name, for (B, 3, H, W); H and W are multiples of the coarsest stride."""
    sources, last = _uses(layers)
    outputs: dict[int, Tensor] = {}
    heads: list[Tensor] = []
    for i, (kind, *numbers) in enumerate(layers):
        others = [outputs[j] for j in sources[i]]
        match kind:
            case "conv":
                x = leaky_relu(modules[str(i)](x), 0.1, inplace=True)
            case "linear":
                x = modules[str(i)](x)
            case "shortcut":
                x = x + others[0]
            case "route":
                x = torch.cat(others, dim=1) if len(others) > 1 else others[0]
            case "upsample":
                x = interpolate(x, scale_factor=2.0)
            case "maxpool":
                if numbers == [
                    1
                ]:  # darknet keeps the size: the window hangs over at the right and the bottom
                    x = pad(x, (0, 1, 0, 1), value=float("-inf"))
                x = max_pool2d(x, 2, stride=int(numbers[0]))
            case "head":
                heads.append(others[0])
        outputs[i] = x
        # the early maps are large: each goes as soon as nothing further down asks for it
        outputs = {j: output for j, output in outputs.items() if last.get(j, 0) > i}
    return tuple(heads)


@cache
def _uses(layers: Layers) -> tuple[list[list[int]], dict[int, int]]:
    """The layers whose outputs each layer asks for, and the last that asks for each."""
    sources = [
        [int(j) % i if int(j) < 0 else int(j) for j in numbers]
        if kind in ("shortcut", "route", "head")
        else []
        for i, (kind, *numbers) in enumerate(layers)
    ]
    return sources, {j: i for i, others in enumerate(sources) for j in others}


def rows(head: Tensor, anchors: int) -> Tensor:
    """A head (B, anchors * n, h, w) as (B, anchors, h, w, n), float32."""
    count, channels, height, width = head.shape
    return head.float().view(count, anchors, channels // anchors, height, width).permute(0, 1, 3, 4, 2)


def corners(head: Tensor) -> Tensor:
    """(h, w, 2): x and y of each cell of a map, in cells, float32."""
    y = torch.arange(head.shape[2], device=head.device, dtype=torch.float32)
    x = torch.arange(head.shape[3], device=head.device, dtype=torch.float32)
    row, column = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([column, row], dim=2)


def sizes(anchors: Anchors, head: Tensor) -> Tensor:
    """Anchors as (anchors, 1, 1, 2), float32, made on the map's device: nothing may be sent in a recorded graph."""
    sides = [head.new_full((1, 1), side, dtype=torch.float32) for anchor in anchors for side in anchor]
    return torch.stack(sides, dim=2).view(1, 1, len(anchors), 2).transpose(0, 2)


def xyxy(centre: Tensor, size: Tensor) -> Tensor:
    """Boxes (B, anchors, h, w, 2 + 2) by centre and size, as (B, rows, 4) by their corners."""
    return torch.cat([centre - size / 2, centre + size / 2], dim=4).flatten(1, 3)


def paddle_names(layers: Layers, heads: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """PaddleDetection's names of a `pyramid` (DarkNet, YOLOv3FPN, YOLOv3Head), to be renamed to those here.

    Args:
        layers: of the network.
        heads: what Paddle calls the linear layers of a branch, in their order.
    """
    numbers = {kind: [i for i, layer in enumerate(layers) if layer[0] == kind] for kind in ("conv", "linear")}
    linear = [f"{head}.{branch}" for branch in range(3) for head in heads]
    pairs = [
        *zip(_paddle_convolutions(), numbers["conv"], strict=True),
        *zip(linear, numbers["linear"], strict=True),
    ]
    return (
        *((f"^{re.escape(name)}[.]", f"module_list.{i}.") for name, i in pairs),
        (r"^module_list[.](\d+)[.](conv|batch_norm)[.]", r"module_list.\1.\2_\1."),
        (r"^module_list[.](\d+)[.](weight|bias)$", r"module_list.\1.conv_\1.\2"),
        (r"[.]_mean$", ".running_mean"),
        (r"[.]_variance$", ".running_var"),
    )


def _paddle_convolutions() -> Iterator[str]:
    """The modules with a convolution and its BatchNorm, in the order of the layers."""
    yield "backbone.conv0"
    yield "backbone.downsample0.conv_bn_layer"
    for stage, blocks in enumerate((1, 2, 8, 8, 4)):
        if stage:
            yield f"backbone.stage.{stage - 1}.downsample.conv_bn_layer"
        for k in range(blocks):
            block = f"stage.{stage}.{k}" if k else "basicblock0"
            yield f"backbone.stage.{stage}.{block}.conv1"
            yield f"backbone.stage.{stage}.{block}.conv2"
    for branch in range(3):
        if branch:
            yield f"neck.yolo_transition.{branch - 1}"
        for step in ("conv0", "conv1", "conv2", "conv3", "route"):
            yield f"neck.yolo_block.{branch}.conv_module.{step}"
        yield f"neck.yolo_block.{branch}.tip"
