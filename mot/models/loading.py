"""A weights file into a network, whoever wrote it: recognise, rename, fit exactly, fold."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mot.errors import WeightsError
from mot.models.folding import fold_batchnorm, normalised
from mot.models.registry import MODELS
from mot.models.spec import Dialect, ModelSpec, Shape
from mot.weights.containers import DarknetFile, TensorFile, fit, read, split
from mot.weights.report import LoadReport, report

Arrays = dict[str, NDArray[Any]]
COUNTER = "num_batches_tracked"  # of a BatchNorm: inference never reads it
File = TensorFile | DarknetFile
DARKNET = Dialect("darknet", mark="")  # numbers without names
USUAL_CLASSES = (1, 80)  # people, COCO
SIZE = re.compile(r"\d{3,4}x\d{3,4}")  # in the name of a network or file
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A network ready for inference, on the CPU.

    Attributes:
        name: its key in `MODELS`.
        spec: that row.
        classes: how many a detector tells apart.
        preprocess: key of `PREPROCESS`.
        network: in evaluation mode.
        report: what was read.
    """

    name: str
    spec: ModelSpec
    classes: int
    preprocess: str
    network: nn.Module
    report: LoadReport


@dataclass(frozen=True)
class Content:
    """A file's tensors under the names of one of our networks; whether they fit is not said.

    Attributes:
        name: the network's key in `MODELS`.
        dialect: how the file names them.
        classes: how many.
        arrays: what the file holds.
    """

    name: str
    dialect: Dialect
    classes: int
    arrays: Arrays


def load(path: Path, name: str | None = None, folded: bool = True) -> Loaded:
    """The network whose weights a file holds.

    Args:
        path: a file of any known container and dialect.
        name: key of `MODELS`; None: as the file says.
        folded: False keeps the BatchNorms.

    Raises:
        WeightsError: damaged, unsafe, of no known network, or of another one than `name`: the text says of which.
    """
    file = read(path)
    try:
        content = _unasked(file, path.name) if name is None else _asked(name, file, path.name)
    except WeightsError as error:
        raise WeightsError(f"{path.name} {error}") from None
    if isinstance(file, DarknetFile) and content.classes not in USUAL_CLASSES:
        said = "%s: taken as %d classes, by its length; damaged, if it should have 80"
        _log.warning(said, path.name, content.classes)
    shapes, source = shapes_of(content.name, content.classes), f"{path.name} for {content.name}"
    try:
        arrays = fit(_plain(content.arrays, shapes, source), shapes, source, content.dialect.unused)
    except WeightsError as error:
        others = _fitting(file, path.name) if _strangers(content) else []
        raise WeightsError(f"{error}; it fits {others[0].name}" if others else str(error)) from None
    network = _empty(content.name, content.classes)
    network.load_state_dict({key: _tensor(array) for key, array in arrays.items()}, assign=True)
    if folded:
        fold_batchnorm(network, source)
    network.eval().requires_grad_(False)
    form = "darknet" if isinstance(file, DarknetFile) else file.format
    made = report(path, form, content.dialect.name, content.name, content.arrays, arrays)
    spec = MODELS[content.name]
    how = content.dialect.preprocess or spec.preprocess
    return Loaded(content.name, spec, content.classes, how, network, made)


def recognise(file: File, file_name: str = "") -> Content | None:
    """What a file is: the first network that its tensors fit in name and shape, None where none does.

    Networks of one shape (JDE's three sizes) are told apart by what the file is called
    (with a warning where that says nothing).
    """
    fitting = _fitting(file, file_name)
    if not fitting:
        return None
    shapes = shapes_of(fitting[0].name, fitting[0].classes)
    alike = [one.name for one in fitting if shapes_of(one.name, one.classes) == shapes]
    # the rows of one family are several readings of the same weights
    if len({MODELS[name].family or name for name in alike}) > 1 and not _told(alike[0], file_name):
        said = "%s: taken as %s; the file does not say which of %s it is: set detector.model"
        _log.warning(said, file_name, alike[0], ", ".join(alike))
    return fitting[0]


def _fitting(file: File, file_name: str) -> list[Content]:
    """All that a file fits, those whose size its name tells first."""
    fitting = [content for name in MODELS if (content := translate(name, file)) and not _strangers(content)]
    return sorted(fitting, key=lambda one: not _told(one.name, file_name))


def _told(name: str, file_name: str) -> bool:
    """Whether the file's name tells the size that the network's name ends with."""
    size = SIZE.search(name)
    return size is not None and size[0] in file_name


def _unasked(file: File, file_name: str) -> Content:
    """What a file is, or was meant to be."""
    content = recognise(file, file_name) or _nearest(file)
    if content is None:
        said = verdict(file, file_name)
        raise WeightsError(f"{said}, not the weights of any known network: see the README")
    return content


def _asked(name: str, file: File, file_name: str) -> Content:
    """A file as the weights of `name`, unless its name says another size."""
    content = translate(name, file)
    if content is None:
        raise WeightsError(f"{verdict(file, file_name)}, not the weights of {name}")
    if SIZE.search(name) and SIZE.search(file_name) and not _told(name, file_name):
        others = [one.name for one in _fitting(file, file_name) if _told(one.name, file_name)]
        if others:
            raise WeightsError(f"is by its name the weights of {others[0]}, not of {name}")
    return content


def verdict(file: File, file_name: str) -> str:
    """`holds …`: what a file is, for an error text."""
    fitting = _fitting(file, file_name)
    if fitting:
        return f"holds the weights of {fitting[0].name} (a {MODELS[fitting[0].name].kind} network)"
    if isinstance(file, DarknetFile):
        return f"holds {len(file.floats)} darknet numbers that fit no known network"
    return f"holds {len(file.tensors)} tensors of no known network ({', '.join(list(file.tensors)[:3])}, …)"


def translate(name: str, file: File) -> Content | None:
    """A file's tensors under the names of the network `name`; None where no dialect of it speaks so."""
    spec = MODELS[name]
    if isinstance(file, DarknetFile):
        return _cut(name, file) if spec.darknet else None
    for dialect in spec.dialects:
        if any(re.search(dialect.mark, key) for key in file.tensors):
            arrays = _renamed(dialect, file.tensors)
            classes = _count(spec, {key: array.shape for key, array in arrays.items()})
            return Content(name, dialect, classes, arrays)
    return None


@cache
def shapes_of(name: str, classes: int) -> dict[str, Shape]:
    """Name and shape of every tensor of a network; not to be changed."""
    return {key: tuple(value.shape) for key, value in _empty(name, classes).state_dict().items()}


def _empty(name: str, classes: int) -> nn.Module:
    """The network without numbers: building it takes no memory and no time for random ones."""
    with torch.device("meta"):
        return MODELS[name].build(classes)


def _count(spec: ModelSpec, shapes: Mapping[str, Shape]) -> int:
    """The number of classes; where the tensor that tells it is missing or odd, `fit` will say so."""
    try:
        return max(1, spec.classes(shapes))
    except (KeyError, IndexError):
        return 1


def _renamed(dialect: Dialect, tensors: Mapping[str, NDArray[Any]]) -> Arrays:
    arrays: Arrays = {}
    for key, array in tensors.items():
        name = key
        for pattern, replacement in dialect.rename:
            name = re.sub(pattern, replacement, name)
        if name in arrays:
            raise WeightsError(f"holds the tensor {name!r} twice, once as {key!r}")
        flat = array.ndim == 2 and any(fnmatchcase(name, pattern) for pattern in dialect.transposed)
        arrays[name] = array.T if flat else array
    return arrays


def _cut(name: str, file: DarknetFile) -> Content | None:
    """The numbers of a darknet file as tensors; their count tells the number of classes."""
    one, two = (sum(math.prod(shape) for _, shape in darknet_order(name, classes)) for classes in (1, 2))
    extra = len(file.floats) - one
    classes, rest = divmod(extra, two - one) if two > one else (0, extra)
    if rest or classes < 0:
        return None
    shapes = darknet_order(name, classes + 1)
    return Content(name, DARKNET, classes + 1, dict(split(file.floats, shapes, name)))


def darknet_order(name: str, classes: int) -> list[tuple[str, Shape]]:
    """The tensors as a darknet file holds them: for each convolution shift, scale, mean, variance, then weight."""
    shapes, order = shapes_of(name, classes), []
    for conv, norm, _ in normalised(_empty(name, classes)):
        first = [f"{norm}.{part}" for part in ("bias", "weight", "running_mean", "running_var")]
        order += [*(first if norm else [f"{conv}.bias"]), f"{conv}.weight"]
    return [(key, shapes[key]) for key in order]


def _nearest(file: File) -> Content | None:
    """What a file was meant to be: so that the error lists what is wrong with it, not all that it might be."""
    meant = [content for name in MODELS if (content := translate(name, file))]
    return min(meant, key=_strangers, default=None)


def _strangers(content: Content) -> int:
    """How many tensors are missing, of another shape, or left over; the numbers are not looked at."""
    wanted = shapes_of(content.name, content.classes)
    found = {key: array.shape for key, array in content.arrays.items()}
    used = (*content.dialect.unused, f"*{COUNTER}")
    return sum(found.get(key) != shape for key, shape in wanted.items() if not key.endswith(COUNTER)) + sum(
        key not in wanted and not any(fnmatchcase(key, pattern) for pattern in used) for key in found
    )


def _plain(arrays: Arrays, wanted: Mapping[str, Shape], source: str) -> Arrays:
    """Floats as float32, which `fit` then finds infinite where they are too large; all others as they are."""
    strange = [
        f"{key} {array.dtype}"
        for key, array in arrays.items()
        if key in wanted and array.dtype.kind not in ("iuf" if key.endswith(COUNTER) else "f")
    ]
    if strange:
        more = ", …" if len(strange) > 1 else ""
        raise WeightsError(f"{source} does not fit: {len(strange)} of another type ({strange[0]}{more})")
    with np.errstate(over="ignore"):
        return {
            key: np.asarray(array, np.float32) if array.dtype.kind == "f" else array
            for key, array in arrays.items()
        }


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    kind = np.float32 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, kind))
