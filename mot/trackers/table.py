"""`TrackTable`: everything a tracker knows of its tracks, as columns of one length.

Whatever changes while tracking lives here, so that a tracker is saved and restored by saving its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks, TrackState

Rows = NDArray[np.int64]
State = dict[str, NDArray[Any]]
MIN_SIDE = 1e-6  # pixels; a box thinner than this has no area worth the name
COUNTERS = ("time", "updates", "next_id")


class TrackTable:
    """Columns by name, one row a track. `keep` and `spawn` alone change the number of rows.

        table["misses"] += 1
        table["state"][rows] = TrackState.CONFIRMED

    Every table has the columns

        ids (T,) int64          state (T,) int8, a TrackState     misses (T,) float64, frames since last seen
        scores (T,) float64     labels (T,) int64                 det_index (T,) int64, -1 where not seen now
        votes (T, L) int64, how often each label was seen

    and those that the tracker adds.

    Args:
        tracker: whose table it is; the state of another one is refused.
        columns: name -> empty array (0, …) that gives the dtype and the shape of a row.

    Attributes:
        time: frames since the start, those that were skipped included.
        updates: frames that were tracked.
        next_id: id of the next track.
    """

    def __init__(self, tracker: str, **columns: NDArray[Any]) -> None:
        self._tracker = tracker
        self.time = 0.0
        self.updates = 0
        self.next_id = 1
        base: State = {
            "ids": np.empty(0, np.int64),
            "state": np.empty(0, np.int8),
            "misses": np.empty(0),
            "scores": np.empty(0),
            "labels": np.empty(0, np.int64),
            "det_index": np.empty(0, np.int64),
            "votes": np.empty((0, 1), np.int64),
        }
        self._columns = base | columns

    def __len__(self) -> int:
        return len(self._columns["ids"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        self._columns[name][...] = values

    def step(self, dt: float) -> None:
        """`dt` frames pass: nothing has been seen yet in the new one."""
        self.time += dt
        self["misses"] += dt
        self["det_index"] = -1

    def see(self, rows: Rows, det: Rows, detections: Detections, renew_score: bool = True) -> None:
        """The tracks `rows` (M,) were seen as the detections `det` (M,); a label follows its track's majority."""
        self["misses"][rows] = 0
        self["det_index"][rows] = det
        if renew_score:
            self["scores"][rows] = detections.scores[det]
        self._vote(rows, detections.labels[det])

    def spawn(self, det: Rows, detections: Detections, state: TrackState, **columns: ArrayLike) -> Rows:
        """A new track for each of the detections `det` (N,), with the tracker's own `columns`; its rows."""
        known, count = len(self), len(det)
        fresh: dict[str, ArrayLike] = {
            "ids": self.next_id + np.arange(count),
            "state": np.full(count, state),
            "misses": np.zeros(count),
            "scores": detections.scores[det],
            "labels": detections.labels[det],
            "det_index": det,
            "votes": np.zeros((count, self["votes"].shape[1])),
        }
        self._append(fresh | columns)
        self.next_id += count
        rows = np.arange(known, len(self))
        self._vote(rows, detections.labels[det])
        return rows

    def allowed(self, labels: Rows, class_aware: bool) -> NDArray[np.bool_]:
        """(T, D) which tracks may go with detections of `labels` (D,): all, or those of their own label."""
        if class_aware:
            return np.asarray(self["labels"][:, None] == labels)
        return np.ones((len(self), len(labels)), np.bool_)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows that are False in `mask` (T,)."""
        if not mask.all():
            self._columns = {name: column[mask] for name, column in self._columns.items()}

    def report(self, rows: Rows, xyxy: NDArray[np.float64], assigned: Rows) -> Tracks:
        """The tracks `rows` at the boxes `xyxy`.

        Args:
            rows: (R,) rows to report.
            xyxy: (R, 4) their boxes.
            assigned: (D,) the reasons so far; where a track has seen a detection, its id goes in, reported or not.
        """
        self.updates += 1
        seen = self["det_index"] >= 0
        assigned[self["det_index"][seen]] = self["ids"][seen]
        names = ("ids", "scores", "labels", "det_index", "state")
        return Tracks(xyxy=xyxy, assigned=assigned, **{name: self[name][rows] for name in names})

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
            if not same or given.dtype != column.dtype or len(given) != len(state["ids"]):
                raise InputError(
                    f"state: column {name!r} is missing or of another type; from another tracker?"
                )
        for name in COUNTERS:
            if name not in state:
                raise InputError(f"state: {name!r} is missing; from another tracker?")
        self.time, self.updates = float(state["time"]), int(state["updates"])
        self.next_id = int(state["next_id"])
        self._columns = {name: np.array(state[name]) for name in self._columns}

    def _append(self, rows: Mapping[str, ArrayLike]) -> None:
        if rows.keys() != self._columns.keys():
            raise TypeError(f"columns differ: {sorted(rows.keys() ^ self._columns.keys())}")
        self._columns = {
            name: np.concatenate([column, np.asarray(rows[name], column.dtype)])
            for name, column in self._columns.items()
        }

    def _vote(self, rows: Rows, labels: Rows) -> None:
        """Count `labels` for `rows`; a track's label changes when another has been seen more often."""
        missing = int(labels.max(initial=0)) + 1 - self["votes"].shape[1]
        if missing > 0:
            self._columns["votes"] = np.pad(self["votes"], ((0, 0), (0, missing)))
        votes = self["votes"]
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
    below = detections.scores < threshold
    return np.where(below, Reason.BELOW_THRESHOLD, Reason.UNMATCHED).astype(np.int64)


def usable(detections: Detections, assigned: Rows) -> Rows:
    """Rows of the detections that are unmatched so far and have an area."""
    size = detections.xyxy[:, 2:] - detections.xyxy[:, :2]
    return np.flatnonzero((assigned == Reason.UNMATCHED) & (size > MIN_SIDE).all(axis=1))
