"""Compiled twins of what numpy does slowly in small pieces: the extra `mot-tracking[fast]`, numba.

    fast = kernels.fast              # None until a tracker is made, and for ever where there is no numba
    if fast:
        return Overlaps(*fast.overlaps(a, b, extra))

The numpy code below such a line stays the one to read: a kernel does the same operations in the same order and
gives the same bits (`tests/kernels` holds each against its twin). Where it cannot, its docstring says so.

`import mot` never imports numba. The first tracker made calls `choose`; MOT_KERNELS=numpy or =numba decides
otherwise. A kernel is compiled when it is first called for, with one signature only, which takes arrays of any
layout where they may be the caller's: nothing compiles in the middle of a stream. The machine code is kept beside
the source, or where numba keeps it if that folder cannot be written to, or not at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from mot.errors import ConfigError

VARIABLE = "MOT_KERNELS"
CHOICES = ("auto", "numpy", "numba")

fast: Any = None  # `mot.kernels.compiled`, or None: numpy
_chosen = False


def available() -> bool:
    """Whether numba is installed; does not import it."""
    return importlib.util.find_spec("numba") is not None


def choose() -> None:
    """Take numba if it is there, or what the environment says; the first call decides."""
    if not _chosen:
        use(os.environ.get(VARIABLE) or "auto")


def use(name: str) -> None:
    """Take the kernels `name`: "numpy", "numba", or "auto" for numba where it works.

    Raises:
        ConfigError: another name, or numba is asked for and cannot be imported.
    """
    global fast, _chosen
    if name not in CHOICES:
        raise ConfigError(f"{VARIABLE}: expected one of {', '.join(CHOICES)}, got {name!r}")
    fast, _chosen = None, True
    if name == "numpy" or (name == "auto" and not available()):
        return
    try:
        importlib.import_module("numba")
    except ImportError as error:  # missing, or too old for the numpy that is here
        if name == "numba":
            raise ConfigError(f"{VARIABLE}=numba: {error}; pip install mot-tracking[fast]") from error
        return
    fast = importlib.import_module("mot.kernels.compiled")
