"""How a picture becomes the input of each family of networks, exactly as it was trained: data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from mot.config import AtLeast, Between, Length
from mot.errors import ConfigError

Triple = Annotated[tuple[float, ...], Length(3, 3)]
Positive = Annotated[tuple[Annotated[float, AtLeast(1e-6)], ...], Length(3, 3)]


@dataclass(frozen=True)
class Preprocess:
    """The way of a picture (for a detector) or of a cut-out box (for a ReID network) into the network.

    Attributes:
        colour: order of the channels.
        scale: pixels, 0..255, are divided by this first.
        mean: then subtracted from each channel.
        std: divides each channel after that.
        fit: a picture keeps its aspect and lies in the `centre` of the canvas or in its top left `corner`, or it is
            `stretch`ed to fill it. Cut-out boxes are always stretched.
        pad: grey value (0..255) around the picture.
        rounding: of the sides of the picture on the canvas: to the `nearest` pixel or `down`.
        interpolation: `linear`; `cubic`; `area`: the mean of the pixels that a shrunken one covers; `antialias`:
            linear, with its triangle widened where it shrinks (as Pillow does).
        inverse: boxes go back by where the picture lies on the canvas to the pixel (`placed`), or by the one scale
            that was asked for, before it was rounded, about the picture's centre or corner (`ideal`).
        clip: whether coordinates of boxes that lie left of the picture or above it become 0.
        stride: height and width of the canvas are multiples of this.
        transposed: cut-out boxes lie on their side: the picture's x runs down the network's input.
    """

    colour: Literal["rgb", "bgr"] = "rgb"
    scale: Annotated[float, AtLeast(1e-6)] = 255.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Positive = (1.0, 1.0, 1.0)
    fit: Literal["centre", "corner", "stretch"] = "centre"
    pad: Annotated[int, Between(0, 255)] = 128
    rounding: Literal["nearest", "down"] = "nearest"
    interpolation: Literal["linear", "area", "cubic", "antialias"] = "linear"
    inverse: Literal["placed", "ideal"] = "placed"
    clip: bool = False
    stride: Annotated[int, Between(1, 256)] = 32
    transposed: bool = False

    def __post_init__(self) -> None:
        """A stretched picture has two scales, and so no ideal one."""
        if self.fit == "stretch" and self.inverse == "ideal":
            raise ConfigError("preprocess: fit stretch goes back by inverse placed, not ideal")


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PREPROCESS: dict[str, Preprocess] = {
    "darknet": Preprocess(),
    "imagenet": Preprocess(mean=_MEAN, std=_STD),
    "torchreid": Preprocess(mean=_MEAN, std=_STD, interpolation="antialias"),
    "jde": Preprocess(interpolation="area", inverse="ideal", clip=True),
    "fairmot": Preprocess(interpolation="area", inverse="ideal"),
    "yolox": Preprocess(colour="bgr", scale=1.0, fit="corner", pad=114, rounding="down", inverse="ideal"),
    # YOLOX before 0.1.1, and everything of ByteTrack
    "yolox_legacy": Preprocess(mean=_MEAN, std=_STD, fit="corner", pad=114, rounding="down", inverse="ideal"),
    "mmdet_yolox": Preprocess(colour="bgr", scale=1.0, fit="corner", pad=114),
    "paddle_yolox": Preprocess(scale=1.0, fit="corner", pad=114, inverse="ideal"),
    # PaddleDetection then rounds JDE's boxes to whole pixels, which is not done here
    "paddle_jde": Preprocess(interpolation="area", clip=True),
    "paddle_fairmot": Preprocess(interpolation="area"),
    "paddle_yolov3": Preprocess(mean=_MEAN, std=_STD, fit="stretch", interpolation="cubic"),
    "paddle_reid": Preprocess(mean=_MEAN, std=_STD, transposed=True),
    "openvino": Preprocess(colour="bgr", scale=1.0, fit="stretch", stride=1),
}

# Files of one network, with the same names and shapes, that want another preset: only who trained them can say.
TWINS = {"yolox": "yolox_legacy for ByteTrack and for YOLOX before 0.1.1: the file does not say which"}
