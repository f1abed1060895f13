"""Other libraries' results as `Detections`, and `Tracks` as theirs.

None of them is imported: an object that has the right attributes will do, and its arrays may be numpy's, lists,
or tensors on any device.

    tracks = tracker.update(from_ultralytics(model(image)[0]))
    sv.Detections(**to_supervision(tracks))

Whatever comes in is checked as every `Detections` is: an `InputError` names what was wrong, with shape and row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.boxes import tlwh_to_xyxy, xyxy_to_tlwh
from mot.errors import InputError
from mot.structures import Detections, Tracks

Array = NDArray[Any]


def from_supervision(detections: Any, embeddings: Any = None) -> Detections:
    """A `supervision.Detections`, or anything with its attributes.

    Args:
        detections: has `xyxy` (N, 4), and `confidence` (N,) and `class_id` (N,), of which either may be None: a
            score of 1 and a label of 0 stand for them. Its `tracker_id` is not used.
        embeddings: (N, E) appearance vectors, for the trackers that want them.

    Raises:
        InputError: an attribute is missing, or shapes or values are not those of `Detections`.
    """
    kind = "supervision.Detections"
    wanted = "attributes xyxy (N, 4), confidence (N,), class_id (N,)"
    xyxy, scores, labels = (
        _attribute(detections, name, kind, wanted) for name in ("xyxy", "confidence", "class_id")
    )
    return _detections(kind, xyxy, scores, labels, embeddings)


def from_torchvision(output: Any, embeddings: Any = None) -> Detections:
    """One image's dict, as torchvision's detection models and many others return it.

    Args:
        output: has `boxes` (N, 4) as x1, y1, x2, y2, `scores` (N,), and perhaps `labels` (N,); other keys are
            not used. torchvision's labels count from 1, and stay as they are.
        embeddings: (N, E) appearance vectors, for the trackers that want them.

    Raises:
        InputError: a key is missing, or shapes or values are not those of `Detections`.
    """
    kind, wanted = "torchvision output", "a dict with boxes (N, 4), scores (N,), labels (N,)"
    if not isinstance(output, Mapping):
        raise InputError(f"{kind}: expected {wanted}, got {_what(output)}")
    missing = [name for name in ("boxes", "scores") if name not in output]
    if missing:
        raise InputError(f"{kind}: expected {wanted}, got keys {', '.join(map(str, output)) or 'none'}")
    return _detections(kind, output["boxes"], output["scores"], output.get("labels"), embeddings)


def from_ultralytics(result: Any, embeddings: Any = None) -> Detections:
    """One image's `ultralytics.engine.results.Results`, or its `Boxes`, or anything with these attributes.

    Args:
        result: has `boxes` with `xyxy` (N, 4), `conf` (N,) and `cls` (N,), or has those itself.
        embeddings: (N, E) appearance vectors, for the trackers that want them.

    Raises:
        InputError: an attribute is missing or None (a result without boxes, of another task), or shapes or values
            are not those of `Detections`.
    """
    kind, wanted = "ultralytics Results", "boxes with attributes xyxy (N, 4), conf (N,), cls (N,)"
    boxes = getattr(result, "boxes", result)
    if boxes is None:
        raise InputError(f"{kind}: expected {wanted}, got boxes None; the result of another task?")
    xyxy, scores, labels = (_attribute(boxes, name, kind, wanted) for name in ("xyxy", "conf", "cls"))
    return _detections(kind, xyxy, scores, labels, embeddings)


def from_array(rows: Any, embeddings: Any = None) -> Detections:
    """Plain rows: x1, y1, x2, y2, score, class, or without the class.

    Args:
        rows: (N, 6) or (N, 5); an array of length 0 is no detections.
        embeddings: (N, E) appearance vectors, for the trackers that want them.

    Raises:
        InputError: another shape, or values that are not those of `Detections`.
    """
    wanted = "(N, 6) as x1, y1, x2, y2, score, class, or (N, 5) without the class"
    table = _table(rows, wanted, (5, 6))
    labels = table[:, 5] if table.shape[1] > 5 else None
    return _detections("array", table[:, :4], table[:, 4], labels, embeddings)


def from_mot_rows(rows: Any, with_labels: bool = False) -> dict[int, Detections]:
    """MOTChallenge rows, as `numpy.loadtxt(path, delimiter=",", ndmin=2)` reads them, by frame.

    Args:
        rows: (N, 7 or more) as frame, id, x, y, w, h, score, class, …; frames from 1, in any order; the id is not
            used. Within a frame the order stays.
        with_labels: take the class from column 8, which otherwise may hold anything.

    Returns:
        The detections of each frame that has any. A tracker wants to be called for the others too:
        `found.get(frame, Detections.empty())`.

    Raises:
        InputError: too few columns, frames that are no whole numbers from 1, or values that are not those of
            `Detections`; DPM's scores leave 0..1, for instance, and need scaling first.
    """
    least = 8 if with_labels else 7
    columns = "frame, id, x, y, w, h, score" + (", class" if with_labels else "")
    table = _table(rows, f"(N, {least} or more) as {columns}", range(least, 1_000_000))
    frames = table[:, 0]
    bad = (frames != np.round(frames)) | (frames < 1) | (frames > 2**53)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"frame: row {row} is {frames[row]:g}, expected a whole number from 1; {table.shape}"
        )
    labels = table[:, 7] if with_labels else None
    found = _detections("MOT rows", tlwh_to_xyxy(table[:, 2:6]), table[:, 6], labels, None)
    order = np.argsort(frames, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(frames[order])) + 1)
    return {int(frames[part[0]]): found[part] for part in parts if len(part)}


def to_array(tracks: Tracks) -> NDArray[np.float64]:
    """(T, 8) rows x1, y1, x2, y2, id, score, class, index of the detection (-1: predicted only).

    The columns that ultralytics and BoxMOT give their tracks.
    """
    columns = (tracks.xyxy, tracks.ids, tracks.scores, tracks.labels, tracks.det_index)
    return np.column_stack(columns).astype(np.float64)


def to_supervision(tracks: Tracks) -> dict[str, Array]:
    """The fields of a `supervision.Detections`: xyxy, confidence, class_id, tracker_id; copies.

    `supervision.Detections(**to_supervision(tracks))` makes one.
    """
    return {
        "xyxy": tracks.xyxy.copy(),
        "confidence": tracks.scores.copy(),
        "class_id": tracks.labels.copy(),
        "tracker_id": tracks.ids.copy(),
    }


def to_mot_rows(frame: int, tracks: Tracks, with_labels: bool = False) -> NDArray[np.float64]:
    """(T, 10) rows frame, id, x, y, w, h, score, class if `with_labels` else -1, -1, -1: MOTChallenge's columns."""
    rows = np.full((len(tracks), 10), -1.0)
    rows[:, 0], rows[:, 1] = frame, tracks.ids
    rows[:, 2:6], rows[:, 6] = xyxy_to_tlwh(tracks.xyxy), tracks.scores
    if with_labels:
        rows[:, 7] = tracks.labels
    return rows


def _detections(kind: str, xyxy: Any, scores: Any, labels: Any, embeddings: Any) -> Detections:
    """Whatever arrays they are, as `Detections`; the error says from which `kind` they came."""
    try:
        boxes = _array(xyxy)
        return Detections(
            xyxy=boxes,
            scores=np.ones(boxes.shape[:1]) if scores is None else _array(scores),
            labels=None if labels is None else _array(labels),  # type: ignore[arg-type]  # zeros
            embeddings=None if embeddings is None else _array(embeddings),
        )
    except InputError as error:
        raise InputError(f"{kind}: {error}") from None


def _array(value: Any) -> Array:
    """A tensor of any device, with or without gradient, or anything that numpy understands; always a copy."""
    for step in ("detach", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    if hasattr(value, "numpy"):
        try:
            value = value.numpy()
        except TypeError:  # a bfloat16 tensor has no numpy type
            value = value.float().numpy()
    try:
        return np.array(value)
    except ValueError as error:
        raise InputError(f"expected an array, got {_what(value)} ({error})") from None


def _table(rows: Any, wanted: str, widths: tuple[int, ...] | range) -> NDArray[np.float64]:
    """`rows` as (N, C) float64 with C in `widths`."""
    table = _array(rows)
    if table.shape == (0,):
        table = table.reshape(0, min(widths))
    if table.ndim != 2 or table.shape[1] not in widths:
        one = "; a single row needs two brackets: [[…]]" if table.ndim == 1 else ""
        raise InputError(f"rows: expected {wanted}, got shape {table.shape}{one}")
    try:
        numbers: NDArray[np.float64] = table.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"rows: expected numbers, got {table.dtype}, shape {table.shape} ({error})"
        ) from None
    return numbers


def _attribute(source: Any, name: str, kind: str, wanted: str) -> Any:
    """`source.name`, or an error that says what was expected."""
    if not hasattr(source, name):
        raise InputError(f"{kind}: expected {wanted}, got {_what(source)} without {name!r}")
    return getattr(source, name)


def _what(value: Any) -> str:
    """What `value` is, for an error."""
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)} (one image at a time: pass its items)"
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
