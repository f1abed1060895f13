"""Exported networks (ONNX, OpenVINO) in the place of torch's; a head reads what a detector gives."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot.errors import ConfigError
from mot.models.labels import COCO
from mot.perception.backends import onnx, openvino
from mot.perception.heads import HEADS
from mot.perception.opening import SUFFIXES, Network, Place, joined, labels_of, named_labels, way
from mot.perception.settings import DetectorConfig, EmbedderConfig
from mot.weights.manifest import Entry

Exported = onnx.OnnxNetwork | openvino.OpenVinoNetwork
BACKENDS: dict[str, type[onnx.OnnxNetwork] | type[openvino.OpenVinoNetwork]] = {
    "onnx": onnx.OnnxNetwork,
    "openvino": openvino.OpenVinoNetwork,
}


def open_detector(
    config: DetectorConfig, path: Path, place: Place, backend: str, known: Entry | None
) -> Network:
    """The network of the `detector` block; `backend` is a key of `BACKENDS`, else as in `opening`."""
    network = _open(backend, path, place, 1)
    size = _size("detector.input_size", config.input_size, network, path)
    names = named_labels(config)
    if config.head is None:
        blank = torch.zeros(1, 3, *(size * 2)[:2], device=place.device)
        raise ConfigError(
            f"detector.head: {path.name} gives {', '.join(map(str, network.outputs))}; "
            f"say what that is: {', '.join(guess(network, blank) or HEADS)}"
        )
    head = partial(HEADS[config.head], decoded=config.decoded, classes=len(names))

    def run(x: Tensor) -> Any:
        """Picture by picture: heads that list what was found have lists of different lengths."""
        return joined([head(network(one), canvas=(x.shape[2], x.shape[3])) for one in x[:, None]])

    _, scores = run(torch.zeros(1, 3, *(size * 2)[:2], device=place.device))
    return Network(
        run=run,
        how=way(config, "", known, path),
        size=size,
        labels=labels_of(config, scores.shape[2]),
        embedding_size=0,
        device=place.device,
        record=_record(backend, config.head, place),
    )


def open_embedder(
    config: EmbedderConfig, path: Path, place: Place, backend: str, known: Entry | None
) -> Network:
    """The network of the `reid` block; see `open_detector`."""
    network = _open(backend, path, place, config.chunk)
    size = _size("reid.crop_size", config.crop_size, network, path)

    def run(x: Tensor) -> Tensor:
        return network(x)[0].flatten(1).float()

    width = run(torch.zeros(1, 3, *size, device=place.device)).shape[1]
    record = _record(backend, backend, place)
    return Network(run, way(config, "", known, path), size, (), width, place.device, record)


def describe(path: Path) -> dict[str, Any]:
    """Inputs, outputs and producer of an exported file, and what its outputs may be, for people."""
    backend = next((name for name, suffix in SUFFIXES.items() if path.suffix == suffix), "onnx")
    said = (openvino if backend == "openvino" else onnx).describe(path)
    network = _open(backend, path, Place(torch.device("cpu")), 1)
    heads = guess(network, torch.zeros(1, 3, *(network.inputs or (256, 128))))
    return {"backend": backend, **said, "heads": heads}


def guess(network: Exported, blank: Tensor) -> list[str]:
    """The heads that can make sense of a network's outputs, as config lines; none for a ReID network."""
    outputs, found = network(blank), []
    for name, head in HEADS.items():
        for decoded in (False, True):
            try:
                head(outputs, canvas=(blank.shape[2], blank.shape[3]), decoded=decoded, classes=len(COCO))
            except ConfigError:
                continue
            found.append(f"head: {name}, decoded: {str(decoded).lower()}")
    return found


def _open(backend: str, path: Path, place: Place, chunk: int) -> Exported:
    return BACKENDS[backend](path, place.device, place.threads, _precision(place), chunk)


def _precision(place: Place) -> str:
    """An export fixes its number formats; it is narrowed only where that is asked for by name."""
    return "fp32" if place.precision == "auto" else place.precision


def _record(backend: str, model: str, place: Place) -> dict[str, str]:
    return {"backend": backend, "model": model, "precision": _precision(place)}


def _size(key: str, asked: tuple[int, ...] | None, network: Exported, path: Path) -> tuple[int, ...]:
    """Height and width of the input, or its longer side: the file's, or what OpenVINO is asked to make of it."""
    fixed = network.inputs
    if fixed is None and asked is None:
        raise ConfigError(f"{key}: {path.name} takes pictures of any size; say which")
    if asked is None or asked == fixed:
        return fixed or ()
    if fixed is not None and isinstance(network, onnx.OnnxNetwork):
        raise ConfigError(
            f"{key}: {path.name} takes {list(fixed)} only, not {list(asked)}; leave it null, or set "
            f"{key.partition('.')[0]}.model: openvino, which can change it"
        )
    return asked
