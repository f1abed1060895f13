"""Finished rows made better when all of them are known: gaps filled, jitter smoothed away.

    rows = collect(results)                   (frame number, Tracks) of a whole sequence, as columns
    rows = fill_linear(rows, max_gap=20)      straight lines between what was seen before and after a gap
    rows = fill_gsi(rows)                     the same, then smoothed: Gaussian-smoothed interpolation
    results = by_frame(rows)                  back to (frame number, Tracks)

Filling keeps every row that went in, adds rows with `det_index` -1 for the frames in between, and returns them by
frame, then id.

GSI (Du et al., StrongSORT, IEEE TMM 2023, arXiv:2202.13514) takes each coordinate of a track as a Gaussian process
over time t, with

    k(t, t') = exp(-(t - t')^2 / (2 s^2)),    s = tau log(tau^3 / L) within 1/tau .. tau^2

for a track of L rows, and replaces it by the process's mean at the same times, K (K + noise I)^-1 y. The noise
is tiny; what it takes away is what so smooth a process can hardly produce. The longer a track, the less it is
smoothed: from tau^3 rows on, not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.errors import InputError
from mot.structures import Tracks, TrackState

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NOISE = 1e-10  # that of the official code, which takes it from scikit-learn's default
MAX_TAU = 16.0  # tracks up to tau^3 rows are smoothed: 4096, a matrix of 134 MB


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackRows:
    """The rows of a sequence, in any order; an id stands once in a frame.

    Attributes:
        frames: (N,) int64 frame numbers.
        ids: (N,) int64 ids of the tracks.
        xyxy: (N, 4) float64 boxes in pixels.
        scores: (N,) float64.
        labels: (N,) int64.
        det_index: (N,) int64, the row's detection in its frame; -1: none.

    Raises:
        InputError: lengths disagree, a value is not finite or of the wrong type, or an id stands twice in a frame.
    """

    frames: Ints
    ids: Ints
    xyxy: Floats
    scores: Floats
    labels: Ints
    det_index: Ints

    def __post_init__(self) -> None:
        """Convert to the documented types; no id may stand twice in a frame."""
        count = np.size(self.frames)
        for field in fields(self):
            wanted = (count, 4) if field.name == "xyxy" else (count,)
            whole = field.name not in ("xyxy", "scores")
            object.__setattr__(
                self, field.name, _column(field.name, getattr(self, field.name), wanted, whole)
            )
        order = np.lexsort((self.frames, self.ids))
        same = (np.diff(self.ids[order]) == 0) & (np.diff(self.frames[order]) == 0)
        if same.any():
            row = int(order[1:][same][0])
            raise InputError(f"ids: row {row}, id {self.ids[row]} stands twice in frame {self.frames[row]}")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Ints) -> TrackRows:
        """The rows `index`, in that order."""
        return TrackRows(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def collect(results: Iterable[tuple[int, Tracks]]) -> TrackRows:
    """The rows of all frames, each given as its number and its tracks."""
    names = ("ids", "xyxy", "scores", "labels", "det_index")
    parts: dict[str, list[NDArray[Any]]] = {"frames": [np.empty(0, np.int64)]}
    parts |= {name: [getattr(Tracks.empty(), name)] for name in names}
    for frame, tracks in results:
        parts["frames"].append(np.full(len(tracks), frame))
        for name in names:
            parts[name].append(getattr(tracks, name))
    return TrackRows(**{name: np.concatenate(part) for name, part in parts.items()})


def by_frame(rows: TrackRows) -> Iterator[tuple[int, Tracks]]:
    """The tracks of every frame that has any, in order; those without a detection are marked lost."""
    rows = rows[np.lexsort((rows.ids, rows.frames))]
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows.frames)) + 1):
        if len(part):
            columns = {field.name: getattr(rows, field.name)[part] for field in fields(rows)}
            frame = int(columns.pop("frames")[0])
            state = np.where(columns["det_index"] < 0, TrackState.LOST, TrackState.CONFIRMED)
            yield frame, Tracks(state=state, **columns)


def fill_linear(rows: TrackRows, max_gap: int = 18) -> TrackRows:
    """TrackRows for the frames in which a track is missing, on straight lines between those around the gap.

    Boxes and scores are interpolated, the label is that before the gap.

    Args:
        rows: the sequence.
        max_gap: most frames missing in a row that are filled. The official `interval=20` asks for a difference
            of frame numbers below 20, which is 18 missing ones.

    Raises:
        InputError: `max_gap` is below 0.
    """
    if max_gap < 0:
        raise InputError(f"max_gap: expected a number of frames from 0, got {max_gap}")
    rows = rows[np.lexsort((rows.frames, rows.ids))]
    missing = np.where(np.diff(rows.ids) == 0, np.diff(rows.frames) - 1, 0)
    missing[missing > max_gap] = 0
    before = np.repeat(np.arange(len(missing)), missing)  # the row before the gap, once a missing frame
    step = np.arange(len(before)) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    share = step / (missing[before] + 1)
    filled = TrackRows(
        frames=rows.frames[before] + step,
        ids=rows.ids[before],
        xyxy=_between(rows.xyxy, before, share[:, None]),
        scores=_between(rows.scores, before, share),
        labels=rows.labels[before],
        det_index=np.full(len(before), -1, np.int64),
    )
    return _by_frame(rows, filled)


def fill_gsi(rows: TrackRows, max_gap: int = 18, tau: float = 10.0) -> TrackRows:
    """`fill_linear`, then every track smoothed by a Gaussian process: rows with a detection move as well.

    Args:
        rows: the sequence.
        max_gap: most frames missing in a row that are filled.
        tau: the higher, the smoother, and the longer the tracks that are smoothed at all.

    Raises:
        InputError: `max_gap` is below 0, or `tau` not above 0 or above `MAX_TAU`.
    """
    if not 0 < tau <= MAX_TAU:
        raise InputError(f"tau: expected a number above 0, at most {MAX_TAU:g}, got {tau}")
    rows = fill_linear(rows, max_gap)
    xyxy = rows.xyxy.copy()
    order = np.argsort(rows.ids, kind="stable")
    for track in np.split(order, np.flatnonzero(np.diff(rows.ids[order])) + 1):
        xyxy[track] = _smooth(rows.frames[track], rows.xyxy[track], length_scale(len(track), tau))
    xyxy[:, 2:] = np.maximum(xyxy[:, :2], xyxy[:, 2:])
    columns = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return TrackRows(**(columns | {"xyxy": xyxy}))


def length_scale(count: int, tau: float) -> float:
    """Frames over which a track of `count` rows is taken to be smooth: tau log(tau^3 / count), within bounds."""
    scale = tau * np.log(tau**3 / max(count, 1))
    return float(np.clip(scale, min(1 / tau, tau**2), tau**2))


def _smooth(frames: Ints, values: Floats, scale: float) -> Floats:
    """K (K + noise I)^-1 y = y - noise (K + noise I)^-1 y, for `values` y (L, C) at `frames` (L,)."""
    if np.exp(-0.5 / scale**2) < NOISE:
        return values  # K is the identity as far as the noise lets it be seen
    kernel = np.exp(-0.5 * np.square((frames[:, None] - frames) / scale))
    kernel[np.diag_indices_from(kernel)] += NOISE
    smooth: Floats = values - NOISE * np.linalg.solve(kernel, values)
    return smooth


def _between(values: Floats, before: Ints, share: Floats) -> Floats:
    """`share` of the way from the rows `before` to the ones after them."""
    between: Floats = values[before] + share * (values[before + 1] - values[before])
    return between


def _by_frame(rows: TrackRows, filled: TrackRows) -> TrackRows:
    """All of both, by frame, then id."""
    columns = {
        field.name: np.concatenate([getattr(rows, field.name), getattr(filled, field.name)])
        for field in fields(rows)
    }
    joined = TrackRows(**columns)
    return joined[np.lexsort((joined.ids, joined.frames))]


def _column(name: str, values: Any, shape: tuple[int, ...], whole: bool) -> NDArray[Any]:
    """`values` as int64 if `whole`, else as float64, of `shape`."""
    try:
        raw = np.asarray(values, np.float64 if not whole else None)
        column = raw.astype(np.int64 if whole else np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers, got {type(values).__name__} ({error})") from None
    if column.shape != shape:
        raise InputError(f"{name}: expected shape {shape}, got {column.shape}")
    bad = (column != raw) | ~np.isfinite(raw)
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        kind = "whole" if whole else "finite"
        raise InputError(
            f"{name}: row {row} is {raw[row].tolist()}, expected {kind} numbers; shape {raw.shape}"
        )
    return column
