"""YOLOX (Ge et al. 2021, arXiv:2107.08430): nano, tiny, s, m, l, x; Megvii's, ByteTrack's and others' weights.

Official code: Megvii-BaseDetection/YOLOX, `yolox/models`. The network and the names of its tensors are the same
here, and so is what it computes; `tests/models/test_yolox.py` shows it. What is easily got wrong:

- BatchNorm divides by sqrt(var + 1e-3), which no file says;
- the input's 2x2 pixels become channels in the order top left, bottom left, top right, bottom right;
- centres count from the corner of their cell, not from its middle.

No file says which of two pre-processings it was trained with: `yolox` of `PREPROCESS` is meant, unless the manifest
or the config says `yolox_legacy` (storage 0.0.1 of YOLOX, and all of ByteTrack).

PaddleDetection's networks have rows of their own (`…_paddle`): other pre-processing, one convolution for box and
object, and scores that are the square roots of those above, so that its thresholds mean something else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, silu

from mot.models.spec import Dialect, ModelSpec, Shape

BN_EPS = 1e-3  # set by the experiment files of the official code
STRIDES = (8, 16, 32)
POOLS = (5, 9, 13)
CHANNELS = (64, 128, 256, 512, 1024)  # at strides 2, 4, 8, 16, 32, times width
BLOCKS = 3  # times depth

# Depth, width, depthwise: exps/default of the official code.
SIZES = {
    "yolox_nano": (0.33, 0.25, True),
    "yolox_tiny": (0.33, 0.375, False),
    "yolox_s": (0.33, 0.50, False),
    "yolox_m": (0.67, 0.75, False),
    "yolox_l": (1.00, 1.00, False),
    "yolox_x": (1.33, 1.25, False),
}


class Conv(nn.Module):
    """Convolution that keeps the size (but for its stride), BatchNorm, SiLU."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        return silu(self.bn(self.conv(x)), inplace=True)


def conv3(channels: int, out: int, stride: int, depthwise: bool) -> nn.Module:
    """A 3x3 convolution; where `depthwise`, each channel is filtered alone, then they are mixed by 1x1."""
    if not depthwise:
        return Conv(channels, out, 3, stride)
    each, mixed = Conv(channels, channels, 3, stride, groups=channels), Conv(channels, out, 1)
    return nn.Sequential(OrderedDict(dconv=each, pconv=mixed))


class Bottleneck(nn.Module):
    """1x1, then 3x3; added to its input where `shortcut`."""

    def __init__(self, channels: int, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels, 1)
        self.conv2 = conv3(channels, channels, 1, depthwise)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class CSPLayer(nn.Module):
    """Cross-stage partial: half of the channels through the bottlenecks, half past them."""

    def __init__(self, channels: int, out: int, count: int, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        half = out // 2
        self.conv1 = Conv(channels, half, 1)
        self.conv2 = Conv(channels, half, 1)
        self.conv3 = Conv(2 * half, out, 1)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut, depthwise) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        y: Tensor = self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], dim=1))
        return y


class SPP(nn.Module):
    """Spatial pyramid pooling: the map beside its maxima over ever larger squares."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = Conv(channels, half, 1)
        self.conv2 = Conv(half * (1 + len(POOLS)), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        x = self.conv1(x)
        y: Tensor = self.conv2(torch.cat([x] + [max_pool2d(x, k, 1, k // 2) for k in POOLS], dim=1))
        return y


class Darknet(nn.Module):
    """(B, 3, H, W) to maps at strides 8, 16, 32."""

    def __init__(self, channels: Sequence[int], count: int, depthwise: bool) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = channels
        self.stem = nn.Sequential(OrderedDict(conv=Conv(4 * 3, c2, 3)))
        self.dark2 = _stage(c2, c4, count, depthwise)
        self.dark3 = _stage(c4, c8, 3 * count, depthwise)
        self.dark4 = _stage(c8, c16, 3 * count, depthwise)
        last = CSPLayer(c32, c32, count, shortcut=False, depthwise=depthwise)
        self.dark5 = nn.Sequential(conv3(c16, c32, 2, depthwise), SPP(c32), last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of c8, c16, c32 channels."""
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        fine = self.dark3(self.dark2(self.stem(torch.cat(corners, dim=1))))
        middle = self.dark4(fine)
        return fine, middle, self.dark5(middle)


def _stage(channels: int, out: int, count: int, depthwise: bool) -> nn.Sequential:
    return nn.Sequential(
        conv3(channels, out, 2, depthwise), CSPLayer(out, out, count, shortcut=True, depthwise=depthwise)
    )


class Pyramid(nn.Module):
    """Darknet, then its maps joined from coarse to fine and back (a path aggregation network)."""

    def __init__(self, channels: Sequence[int], count: int, depthwise: bool) -> None:
        super().__init__()
        _, _, c8, c16, c32 = channels
        join = partial(CSPLayer, count=count, shortcut=False, depthwise=depthwise)
        self.backbone = Darknet(channels, count, depthwise)
        self.lateral_conv0 = Conv(c32, c16, 1)
        self.C3_p4 = join(2 * c16, c16)
        self.reduce_conv1 = Conv(c16, c8, 1)
        self.C3_p3 = join(2 * c8, c8)
        self.bu_conv2 = conv3(c8, c8, 2, depthwise)
        self.C3_n3 = join(2 * c8, c16)
        self.bu_conv1 = conv3(c16, c16, 2, depthwise)
        self.C3_n4 = join(2 * c16, c32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to maps of c8, c16, c32 channels at strides 8, 16, 32."""
        fine, middle, coarse = self.backbone(x)
        coarse = self.lateral_conv0(coarse)
        middle = self.reduce_conv1(self.C3_p4(torch.cat([_twice(coarse), middle], dim=1)))
        fine = self.C3_p3(torch.cat([_twice(middle), fine], dim=1))
        middle = self.C3_n3(torch.cat([self.bu_conv2(fine), middle], dim=1))
        coarse = self.C3_n4(torch.cat([self.bu_conv1(middle), coarse], dim=1))
        return fine, middle, coarse


def _twice(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0)


class Head(nn.Module):
    """Of each map its own: a branch for the class, one for box and object, which `paddle` joins in `reg_preds`."""

    def __init__(
        self, channels: Sequence[int], width: int, depthwise: bool, classes: int, paddle: bool
    ) -> None:
        super().__init__()

        def branch() -> nn.Sequential:
            return nn.Sequential(*(conv3(width, width, 1, depthwise) for _ in range(2)))

        self.cls_convs = nn.ModuleList(branch() for _ in channels)
        self.reg_convs = nn.ModuleList(branch() for _ in channels)
        self.cls_preds = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in channels)
        self.reg_preds = nn.ModuleList(nn.Conv2d(width, 5 if paddle else 4, 1) for _ in channels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels if not paddle)
        self.stems = nn.ModuleList(Conv(c, width, 1) for c in channels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """To (B, 4 + 1 + classes, h, w) each."""
        return tuple(self._level(i, x) for i, x in enumerate(maps))

    def _level(self, i: int, x: Tensor) -> Tensor:
        x = self.stems[i](x)
        box, kind = self.reg_convs[i](x), self.cls_convs[i](x)
        branches = ((self.reg_preds, box), (self.obj_preds, box), (self.cls_preds, kind))
        return torch.cat([preds[i](y) for preds, y in branches if len(preds)], dim=1)


class Network(nn.Module):
    """(B, 3, H, W), H and W multiples of 32, to boxes (B, A, 4) and scores (B, A, classes)."""

    def __init__(self, depth: float, width: float, depthwise: bool, paddle: bool, classes: int) -> None:
        super().__init__()
        channels, count = [int(c * width) for c in CHANNELS], round(BLOCKS * depth)
        self.backbone = Pyramid(channels, count, depthwise)
        self.head = Head(channels[2:], channels[2], depthwise, classes, paddle)
        self.paddle = paddle

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes as xyxy in input pixels, and their scores, see `decode`."""
        boxes, scores = decode(self.maps(x))
        return boxes, scores.sqrt() if self.paddle else scores

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The raw heads at strides 8, 16, 32: (B, 4 + 1 + classes, h, w), before any sigmoid."""
        maps: tuple[Tensor, ...] = self.head(self.backbone(x))
        return maps


def decode(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Raw heads to boxes (B, A, 4) and scores (B, A, classes), float32, rows by stride, y, x.

    score = sigmoid(object) * sigmoid(class); boxes as in `place`
    """
    sizes = [(x.shape[2], x.shape[3]) for x in maps]
    rows = torch.cat([x.float().flatten(2) for x in maps], dim=2).transpose(1, 2)
    return place(rows[..., :4], sizes), rows[..., 4:5].sigmoid() * rows[..., 5:].sigmoid()


def place(offsets: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The network's offsets (B, A, 4) to boxes (B, A, 4) xyxy in input pixels; for `sizes` see `grid`.

    centre = (t_xy + cell) * stride,  size = exp(t_wh) * stride
    """
    cell, stride = grid(sizes, offsets)
    centre = (offsets[..., :2] + cell) * stride
    half = offsets[..., 2:].exp() * stride / 2
    return torch.cat([centre - half, centre + half], dim=2)


def grid(sizes: Sequence[tuple[int, int]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row (A, 2), and stride (A, 1) in pixels, of every cell; by stride, y, x.

    Args:
        sizes: height and width in cells of the maps, the one of stride 8 first, each next of twice the stride.
        like: the result has its type and device.
    """
    cells, strides = [], []
    for level, (height, width) in enumerate(sizes):
        y = torch.arange(height, device=like.device, dtype=like.dtype)
        x = torch.arange(width, device=like.device, dtype=like.dtype)
        both = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=2)
        cells.append(both.reshape(-1, 2))
        strides.append(torch.full_like(cells[-1][:, :1], STRIDES[0] * 2**level))
    return torch.cat(cells), torch.cat(strides)


OFFICIAL = Dialect(name="YOLOX", mark=r"^head\.cls_preds\.0\.weight$")

# mmdet/models: backbones/csp_darknet.py, necks/yolox_pafpn.py, dense_heads/yolox_head.py. mmtracking's files have
# `detector.` before each name; files that were not published keep a second, worse set (`ema_…`: on saving, the
# averaged weights are swapped into the first).
OPENMMLAB = Dialect(
    name="OpenMMLab",
    preprocess="mmdet_yolox",
    mark=r"^(detector\.)?bbox_head\.multi_level_conv_cls\.0\.weight$",
    rename=(
        (r"^detector\.", ""),
        (r"^backbone\.", "backbone.backbone."),
        (r"\.stage1\.", ".dark2."),
        (r"\.stage2\.", ".dark3."),
        (r"\.stage3\.", ".dark4."),
        (r"\.stage4\.", ".dark5."),
        (r"^neck\.reduce_layers\.0\.", "backbone.lateral_conv0."),
        (r"^neck\.reduce_layers\.1\.", "backbone.reduce_conv1."),
        (r"^neck\.top_down_blocks\.0\.", "backbone.C3_p4."),
        (r"^neck\.top_down_blocks\.1\.", "backbone.C3_p3."),
        (r"^neck\.downsamples\.0\.", "backbone.bu_conv2."),
        (r"^neck\.downsamples\.1\.", "backbone.bu_conv1."),
        (r"^neck\.bottom_up_blocks\.0\.", "backbone.C3_n3."),
        (r"^neck\.bottom_up_blocks\.1\.", "backbone.C3_n4."),
        (r"^neck\.out_convs\.", "head.stems."),
        (r"^bbox_head\.multi_level_(cls|reg)_convs\.", r"head.\1_convs."),
        (r"^bbox_head\.multi_level_conv_(cls|reg|obj)\.", r"head.\1_preds."),
        (r"\.main_conv\.", ".conv1."),
        (r"\.short_conv\.", ".conv2."),
        (r"\.final_conv\.", ".conv3."),
        (r"\.blocks\.", ".m."),
        (r"\.depthwise_conv\.", ".dconv."),
        (r"\.pointwise_conv\.", ".pconv."),
    ),
    unused=("ema_*",),
)

# ppdet/modeling: backbones/csp_darknet.py, necks/yolo_fpn.py (YOLOCSPPAN), heads/yolo_head.py (YOLOXHead); its
# trainer and tracker set the same BN_EPS.
PADDLE = Dialect(
    name="PaddleDetection",
    mark=r"^(detector\.)?head\.conv_reg\.0\.2\.weight$",
    rename=(
        (r"^detector\.", ""),
        (r"\._mean$", ".running_mean"),
        (r"\._variance$", ".running_var"),
        (r"^backbone\.", "backbone.backbone."),
        (r"\.layers\d\.stage1\.", ".dark2."),
        (r"\.layers\d\.stage2\.", ".dark3."),
        (r"\.layers\d\.stage3\.", ".dark4."),
        (r"\.layers\d\.stage4\.", ".dark5."),
        (r"\.dark5\.csp_layer\.", ".dark5.2."),
        (r"\.conv_layer\.", ".0."),
        (r"\.(spp|csp)_layer\.", ".1."),
        (r"^neck\.lateral_convs\.0\.", "backbone.lateral_conv0."),
        (r"^neck\.lateral_convs\.1\.", "backbone.reduce_conv1."),
        (r"^neck\.fpn_blocks\.0\.", "backbone.C3_p4."),
        (r"^neck\.fpn_blocks\.1\.", "backbone.C3_p3."),
        (r"^neck\.downsample_convs\.0\.", "backbone.bu_conv2."),
        (r"^neck\.downsample_convs\.1\.", "backbone.bu_conv1."),
        (r"^neck\.pan_blocks\.0\.", "backbone.C3_n3."),
        (r"^neck\.pan_blocks\.1\.", "backbone.C3_n4."),
        (r"^head\.stem_conv\.", "head.stems."),
        (r"^head\.conv_(cls|reg)\.(\d)\.2\.", r"head.\1_preds.\2."),
        (r"^head\.conv_(cls|reg)\.", r"head.\1_convs."),
        (r"\.bottlenecks\.", ".m."),
        (r"\.dw_conv\.", ".dconv."),
        (r"\.pw_conv\.", ".pconv."),
    ),
)


def classes(shapes: Mapping[str, Shape]) -> int:
    """How many classes a file was trained for."""
    return shapes["head.cls_preds.0.weight"][0]


def _row(name: str, preprocess: str, *dialects: Dialect, paddle: bool = False) -> ModelSpec:
    small = name in ("yolox_nano", "yolox_tiny")
    return ModelSpec(
        kind="detector",
        build=partial(Network, *SIZES[name], paddle),
        preprocess=preprocess,
        input_size=(416, 416) if small else (640, 640),
        dialects=dialects,
        classes=classes,
    )


YOLOX: dict[str, ModelSpec] = {
    **{name: _row(name, "yolox", OFFICIAL, OPENMMLAB) for name in SIZES},
    **{f"{name}_paddle": _row(name, "paddle_yolox", PADDLE, paddle=True) for name in SIZES},
}
