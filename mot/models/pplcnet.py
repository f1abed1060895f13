"""PP-LCNet x2.5 (Cui et al. 2021, arXiv:2109.15099) as an embedder of people or vehicles, 512-d.

Official code: PaddleDetection 666f597 (Apache-2.0), ppdet/modeling/reid/pplcnet_embedding.py. Same layers, names
and numbers, BatchNorm's statistics under torch's names, the widths written out. It is not ppdet's backbone LCNet:
the mean of the last map goes through one more convolution, and a linear layer makes the embedding:

    v = fc(hardswish(last_conv(mean(x))))
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import hardsigmoid, hardswish, relu

from mot.models.resnet import PADDLE_NAMES
from mot.models.spec import Dialect, ModelSpec

FEATURES = 512
STEM, WIDE = 40, 1280
SQUEEZE = 4

# The paper's table 1, 2.5 times as wide: kernel, channels out, stride, squeeze-and-excitation.
STAGES = {
    "blocks2": ((3, 80, 1, False),),
    "blocks3": ((3, 160, 2, False), (3, 160, 1, False)),
    "blocks4": ((3, 320, 2, False), (3, 320, 1, False)),
    "blocks5": ((3, 640, 2, False), *[(5, 640, 1, False)] * 5),
    "blocks6": ((5, 1280, 2, True), (5, 1280, 1, True)),
}


class Convolution(nn.Module):
    """Convolution, BatchNorm, hard swish."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        return hardswish(self.bn(self.conv(x)))


class Squeeze(nn.Module):
    """x * hardsigmoid(conv2(relu(conv1(mean(x))))): a weight for every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.conv2 = nn.Conv2d(channels // SQUEEZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return x * hardsigmoid(self.conv2(relu(self.conv1(x.mean(dim=(2, 3), keepdim=True)))))


class Block(nn.Module):
    """A convolution within each channel, then one across them."""

    def __init__(self, channels: int, kernel: int, out: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        self.dw_conv = Convolution(channels, channels, kernel, stride, groups=channels)
        self.se = Squeeze(channels) if squeeze else nn.Identity()
        self.pw_conv = Convolution(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        y: Tensor = self.pw_conv(self.se(self.dw_conv(x)))
        return y


class PPLCNet(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 512) vectors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"conv1": Convolution(3, STEM, 3, 2)})
        channels = STEM
        for name, rows in STAGES.items():
            stage = nn.Sequential()
            for kernel, out, stride, squeeze in rows:
                stage.append(Block(channels, kernel, out, stride, squeeze))
                channels = out
            self.backbone[name] = stage
        self.backbone["last_conv"] = nn.Conv2d(channels, WIDE, 1, bias=False)
        self.neck = nn.ModuleDict({"fc": nn.Linear(WIDE, FEATURES)})

    def forward(self, x: Tensor) -> Tensor:
        """The equation above, float32."""
        (last,) = self.maps(x)
        mean = last.float().mean(dim=(2, 3), keepdim=True)
        wide = hardswish(self.backbone["last_conv"](mean.to(x.dtype)))
        vectors: Tensor = self.neck["fc"](wide.flatten(1))
        return vectors.float()

    def maps(self, x: Tensor) -> tuple[Tensor]:
        """The last map, (B, 1280, H/32, W/32)."""
        for name in ("conv1", *STAGES):
            x = self.backbone[name](x)
        return (x,)


PPLCNET: dict[str, ModelSpec] = {
    "pplcnet": ModelSpec(
        kind="reid",
        build=lambda classes: PPLCNet(),
        preprocess="paddle_reid",
        input_size=(192, 64),
        dialects=(
            Dialect(
                "PaddleDetection",
                r"^(reid\.)?backbone\.last_conv\.weight$",
                PADDLE_NAMES,
                transposed=("neck.fc.weight",),
            ),
        ),
        embedding_size=FEATURES,
    )
}
