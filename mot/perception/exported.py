"""Exported networks (ONNX, OpenVINO) in the place of torch's; a head reads what a detector gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from mot.errors import ConfigError, WeightsError
from mot.perception.backends import onnx, openvino
from mot.perception.heads import HEADS, Boxes, fitting
from mot.perception.opening import SUFFIXES, Network, Place, joined, labels_of, named_labels, way
from mot.perception.preprocess import Letterbox
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
    if config.head is None:
        raise ConfigError(
            f"detector.head: {path.name} gives {', '.join(map(str, network.outputs))}; "
            f"say what that is: {_heads(network, place)}"
        )
    how = way(config, "", known, path)
    head = partial(HEADS[config.head], decoded=config.decoded, classes=len(named_labels(config)))

    def run(x: Tensor) -> Any:
        """Picture by picture: heads that list what was found have lists of different lengths."""
        return _filled([head(network(one), canvas=_sides(x)) for one in x[:, None]])

    canvas = Letterbox.fit(((size * 2)[0], (size * 2)[1]), size, how).canvas
    _, scores = run(torch.zeros(1, 3, *canvas, device=place.device))
    return Network(
        run=run,
        how=how,
        size=size,
        labels=labels_of(config, scores.shape[2]),
        embedding_size=0,
        device=place.device,
        record=_record(backend, config.head, place, network),
        uploads=place.uploads,
    )


def open_embedder(
    config: EmbedderConfig, path: Path, place: Place, backend: str, known: Entry | None
) -> Network:
    """The network of the `reid` block; see `open_detector`."""
    network = _open(backend, path, place, config.chunk)
    size = _size("reid.crop_size", config.crop_size, network, path)
    outputs = network(torch.zeros(1, 3, *size, device=place.device))
    width = _width(outputs)
    if width is None:
        gives = ", ".join(
            f"{port.name} {tuple(x.shape)}" for port, x in zip(network.outputs, outputs, strict=True)
        )
        raise WeightsError(f"{path.name} gives {gives}, not one vector a picture")

    def run(x: Tensor) -> Tensor:
        return network(x)[0].flatten(1).float()

    record = _record(backend, backend, place, network)
    how = way(config, "", known, path)
    return Network(run, how, size, (), width, place.device, record, place.uploads)


def _filled(parts: Sequence[Boxes]) -> Any:
    """Boxes and scores of several pictures as those of a batch: all as long as the longest, with scores of 0."""
    longest = max(boxes.shape[1] for boxes, _ in parts)
    return joined([tuple(pad(x, (0, 0, 0, longest - x.shape[1])) for x in part) for part in parts])


def _width(outputs: Sequence[Tensor]) -> int | None:
    """The length of a ReID network's vectors, (1, E) or (1, E, 1, 1); None where the outputs are no such thing."""
    shape = tuple(outputs[0].shape)
    one = len(outputs) == 1 and len(shape) in (2, 4) and shape[2:] in ((), (1, 1))
    return shape[1] if one else None


def _sides(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]


def _heads(network: Exported, place: Place) -> str:
    """`head: yolox, decoded: false`, or all that may be meant."""
    blank = _blank(network, place)
    heads = [
        f"head: {name}, decoded: {str(decoded).lower()}"
        for name, decoded, _ in fitting(network(blank), _sides(blank))
    ]
    return "; or ".join(heads) or ", ".join(HEADS)


def _blank(network: Exported, place: Place) -> Tensor:
    """A picture of the file's size, or of one that suits most networks."""
    return torch.zeros(1, 3, *(network.inputs or (256, 128)), device=place.device)


@dataclass(frozen=True)
class Description:
    """What an exported file tells of itself, for people.

    Attributes:
        backend: key of `BACKENDS`.
        said: inputs, outputs and producer.
        size: height and width of the input; None where the file leaves them open.
        heads: what its outputs may be, see `heads.fitting`.
        embedding_size: of a ReID network, else None.
    """

    backend: str
    said: dict[str, Any]
    size: tuple[int, int] | None
    heads: list[tuple[str, bool, int | None]]
    embedding_size: int | None


def describe(path: Path) -> Description:
    """Reads an exported file, and runs it once, on a blank picture."""
    backend = next((name for name, suffix in SUFFIXES.items() if path.suffix == suffix), "onnx")
    place = Place(torch.device("cpu"))
    network = _open(backend, path, place, 1)
    blank = _blank(network, place)
    outputs = network(blank)
    said = (openvino if backend == "openvino" else onnx).describe(path)
    return Description(backend, said, network.inputs, fitting(outputs, _sides(blank)), _width(outputs))


def _open(backend: str, path: Path, place: Place, chunk: int) -> Exported:
    xml = path.with_suffix(".xml")
    if path.suffix == ".bin" and xml.is_file():
        raise WeightsError(f"{path.name} holds the numbers of a network alone: name {xml.name}")
    if path.suffix not in SUFFIXES.values():
        raise WeightsError(f"{path.name} is no exported network ({' or '.join(SUFFIXES.values())})")
    if backend == "onnx" and path.suffix == SUFFIXES["openvino"]:
        raise ConfigError(f"{path.name} is no ONNX file: set model: openvino")
    return BACKENDS[backend](path, place.device, place.threads, _precision(place), chunk)


def _precision(place: Place) -> str:
    """An export fixes its number formats; it is narrowed only where that is asked for by name."""
    return "fp32" if place.precision == "auto" else place.precision


def _record(backend: str, model: str, place: Place, network: Exported) -> dict[str, str]:
    return {
        "backend": backend,
        "library": network.library,
        "model": model,
        "precision": _precision(place),
    }


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
