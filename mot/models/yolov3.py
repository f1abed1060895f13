"""YOLOv3-tiny (Redmon and Farhadi 2018, arXiv:1804.02767), darknet's weights, 80 COCO classes.

What differs from the usual PyTorch translations, because darknet does it so:

- BatchNorm divides by sqrt(var + 1e-6);
- the 2x2 max-pool of stride 1 pads right and bottom with -inf;
- the fine head uses the anchors numbered 1, 2, 3, not 0, 1, 2.

Checked against the public weights in `tests/models/test_yolov3.py`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d, pad

from mot.models.folding import fold
from mot.models.labels import COCO
from mot.models.spec import ModelSpec, Preprocess
from mot.weights.containers import read_darknet, split

CLASSES = len(COCO)
ROW = 5 + CLASSES  # x, y, w, h, objectness, classes
BN_EPS = 1e-6

# Width and height in input pixels, by stride: anchors 3, 4, 5 and 1, 2, 3 of the list in the cfg.
ANCHORS = {32: ((81, 82), (135, 169), (344, 319)), 16: ((23, 27), (37, 58), (81, 82))}

# Number of the layer in the cfg: channels in, channels out, kernel. Those of 3 * ROW channels are linear heads
# without BatchNorm. The file holds them in this order.
CONVOLUTIONS = {
    0: (3, 16, 3),
    2: (16, 32, 3),
    4: (32, 64, 3),
    6: (64, 128, 3),
    8: (128, 256, 3),
    10: (256, 512, 3),
    12: (512, 1024, 3),
    13: (1024, 256, 1),
    14: (256, 512, 3),
    15: (512, 3 * ROW, 1),
    18: (256, 128, 1),
    21: (384, 256, 3),
    22: (256, 3 * ROW, 1),
}
HEADS = (15, 22)


class YOLOv3Tiny(nn.Module):
    """(B, 3, H, W) RGB in 0..1, H and W multiples of 32, to boxes (B, A, 4) and scores (B, A, 80)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {str(i): nn.Conv2d(c, o, k, padding=k // 2) for i, (c, o, k) in CONVOLUTIONS.items()}
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes as xyxy in input pixels, and objectness times class probability."""
        coarse, fine = self.maps(x)
        boxes, scores = zip(decode(coarse, 32), decode(fine, 16), strict=True)
        return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The raw heads: (B, 3 * 85, H/32, W/32) and (B, 3 * 85, H/16, W/16)."""
        for i in (0, 2, 4, 6):
            x = max_pool2d(self._conv(i, x), 2)
        middle = self._conv(8, x)
        x = self._conv(10, max_pool2d(middle, 2))
        x = max_pool2d(pad(x, (0, 1, 0, 1), value=float("-inf")), 2, stride=1)
        x = self._conv(13, self._conv(12, x))
        coarse = self.layers["15"](self._conv(14, x))
        x = interpolate(self._conv(18, x), scale_factor=2.0)
        fine = self.layers["22"](self._conv(21, torch.cat([x, middle], dim=1)))
        return coarse, fine

    def _conv(self, i: int, x: Tensor) -> Tensor:
        return leaky_relu(self.layers[str(i)](x), 0.1, inplace=True)


def decode(head: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """(B, 3 * 85, h, w) to boxes (B, 3hw, 4) and scores (B, 3hw, 80), rows by anchor, y, x.

    centre = (sigmoid(t_xy) + cell) * stride,  size = exp(t_wh) * anchor,  score = sigmoid(o) * sigmoid(c)
    """
    count, _, height, width = head.shape
    rows = head.view(count, 3, ROW, height, width).permute(0, 1, 3, 4, 2)
    y = torch.arange(height, device=head.device, dtype=head.dtype)
    x = torch.arange(width, device=head.device, dtype=head.dtype)
    cell = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2)
    anchor = torch.tensor(ANCHORS[stride], device=head.device, dtype=head.dtype)[:, None, None]
    centre = (rows[..., :2].sigmoid() + cell) * stride
    half = rows[..., 2:4].exp() * anchor / 2
    boxes = torch.cat([centre - half, centre + half], dim=4)
    scores = rows[..., 4:5].sigmoid() * rows[..., 5:].sigmoid()
    return boxes.reshape(count, -1, 4), scores.reshape(count, -1, CLASSES)


def load_tiny(path: Path) -> YOLOv3Tiny:
    """The network with the weights of a darknet file.

    Raises:
        WeightsError: not a darknet file, or one of another network.
    """
    parts = split(read_darknet(path).floats, _shapes(), f"{path.name} for yolov3_tiny")
    network = YOLOv3Tiny()
    for i in CONVOLUTIONS:
        conv = network.layers[str(i)]
        assert isinstance(conv, nn.Conv2d)
        if i in HEADS:
            fold(conv, parts[f"{i}.conv"], None, 0, parts[f"{i}.bias"])
        else:
            bn = {key: parts[f"{i}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
            fold(conv, parts[f"{i}.conv"], bn, BN_EPS)
    return network.eval()


def _shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the order of the file: beta, gamma, mean, variance, then the weight."""
    shapes: list[tuple[str, tuple[int, ...]]] = []
    for i, (c, o, k) in CONVOLUTIONS.items():
        before = ("bias",) if i in HEADS else ("bias", "weight", "running_mean", "running_var")
        shapes += [(f"{i}.{name}", (o,)) for name in before]
        shapes.append((f"{i}.conv", (o, c, k, k)))
    return shapes


YOLOV3_TINY = ModelSpec(
    kind="detector", family="yolov3_tiny", load=load_tiny, preprocess=Preprocess(), labels=COCO
)
