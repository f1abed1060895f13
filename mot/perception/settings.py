"""What a config says about perception. Needs no torch, so that any config can be read without it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from mot.config import AtLeast, Between, Length
from mot.errors import ConfigError, nearest


@dataclass(frozen=True)
class DetectorConfig:
    """The `detector` block.

    Attributes:
        model: the network that `det_weights` are for.
        input_size: length in pixels of the longer side of the picture that the network sees, or its height
            and width.
        score_threshold: detections at or below are dropped.
        nms_threshold: of two boxes of one class that overlap more (IoU), the one of lower score is dropped.
        max_candidates: boxes of a frame, best first, that reach the suppression.
        classes: names of the classes to track; None tracks all.
        labels: label names of a detection file's classes 0, 1, …; a model brings its own.
    """

    model: str = "yolov3_tiny"
    input_size: Annotated[tuple[Annotated[int, Between(32, 8192)], ...], Length(1, 2)] = (608,)
    score_threshold: Annotated[float, Between(0, 1)] = 0.4
    nms_threshold: Annotated[float, Between(0, 1)] = 0.45
    max_candidates: Annotated[int, AtLeast(1)] = 1000
    classes: Annotated[tuple[str, ...], Length(1)] | None = ("person",)
    labels: Annotated[tuple[str, ...], Length(1)] = ("person",)


@dataclass(frozen=True)
class EmbedderConfig:
    """The `reid` block.

    Attributes:
        model: the network that `reid_weights` are for.
        crop_size: height and width to which every box is cut and resized.
        chunk: crops in one forward pass; always this many (the last chunk is padded), because a network's
            last bits depend on how many there are.
    """

    model: str = "mobilenetv2_stripes"
    crop_size: Annotated[tuple[Annotated[int, Between(32, 8192)], ...], Length(2, 2)] = (192, 96)
    chunk: Annotated[int, Between(1, 1024)] = 8


@dataclass(frozen=True)
class RuntimeConfig:
    """The `runtime` block.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:n`.
        precision: number format of the networks.
        batch: frames in one forward pass; a live source always goes frame by frame.
        threads: CPU threads of the networks; None leaves it to torch.
    """

    device: str = "auto"
    precision: Literal["fp32"] = "fp32"
    batch: Annotated[int, Between(1, 1024)] = 4
    threads: Annotated[int, Between(1, 1024)] | None = None

    def __post_init__(self) -> None:
        """Whether the device exists is seen when something is put on it; how it is spelled, now."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ConfigError(f"device {self.device!r}: expected auto, cpu, cuda or cuda:n")


def label_indices(classes: Sequence[str] | None, names: Sequence[str]) -> list[int]:
    """The indices of the label names `classes`; all of them where `classes` is None.

    Raises:
        ConfigError: a name that the model does not have.
    """
    for name in classes or ():
        if name not in names:
            raise ConfigError(f"detector.classes: unknown {name!r}; {nearest(name, names)}")
    return [i for i, name in enumerate(names) if classes is None or name in classes]
