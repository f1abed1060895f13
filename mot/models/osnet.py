"""OSNet (Zhou et al. 2019, arXiv:1905.00953) and OSNet-AIN (arXiv:1910.06827): embeddings of people, 512-d.

Official code: torchreid (github.com/KaiyangZhou/deep-person-reid, MIT, commit f8cd150), models/osnet.py and
models/osnet_ain.py. Same layers, names and numbers; what differs: inference only, so without the classifier, and
the streams of a block are named in one table instead of being two classes.

A block looks at its input through four streams, of one to four 3x3 convolutions; one gate, shared by all four,
weighs the channels of each before they are added:

    y = relu(shortcut(x) + conv3(sum_t gate(stream_t(conv1(x)))))

Instance normalisation (over each picture and channel on its own) takes out a camera's colours: `ibn` normalises
the sum above in the first stage, `ain` the branch before it is added, in blocks that a search has chosen.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from mot.models.spec import Dialect, ModelSpec

Variant = Literal["plain", "ibn", "ain"]
Place = Literal["none", "sum", "branch"]

FEATURES = 512
REDUCTION = 4  # a block's streams have a quarter of its channels
GATE_REDUCTION = 16

CHANNELS = {
    "x0_25": (16, 64, 96, 128),
    "x0_5": (32, 128, 192, 256),
    "x0_75": (48, 192, 288, 384),
    "x1_0": (64, 256, 384, 512),
}

# Where the two blocks of the stages conv2, conv3, conv4 normalise instances.
PLACES: dict[Variant, tuple[tuple[Place, Place], ...]] = {
    "plain": (("none", "none"),) * 3,
    "ibn": (("sum", "sum"), ("none", "none"), ("none", "none")),
    "ain": (("branch", "branch"), ("none", "branch"), ("branch", "none")),
}

# What the official code calls the streams of a block, and the stages after the first. `ain` has the shrinking
# 1x1 convolutions as stages of their own.
STREAMS = ("conv2a", "conv2b", "conv2c", "conv2d")
STREAMS_AIN = ("conv2.0.layers", "conv2.1.layers", "conv2.2.layers", "conv2.3.layers")
STAGES = ("conv2", "conv3", "conv4", "conv5")
STAGES_AIN = ("conv2", "pool2", "conv3", "pool3", "conv4", "conv5")


class Convolution(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self, channels: int, out: int, kernel: int = 1, stride: int = 1, instance: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.InstanceNorm2d(out, affine=True) if instance else nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        return relu(self.bn(self.conv(x)), inplace=True)


class Linear(nn.Module):
    """1x1 convolution without a non-linearity; BatchNorm where `norm`."""

    def __init__(self, channels: int, out: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.bn = nn.BatchNorm2d(out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        y: Tensor = self.bn(self.conv(x))
        return y


class Light(nn.Module):
    """A 3x3 convolution in two: 1x1 across the channels, then 3x3 within each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return relu(self.bn(self.conv2(self.conv1(x))), inplace=True)


class Gate(nn.Module):
    """x * sigmoid(fc2(relu(fc1(mean(x))))): a weight for every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        weight: Tensor = self.fc2(relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        return x * weight.sigmoid()


class Block(nn.Module):
    """The omni-scale block above."""

    def __init__(self, channels: int, out: int, place: Place, ain: bool) -> None:
        super().__init__()
        middle = out // REDUCTION
        self.place = place
        self.conv1 = Convolution(channels, middle)
        streams = [nn.Sequential(*(Light(middle) for _ in range(depth))) for depth in (1, 2, 3, 4)]
        self.names = STREAMS_AIN if ain else STREAMS
        if ain:
            self.conv2 = nn.ModuleList(nn.ModuleDict({"layers": stream}) for stream in streams)
        else:
            for name, stream in zip(STREAMS, (streams[0][0], *streams[1:]), strict=True):
                self.add_module(name, stream)
        self.gate = Gate(middle)
        self.conv3 = Linear(middle, out, norm=place != "branch")
        self.downsample = Linear(channels, out) if channels != out else nn.Identity()
        if place != "none":
            self.IN = nn.InstanceNorm2d(out, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        narrow = self.conv1(x)
        first, *others = (self.gate(self.get_submodule(name)(narrow)) for name in self.names)
        y = self.conv3(sum(others, start=first))
        if self.place == "branch":
            y = self.IN(y)
        y = y + self.downsample(x)
        if self.place == "sum":
            y = self.IN(y)
        return relu(y, inplace=True)


class OSNet(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, to (B, 512) vectors, not normalised."""

    def __init__(self, channels: tuple[int, int, int, int], variant: Variant) -> None:
        super().__init__()
        ain = variant == "ain"
        self.stages = STAGES_AIN if ain else STAGES
        first, *stages = channels
        self.conv1 = Convolution(3, first, 7, 2, instance=variant != "plain")
        for number, places, out in zip((2, 3, 4), PLACES[variant], stages, strict=True):
            stage = nn.Sequential(Block(first, out, places[0], ain), Block(out, out, places[1], ain))
            self.add_module(f"conv{number}", stage)
            if number < 4:
                pool = nn.Sequential(Convolution(out, out), nn.AvgPool2d(2))
                self.add_module(f"pool{number}", pool) if ain else stage.append(pool)
            first = out
        self.conv5 = Convolution(first, first)
        self.fc = nn.Sequential(nn.Linear(first, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """relu(bn(fc(mean over the last map))), float32."""
        (last,) = self.maps(x)
        mean = last.float().mean(dim=(2, 3))
        vectors: Tensor = self.fc(mean.to(x.dtype))
        return vectors.float()

    def maps(self, x: Tensor) -> tuple[Tensor]:
        """The last map, (B, channels, H/16, W/16)."""
        x = max_pool2d(self.conv1(x), 3, 2, 1)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return (x,)


def _row(size: str, variant: Variant) -> ModelSpec:
    stream = r"conv2\.0\.layers\.0" if variant == "ain" else "conv2a"
    dialect = Dialect("torchreid", rf"^conv2\.0\.{stream}\.conv1\.weight$", unused=("classifier.*",))
    return ModelSpec(
        kind="reid",
        build=lambda classes: OSNet(CHANNELS[size], variant),
        preprocess="torchreid",
        input_size=(256, 128),
        dialects=(dialect,),
        embedding_size=FEATURES,
    )


OSNET: dict[str, ModelSpec] = {
    "osnet_x0_25": _row("x0_25", "plain"),
    "osnet_x0_5": _row("x0_5", "plain"),
    "osnet_x0_75": _row("x0_75", "plain"),
    "osnet_x1_0": _row("x1_0", "plain"),
    "osnet_ibn_x1_0": _row("x1_0", "ibn"),
    "osnet_ain_x0_25": _row("x0_25", "ain"),
    "osnet_ain_x0_5": _row("x0_5", "ain"),
    "osnet_ain_x0_75": _row("x0_75", "ain"),
    "osnet_ain_x1_0": _row("x1_0", "ain"),
}
