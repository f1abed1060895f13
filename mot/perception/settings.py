"""What a config says about perception. Needs no torch, so that any config can be read without it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from mot.config import AtLeast, Between, Length
from mot.errors import ConfigError, nearest
from mot.formats.mot_text import ScoreMap
from mot.models.inputs import PREPROCESS, Preprocess


@dataclass(frozen=True)
class DetectorConfig:
    """The `detector` block; a joint network is described here too.

    Attributes:
        model: the network that the weights are for, `onnx` or `openvino`; `auto`: as the file says.
        input_size: length in pixels of the longer side of the picture that the network sees, or its height
            and width; None: as the network was trained.
        head: what an exported network's outputs mean.
        decoded: whether an exported network gives boxes in pixels already.
        preprocess: how pictures go in: a preset's name, or fields that change `darknet`; None: as the network was
            trained.
        score_threshold: detections at or below are dropped.
        nms_threshold: of two boxes of one class that overlap more (IoU), the one of lower score is dropped.
        max_candidates: boxes of a frame, best first, that reach the suppression.
        classes: names of the classes to track; None tracks all.
        labels: label names of the classes 0, 1, … of a detection file or of a network of the user's own; public
            networks bring theirs; `coco` alone stands for COCO's 80.
        score_map: how a detection file's scores come into 0..1; None: they must be there.
    """

    model: str = "auto"
    input_size: Annotated[tuple[Annotated[int, Between(32, 8192)], ...], Length(1, 2)] | None = None
    head: Literal["yolox", "yolov8", "detr", "ssd"] | None = None
    decoded: bool = False
    preprocess: str | Preprocess | None = None
    score_threshold: Annotated[float, Between(0, 1)] = 0.4
    nms_threshold: Annotated[float, Between(0, 1)] = 0.45
    max_candidates: Annotated[int, AtLeast(1)] = 1000
    classes: Annotated[tuple[str, ...], Length(1)] | None = ("person",)
    labels: Annotated[tuple[str, ...], Length(1)] = ("person",)
    score_map: ScoreMap | None = None


@dataclass(frozen=True)
class EmbedderConfig:
    """The `reid` block.

    Attributes:
        model: the network that `reid_weights` are for, `onnx` or `openvino`; `auto`: as the file says.
        crop_size: height and width to which every box is cut and resized; None: as the network was trained.
        preprocess: how cut-out boxes go in: a preset's name, or its fields; None: as the network was trained.
        chunk: crops in one forward pass; always this many (the last chunk is padded), because a network's
            last bits depend on how many there are.
    """

    model: str = "auto"
    crop_size: Annotated[tuple[Annotated[int, Between(32, 8192)], ...], Length(2, 2)] | None = None
    preprocess: str | Preprocess | None = None
    chunk: Annotated[int, Between(1, 1024)] = 8


@dataclass(frozen=True)
class CameraConfig:
    """The `camera` block: how the camera's motion is found; without it the camera is taken to stand still.

    Attributes:
        method: `flow` follows corners; `ecc` aligns whole pictures, where there are no corners: slower, and what
            moves outside of the boxes pulls it along.
        max_side: pictures are reduced by a whole number until their longer side has at most so many pixels; more
            is slower and more exact. None: 480 for `flow`, 240 for `ecc`.
    """

    method: Literal["flow", "ecc"] = "flow"
    max_side: Annotated[int, AtLeast(32)] | None = None


@dataclass(frozen=True)
class RuntimeConfig:
    """The `runtime` block.

    Attributes:
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:n`.
        precision: number format of the networks: `fp32`, `bf16` or `fp16`; `auto`: bf16 for what detects, on a CPU
            that has it, fp32 for the rest.
        batch: frames handled together, of all sources; a live source's never wait for others. `auto`: 16 on a GPU,
            4 on a CPU, where no number makes a difference to the result.
        detect_every: the networks see only every so many frames; in between the tracks go on as they moved. `auto`:
            as many as it takes to keep up with the source; which frames those are then depends on the machine.
        threads: CPU threads of the networks; None leaves it to torch.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    batch: Literal["auto"] | Annotated[int, Between(1, 1024)] = "auto"
    detect_every: Literal["auto"] | Annotated[int, Between(1, 1000)] = 1
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


def preset(how: str | Preprocess, key: str) -> Preprocess:
    """The way of pictures into a network by its name, or as it is spelled out.

    Raises:
        ConfigError: no preset has this name; `key` says where it was asked for.
    """
    if isinstance(how, Preprocess):
        return how
    if how not in PREPROCESS:
        raise ConfigError(f"{key}: unknown {how!r}; {nearest(how, PREPROCESS)}")
    return PREPROCESS[how]
