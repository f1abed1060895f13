"""Every weights file format -> named arrays, without ever running code that a file brings along.

| format | recognised by | read as |
|---|---|---|
| torch, zip (since 1.6) | first bytes `PK` | `TensorFile`; the members' CRCs are verified |
| torch, legacy | a pickle of torch's magic number | `TensorFile` |
| paddle (`.pdparams`) | first byte of any other pickle | `TensorFile` |
| darknet | a name `*.weights` and a sane header | `DarknetFile` |

torch files are read by `torch.load(weights_only=True)` and nothing else, to which numpy's scalars, dtypes and
arrays are admitted as stand-ins that keep the bytes and call nothing of numpy's; paddle files by an interpreter
of our own, see `pickles`. There is no fallback: a pickle that names any other function is refused.

`fit` (named tensors) and `split` (a row of numbers) then give a network exactly what it wants: nothing
missing, nothing left over.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mot.errors import WeightsError, install_hint
from mot.weights import paddle
from mot.weights.pickles import ARRAYS, NUMBERS, DType, imported, refusal, scalar, under_both_names

_FOLDER = 0x10  # MS-DOS's attribute, in a zip's directory
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
# How a pickle of any protocol writes torch's magic number, a few bytes after its start.
_LEGACY_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_START = 32
_EXPECTED = "expected a torch state dict (.pt, .pth), paddle's .pdparams or darknet weights (.weights)"
# A legacy torch file starts with so many: magic number, protocol, system, the object, storage keys.
_LEGACY_PICKLES = 5
# BatchNorm's count of training steps: inference never reads it, and files made before torch 0.4.1 or by a
# synchronised BatchNorm lack it.
_OPTIONAL = "num_batches_tracked"
_SHOWN = 5
# What torch itself writes into a state dict, and so never the reason for a refusal.
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\.(\w*Storage|device|Size|[a-z]+\d+)|torch\._utils\._rebuild_\w+"
    r"|torch\.nn\.parameter\.Parameter|_codecs\.encode"
)
# Public checkpoints hold a score or two beside the tensors (`best_ap`). All of it is stand-ins except
# `_codecs.encode`: torch admits Python's own, and asks the table of its user only after its own.
_NUMPY = {
    **ARRAYS,
    **under_both_names("multiarray.scalar", scalar),
    **{f"numpy.dtypes.{type(np.dtype(code)).__name__}": DType for code in NUMBERS},
}
_ADMITTING = Lock()  # torch keeps what is admitted in one set for all threads


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """A file of named tensors.

    Attributes:
        format: the container.
        tensors: by name, torch's without a leading `module.`; half and bfloat16 as float32, all others as stored.
    """

    format: Literal["torch", "paddle"]
    tensors: dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class DarknetFile:
    """Darknet weights: numbers without names, in the order of the network's layers.

    Attributes:
        major, minor, revision: version of the file format.
        seen: images seen in training.
        floats: (n,) all parameters, finite.
    """

    major: int
    minor: int
    revision: int
    seen: int
    floats: NDArray[np.float32]


Container = TensorFile | DarknetFile
Shape = tuple[int, ...]


def read(path: str | Path) -> Container:
    """The content of a weights file.

    Raises:
        WeightsError: the file is absent, damaged, of no known format, or would run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise WeightsError(f"{path} is empty: {_EXPECTED}")
    if start.startswith(_ZIP):
        _check_zip(path)
        return _read_torch(path)
    if start.startswith(_PICKLE) and _LEGACY_TORCH in start:
        return _read_torch(path)
    if start.startswith(_PICKLE):
        return TensorFile(format="paddle", tensors=paddle.read(path))
    if path.suffix == ".weights":
        return _read_darknet(path)
    _refuse_foreign_names(path)  # pickles of the oldest protocols have no first byte of their own
    raise WeightsError(f"{path} is no weights file: {_EXPECTED}")


def fit(
    tensors: Mapping[str, NDArray[Any]],
    expected: Mapping[str, Shape],
    source: str,
    ignore: tuple[str, ...] = (),
) -> dict[str, NDArray[Any]]:
    """The `expected` tensors, in that order, out of a file's `tensors`.

    Args:
        tensors: what the file holds, by name.
        expected: shape of every tensor of the network; a `num_batches_tracked` that the file lacks is zero.
        source: the file's name for the error text.
        ignore: patterns (as of file names: `classifier.*`) of tensors that may be there and are not used.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape, or holds NaN or infinity.
    """
    zeros = {name: np.zeros(shape, np.int64) for name, shape in expected.items() if name.endswith(_OPTIONAL)}
    found = {**zeros, **tensors}
    shared = {name: found[name] for name in expected if name in found}
    unused = [name for name in tensors if name not in expected]
    wrong = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in unused if not _any_fits(name, (*ignore, f"*{_OPTIONAL}"))],
        "of another shape": [
            f"{name} {array.shape} instead of {tuple(expected[name])}"
            for name, array in shared.items()
            if array.shape != tuple(expected[name])
        ],
        "not finite": [name for name, array in shared.items() if not np.isfinite(array).all()],
    }
    if any(wrong.values()):
        text = "; ".join(_listed(kind, names) for kind, names in wrong.items() if names)
        raise WeightsError(f"{source} does not fit a network of {len(expected)} tensors: {text}")
    return shared


def split(
    floats: NDArray[np.float32], shapes: Sequence[tuple[str, Shape]], source: str
) -> dict[str, NDArray[np.float32]]:
    """Cuts a row of numbers into named tensors, one after the other.

    Args:
        floats: (n,) all numbers of a darknet file.
        shapes: name and shape of each tensor, in the file's order.
        source: the file's name for the error text.

    Raises:
        WeightsError: the numbers are more or fewer than the shapes take.
    """
    ends = np.cumsum([math.prod(shape) for _, shape in shapes], dtype=np.int64)
    wanted = int(ends[-1]) if len(ends) else 0
    if wanted != len(floats):
        raise WeightsError(
            f"{source} does not fit: it holds {len(floats)} numbers, the network takes {wanted}"
        )
    pieces = np.split(floats, ends[:-1])[: len(shapes)]
    return {name: piece.reshape(shape) for (name, shape), piece in zip(shapes, pieces, strict=True)}


def _any_fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{more})"


def _check_zip(path: Path) -> None:
    """Verifies that a zip file is whole and torch's; torch itself does not compare the CRCs."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_compressed(members, path)
            # torch.serialization.set_crc32_options(False) leaves every CRC zero: nothing to compare
            damaged = archive.testzip() if any(member.CRC for member in members) else None
    except WeightsError:
        raise
    except Exception as error:  # a damaged zip raises from many places: zipfile, zlib, struct, codecs
        raise WeightsError(f"{path} is damaged or cut short: {_one_line(error)}") from error
    # of what is marked as a folder torch reads nothing, and gives memory as it finds it
    if any(member.external_attr & _FOLDER for member in members):
        raise WeightsError(f"{path} is damaged: a member of it is marked as a folder")
    if damaged is not None:
        raise WeightsError(f"{path} is damaged: the checksum of its member {damaged!r} is wrong")
    if not any(member.filename.endswith("/data.pkl") for member in members):
        raise WeightsError(f"{path} is a zip file, but not one of torch's: {_EXPECTED}")


def _refuse_compressed(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Before one is inflated: a few bytes may become gigabytes."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise WeightsError(
            f"{path} holds compressed members, as no weights file of torch's does: {_EXPECTED}"
        )


def _read_torch(path: Path) -> TensorFile:
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"reading {path} needs torch: {install_hint()}") from error
    try:
        admitted: list[Any] = [(stand_in, name) for name, stand_in in _NUMPY.items()]
        with warnings.catch_warnings(), _ADMITTING, torch.serialization.safe_globals(admitted):
            warnings.simplefilter("ignore")  # on pickle protocols that torch does not write
            content = torch.load(path, map_location="cpu", weights_only=True)
        return TensorFile(format="torch", tensors=_arrays(_state_dict(content, path), path))
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything at all
        _refuse_foreign_names(path)
        reason = f"damaged? ({_one_line(error)})"
        raise WeightsError(f"{path} cannot be read by torch, {reason}: {_EXPECTED}") from error


def _state_dict(content: object, path: Path) -> Mapping[str, Any]:
    """The state dict in a checkpoint: under `state_dict` or `model`, else the checkpoint itself."""
    if isinstance(content, Mapping):
        for key in ("state_dict", "model"):
            if isinstance(content.get(key), Mapping):
                return _state_dict_of_tensors(content[key], path)
        return _state_dict_of_tensors(content, path)
    raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict of tensors")


def _state_dict_of_tensors(content: Mapping[Any, Any], path: Path) -> Mapping[str, Any]:
    import torch

    strangers = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if strangers or not content:
        keys = ", ".join(strangers[:5]) or "it is empty"
        raise WeightsError(f"{path} holds no state dict of tensors (not a tensor: {keys})")
    return content


def _arrays(tensors: Mapping[str, Any], path: Path) -> dict[str, NDArray[Any]]:
    import torch

    kept = (torch.float32, torch.float64)
    arrays: dict[str, NDArray[Any]] = {}
    for key, tensor in tensors.items():
        name = str(key).removeprefix("module.")
        if name in arrays:
            raise WeightsError(f"{path} holds the tensor {name!r} twice, with and without 'module.'")
        narrow = tensor.is_floating_point() and tensor.dtype not in kept  # numpy knows no bfloat16
        arrays[name] = (tensor.float() if narrow else tensor).detach().numpy()
    return arrays


def _read_darknet(path: Path) -> DarknetFile:
    """Reads int32 major, minor, revision; `seen`, int64 from 0.2 on, else int32; float32 to the end."""
    data = path.read_bytes()
    if len(data) < 16:
        raise WeightsError(f"{path} is cut short: {len(data)} bytes do not even hold a darknet header")
    major, minor, revision = (int(number) for number in np.frombuffer(data, "<i4", count=3))
    if major != 0 or not 0 <= minor < 10 or revision < 0:
        raise WeightsError(
            f"{path} is not darknet weights: its header says version {major}.{minor}.{revision}, expected 0.x"
        )
    wide = major * 10 + minor >= 2
    start = 20 if wide else 16
    if len(data) <= start or (len(data) - start) % 4:
        raise WeightsError(
            f"{path} is cut short: {len(data)} bytes are not a darknet header and whole float32s"
        )
    seen = int(np.frombuffer(data, "<i8" if wide else "<i4", count=1, offset=12)[0])
    floats = np.frombuffer(data, "<f4", offset=start).astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(floats)).tolist():
        raise WeightsError(
            f"{path} is damaged: {len(bad)} of {len(floats)} numbers are not finite, first number {bad[0]}"
        )
    return DarknetFile(major=major, minor=minor, revision=revision, seen=seen, floats=floats)


def _refuse_foreign_names(path: Path) -> None:
    """Raises if the file is a pickle that names functions or classes that torch's own files do not."""
    names = [name for name in _imported(path) if name not in _NUMPY and not _HARMLESS.fullmatch(name)]
    if names:
        raise refusal(str(path), names)


def _imported(path: Path) -> list[str]:
    """The `module.name` of everything that a pickle would import; it is read as data, nothing is executed."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                with archive.open(member) as stream:
                    return imported(stream)
    except Exception:  # a damaged zip raises from many places
        return []
    with path.open("rb") as stream:
        return imported(stream, _LEGACY_PICKLES)


def _one_line(error: Exception) -> str:
    """The error's first line, without the advice that torch adds (to load the file unsafely)."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.split(". In PyTorch")[0][:200]
