"""What has to be known of a network besides its layers: how pictures go in, and what its classes are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the network's input, exactly as it was trained.

    Attributes:
        colour: order of the channels.
        mean: subtracted from each channel after it is divided by 255.
        std: divides each channel after that.
        pad: grey value (0..255) around a letterboxed picture.
        centred: whether the picture lies in the middle of its canvas or at the top left.
        stride: height and width of the canvas are multiples of this.
    """

    colour: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: int = 128
    centred: bool = True
    stride: int = 32


IMAGENET = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class ModelSpec:
    """A row of `MODELS`.

    Attributes:
        kind: a detector gives `(boxes (B, A, 4) xyxy in input pixels, scores (B, A, C))`, a reid network
            `(B, E)` vectors.
        family: networks of one family load the same weights; the manifest's `model`.
        load: makes the network from a weights file, BatchNorm folded, ready for inference.
        preprocess: how pictures go in.
        labels: names of a detector's classes.
        embedding_size: E of a reid network.
    """

    kind: Literal["detector", "reid"]
    family: str
    load: Callable[[Path], nn.Module]
    preprocess: Preprocess
    labels: tuple[str, ...] = ()
    embedding_size: int = 0
