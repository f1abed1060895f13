"""What has to be known of a network besides its layers: what it is for, and whose files it can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor, nn

Shape = tuple[int, ...]
Kind = Literal["detector", "reid", "joint"]


class Joint(NamedTuple):
    """What a joint network gives: boxes, and maps in which the boxes' embeddings are to be found.

    Attributes:
        boxes: (B, A, 4) float32 xyxy in input pixels.
        scores: (B, A, C) float32.
        maps: (B, E, h, w) each.
        cells: (B, A) int64, the cell of every box: counted over all maps one after another, y before x.
    """

    boxes: Tensor
    scores: Tensor
    maps: tuple[Tensor, ...]
    cells: Tensor


@dataclass(frozen=True)
class Dialect:
    """How one maker's files name the tensors of a network, as data.

    Attributes:
        name: whose.
        mark: regular expression that one tensor name in such a file matches, and none in other families' files.
        rename: (regular expression, replacement) pairs, all applied to every name, in this order, to come to the
            names of our network.
        unused: patterns, as of file names, of renamed tensors that may be there or not and are not used.
        transposed: patterns of renamed matrices that the file holds as (in, out).
        preprocess: key of `PREPROCESS`, where this maker's way of pictures is another than the network's usual.
    """

    name: str
    mark: str
    rename: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    preprocess: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A row of `MODELS`.

    Attributes:
        kind: what the network gives for (B, 3, H, W): a detector `(boxes (B, A, 4) xyxy in input pixels,
            scores (B, A, C))`, float32; a reid network (B, E) vectors, not normalised; a joint one `Joint`.
        build: number of classes -> the network, its tensors under the official names, BatchNorm not folded. It
            is called with torch's default device set to `meta`, so it makes no tensor but parameters and
            registered, saved buffers.
        preprocess: key of `PREPROCESS`.
        input_size: height and width that the network was trained with.
        dialects: whose files it can read, the official one first.
        classes: shapes by our names -> the number of classes that the file has.
        darknet: whether a darknet file holds its convolutions in the order of their registration.
        embedding_size: E.
        family: the manifest's `model` of its files, where that is not the key in `MODELS`.
    """

    kind: Kind
    build: Callable[[int], nn.Module]
    preprocess: str
    input_size: tuple[int, int]
    dialects: tuple[Dialect, ...]
    classes: Callable[[Mapping[str, Shape]], int] = lambda shapes: 1
    darknet: bool = False
    embedding_size: int = 0
    family: str = ""
