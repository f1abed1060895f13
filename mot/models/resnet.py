"""ResNet (He et al. 2015, arXiv:1512.03385) as PaddleDetection's ReID networks have it: its layers, and ResNet50.

Official code: PaddleDetection 666f597 (Apache-2.0), ppdet/modeling/reid/resnet.py and resnet_embedding.py. Same
layers, names and numbers, BatchNorm's statistics under torch's names; only the sizes with bottlenecks are here.

The last stage does not shrink (stride 1), for a person is small. The embedding of `resnet50_reid` is the mean
over the last map, through a BatchNorm that scales but does not shift:  v = gamma (mean(x) - mu) / sqrt(var + eps)
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from mot.models.spec import Dialect, ModelSpec

FEATURES = 2048
STEM = 64

# Blocks of the four stages.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Convolution(nn.Module):
    """Convolution, BatchNorm; ReLU where `active`."""

    def __init__(
        self, channels: int, out: int, kernel: int = 1, stride: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self._conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self._batch_norm = nn.BatchNorm2d(out)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        y: Tensor = self._batch_norm(self._conv(x))
        return relu(y, inplace=True) if self.active else y


class Bottleneck(nn.Module):
    """relu(short(x) + 1x1(3x3(1x1(x)))); the stride is the 3x3 convolution's."""

    def __init__(self, channels: int, narrow: int, stride: int, first: bool) -> None:
        super().__init__()
        self.conv0 = Convolution(channels, narrow)
        self.conv1 = Convolution(narrow, narrow, 3, stride)
        self.conv2 = Convolution(narrow, 4 * narrow, active=False)
        self.short = Convolution(channels, 4 * narrow, 1, stride, active=False) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, 4 narrow, H/stride, W/stride)."""
        return relu(self.short(x) + self.conv2(self.conv1(self.conv0(x))), inplace=True)


def resnet(layers: int) -> nn.Sequential:
    """(B, 3, H, W) to (B, 2048, H/16, W/16), for one of `DEPTHS`.

    A stage's blocks are called a, b, c, …, but a, b1, b2, … in the long third stage of ResNet101.
    """
    network = nn.Sequential()
    network.add_module("conv", Convolution(3, STEM, 7, 2))
    network.add_module("pool", nn.MaxPool2d(3, 2, 1))
    channels = STEM
    for stage, depth in enumerate(DEPTHS[layers], start=2):
        narrow = STEM * 2 ** (stage - 2)
        for i in range(depth):
            letter = f"b{i}" if i and stage == 4 and layers > 50 else "abcdef"[i]
            stride = 2 if i == 0 and stage in (3, 4) else 1
            network.add_module(f"res{stage}{letter}", Bottleneck(channels, narrow, stride, i == 0))
            channels = 4 * narrow
    return network


class ResNet50Embedding(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 2048) vectors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.base = resnet(50)
        self.bn = nn.BatchNorm1d(FEATURES)
        self.bn.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        """The equation above, float32."""
        (last,) = self.maps(x)
        vectors: Tensor = self.bn(last.float().mean(dim=(2, 3)).to(x.dtype))
        return vectors.float()

    def maps(self, x: Tensor) -> tuple[Tensor]:
        """The last map, (B, 2048, H/16, W/16)."""
        return (self.base(x),)


# A file of DeepSORT's whole architecture has `reid.` before each name.
PADDLE_NAMES = (
    (r"^reid\.", ""),
    (r"\._mean$", ".running_mean"),
    (r"\._variance$", ".running_var"),
)

RESNET: dict[str, ModelSpec] = {
    "resnet50_reid": ModelSpec(
        kind="reid",
        build=lambda classes: ResNet50Embedding(),
        preprocess="paddle_reid",
        input_size=(192, 64),
        dialects=(
            Dialect(
                "PaddleDetection",
                r"^(reid\.)?base\.res4f\.conv0\._conv\.weight$",
                PADDLE_NAMES,
                unused=("bn.bias",),  # Paddle before 2.5 saved it, though it stays zero
            ),
        ),
        embedding_size=FEATURES,
    )
}
