"""The goldens in ../shared/parity, read-only: what the official networks answered, and their weights made again."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
PARITY = Path(__file__).resolve().parents[2] / "shared" / "parity"


def golden(name: str) -> Arrays:
    """The arrays of a golden file; the test is skipped, saying so, where it is absent."""
    path = PARITY / "golden" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    with np.load(path) as arrays:
        return dict(arrays)


def rebuilt(name: str) -> Arrays:
    """Every tensor of the golden's checkpoint, under its public name."""
    state: Arrays = _rebuilder().rebuild(json.loads(str(golden(name)["recipe"])))
    return state


@cache
def _rebuilder() -> Any:
    spec = importlib.util.spec_from_file_location("rebuild", Path(PARITY / "rebuild.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
