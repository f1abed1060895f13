"""Files of `paddle.save` (`.pdparams`): one pickle of a dict of numpy arrays by name.

Three things beside the arrays (Paddle's `framework/io.py`): a table of other names for them, which is skipped;
(name, array) pairs instead of arrays in a dict that holds anything else as well; and, in protocols 2 and 3,
arrays of more than 1 GiB cut into slices, which are joined here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.errors import WeightsError
from mot.weights import pickles
from mot.weights.pickles import ARRAYS, Array

_SLICED = "UnpackBigParamInfor@@"


def _encode(text: object, encoding: object) -> str:
    """Protocol 2's bytes; they stay text, as one text may be encoded many times."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("its pickle encodes something else than bytes")
    return text


def _is_pair(value: object) -> bool:
    return type(value) is tuple and len(value) == 2 and isinstance(value[1], Array)


def _pair(items: object) -> object:
    """The (name, array) of a parameter: `tuple` would copy whatever it is given, again and again."""
    if not _is_pair(items):
        raise ValueError("its pickle makes a tuple that is not a name and an array")
    return items


_NAMES: dict[str, Callable[..., Any]] = {**ARRAYS, "_codecs.encode": _encode, "builtins.tuple": _pair}


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a `.pdparams` file by name; half as float32, all others as stored.

    Raises:
        WeightsError: the file is damaged, holds no tensors, or would run code.
    """
    try:
        content = pickles.load(path.read_bytes(), _NAMES, str(path))
        tensors = _tensors(content, path.stat().st_size)
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle can raise anything at all
        text = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as paddle's, damaged or cut short? ({text:.200}): "
            "expected a dict of numpy arrays, as paddle.save writes it"
        ) from error
    if not tensors:
        raise WeightsError(f"{path} holds no tensors: expected a dict of numpy arrays")
    return tensors


def _tensors(content: object, size: int) -> dict[str, NDArray[Any]]:
    """Name and array of every tensor in `content`, or one level down; `size` is that of the file."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    held: dict[str, Any] = next(
        (content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content
    )
    bare = {name: value[1] if _is_pair(value) else value for name, value in held.items()}
    named = {name: value for name, value in bare.items() if isinstance(value, Array)}
    distinct = {id(array): array for array in named.values()}
    if sum(array.nbytes for array in distinct.values()) > size:
        raise ValueError("its arrays share their bytes")
    built = {key: array.numpy() for key, array in distinct.items()}
    return _joined({name: built[id(array)] for name, array in named.items()}, held.get(_SLICED, {}))


def _joined(tensors: dict[str, NDArray[Any]], sliced: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """`tensors` with the slices that `sliced` lists replaced by the whole."""
    for name, facts in sliced.items():
        if not all(isinstance(part, str) for part in facts["slices"]):
            raise ValueError(f"the slices of {name[:80]} have no names")
        whole = np.concatenate([tensors.pop(part) for part in facts["slices"]])
        tensors[name] = whole.reshape(facts["OriginShape"])
    return tensors
