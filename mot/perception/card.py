"""`model.yml`: what an exported network says of itself, so that its folder can be used like any other weights.

    exported/yolov3_tiny/model.yml    this card
    exported/yolov3_tiny/model.xml    what it names, each file with its sha256

The graph gives what a network of its kind gives in torch (see `ModelSpec.kind`): boxes in pixels of its input and
scores, decoded, and vectors; so nobody has to say what its outputs mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from mot import config
from mot.config import AtLeast, Length
from mot.errors import ConfigError, WeightsError
from mot.models.inputs import Preprocess
from mot.weights.fetch import sha256

NAME = "model.yml"
FORMAT = 1  # of the card; one that is newer is refused
BACKENDS = ("torch", "torchscript", "onnx", "openvino", "tensorrt")
Backend = Literal["torch", "torchscript", "onnx", "openvino", "tensorrt"]


@dataclass(frozen=True)
class File:
    """A file beside the card."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Card:
    """What an exported network is.

    Attributes:
        format: version of this card.
        kind: what it gives.
        model: the network, a key of `mot.models.registry.MODELS`.
        backend: what runs it.
        files: all of them; the first is the one to open.
        precision: of its numbers; `int8`: quantised, the rest in float32.
        input_size: height and width, or the longer side alone, that it was exported for.
        dynamic: whether it takes any batch and any size.
        preprocess: how pictures go in.
        labels: names of a detector's classes.
        embedding_size: of a ReID or joint network, else 0.
        source: the weights that it was made from.
        made_by: program and libraries, with their versions.
    """

    format: int
    kind: Literal["detector", "joint", "reid"]
    model: str
    backend: Backend
    files: Annotated[tuple[File, ...], Length(1)]
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    input_size: Annotated[tuple[Annotated[int, AtLeast(1)], ...], Length(1, 2)]
    dynamic: bool
    preprocess: Preprocess
    labels: tuple[str, ...]
    embedding_size: int
    source: File
    made_by: str


def read(folder: Path) -> Card:
    """The card of an export; its files are there and whole.

    Raises:
        WeightsError: no card, one that is damaged or of a newer version, or a file that is missing or was changed.
    """
    path = folder / NAME
    if not path.is_file():
        raise WeightsError(f"{folder}: is a folder without {NAME}, and so no exported network")
    try:
        raw = config.load(path)
        if isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
            raise WeightsError(
                f"{path}: format {raw['format']} is of a newer mot; this one reads up to {FORMAT}: export again"
            )
        card = config.build(Card, raw)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from None
    for file in card.files:
        _check(folder, file)
    return card


def write(folder: Path, card: Card) -> None:
    """The card into its folder."""
    plain: dict[str, Any] = {field.name: _plain(getattr(card, field.name)) for field in fields(card)}
    (folder / NAME).write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), encoding="utf-8")


def file_of(path: Path) -> File:
    """A file with its sha256."""
    return File(path.name, sha256(path))


def _check(folder: Path, file: File) -> None:
    """Refuse a file that is not the one that was written, before a byte of it is parsed."""
    if Path(file.name).name != file.name:
        raise WeightsError(f"{folder / NAME}: {file.name!r}: expected the name of a file beside it")
    path = folder / file.name
    if not path.is_file():
        raise WeightsError(f"{path}: is missing, but {NAME} names it: export again")
    if sha256(path) != file.sha256:
        raise WeightsError(
            f"{path}: is not what was exported (its sha256 is not that of {NAME}): export again"
        )


def _plain(value: Any) -> Any:
    """Of dataclasses and tuples what YAML can say."""
    if isinstance(value, File | Preprocess):
        return {key: _plain(each) for key, each in asdict(value).items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
