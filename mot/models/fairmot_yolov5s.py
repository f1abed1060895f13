"""FairMOT (Zhang et al. 2020, arXiv:2004.01888) on a small YOLOv5 with a feature pyramid down to stride 4.

Official code: ifzhang/FairMOT, `yolo.py` and `yolov5s.yaml`. There is no paper on YOLOv5; its blocks go back to
CSPNet (Wang et al. 2019, arXiv:1911.11929) and spatial pyramid pooling (He et al. 2014, arXiv:1406.4729). Same
here: every BatchNorm divides by sqrt(var + 1e-3), which no file says. What differs: pooling over 9 and over 13
cells is pooling over 5 again and again, which is equal and cheaper.

Checked against the official outputs in `tests/models/test_fairmot_yolov5s.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, silu

from mot.models.centres import LTRB, REG, Maps, classes, decode, head
from mot.models.spec import Dialect, Joint, ModelSpec

BN_EPS = 1e-3  # `initialize_weights` of the official code
HEAD = 64  # its heads are as wide as the map, whatever `--head_conv` says
EMBEDDING = 64  # `--reid_dim` of the official experiments with it


class Conv(nn.Module):
    """Convolution that keeps the size (at stride 1), BatchNorm, SiLU."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        return silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """1x1, then 3x3; `shortcut` adds what came in."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        y: Tensor = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Half of the channels go through `count` bottlenecks, half go past them."""

    def __init__(self, channels: int, out: int, count: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        half = out // 2
        self.cv1 = Conv(channels, half)
        self.cv2 = Conv(channels, half)
        self.cv3 = Conv(2 * half, out)
        self.m = nn.Sequential(*[Bottleneck(half, shortcut) for _ in range(count)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        y: Tensor = self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], dim=1))
        return y


class Focus(nn.Module):
    """Every 2x2 pixels become one of four times the channels: top left, bottom left, top right, bottom right."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = Conv(4 * channels, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/2, W/2)."""
        y: Tensor = self.conv(torch.cat([x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], dim=1))
        return y


class SPP(nn.Module):
    """Each cell beside the maxima of the 5x5, 9x9 and 13x13 cells around it."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels // 2)
        self.cv2 = Conv(2 * channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        levels = [self.cv1(x)]
        for _ in range(3):
            levels.append(max_pool2d(levels[-1], 5, stride=1, padding=2))
        y: Tensor = self.cv2(torch.cat(levels, dim=1))
        return y


class YOLOv5s(nn.Module):
    """(B, 3, H, W) to (B, 64, H/4, W/4)."""

    def __init__(self) -> None:
        super().__init__()
        # by the numbers of the official yaml, whose other rows (upsampling, joining) have no weights
        self.model = nn.ModuleDict(
            {
                "0": Focus(3, 32),
                "1": Conv(32, 64, 3, 2),
                "2": C3(64, 64, 1, shortcut=True),
                "3": Conv(64, 128, 3, 2),
                "4": C3(128, 128, 3, shortcut=True),
                "5": Conv(128, 256, 3, 2),
                "6": C3(256, 256, 3, shortcut=True),
                "7": Conv(256, 512, 3, 2),
                "8": SPP(512, 512),
                "9": C3(512, 512),
                "10": Conv(512, 256),
                "13": C3(512, 256),
                "14": Conv(256, 128),
                "17": C3(256, 128),
                "18": Conv(128, 64),
                "21": C3(128, 64),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Down to stride 32, and back up past the maps of strides 16, 8 and 4."""
        stride4 = self._run(x, "0", "1", "2")
        stride8 = self._run(stride4, "3", "4")
        stride16 = self._run(stride8, "5", "6")
        x = self._run(stride16, "7", "8", "9", "10")
        x = self._run(_join(x, stride16), "13", "14")
        x = self._run(_join(x, stride8), "17", "18")
        return self._run(_join(x, stride4), "21")

    def _run(self, x: Tensor, *rows: str) -> Tensor:
        for row in rows:
            x = self.model[row](x)
        return x


def _join(coarse: Tensor, fine: Tensor) -> Tensor:
    return torch.cat([interpolate(coarse, scale_factor=2.0, mode="nearest"), fine], dim=1)


class FairMOTYOLOv5s(nn.Module):
    """(B, 3, H, W) RGB in 0..1, H and W multiples of 32, to `Joint`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.backbone = YOLOv5s()
        self.hm = head(64, HEAD, count, nn.SiLU())
        self.wh = head(64, HEAD, LTRB, nn.SiLU())
        self.reg = head(64, HEAD, REG, nn.SiLU())
        self.id = head(64, HEAD, EMBEDDING, nn.SiLU())

    def forward(self, x: Tensor) -> Joint:
        """The best 500 peaks."""
        return decode(self.maps(x))

    def maps(self, x: Tensor) -> Maps:
        """`hm` (B, C, H/4, W/4), `wh` (B, 4, ...), `reg` (B, 2, ...) and `id` (B, 64, ...), raw."""
        x = self.backbone(x)
        return self.hm(x), self.wh(x), self.reg(x), self.id(x)


OFFICIAL = Dialect(name="FairMOT", mark=r"backbone\.model\.0\.conv\.conv\.weight")

FAIRMOT_YOLOV5S = {
    "fairmot_yolov5s": ModelSpec(
        kind="joint",
        build=FairMOTYOLOv5s,
        preprocess="fairmot",
        input_size=(608, 1088),
        dialects=(OFFICIAL,),
        classes=classes,
        embedding_size=EMBEDDING,
    )
}
