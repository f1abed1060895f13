"""What flows through `mot`: `Frame` in, `Detections` between, `Tracks` out.

Each is a frozen record of arrays of one length (struct of arrays), validated once, when it is made. The arrays
are the caller's where they have the right type already, not copies: do not change them afterwards.
Boxes are always `xyxy`: left, top, right, bottom in pixels of the original image, float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot import kernels
from mot.errors import InputError

Record = TypeVar("Record", "Detections", "Tracks")
MAX_LABELS, MAX_PIXELS = 2**16, 1e7  # beyond these a number is a mistake, and areas overflow
Index = Any  # a mask of the record's length, an array of integers, or a slice


class TrackState(IntEnum):
    """Where a track stands in its life; one state at a time."""

    TENTATIVE = 1
    CONFIRMED = 2
    LOST = 3


class Reason(IntEnum):
    """Why a detection went to no track; negative, so that it never looks like an id."""

    BELOW_THRESHOLD = -1
    SUPPRESSED = -2
    FILTERED = -3
    UNMATCHED = -4
    DUPLICATE = -5


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8 BGR, or None where only a detection file is tracked.
        index: number in the source, from 1.
        time_s: seconds since the source's first frame, from its own time stamps.
        source: name of the source.
        duration_s: seconds this picture is shown; None where the source does not say.
    """

    image: NDArray[np.uint8] | None
    index: int
    time_s: float
    source: str = ""
    duration_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse anything that is not an 8-bit colour picture."""
        if self.image is None:
            return
        image = np.asarray(self.image)
        if image.ndim != 3 or image.shape[2] != 3 or not image.size or image.dtype != np.uint8:
            raise InputError(f"image: expected (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A ground truth or a result of one sequence, as benchmarks write them.

    Attributes:
        frames: (N,) int64 from 1, in any order.
        ids: (N,) int64, unique within a frame.
        tlwh: (N, 4) float64: left, top, width, height in pixels of the image; may leave it.
        scores: (N,) float64, column 7; of a ground truth the mark whether a row counts: below 1 it does not.
        classes: (N,) int64, column 8; of a ground truth the class, of a result 1 or below.

    Raises:
        InputError: shapes disagree.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    tlwh: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        shapes = [np.shape(getattr(self, name)) for name in ("frames", "ids", "scores", "classes")]
        if np.shape(self.tlwh) != (len(self), 4) or any(shape != (len(self),) for shape in shapes):
            raise InputError(
                f"rows: expected (N,) columns and (N, 4) tlwh, got {np.shape(self.tlwh)}, {shapes}"
            )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What a detector saw in one frame.

    Attributes:
        xyxy: (D, 4) float64, image pixels; may leave the image.
        scores: (D,) float64 in 0..1.
        labels: (D,) int64, index into the model's label names; zeros when not given.
        embeddings: (D, E) float32 appearance vectors, or None.

    Raises:
        InputError: shapes disagree, a value is NaN or infinite, a score leaves 0..1, or x2 < x1 or y2 < y1.
    """

    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below
    embeddings: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Convert to the documented types, then check every row; whole arrays first, since that is quicker."""
        if self.labels is None and isinstance(self.scores, np.ndarray):
            _freeze(self, labels=np.zeros(self.scores.size, np.int64))
        if _sound(self.xyxy, self.scores, self.labels, self.embeddings):
            return
        xyxy = _array(self.xyxy, "xyxy", np.float64, (None, 4))
        scores = _array(self.scores, "scores", np.float64, (len(xyxy),))
        labels = np.zeros(len(xyxy), np.int64) if self.labels is None else self.labels
        labels = _array(labels, "labels", np.int64, (len(xyxy),))
        _refuse_row((labels < 0) | (labels >= MAX_LABELS), "labels", labels, f"0..{MAX_LABELS - 1}")
        _freeze(self, xyxy=xyxy, scores=scores, labels=labels)
        if self.embeddings is not None:
            embeddings = _array(self.embeddings, "embeddings", np.float32, (len(xyxy), None))
            _freeze(self, embeddings=embeddings)
        _refuse_row(
            np.asarray(np.any(np.abs(xyxy) > MAX_PIXELS, axis=1)),
            "xyxy",
            xyxy,
            f"within {MAX_PIXELS:g} pixels",
        )
        _refuse_row((scores < 0) | (scores > 1), "scores", scores, "0..1")
        negative = np.any(xyxy[:, 2:] < xyxy[:, :2], axis=1)
        _refuse_row(np.asarray(negative), "xyxy", xyxy, "x1 <= x2 and y1 <= y2")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Index) -> Detections:
        """Rows chosen by a mask of the same length, an array of integers or a slice."""
        return _select(self, index)

    @classmethod
    def empty(cls, embedding_size: int | None = None) -> Detections:
        """No detections; with `embedding_size`, an embeddings array of (0, E)."""
        embeddings = None if embedding_size is None else np.empty((0, embedding_size), np.float32)
        return cls(xyxy=np.empty((0, 4)), scores=np.empty(0), embeddings=embeddings)

    @classmethod
    def concat(cls, parts: Iterable[Detections]) -> Detections:
        """The rows of `parts`, one after another; embeddings in all of them or in none."""
        return _concat(cls, list(parts))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """What a tracker reports for one frame.

    Attributes:
        ids: (T,) int64 from 1, unique in the frame, never used again by the same tracker.
        xyxy: (T, 4) float64, image pixels; may leave the image.
        scores: (T,) float64, of the last detection matched.
        labels: (T,) int64.
        det_index: (T,) int64, the row of the frame's `Detections` that made this row; -1 = predicted only.
        state: (T,) int8, a `TrackState`.
        assigned: (D,) int64, for every detection that went in the id it went to (also of a track not
            reported yet), or a negative `Reason`; selecting rows leaves it whole.
    """

    ids: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    det_index: NDArray[np.int64]
    state: NDArray[np.int8]
    assigned: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        """Convert to the documented types; lengths must agree."""
        ids = _array(self.ids, "ids", np.int64, (None,))
        rows = (len(ids),)
        assigned = np.empty(0, np.int64) if self.assigned is None else self.assigned
        _freeze(
            self,
            ids=ids,
            xyxy=_array(self.xyxy, "xyxy", np.float64, (len(ids), 4)),
            scores=_array(self.scores, "scores", np.float64, rows),
            labels=_array(self.labels, "labels", np.int64, rows),
            det_index=_array(self.det_index, "det_index", np.int64, rows),
            state=_array(self.state, "state", np.int8, rows),
            assigned=_array(assigned, "assigned", np.int64, (None,)),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Index) -> Tracks:
        """Rows chosen by a mask of the same length, an array of integers or a slice."""
        return _select(self, index, whole=("assigned",))

    def __iter__(self) -> Iterator[Tracks]:
        """One `Tracks` of a single row at a time: a view for readers."""
        return (self[i : i + 1] for i in range(len(self)))

    @classmethod
    def trusted(cls, **columns: NDArray[Any]) -> Tracks:
        """Tracks of columns that are known to be right: what a tracker made itself is not looked at again."""
        tracks = object.__new__(cls)
        tracks.__dict__.update(columns)
        return tracks

    @classmethod
    def empty(cls) -> Tracks:
        """No tracks."""
        none: NDArray[Any] = np.empty(0)
        return cls(ids=none, xyxy=np.empty((0, 4)), scores=none, labels=none, det_index=none, state=none)

    @classmethod
    def concat(cls, parts: Iterable[Tracks]) -> Tracks:
        """The rows of `parts`, one after another.

        Raises:
            InputError: a part has `assigned`: those of two frames or trackers cannot be joined.
        """
        rows = list(parts)
        if any(len(part.assigned) for part in rows):
            raise InputError(
                "Tracks.concat: `assigned` speaks of one frame's detections and cannot be joined"
            )
        return _concat(cls, rows)


def _sound(xyxy: Any, scores: Any, labels: Any, embeddings: Any) -> bool:
    """Whether these are detections as documented, of the right types already."""
    count = len(scores) if isinstance(scores, np.ndarray) and scores.ndim else -1
    typed = (
        _is(scores, np.float64, (count,))
        and _is(xyxy, np.float64, (count, 4))
        and _is(labels, np.int64, (count,))
        and (embeddings is None or (_is(embeddings, np.float32, (count,) + embeddings.shape[1:2])))
    )
    if not typed or not count:
        return False
    if kernels.fast:
        return kernels.fast.sound(xyxy, scores, labels) and _finite(embeddings)
    edges = xyxy.T.copy()
    low, high = edges[:2], edges[2:]
    # a NaN makes each of these False
    return bool(
        (low <= high).all()
        and low.min() >= -MAX_PIXELS
        and high.max() <= MAX_PIXELS
        and scores.min() >= 0
        and scores.max() <= 1
        and (not labels.any() or (labels.min() >= 0 and labels.max() < MAX_LABELS))
        and _finite(embeddings)
    )


def _finite(embeddings: Any) -> bool:
    return embeddings is None or bool(np.isfinite(embeddings).all())


def _is(value: Any, dtype: type[Any], shape: tuple[int, ...]) -> bool:
    """Whether this is a plain array, its numbers where a compiled kernel can read them."""
    return type(value) is np.ndarray and value.dtype == dtype and value.shape == shape and value.flags.aligned


def _array(value: ArrayLike, name: str, dtype: type[Any], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """`value` as an array of `dtype` and `shape` (None: any length), or an InputError saying what is wrong."""
    try:
        raw = np.asarray(value)
        with np.errstate(over="ignore", invalid="ignore"):  # the checks below speak of the row
            array = raw.astype(dtype, copy=not raw.flags.aligned)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: expected numbers, got {type(value).__name__} ({error})") from None
    if array.size == 0 and array.shape == (0,):
        array = array.reshape([size or 0 for size in shape])
    if array.ndim != len(shape) or any(
        want not in (None, got) for want, got in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{name}: expected shape ({wanted}), got {array.shape}")
    if dtype in (np.float64, np.float32):
        _refuse_row(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))), name, array, "finite numbers")
    elif raw.size and raw.dtype.kind != "b":
        _refuse_row(array != raw, name, raw, f"whole numbers of type {np.dtype(dtype).name}")
    return array


def _refuse_row(bad: NDArray[np.bool_], name: str, values: NDArray[Any], expected: str) -> None:
    """Raise for the first row marked in `bad`."""
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{name}: row {row} is {values[row].tolist()}, expected {expected}; shape {values.shape}"
        )


def _freeze(record: object, **values: NDArray[Any]) -> None:
    """Set fields of a frozen dataclass while it is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def _select(record: Record, index: Index, whole: tuple[str, ...] = ()) -> Record:
    """The same record with `index` applied to every field but those in `whole`; no validation again."""
    chosen = np.asarray(index) if not isinstance(index, slice) else index
    if isinstance(chosen, np.ndarray):
        if chosen.dtype == np.bool_ and chosen.shape != (len(record),):
            raise InputError(f"mask: expected shape ({len(record)},), got {chosen.shape}")
        chosen = chosen if chosen.size else chosen.astype(np.bool_ if chosen.dtype == np.bool_ else np.int64)
        chosen = np.atleast_1d(chosen)
    selected = object.__new__(type(record))
    for field in fields(record):
        value = getattr(record, field.name)
        keep_whole = value is None or field.name in whole
        object.__setattr__(selected, field.name, value if keep_whole else value[chosen])
    return selected


def _concat(cls: type[Record], parts: list[Record]) -> Record:
    """One record of all rows; a field is None only if it is None in every part."""
    if not parts:
        return cls.empty()
    columns: dict[str, Any] = {}
    for field in fields(cls):
        values = [getattr(part, field.name) for part in parts]
        given = [value for value in values if value is not None]
        if given and len(given) != len(values):
            raise InputError(f"{cls.__name__}.concat: {field.name} is missing in some of the parts")
        columns[field.name] = np.concatenate(given) if given else None
    return cls(**columns)
