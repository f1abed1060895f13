"""What DeepSORT and StrongSORT have in common, as functions of their table and gallery.

The table has the columns `filter` (T, 5, 4), a Kalman bank over xyah, and `hits` (T,), detections so far. A track
is confirmed once it has enough of them; the confirmed ones are matched by what they look like, and overlap
decides for the tentative ones and for those missed just now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot import assignment, boxes, motion
from mot.appearance import Gallery, Vectors
from mot.assignment import Matches, Pairs
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers import gate
from mot.trackers.table import CONFIRMED, Rows, TrackTable, usable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def new_table(tracker: str) -> TrackTable:
    """No tracks, and the columns that both have."""
    return TrackTable(tracker, filter=np.empty((0, 5, 4)), hits=np.empty(0, np.int64))


def select(detections: Detections, assigned: Rows, max_overlap: float) -> Rows:
    """Rows of the detections worth tracking; why the others are not is written to `assigned`."""
    above = usable(detections, assigned)
    if max_overlap >= 1:
        return above
    kept = boxes.suppress(detections.xyxy[above], detections.scores[above], max_overlap)
    assigned[np.delete(above, kept)] = Reason.SUPPRESSED
    return above[kept]


def predict(table: TrackTable, dt: float) -> None:
    """All tracks `dt` <= 1 frames ahead."""
    bank = table["filter"]
    motion.predict(bank, *motion.xyah_process(bank[:, motion.X, 3]), dt=dt)
    table.step(dt)


def within_gate(table: TrackTable, rows: Rows, xyxy: boxes.Boxes) -> Pairs:
    """The tracks `rows`, ascending, and the boxes (D, 4) that their motion allows, with squared distances."""
    bank = table["filter"].take(rows, axis=0)
    noise = motion.xyah_measurement(bank[:, motion.X, 3])
    pairs = gate.within_reach(bank, boxes.xyxy_to_xyah(xyxy), noise)
    return pairs._replace(rows=rows[pairs.rows])


def match(
    table: TrackTable,
    eligible: Mask,
    turn: NDArray[Any],
    xyxy: boxes.Boxes,
    labels: Rows | None,
    limits: tuple[float, float],
    dt: float,
    cost: Callable[[Pairs], Array],
) -> Matches:
    """The `eligible` tracks by `cost`, within the gate, in turn; then those that may, by overlap.

    Args:
        table: the tracks.
        eligible: (T,) which tracks choose by cost.
        turn: see `match_in_turn`.
        xyxy: (D, 4) the detections.
        labels: (D,) theirs, to match within a label only; None: across labels.
        limits: the greatest cost, and the greatest 1 - IoU.
        dt: frames since the last call.
        cost: see `match_in_turn`; pairs come with their squared distances.
    """
    pairs = within_gate(table, eligible.nonzero()[0], xyxy)
    if labels is not None:
        pairs = pairs.where(table["labels"][pairs.rows] == labels[pairs.columns])
    first = match_in_turn(pairs, turn, limits[0], (len(table), len(xyxy)), cost)
    return assignment.join(first, match_overlap(table, first, xyxy, labels, limits[1], dt))


def match_in_turn(
    pairs: Pairs, turn: NDArray[Any], max_cost: float, shape: tuple[int, int], cost: Callable[[Pairs], Array]
) -> Matches:
    """Groups of tracks one after the other, each choosing of what is left the cheapest pairs, up to `max_cost`.

    Args:
        pairs: those that may be made.
        turn: (T,) the number of a track's group; the lowest is the first.
        max_cost: pairs that cost more are not made.
        shape: numbers of tracks and of detections.
        cost: tells of pairs what they cost; not asked for those that the first group leaves no choice.
    """
    turns, free = turn[pairs.rows], np.ones(shape[1], np.bool_)
    now, made = turns == turns.min(initial=np.inf), []
    for some in (pairs.where(now), pairs.where(~now)):  # the others are few once the first have chosen
        left = some.where(free[some.columns])
        left = affordable(left._replace(weight=cost(left)), max_cost) if len(left.rows) else left
        while len(left.rows):
            turns = turn[left.rows]
            now = turns == turns.min()
            found = assignment.heaviest(left.where(now), shape)
            made.append(assignment.matches(found))
            free[found.columns] = False
            left = left.where(~now & free[left.columns])
    return assignment.join(*made) if made else assignment.NOTHING


def match_overlap(
    table: TrackTable, first: Matches, xyxy: boxes.Boxes, labels: Rows | None, max_distance: float, dt: float
) -> Matches:
    """By 1 - IoU, of what `first` left: the tentative tracks and the confirmed ones seen `dt` frames ago.

    With `labels` (D,) only within a label.
    """
    free = (table["state"] != CONFIRMED) | (table["misses"] <= dt)
    free[first.rows] = False
    rows, left = free.nonzero()[0], assignment.unmatched(len(xyxy), first.columns)
    if not len(rows) or not len(left):
        return assignment.NOTHING
    pairs = Pairs(
        *boxes.overlaps(boxes.xyah_to_xyxy(table["filter"].take(rows, axis=0)[:, motion.X]), xyxy[left])
    )
    if labels is not None:
        pairs = pairs.where(table["labels"][rows[pairs.rows]] == labels[left[pairs.columns]])
    pairs = affordable(pairs._replace(weight=1.0 - pairs.weight), max_distance)
    found = assignment.heaviest(pairs, (len(rows), len(left)))
    return Matches(rows[found.rows], left[found.columns])


def affordable(pairs: Pairs, max_cost: float) -> Pairs:
    """The `pairs`, given with their costs, of up to `max_cost`: each worth what it is below a clamped one."""
    pairs = pairs.where(pairs.weight <= max_cost)
    return pairs._replace(weight=max_cost + assignment.CLAMP - pairs.weight)


def see(table: TrackTable, rows: Rows, det: Rows, detections: Detections, n_init: int) -> None:
    """One more hit for the tracks `rows`; at `n_init` they are confirmed."""
    table["hits"][rows] += 1
    table["state"][rows[table["hits"][rows] >= n_init]] = CONFIRMED
    table.see(rows, det, detections)


def spawn(table: TrackTable, gallery: Gallery, det: Rows, detections: Detections, vectors: Vectors) -> None:
    """A tentative track for each of the detections `det`, remembering its row of `vectors` (D, E)."""
    if not len(det):
        return
    xyah = boxes.xyxy_to_xyah(detections.xyxy[det])
    bank = motion.start(xyah, *motion.xyah_start(xyah[:, 3]))
    gallery.append(vectors[det])
    table.spawn(det, detections, TrackState.TENTATIVE, filter=bank, hits=1)


def prune(table: TrackTable, gallery: Gallery, max_age: float) -> None:
    """A tentative track goes at its first miss, a confirmed one after `max_age`."""
    alive = table["misses"] <= np.where(table["state"] == CONFIRMED, max_age, 0)
    if not alive.all():
        gallery.keep(alive)
        table.keep(alive)


def report(table: TrackTable, max_predicted: float, assigned: Rows) -> Tracks:
    """The confirmed tracks that were missed no more than `max_predicted` frames."""
    shown = ((table["state"] == CONFIRMED) & (table["misses"] <= max_predicted)).nonzero()[0]
    return table.report(shown, boxes.xyah_to_xyxy(table["filter"].take(shown, axis=0)[:, motion.X]), assigned)
