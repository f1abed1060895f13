"""A weights file into a network, whoever wrote it: recognise, rename, fit exactly, fold."""

from __future__ import annotations

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
    content = recognise(file, path.name) if name is None else translate(name, file)
    if content is None:
        wanted = f"the weights of {name}" if name else f"the weights of any of {', '.join(MODELS)}"
        raise WeightsError(f"{path.name} {verdict(file, path.name)}, not {wanted}")
    shapes, source = shapes_of(content.name, content.classes), f"{path.name} for {content.name}"
    try:
        arrays = fit(content.arrays, shapes, source, content.dialect.unused)
    except WeightsError as error:
        other = recognise(file, path.name)
        raise WeightsError(f"{error}; it fits {other.name}" if other else str(error)) from None
    network = _empty(content.name, content.classes)
    network.load_state_dict({key: _tensor(array) for key, array in arrays.items()}, assign=True)
    if folded:
        fold_batchnorm(network)
    network.eval().requires_grad_(False)
    form = "darknet" if isinstance(file, DarknetFile) else file.format
    said = report(path, form, content.dialect.name, content.name, content.arrays, arrays)
    spec = MODELS[content.name]
    how = content.dialect.preprocess or spec.preprocess
    return Loaded(content.name, spec, content.classes, how, network, said)


def recognise(file: File, file_name: str = "") -> Content | None:
    """What a file is: the first network that its tensors fit in name and shape, None where none does.

    Networks of one shape (JDE's three sizes) are told apart by what the file is called.
    """
    fitting = [content for name in MODELS if (content := translate(name, file)) and _fits(content)]
    named = [one for one in fitting if (size := re.search(r"\d+x\d+$", one.name)) and size[0] in file_name]
    return next(iter(named + fitting), None)


def verdict(file: File, file_name: str) -> str:
    """`holds …`: what a file is, for an error text."""
    content = recognise(file, file_name)
    if content is not None:
        return f"holds the weights of {content.name} (a {MODELS[content.name].kind} network)"
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


def _fits(content: Content) -> bool:
    """Whether the names and shapes are the network's; the numbers are not looked at."""
    wanted = shapes_of(content.name, content.classes)
    missing = [
        key
        for key, shape in wanted.items()
        if not key.endswith(COUNTER) and (key not in content.arrays or content.arrays[key].shape != shape)
    ]
    return not missing and all(
        key in wanted
        or any(fnmatchcase(key, pattern) for pattern in (*content.dialect.unused, f"*{COUNTER}"))
        for key in content.arrays
    )


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    kind = np.float32 if np.issubdtype(array.dtype, np.floating) else np.int64
    return torch.from_numpy(np.ascontiguousarray(array, kind))
