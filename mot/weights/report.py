"""What was read from a weights file, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Format = Literal["torch", "paddle", "darknet"]
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """One file that went into one network.

    Attributes:
        file: its name, without folders.
        format: the container.
        dialect: whose names the tensors have.
        model: the network that took them.
        tensors: how many the network took from the file.
        ignored: names of those that are there and are not used.
        floats: how many floating-point numbers the network took.
    """

    file: str
    format: Format
    dialect: str
    model: str
    tensors: int
    ignored: tuple[str, ...]
    floats: int

    @property
    def unused(self) -> str:
        """`2 not used (a, b)`, empty where all are."""
        more = ", …" if len(self.ignored) > _SHOWN else ""
        listed = f"{len(self.ignored)} not used ({', '.join(self.ignored[:_SHOWN])}{more})"
        return listed if self.ignored else ""

    def __str__(self) -> str:
        return (
            f"{self.file} ({self.format}, {self.dialect}) into {self.model}: {self.tensors} tensors, "
            f"{self.floats:,} numbers{f', {self.unused}' if self.unused else ''}"
        )


def report(
    path: Path,
    form: Format,
    dialect: str,
    model: str,
    held: Mapping[str, NDArray[Any]],
    fitted: Mapping[str, NDArray[Any]],
) -> LoadReport:
    """The report on a file of the tensors `held`, of which `containers.fit` made `fitted`."""
    used = [array for name, array in fitted.items() if name in held]
    return LoadReport(
        file=path.name,
        format=form,
        dialect=dialect,
        model=model,
        tensors=len(used),
        ignored=tuple(name for name in held if name not in fitted),
        floats=sum(array.size for array in used if np.issubdtype(array.dtype, np.floating)),
    )
