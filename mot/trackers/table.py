"""`TrackTable`: everything a tracker knows of its tracks, as columns of one length.

Whatever changes while tracking lives here, so that a tracker is saved and restored by saving its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot import kernels
from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks, TrackState

Rows = NDArray[np.int64]
State = dict[str, NDArray[Any]]
MIN_SIDE = 1e-6  # pixels; a box thinner than this has no area worth the name
# as plain numbers, which numpy compares with twenty times as fast as with members of an enum
TENTATIVE, CONFIRMED, LOST = (int(state) for state in TrackState)
BELOW_THRESHOLD, UNMATCHED = int(Reason.BELOW_THRESHOLD), int(Reason.UNMATCHED)
COUNTERS = ("time", "updates", "next_id")


class TrackTable:
    """Columns by name, one row a track. `keep` and `spawn` alone change the number of rows.

        table["misses"] += 1
        table["state"][rows] = TrackState.CONFIRMED

    Every table has the columns

        ids (T,) int64          state (T,) int64, a TrackState    misses (T,) float64, frames since last seen
        scores (T,) float64     labels (T,) int64                 det_index (T,) int64, -1 where not seen now
        votes (T, L) int64, how often each label was seen

    and those that the tracker adds. Columns of one number a track lie in a block for each type: what a frame that
    takes and gives tracks costs is a copy a block.

    Args:
        tracker: whose table it is; the state of another one is refused.
        columns: name -> empty array (0, …) that gives the dtype and the shape of a row.

    Attributes:
        time: frames since the start, those that were skipped included.
        updates: frames that were tracked.
        next_id: id of the next track.
    """

    def __init__(self, tracker: str, **columns: NDArray[Any]) -> None:
        kernels.choose()
        self._tracker = tracker
        self.time = 0.0
        self.updates = 0
        self.next_id = 1
        base: State = {
            "ids": np.empty(0, np.int64),
            "state": np.empty(0, np.int64),
            "labels": np.empty(0, np.int64),
            "det_index": np.empty(0, np.int64),
            "misses": np.empty(0),
            "scores": np.empty(0),
            "votes": np.empty((0, 1), np.int64),
        }
        self._load(base | columns)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        self._columns[name][...] = values

    def step(self, dt: float) -> None:
        """`dt` frames pass: nothing has been seen yet in the new one."""
        self.time += dt
        self["misses"] += dt
        self["det_index"] = -1

    def see(
        self, rows: Rows, det: Rows, detections: Detections, renewed: NDArray[np.bool_] | None = None
    ) -> None:
        """The tracks `rows` (M,) were seen as the detections `det` (M,); a label follows its track's majority.

        Scores are those of the detections; with `renewed` (M,) only of the tracks marked there.
        """
        if kernels.fast and kernels.fast.see_all(self._columns, rows, det, detections, renewed):
            return
        self["misses"][rows] = 0.0
        self["det_index"][rows] = det
        scores = detections.scores[det]
        self["scores"][rows] = scores if renewed is None else np.where(renewed, scores, self["scores"][rows])
        self._vote(rows, detections.labels[det])

    def spawn(self, det: Rows, detections: Detections, state: TrackState, **columns: ArrayLike) -> Rows:
        """A new track for each of the detections `det` (N,), with the tracker's own `columns`; its rows."""
        if not len(det):
            return det
        labels = detections.labels[det]
        single = self["votes"].shape[1] == 1 and not labels.any()
        fresh: dict[str, ArrayLike] = {
            "ids": np.arange(self.next_id, self.next_id + len(det)),
            "state": state,
            "misses": 0.0,
            "scores": detections.scores[det],
            "labels": labels,
            "det_index": det,
            "votes": 1 if single else 0,
        }
        self._append(fresh | columns, len(det))
        self.next_id += len(det)
        rows = np.arange(len(self) - len(det), len(self))
        if not single:
            self._vote(rows, labels)
        return rows

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows that are False in `mask` (T,)."""
        if not mask.all():
            rows = mask.nonzero()[0]
            self._view(
                [block.take(rows, axis=1) for block in self._blocks],
                {name: column.take(rows, axis=0) for name, column in self._wide.items()},
            )

    def report(self, rows: Rows, xyxy: NDArray[np.float64], assigned: Rows) -> Tracks:
        """The tracks `rows` at the boxes `xyxy`.

        Args:
            rows: (R,) rows to report.
            xyxy: (R, 4) their boxes.
            assigned: (D,) the reasons so far; where a track has seen a detection, its id goes in, reported or not.
        """
        self.updates += 1
        if kernels.fast:
            columns = kernels.fast.report_rows(self._columns, rows, assigned)
            return Tracks.trusted(xyxy=xyxy, assigned=assigned, **columns)
        seen = self["det_index"] >= 0
        assigned[self["det_index"][seen]] = self["ids"][seen]
        columns = {name: self[name][rows] for name in ("ids", "scores", "labels", "det_index")}
        return Tracks.trusted(
            xyxy=xyxy, assigned=assigned, state=self["state"][rows].astype(np.int8), **columns
        )

    def state_dict(self) -> State:
        """All of it as plain arrays, for an .npz without pickle."""
        counters = {name: np.array(getattr(self, name)) for name in COUNTERS}
        counters["tracker"] = np.array(self._tracker)
        return counters | {name: column.copy() for name, column in self._columns.items()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            InputError: a column is missing or has another shape or type: the state of another tracker.
        """
        if str(state.get("tracker")) != self._tracker:
            raise InputError(
                f"state: is of tracker {str(state.get('tracker'))!r}, expected {self._tracker!r}"
            )
        for name, column in self._columns.items():
            given = state.get(name, np.empty(()))
            same = given.ndim == column.ndim and (name == "votes" or given.shape[1:] == column.shape[1:])
            if not same or given.dtype != column.dtype or len(given) != len(state.get("ids", ())):
                raise InputError(
                    f"state: column {name!r} is missing or of another type; from another tracker?"
                )
        for name in COUNTERS:
            if name not in state:
                raise InputError(f"state: {name!r} is missing; from another tracker?")
        self.time, self.updates = float(state["time"]), int(state["updates"])
        self.next_id = int(state["next_id"])
        self._load({name: np.array(state[name], order="C") for name in self._columns})

    def _load(self, columns: State) -> None:
        """Take these columns, in blocks."""
        flat = [name for name, column in columns.items() if column.ndim == 1]
        kinds = dict.fromkeys(columns[name].dtype for name in flat)
        self._names = [[name for name in flat if columns[name].dtype == kind] for kind in kinds]
        blocks = [np.stack([columns[name] for name in names]) for names in self._names]
        self._view(blocks, {name: column for name, column in columns.items() if name not in flat})

    def _view(self, blocks: list[NDArray[Any]], wide: State) -> None:
        """Columns by name are rows of the blocks, or arrays of their own."""
        self._blocks, self._wide = blocks, wide
        self._length: int = blocks[0].shape[1]
        self._columns = dict(wide)
        for names, block in zip(self._names, blocks, strict=True):
            self._columns.update(zip(names, block, strict=True))

    def _append(self, rows: Mapping[str, ArrayLike], count: int) -> None:
        if rows.keys() != self._columns.keys():
            raise TypeError(f"columns differ: {sorted(rows.keys() ^ self._columns.keys())}")
        known, total = len(self), len(self) + count
        blocks = [np.empty((len(block), total), block.dtype) for block in self._blocks]
        wide = {
            name: np.empty((total, *column.shape[1:]), column.dtype) for name, column in self._wide.items()
        }
        for grown, block in zip(blocks, self._blocks, strict=True):
            grown[:, :known] = block
        for name, column in self._wide.items():
            wide[name][:known] = column
        self._view(blocks, wide)
        for name, values in rows.items():
            self._columns[name][known:] = values

    def _vote(self, rows: Rows, labels: Rows) -> None:
        """Count `labels` for `rows`; a track's label changes when another has been seen more often."""
        votes = self["votes"]
        if votes.shape[1] == 1 and not labels.any():
            votes[rows] += 1
            return
        missing = int(labels.max(initial=0)) + 1 - votes.shape[1]
        if missing > 0:
            votes = np.pad(votes, ((0, 0), (0, missing)))
            self._columns["votes"] = self._wide["votes"] = votes
        votes[rows, labels] += 1
        overtaken = votes[rows, labels] > votes[rows, self["labels"][rows]]
        self["labels"][rows[overtaken]] = labels[overtaken]


def embeddings_of(detections: Detections, size: int | None, tracker: str) -> NDArray[np.float32]:
    """(D, E) embeddings; with no detections none are needed.

    Args:
        detections: those of the frame.
        size: width of the embeddings so far; None: there were none.
        tracker: who needs them.

    Raises:
        InputError: they are missing, or of another width than before.
    """
    found = detections.embeddings
    if found is None:
        if len(detections):
            raise InputError(f"embeddings: {tracker} needs ({len(detections)}, E) float32, got None")
        return np.empty((0, size or 1), np.float32)
    if len(found) and size not in (None, found.shape[1]):
        raise InputError(f"embeddings: width was {size} so far, got {found.shape}")
    return found


def unassigned(detections: Detections, threshold: float) -> Rows:
    """(D,) the reason of every detection before any is used: below `threshold`, or unmatched so far.

    Boxes without area can neither overlap nor start a track; they stay unmatched and are left out by `usable`.
    """
    return np.where(detections.scores < threshold, BELOW_THRESHOLD, UNMATCHED)


def usable(detections: Detections, assigned: Rows) -> Rows:
    """Rows of the detections that are unmatched so far and have an area."""
    free: NDArray[np.bool_] = (assigned == UNMATCHED) & has_area(detections.xyxy)
    return free.nonzero()[0]


def split(detections: Detections, threshold: float) -> tuple[Rows, Rows]:
    """(D,) the reasons so far and the rows to use: `unassigned` and `usable`."""
    if kernels.fast:
        made: tuple[Rows, Rows] = kernels.fast.usable(detections.xyxy, detections.scores, threshold)
        return made
    assigned = unassigned(detections, threshold)
    return assigned, usable(detections, assigned)


def has_area(xyxy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which boxes (N, 4) are not thinner than `MIN_SIDE`."""
    x1, y1, x2, y2 = xyxy.T
    return np.asarray((x2 - x1 > MIN_SIDE) & (y2 - y1 > MIN_SIDE))
