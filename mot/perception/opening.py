"""A weights file of any kind -> a network that is ready to run, whatever runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mot.errors import ConfigError, WeightsError, nearest
from mot.models.inputs import PREPROCESS, TWINS, Preprocess
from mot.models.labels import COCO, label_names
from mot.models.loading import load
from mot.models.registry import MODELS
from mot.models.spec import Kind
from mot.perception.device import Uploads
from mot.perception.graphs import Graphed
from mot.perception.settings import DetectorConfig, EmbedderConfig, preset
from mot.weights.manifest import Entry

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}  # of exported files
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where networks run.

    Attributes:
        device: torch's.
        precision: key of `DTYPES`, or `auto`.
        threads: of the CPU; None: as the library likes.
    """

    device: torch.device
    precision: str = "fp32"
    threads: int | None = None

    @cached_property
    def uploads(self) -> Uploads:
        """What its networks share the pictures of a batch by."""
        return Uploads(self.device)


@dataclass(frozen=True)
class Network:
    """A network on its device.

    Attributes:
        run: (B, 3, H, W) float32 -> what its kind gives, see `ModelSpec.kind`.
        how: the way of pictures into it.
        size: height and width of its input, or the longer side alone.
        labels: names of a detector's classes.
        embedding_size: of a ReID or joint network, else 0.
        device: where it takes its input.
        record: backend, model, precision, and what was read from the file.
        uploads: of its place.
    """

    run: Callable[[Tensor], Any]
    how: Preprocess
    size: tuple[int, ...]
    labels: tuple[str, ...]
    embedding_size: int
    device: torch.device
    record: dict[str, str]
    uploads: Uploads


class TorchNetwork:
    """A torch network on its device, in its precision.

    Args:
        module: float32, in evaluation mode.
        place: where it runs.
        kind: what it is. But for ReID, whose batches are all of one size, the pictures of a batch go through one by
            one on a CPU: the last bits of a forward pass change with the number of pictures in it, so this is what
            makes a result independent of `runtime.batch`; and it is the fastest way there (YOLOv3-tiny at 608x480
            on two cores: 49 ms a frame alone, 56 by four, 64 by sixteen).
    """

    def __init__(self, module: nn.Module, place: Place, kind: Kind) -> None:
        self.precision = resolve_precision(place.precision, place.device, kind)
        self._dtype = DTYPES[self.precision]
        if (
            place.device.type == "cuda" and self.precision == "fp32"
        ):  # else fp32 has 10 bits of mantissa there
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        self._module = module.to(place.device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._singly = kind != "reid" and place.device.type == "cpu"
        self._run = Graphed(self._module) if place.device.type == "cuda" else self._module

    def __call__(self, x: Tensor) -> Any:
        """The network's answer to (B, 3, H, W) float32."""
        x = x.to(self._dtype)
        return joined([self._run(one) for one in x[:, None]]) if self._singly else self._run(x)


def joined(parts: Sequence[Any]) -> Any:
    """Answers to several batches as the answer to one: tensors, or tuples of such."""
    if isinstance(parts[0], Tensor):
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))
    return tuple(joined(same) for same in zip(*parts, strict=True))


def open_detector(
    config: DetectorConfig,
    path: Path,
    place: Place,
    kind: Literal["detector", "joint"] = "detector",
    known: Entry | None = None,
) -> Network:
    """The network of the `detector` block, a joint one if `kind` says so.

    Args:
        config: the block.
        path: its weights.
        place: where it runs.
        kind: what it must be.
        known: what the manifest says of the file.

    Raises:
        ConfigError: unknown model or preset, or the config does not fit the file.
        WeightsError: the file is damaged, unsafe, or of another network.
    """
    backend = _backend("detector", config.model, path, kind)
    if backend == "torch":
        return _open_torch(config, path, place, kind, known)
    if kind == "joint":
        raise ConfigError(
            f"weights: {path.name} is an exported network, joint ones are read from checkpoints"
        )
    from mot.perception import exported

    return exported.open_detector(config, path, place, backend, known)


def open_embedder(config: EmbedderConfig, path: Path, place: Place, known: Entry | None = None) -> Network:
    """The network of the `reid` block; see `open_detector`."""
    backend = _backend("reid", config.model, path, "reid")
    if backend == "torch":
        return _open_torch(config, path, place, "reid", known)
    from mot.perception import exported

    return exported.open_embedder(config, path, place, backend, known)


def _backend(block: str, model: str, path: Path, kind: Kind) -> str:
    """`torch`, or the exported format that the model or the file's name says."""
    if model == "auto":
        return next((name for name, suffix in SUFFIXES.items() if path.suffix == suffix), "torch")
    if model in SUFFIXES:
        return model
    known = [name for name, spec in MODELS.items() if spec.kind == kind]
    if model not in known:
        other = f"is a {MODELS[model].kind} network" if model in MODELS else "is unknown"
        raise ConfigError(f"{block}.model: {model!r} {other}; {nearest(model, [*known, *SUFFIXES, 'auto'])}")
    return "torch"


def _open_torch(
    config: DetectorConfig | EmbedderConfig, path: Path, place: Place, kind: Kind, known: Entry | None
) -> Network:
    named = known.model if known and config.model == "auto" and known.model in MODELS else config.model
    loaded = load(path, None if named in (None, "auto") else named)
    spec = loaded.spec
    if spec.kind != kind:
        raise WeightsError(f"{path.name} holds {loaded.name}, a {spec.kind} network, not a {kind} network")
    asked = config.preprocess or (known.preprocess if known else None)
    if asked is None and loaded.preprocess in TWINS:
        _log.warning("%s: taken as %s; it is %s", path.name, loaded.preprocess, TWINS[loaded.preprocess])
    how = way(config, loaded.preprocess, known, path)
    if how.stride % (least := PREPROCESS[loaded.preprocess].stride):
        raise ConfigError(f"preprocess.stride: {loaded.name} needs multiples of {least}, not {how.stride}")
    network = TorchNetwork(loaded.network, place, kind)
    size = config.crop_size if isinstance(config, EmbedderConfig) else config.input_size
    return Network(
        run=network,
        how=how,
        size=size or (known.input_size if known else None) or spec.input_size,
        labels=labels_of(config, loaded.classes) if isinstance(config, DetectorConfig) else (),
        embedding_size=spec.embedding_size,
        device=place.device,
        record={
            "backend": "torch",
            "model": loaded.name,
            "precision": network.precision,
            "read": str(loaded.report),
        },
        uploads=place.uploads,
    )


def way(config: DetectorConfig | EmbedderConfig, usual: str, known: Entry | None, path: Path) -> Preprocess:
    """How pictures go in: as the config says, or else the manifest, or else as is `usual` for the network."""
    block = "reid" if isinstance(config, EmbedderConfig) else "detector"
    asked = config.preprocess or (known.preprocess if known else None) or usual
    if not asked:
        raise ConfigError(
            f"{block}.preprocess: {path.name} does not say how pictures go in; known: {', '.join(PREPROCESS)}"
        )
    return preset(asked, f"{block}.preprocess")


def named_labels(config: DetectorConfig) -> tuple[str, ...]:
    """The config's names, `coco` spelled out."""
    return COCO if config.labels == ("coco",) else config.labels


def labels_of(config: DetectorConfig, classes: int) -> tuple[str, ...]:
    """The config's names; those of public networks where it has none of its own.

    Raises:
        ConfigError: it has too many or too few.
    """
    names = named_labels(config)
    if len(names) != classes and config.labels != DetectorConfig.labels:
        raise ConfigError(f"detector.labels: {len(names)} names for a network of {classes} classes")
    return names if len(names) == classes else label_names(classes)


def resolve_precision(name: str, device: torch.device, kind: Kind = "detector") -> str:
    """`auto`, `fp32`, `bf16` or `fp16` as what a network of this kind computes with.

    `auto` is bf16 for a detector, on a CPU that has it: two to four times faster. ReID gains little by it and loses
    identities (tools/bench/README.md), so it and joint networks are fp32.

    Raises:
        ConfigError: this device has no such numbers, or only slow ones.
    """
    has = ["fp32", *(one for one in ("bf16", "fp16") if _computes(one, device))]
    if name == "auto":
        return "bf16" if "bf16" in has and device.type == "cpu" and kind == "detector" else "fp32"
    if name not in has:
        raise ConfigError(f"runtime.precision: {device} has no {name}; use {', '.join(has)} or auto")
    return name


def _computes(kind: str, device: torch.device) -> bool:
    """Whether the device has instructions for it: emulated, it would be slower than fp32."""
    if device.type == "cuda":
        return kind == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    # torch before 2.10 cannot say what a CPU has
    features: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    # avx512_fp16 alone is not enough: torch's convolutions were slower with it than in fp32
    wanted = ("avx512_bf16", "amx_bf16") if kind == "bf16" else ("amx_fp16",)
    return any(features.get(name, False) for name in wanted)
