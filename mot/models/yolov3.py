"""YOLOv3, full and tiny (Redmon and Farhadi 2018, arXiv:1804.02767), by the cfg files of pjreddie/darknet.

What differs from the usual PyTorch translations, because darknet does it so:

- BatchNorm divides by sqrt(var + 1e-6);
- tiny's 2x2 max-pool of stride 1 pads right and bottom with -inf;
- tiny's fine head uses the anchors numbered 1, 2, 3, not 0, 1, 2.

Torch files under PyTorch-YOLOv3's names are read as darknet weights in another container; what that project trains
itself has other BatchNorms and boxes. PaddleDetection's YOLOv3-DarkNet53 is the same network with Paddle's epsilon,
trained on stretched pictures less the ImageNet mean: a row of its own.

Checked against darknet's weights and the golden outputs in `tests/models/test_yolov3.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mot.models.darknet import (
    STRIDE,
    Anchors,
    Layers,
    convolutions,
    corners,
    paddle_names,
    pyramid,
    rows,
    run,
    sizes,
    xyxy,
)
from mot.models.spec import Dialect, ModelSpec, Shape

EPS = 1e-6  # darknet, src/blas.c
PADDLE_EPS = 1e-5  # Paddle's default
PER_HEAD = 3  # anchors

# The cfg's list, in the order of the heads that use them: masks 678, 345, 012, and for tiny 345, 123.
ANCHORS: Anchors = (
    *((116, 90), (156, 198), (373, 326)),
    *((30, 61), (62, 45), (59, 119)),
    *((10, 13), (16, 30), (33, 23)),
)
TINY_ANCHORS: Anchors = ((81, 82), (135, 169), (344, 319), (23, 27), (37, 58), (81, 82))


def full_layers(classes: int) -> Layers:
    """yolov3.cfg."""
    return pyramid((("linear", PER_HEAD * (5 + classes), 1), ("head", -1)))


def tiny_layers(classes: int) -> Layers:
    """yolov3-tiny.cfg."""
    return (
        *(("conv", 16, 3, 1), ("maxpool", 2)),
        *(("conv", 32, 3, 1), ("maxpool", 2)),
        *(("conv", 64, 3, 1), ("maxpool", 2)),
        *(("conv", 128, 3, 1), ("maxpool", 2)),
        *(("conv", 256, 3, 1), ("maxpool", 2)),
        *(("conv", 512, 3, 1), ("maxpool", 1)),
        *(("conv", 1024, 3, 1), ("conv", 256, 1, 1), ("conv", 512, 3, 1)),
        *(("linear", PER_HEAD * (5 + classes), 1), ("head", -1)),
        *(("route", -4), ("conv", 128, 1, 1), ("upsample",), ("route", -1, 8)),
        *(("conv", 256, 3, 1), ("linear", PER_HEAD * (5 + classes), 1), ("head", -1)),
    )


class YOLOv3(nn.Module):
    """(B, 3, H, W) RGB in 0..1, H and W multiples of 32, to boxes (B, A, 4) and scores (B, A, C)."""

    def __init__(self, layers: Layers, anchors: Anchors, eps: float = EPS) -> None:
        super().__init__()
        self.layers, self.anchors = layers, anchors
        self.module_list = convolutions(layers, eps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes as xyxy in input pixels, and objectness times class probability; rows by head, anchor, y, x."""
        return decode(self.maps(x), self.anchors)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The raw heads, coarse to fine: (B, 3 * (5 + C), H/32, W/32), then of stride 16 and, if full, 8."""
        return run(self.layers, self.module_list, x)


def decode(heads: tuple[Tensor, ...], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Raw heads to boxes (B, A, 4) and scores (B, A, C), float32.

    centre = (sigmoid(t_xy) + cell) * stride,  size = exp(t_wh) * anchor,  score = sigmoid(o) * sigmoid(c)
    """
    boxes, scores = [], []
    for k, head in enumerate(heads):
        t = rows(head, PER_HEAD)
        centre = (t[..., :2].sigmoid() + corners(head)) * (STRIDE >> k)
        size = t[..., 2:4].exp() * sizes(anchors[PER_HEAD * k : PER_HEAD * (k + 1)], head)
        boxes.append(xyxy(centre, size))
        scores.append((t[..., 4:5].sigmoid() * t[..., 5:].sigmoid()).flatten(1, 3))
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


def classes_of(head: int) -> Callable[[Mapping[str, Shape]], int]:
    """Counts the classes by the channels of a head, given its layer."""
    return lambda shapes: shapes[f"module_list.{head}.conv_{head}.bias"][0] // PER_HEAD - 5


def torch_names(head: int) -> Dialect:
    """PyTorch-YOLOv3's names, known by the bias of the last head."""
    return Dialect(
        name="PyTorch-YOLOv3",
        mark=rf"^module_list[.]{head}[.]conv_{head}[.]bias$",
        unused=("module_list.*.yolo_*.anchors", "module_list.*.yolo_*.anchor_grid"),
    )


PADDLE = Dialect(
    name="PaddleDetection",
    mark=r"^backbone[.]downsample0[.]conv_bn_layer[.]conv[.]weight$",
    rename=paddle_names(full_layers(1), ("yolo_head.yolo_output",)),
)

YOLOV3 = {
    "yolov3": ModelSpec(
        kind="detector",
        build=lambda classes: YOLOv3(full_layers(classes), ANCHORS),
        preprocess="darknet",
        input_size=(608, 608),
        dialects=(torch_names(105),),
        classes=classes_of(105),
        darknet=True,
    ),
    "yolov3_tiny": ModelSpec(
        kind="detector",
        build=lambda classes: YOLOv3(tiny_layers(classes), TINY_ANCHORS),
        preprocess="darknet",
        input_size=(416, 416),
        dialects=(torch_names(22),),
        classes=classes_of(22),
        darknet=True,
    ),
    "yolov3_paddle": ModelSpec(
        kind="detector",
        build=lambda classes: YOLOv3(full_layers(classes), ANCHORS, PADDLE_EPS),
        preprocess="paddle_yolov3",
        input_size=(608, 608),
        dialects=(PADDLE,),
        classes=classes_of(105),
    ),
}
