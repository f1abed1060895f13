"""What goes into an exported network and what comes out: the part that is the same for every runtime."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mot.errors import ConfigError, WeightsError

Arrays = Sequence[NDArray[Any]]

# What exported detectors ask for besides the picture, from height and width of the canvas, so that their boxes are
# in its pixels: RT-DETR and D-FINE the first, PaddleDetection the others.
SIDE_INPUTS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "orig_target_sizes": lambda height, width: (width, height),
    "im_shape": lambda height, width: (height, width),
    "scale_factor": lambda height, width: (1, 1),
}


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: as in the file.
        shape: None where a size is left open.
        dtype: numpy's name of the type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        """`images (1, 3, 416, 416) float32`."""
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} ({sizes}) {self.dtype}"


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a file.

    Attributes:
        path: the file, for messages.
        inputs: one for pictures, and none but `SIDE_INPUTS` beside it.
        outputs: in the file's order.
        producer: who wrote the file, as it says.

    Raises:
        WeightsError: no input takes colour pictures, or another is unknown.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    producer: str

    def __post_init__(self) -> None:
        """Refuse what cannot be fed."""
        found = ", ".join(map(str, self.inputs)) or "none"
        pictures = [port for port in self.inputs if port.name not in SIDE_INPUTS]
        if len(pictures) != 1 or len(pictures[0].shape) != 4 or self._channels not in (3, None):
            raise WeightsError(
                f"{self.path}: inputs {found}; expected one for pictures, (B, 3, H, W) or (B, H, W, 3)"
            )
        if self.picture.dtype not in ("float32", "float16"):
            raise WeightsError(f"{self.path}: input {self.picture}; expected float32 or float16")

    @property
    def picture(self) -> Port:
        """The input for pictures."""
        return next(port for port in self.inputs if port.name not in SIDE_INPUTS)

    @property
    def batch(self) -> int | None:
        """Pictures in one run; None: any number."""
        return self.picture.shape[0]

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of a picture; None where one of them is left open."""
        height, width = self._sides
        return None if height is None or width is None else (height, width)

    @property
    def _channels_last(self) -> bool:
        shape = self.picture.shape
        return shape[3] == 3 and shape[1] != 3

    @property
    def _channels(self) -> int | None:
        return self.picture.shape[3 if self._channels_last else 1]

    @property
    def _sides(self) -> tuple[int | None, ...]:
        return self.picture.shape[1:3] if self._channels_last else self.picture.shape[2:]

    def check_size(self, x: Tensor) -> None:
        """Refuse pictures of another size than the file fixes."""
        height, width = x.shape[2:]
        if any(want not in (None, have) for want, have in zip(self._sides, (height, width), strict=True)):
            sides = "x".join(str(side or "any") for side in self._sides)
            raise ConfigError(
                f"{self.path}: takes pictures of {sides} (height x width), got {height}x{width}"
            )

    def run(self, x: Tensor, chunk: int, call: Callable[[Arrays], Arrays]) -> tuple[Tensor, ...]:
        """All outputs for a batch of any size.

        The pictures go in pieces of the file's batch, or of `chunk` where it has none; the last piece is filled up
        with its last picture. So every run has one size, and a picture's bits never depend on how many there are.

        Args:
            x: (B, 3, H, W) float32, B >= 1.
            chunk: pictures in a piece.
            call: the inputs of one piece in the file's order -> the outputs.

        Returns:
            The outputs in the file's order, batch first: float32 if they are floats, else int64.

        Raises:
            ConfigError: the library cannot run such pictures.
            WeightsError: an output is not one row a picture.
        """
        height, width = x.shape[2:]
        piece = self.batch or chunk
        rows = torch.arange(-(-len(x) // piece) * piece).clamp(max=len(x) - 1)
        parts: list[Arrays] = []
        for start in range(0, len(rows), piece):
            feed = self._feed(x[rows[start : start + piece].to(x.device)])
            try:
                parts.append(call(feed))
            except Exception as error:  # the libraries' own types, and plain RuntimeError
                raise ConfigError(
                    f"{self.path}: cannot run {piece} pictures of {height}x{width}: {reason(error)}"
                ) from None
        outputs = zip(self.outputs, zip(*parts, strict=True), strict=True)
        return tuple(self._join(port, arrays, piece)[: len(x)].to(x.device) for port, arrays in outputs)

    def _feed(self, x: Tensor) -> list[NDArray[Any]]:
        """The arrays of all inputs for the pictures `x`."""
        batch, _, height, width = x.shape
        pictures = x.permute(0, 2, 3, 1) if self._channels_last else x
        return [
            np.tile(np.array(SIDE_INPUTS[port.name](height, width), port.dtype), (batch, 1))
            if port.name in SIDE_INPUTS
            else np.ascontiguousarray(pictures.cpu().numpy(), dtype=port.dtype)
            for port in self.inputs
        ]

    def _join(self, port: Port, arrays: Arrays, piece: int) -> Tensor:
        """The pieces of one output, one after another; what was found in one picture may lack the batch axis."""
        if piece == 1:
            arrays = [array if array.shape[:1] == (1,) else array[None] for array in arrays]
        shapes = {array.shape for array in arrays}
        if len(shapes) != 1 or arrays[0].shape[:1] != (piece,):
            found = ", ".join(map(str, sorted(shapes)))
            raise WeightsError(
                f"{self.path}: output {port.name} has the shape {found} for {piece} picture(s); expected one row a"
                " picture, all alike: export without non-maximum suppression"
            )
        joined = np.concatenate(arrays)
        kind = np.float32 if np.issubdtype(joined.dtype, np.floating) else np.int64
        return torch.from_numpy(joined.astype(kind, copy=False))

    def describe(self) -> dict[str, Any]:
        """Inputs and outputs as texts, and the producer."""
        return {
            "inputs": [str(port) for port in self.inputs],
            "outputs": [str(port) for port in self.outputs],
            "producer": self.producer,
        }


def check_readable(path: Path) -> None:
    """Refuse a file that is not there, in the words of the system rather than of a library."""
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise WeightsError(f"{path}: is empty")


def reason(error: Exception) -> str:
    """The one line of a library's error that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = re.sub(
        r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?", "", (lines or ["?"])[-1]
    )
    return textwrap.shorten(told, 240, placeholder=" …")
