"""A weights file of any kind -> a network that is ready to run, whatever runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mot.errors import ConfigError, WeightsError, nearest
from mot.models.inputs import PREPROCESS, TWINS, Preprocess
from mot.models.labels import COCO, label_names
from mot.models.loading import load
from mot.models.registry import MODELS
from mot.models.spec import Kind
from mot.perception.backends import onnx, openvino
from mot.perception.backends.onnx import OnnxNetwork
from mot.perception.backends.openvino import OpenVinoNetwork
from mot.perception.heads import HEADS
from mot.perception.settings import DetectorConfig, EmbedderConfig, preset

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EXPORTS = {"onnx": ".onnx", "openvino": ".xml"}
EXPORTED: dict[str, type[OnnxNetwork] | type[OpenVinoNetwork]] = {
    "onnx": OnnxNetwork,
    "openvino": OpenVinoNetwork,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where networks run.

    Attributes:
        device: torch's.
        precision: key of `DTYPES`.
        threads: of the CPU; None: as the library likes.
    """

    device: torch.device
    precision: str = "fp32"
    threads: int | None = None


@dataclass(frozen=True)
class Network:
    """A network on its device.

    Attributes:
        run: (B, 3, H, W) float32 -> what its kind gives, see `ModelSpec.kind`.
        how: the way of pictures into it.
        size: height and width of its input, or the longer side alone.
        labels: names of a detector's classes.
        embedding_size: of a ReID or joint network, else 0.
        device: where it runs.
        record: backend, model and where its tensors came from.
    """

    run: Callable[[Tensor], Any]
    how: Preprocess
    size: tuple[int, ...]
    labels: tuple[str, ...]
    embedding_size: int
    device: torch.device
    record: dict[str, Any]


class TorchNetwork:
    """A torch network on its device, in its precision.

    Args:
        module: float32, in evaluation mode.
        place: where it runs.
        singly: whether the pictures of a batch go through one by one on a CPU: the last bits of a forward pass
            change with the number of pictures in it, so this is what makes a result independent of
            `runtime.batch`; and it is the fastest way there (YOLOv3-tiny at 608x480 on two cores: 49 ms a frame
            alone, 56 by four, 64 by sixteen).
    """

    def __init__(self, module: nn.Module, place: Place, singly: bool) -> None:
        self._dtype = DTYPES[place.precision]
        self._module = module.to(place.device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._singly = singly and place.device.type == "cpu"

    def __call__(self, x: Tensor) -> Any:
        """The network's answer to (B, 3, H, W) float32."""
        x = x.to(self._dtype)
        return joined([self._module(one) for one in x[:, None]]) if self._singly else self._module(x)


def joined(parts: Sequence[Any]) -> Any:
    """Answers to several batches as the answer to one: tensors, or tuples of such."""
    if isinstance(parts[0], Tensor):
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))
    return tuple(joined(same) for same in zip(*parts, strict=True))


def open_detector(
    config: DetectorConfig,
    path: Path,
    place: Place,
    kind: Kind = "detector",
    hint: tuple[str, str] = ("", ""),
) -> Network:
    """The network of the `detector` block, a joint one if `kind` says so.

    Args:
        config: the block.
        path: its weights.
        place: where it runs.
        kind: what it must be.
        hint: the manifest's model and preprocess, for files that do not say.

    Raises:
        ConfigError: unknown model or preset, or the config does not fit the file.
        WeightsError: the file is damaged, unsafe, or of another network.
    """
    backend = _backend(config.model, path, kind)
    if backend == "torch":
        return _open_torch(kind, config, config.input_size, path, place, hint)
    if kind == "joint":
        raise ConfigError(
            f"weights: {path.name} is an exported network; joint ones are read from checkpoints"
        )
    network = _exported(backend, path, place)
    size = _size("detector.input_size", config.input_size, network.inputs, path)
    if config.head is None:
        raise ConfigError(
            f"detector.head: {path.name} gives {network.outputs}; say what they are: {', '.join(HEADS)}"
        )
    names = COCO if config.labels == ("coco",) else config.labels
    head = partial(HEADS[config.head], decoded=config.decoded, classes=len(names))

    def run(x: Tensor) -> Any:
        """Picture by picture: heads that list what was found have lists of different lengths."""
        return joined([head(network(one), canvas=(x.shape[2], x.shape[3])) for one in x[:, None]])

    _, scores = run(torch.zeros(1, 3, *(size * 2)[:2], device=place.device))
    labels = _labels(names, scores.shape[2])
    how = _how("detector", config.preprocess, hint[1], path)
    return Network(run, how, size, labels, 0, place.device, {"backend": backend, "model": config.head})


def open_embedder(
    config: EmbedderConfig, path: Path, place: Place, hint: tuple[str, str] = ("", "")
) -> Network:
    """The network of the `reid` block; see `open_detector`."""
    backend = _backend(config.model, path, "reid")
    if backend == "torch":
        return _open_torch("reid", config, config.crop_size, path, place, hint)
    network = _exported(backend, path, place, config.chunk)
    size = _size("reid.crop_size", config.crop_size, network.inputs, path)

    def run(x: Tensor) -> Tensor:
        return network(x)[0].flatten(1).float()

    width = run(torch.zeros(1, 3, *size, device=place.device)).shape[1]
    how = _how("reid", config.preprocess, hint[1], path)
    return Network(run, how, size, (), width, place.device, {"backend": backend, "model": backend})


def _backend(model: str, path: Path, kind: Kind) -> str:
    """`torch`, or the exported format that the model or the file's name says."""
    block = "reid" if kind == "reid" else "detector"
    if model == "auto":
        return next((name for name, suffix in EXPORTS.items() if path.suffix == suffix), "torch")
    if model in EXPORTS:
        return model
    known = [name for name, spec in MODELS.items() if spec.kind == kind]
    if model not in known:
        other = f"is a {MODELS[model].kind} network" if model in MODELS else "is unknown"
        raise ConfigError(f"{block}.model: {model!r} {other}; {nearest(model, [*known, *EXPORTS, 'auto'])}")
    return "torch"


def _open_torch(
    kind: Kind,
    config: DetectorConfig | EmbedderConfig,
    size: tuple[int, ...] | None,
    path: Path,
    place: Place,
    hint: tuple[str, str],
) -> Network:
    name = config.model
    if name == "auto" and hint[0] in MODELS:
        name = hint[0]
    loaded = load(path, None if name == "auto" else name)
    spec = loaded.spec
    if spec.kind != kind:
        raise WeightsError(f"{path.name} holds {loaded.name}, a {spec.kind} network, not a {kind} network")
    if not (config.preprocess or hint[1]) and loaded.preprocess in TWINS:
        _log.warning(
            "%s: preprocess %s is assumed; %s", path.name, loaded.preprocess, TWINS[loaded.preprocess]
        )
    labels = config.labels if isinstance(config, DetectorConfig) else ()
    network = TorchNetwork(loaded.network, place, singly=kind != "reid")
    block = "reid" if kind == "reid" else "detector"
    return Network(
        run=network,
        how=_how(block, config.preprocess, hint[1] or loaded.preprocess, path),
        size=size or spec.input_size,
        labels=_labels(labels, loaded.classes) if labels else (),
        embedding_size=spec.embedding_size,
        device=place.device,
        record={"backend": "torch", "model": loaded.name, "weights": str(loaded.report)},
    )


def _exported(backend: str, path: Path, place: Place, chunk: int = 1) -> OnnxNetwork | OpenVinoNetwork:
    return EXPORTED[backend](path, place.device, place.threads, place.precision, chunk)


def describe_export(path: Path) -> dict[str, Any]:
    """Inputs, outputs and producer of an exported file, for people."""
    return openvino.describe(path) if path.suffix == EXPORTS["openvino"] else onnx.describe(path)


def _size(
    key: str, asked: tuple[int, ...] | None, fixed: tuple[int, int] | None, path: Path
) -> tuple[int, ...]:
    if fixed is not None and asked not in (None, fixed):
        raise ConfigError(
            f"{key}: {path.name} takes {list(fixed)} only, not {list(asked or ())}; leave it null"
        )
    if fixed is None and asked is None:
        raise ConfigError(f"{key}: {path.name} takes pictures of any size; say which")
    return fixed or asked or ()


def _how(block: str, asked: str | Preprocess | None, known: str, path: Path) -> Preprocess:
    if not (asked or known):
        raise ConfigError(
            f"{block}.preprocess: {path.name} does not say how pictures go in; {nearest('', PREPROCESS)}"
        )
    return preset(asked or known, f"{block}.preprocess")


def _labels(names: Sequence[str], classes: int) -> tuple[str, ...]:
    """The config's names where they are as many as the classes, else those of public networks."""
    return tuple(names) if len(names) == classes else label_names(classes)
