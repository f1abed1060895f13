"""JDE on Darknet-53 (Wang et al. 2020, arXiv:1909.12605), by Zhongdao/Towards-Realtime-MOT.

YOLOv3's network with four anchors a scale, one class, and beside each head an embedding of every cell, which its
four anchors share. What its boxes have of their own:

- the centre is the cell's corner plus an offset in anchor sizes: no sigmoid, no half cell;
- the score is a softmax over background and person;
- the anchors go with the input size that the weights were trained for: hence a row for each.

What differs here: boxes, scores and embeddings stay apart, and embeddings are not divided by their L2 norm, so that
only those of boxes that are kept need be; the loss weights and the classifier of the training are not built.

PaddleDetection's JDE is the same network, but for one anchor at 576x320. The detector of its DeepSORT
(`jde_yolov3_darknet53_30e_1088x608_mix`) is the one without the embeddings.

Checked against golden outputs of both in `tests/models/test_jde_darknet53.py`.
"""

from __future__ import annotations

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
from mot.models.spec import Dialect, Joint, ModelSpec

EPS = 1e-5  # PyTorch's default, and Paddle's
PER_HEAD = 4  # anchors
EMBEDDING = 512

# A head: for each anchor dx, dy, dw, dh, background, person.
DETECTOR: Layers = pyramid((("linear", PER_HEAD * 6, 1), ("head", -1)))
# The embedding reads the map before the head's last 3x3 convolution. The cfg joins it to the head in the fourth
# layer and cuts it off in the fifth; here the two hand them out one by one.
LAYERS: Layers = pyramid(
    (("linear", PER_HEAD * 6, 1), ("route", -3), ("linear", EMBEDDING, 3), ("head", -3), ("head", -2))
)

ANCHORS_1088: Anchors = (
    *((128, 384), (180, 540), (256, 640), (512, 640)),
    *((32, 96), (45, 135), (64, 192), (90, 271)),
    *((8, 24), (11, 34), (16, 48), (23, 68)),
)
ANCHORS_864: Anchors = (
    *((102, 305), (143, 429), (203, 508), (407, 508)),
    *((25, 76), (36, 107), (51, 152), (71, 215)),
    *((6, 19), (9, 27), (13, 38), (18, 54)),
)
# The cfg lists the anchors three times and not alike; each head uses the list beside it.
ANCHORS_576: Anchors = (
    *((85, 255), (120, 360), (170, 420), (340, 320)),
    *((21, 64), (30, 90), (43, 128), (60, 180)),
    *((6, 16), (8, 23), (11, 32), (16, 45)),
)
PADDLE_ANCHORS_576: Anchors = (*ANCHORS_576[:3], (340, 420), *ANCHORS_576[4:])


class JDEDarknet53(nn.Module):
    """(B, 3, H, W) RGB in 0..1, H and W multiples of 32, to `Joint`: one class, 512-d embeddings.

    Args:
        anchors: four for each head.
    """

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.anchors = anchors
        self.module_list = convolutions(LAYERS, EPS)

    def forward(self, x: Tensor) -> Joint:
        """Rows by head, anchor, y, x; the maps are not normalised, in the precision of the network."""
        return decode(self.maps(x), self.anchors)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """A head (B, 24, h, w), then its embeddings (B, 512, h, w), of stride 32, 16 and 8."""
        return run(LAYERS, self.module_list, x)


class JDEDetector(nn.Module):
    """JDE without embeddings: to boxes (B, A, 4) and scores (B, A, 1)."""

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.anchors = anchors
        self.module_list = convolutions(DETECTOR, EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes as xyxy in input pixels; rows by head, anchor, y, x."""
        return decode_boxes(self.maps(x), self.anchors)

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The heads (B, 24, h, w) of stride 32, 16 and 8."""
        return run(DETECTOR, self.module_list, x)


def decode(maps: tuple[Tensor, ...], anchors: Anchors) -> Joint:
    """Heads and embeddings by turns to `Joint`."""
    heads, embeddings = maps[::2], maps[1::2]
    return Joint(*decode_boxes(heads, anchors), embeddings, cells(heads))


def decode_boxes(heads: tuple[Tensor, ...], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Raw heads to boxes (B, A, 4), xyxy in input pixels, and scores (B, A, 1), float32.

    centre = d_xy * anchor + cell * stride,  size = exp(d_wh) * anchor,  score = softmax(background, person)[1]
    """
    boxes, scores = [], []
    for k, head in enumerate(heads):
        d = rows(head, PER_HEAD)
        anchor = sizes(anchors[PER_HEAD * k : PER_HEAD * (k + 1)], head)
        centre = d[..., :2] * anchor + corners(head) * (STRIDE >> k)
        boxes.append(xyxy(centre, d[..., 2:4].exp() * anchor))
        scores.append(d[..., 4:6].softmax(dim=4)[..., 1:].flatten(1, 3))
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


def cells(heads: tuple[Tensor, ...]) -> Tensor:
    """(B, A) int64: the cell of every row, counted over all maps."""
    parts, first = [], 0
    for head in heads:
        count = head.shape[2] * head.shape[3]
        parts.append(torch.arange(first, first + count, device=head.device).repeat(PER_HEAD))
        first += count
    return torch.cat(parts).expand(heads[0].shape[0], -1)


OFFICIAL = Dialect(
    name="Towards-Realtime-MOT",
    mark=r"^module_list[.]113[.]conv_113[.]weight$",
    unused=("classifier.*", "module_list.*.yolo_*.s_*"),
)
PADDLE = Dialect(
    name="PaddleDetection",
    mark=r"^reid[.]identify_output[.]0[.]weight$",
    rename=(
        (r"^detector[.]", ""),
        *paddle_names(LAYERS, ("yolo_head.yolo_output", "reid.identify_output")),
    ),
    unused=("reid.classifier.*", "reid.*.loss_param", "reid.emb_loss.*"),
    preprocess="paddle_jde",
)
# The names are those of Paddle's YOLOv3, and its heads those of three classes: only the config can tell.
PADDLE_DETECTOR = Dialect(
    name="PaddleDetection",
    mark=r"^backbone[.]downsample0[.]conv_bn_layer[.]conv[.]weight$",
    rename=paddle_names(DETECTOR, ("yolo_head.yolo_output",)),
    preprocess="paddle_jde",
)


def _joint(anchors: Anchors, input_size: tuple[int, int], *dialects: Dialect) -> ModelSpec:
    return ModelSpec(
        kind="joint",
        build=lambda classes: JDEDarknet53(anchors),
        preprocess="jde",
        input_size=input_size,
        dialects=dialects,
        darknet=OFFICIAL in dialects,
        embedding_size=EMBEDDING,
    )


JDE = {
    "jde_1088x608": _joint(ANCHORS_1088, (608, 1088), OFFICIAL, PADDLE),
    "jde_864x480": _joint(ANCHORS_864, (480, 864), OFFICIAL, PADDLE),
    "jde_576x320": _joint(ANCHORS_576, (320, 576), OFFICIAL),
    "jde_paddle_576x320": _joint(PADDLE_ANCHORS_576, (320, 576), PADDLE),
    "jde_detector_1088x608": ModelSpec(
        kind="detector",
        build=lambda classes: JDEDetector(ANCHORS_1088),
        preprocess="jde",
        input_size=(608, 1088),
        dialects=(PADDLE_DETECTOR,),
    ),
}
