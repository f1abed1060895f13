"""Several kernels at once, or one in the words of its twin: plain Python between the trackers and the kernels.

Tables, detections and models are what `mot.trackers` makes; the columns of a table go to the kernels by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.kernels import compiled as fast

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Gain = Callable[[Rows, Rows], Array]
SMALL = 1_000  # as in mot.assignment
ALL = np.empty(0, np.bool_)
SEEN = ("misses", "det_index", "scores", "labels", "votes")
REPORTED = ("ids", "scores", "labels", "det_index", "state")
ADVANCED = ("filter", "frozen", "lead", "misses", "streak", "det_index")
OBSERVED = ("filter", "frozen", "lead", "misses", "anchor", "seen", "seen_at", "direction", "streak")


def _per_row(noise: Array) -> Array:
    """(T, A) or (1, A) of what may be (A,)."""
    return noise if noise.ndim == 2 else noise[None]


def predict_bank(bank: Array, q_x: Array, q_v: Array, dt: float) -> None:
    """Twin: `mot.motion.predict`."""
    fast.predict(bank, _per_row(q_x), _per_row(q_v), dt)


def update_bank(bank: Array, rows: Rows, z: Array, r: Array) -> None:
    """Twin: `mot.motion.update`."""
    fast.update(bank, rows, z, _per_row(r))


def correct_bank(bank: Array, z: Array, r: Array) -> None:
    """Twin: `mot.motion.correct`."""
    fast.correct(bank, z, _per_row(r))


def heaviest_of_all(
    rows: Rows, columns: Rows, weight: Array, height: int, width: int, gain: Gain, bound: float
) -> tuple[Rows, Rows]:
    """Twin: `mot.assignment.heaviest_of_all`, where there is a row and a column."""
    weighed = weight
    if height * width > SMALL and bound < np.inf:
        weighed = weight + gain(rows, columns)
    partner, some, others = fast.settle(rows, columns, weighed, height, width, bound)
    made: tuple[Rows, Rows] = fast.complete(
        partner, some, others, gain(some[:, None], others), rows, columns, weight
    )
    return made


def match_first(
    pairs: tuple[Rows, Rows, Array], shape: tuple[int, int], threshold: float, gain: Gain, bound: float
) -> tuple[Rows, Rows]:
    """Twin: `mot.trackers.observations.match_first`."""
    clear, rows, columns = fast.clear_cut(*pairs, *shape, threshold)
    if clear or not min(shape):
        return rows, columns
    made = heaviest_of_all(*pairs, *shape, gain, bound)
    found: tuple[Rows, Rows] = fast.agreed(*pairs, *made, shape[0], threshold)
    return found


def see_all(
    columns: Mapping[str, NDArray[Any]], rows: Rows, det: Rows, detections: Any, renewed: Any
) -> bool:
    """Twin: `TrackTable.see`. False: there is no column for a label's votes yet, and the twin must be called."""
    of_table = (columns[name] for name in SEEN)
    news = detections.scores, detections.labels, ALL if renewed is None else renewed
    return bool(fast.see(*of_table, rows, det, *news))


def report_rows(columns: Mapping[str, NDArray[Any]], rows: Rows, assigned: Rows) -> dict[str, NDArray[Any]]:
    """Twin: `TrackTable.report`; what is not given to it of the `Tracks`."""
    return dict(
        zip(REPORTED, fast.report(*(columns[name] for name in REPORTED), rows, assigned), strict=True)
    )


def split_rows(detections: Any, high: float, low: float | None) -> tuple[Rows, Rows, Rows]:
    """Twin: `mot.trackers.observations.bands`."""
    none_low = np.inf if low is None else low
    assigned, above, below = fast.split(detections.xyxy, detections.scores, none_low, high)
    return assigned, above.nonzero()[0], below.nonzero()[0]


def advance_table(table: Any, steps: list[float], process: Array) -> NDArray[np.bool_]:
    """Twin: `mot.trackers.observations.advance`."""
    missed: NDArray[np.bool_] = fast.advance(*(table[name] for name in ADVANCED), process, np.array(steps))
    for step in steps:
        table.time += step
    return missed


def angles(table: Any, delta_t: int, xyxy: Array) -> Gain:
    """Twin: `mot.trackers.observations.consistency`; numpy's arc cosine, which has last bits of its own."""
    given = table["seen"], table["seen_at"], table["direction"], table.time, delta_t, xyxy

    def of(rows: Rows, columns: Rows) -> Array:
        if rows.ndim == 2:
            cosine = fast.cell_cosines(*given, rows[:, 0], columns)
        else:
            cosine = fast.pair_cosines(*given, rows, columns)
        angle = np.arccos(cosine, out=cosine)
        np.subtract(np.pi / 2, angle, out=angle)
        total: Array = angle[0] if len(angle) == 1 else angle.sum(axis=0)
        total /= np.pi
        return total

    return of


def observe_all(
    table: Any, rows: Rows, missed: NDArray[np.bool_], target: Array, xyxy: Array, model: Any, fresh: Array
) -> None:
    """Twin: `mot.trackers.observations.observe`."""
    of_table = (table[name] for name in OBSERVED)
    fast.observe(*of_table, rows, missed, target, xyxy, fresh, table.time, model.process, model.measurement)
