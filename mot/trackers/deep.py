"""What DeepSORT and StrongSORT have in common, as functions of their table and gallery.

The table has the columns `filter` (T, 5, 4), a Kalman bank over xyah, and `hits` (T,), detections so far. A track
is confirmed once it has enough of them; the confirmed ones are matched by what they look like, and overlap
decides for the tentative ones and for those missed just now.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mot import assignment, boxes, motion
from mot.appearance import Gallery, Vectors
from mot.assignment import CHI2_95, Matches
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.table import Rows, TrackTable, usable

Mask = NDArray[np.bool_]
Cost = NDArray[np.float64]


def new_table(tracker: str) -> TrackTable:
    """No tracks, and the columns that both have."""
    return TrackTable(tracker, filter=np.empty((0, 5, 4)), hits=np.empty(0, np.int64))


def select(detections: Detections, assigned: Rows, max_overlap: float) -> Rows:
    """Rows of the detections worth tracking; why the others are not is written to `assigned`."""
    above = usable(detections, assigned)
    kept = boxes.suppress(detections.xyxy[above], detections.scores[above], max_overlap)
    assigned[np.delete(above, kept)] = Reason.SUPPRESSED
    return above[kept]


def predict(table: TrackTable, dt: float) -> None:
    """All tracks `dt` <= 1 frames ahead."""
    bank = table["filter"]
    motion.predict(bank, *motion.xyah_process(bank[:, motion.X, 3]), dt=dt)
    table.step(dt)


def motion_distance(table: TrackTable, xyxy: boxes.Boxes) -> tuple[Cost, Mask]:
    """(T, D) squared Mahalanobis distances, and where they say that it cannot be."""
    bank = table["filter"]
    noise = motion.xyah_measurement(bank[:, motion.X, 3])
    distance = motion.squared_mahalanobis(bank, boxes.xyxy_to_xyah(xyxy), noise)
    return distance, distance > CHI2_95[4]


def cascade(table: TrackTable, max_age: float) -> list[Rows]:
    """The confirmed tracks by the age of their last detection, youngest first, up to `max_age`."""
    confirmed, misses = table["state"] == TrackState.CONFIRMED, table["misses"]
    ages = np.unique(misses[confirmed & (misses <= max_age)])
    return [np.flatnonzero(confirmed & (misses == age)) for age in ages]


def match_in_turn(turns: list[Rows], cost: Cost, max_cost: float) -> Matches:
    """Groups of tracks one after the other, each choosing its columns of `cost` (T, D) from what is left."""
    left = np.arange(cost.shape[1])
    made: list[Matches] = [Matches(left[:0], left[:0])]
    for rows in turns:
        if not len(left):
            break
        found = assignment.match_clamped(cost[np.ix_(rows, left)], max_cost)
        made.append(Matches(rows[found.rows], left[found.columns]))
        left = np.delete(left, found.columns)
    return assignment.join(*made)


def match_overlap(
    table: TrackTable, first: Matches, xyxy: boxes.Boxes, allowed: Mask, max_distance: float, dt: float
) -> Matches:
    """By 1 - IoU, of what `first` left: the tentative tracks and the confirmed ones seen `dt` frames ago."""
    free = np.ones(len(table), np.bool_)
    free[first.rows] = False
    tentative = table["state"] != TrackState.CONFIRMED
    rows = np.flatnonzero(free & (tentative | (table["misses"] <= dt)))
    left = assignment.unmatched(len(xyxy), first.columns)
    predicted = boxes.xyah_to_xyxy(table["filter"][rows, motion.X])
    cost = np.where(allowed[np.ix_(rows, left)], 1.0 - boxes.iou(predicted, xyxy[left]), np.inf)
    found = assignment.match_clamped(cost, max_distance)
    return Matches(rows[found.rows], left[found.columns])


def see(table: TrackTable, rows: Rows, det: Rows, detections: Detections, n_init: int) -> None:
    """One more hit for the tracks `rows`; at `n_init` they are confirmed."""
    table["hits"][rows] += 1
    table["state"][rows[table["hits"][rows] >= n_init]] = TrackState.CONFIRMED
    table.see(rows, det, detections)


def spawn(table: TrackTable, gallery: Gallery, det: Rows, detections: Detections, vectors: Vectors) -> None:
    """A tentative track for each of the detections `det`, remembering its row of `vectors` (D, E)."""
    xyah = boxes.xyxy_to_xyah(detections.xyxy[det])
    bank = motion.start(xyah, *motion.xyah_start(xyah[:, 3]))
    gallery.append(vectors[det])
    table.spawn(det, detections, TrackState.TENTATIVE, filter=bank, hits=np.ones(len(det)))


def prune(table: TrackTable, gallery: Gallery, max_age: float) -> None:
    """A tentative track goes at its first miss, a confirmed one after `max_age`."""
    alive = table["misses"] <= np.where(table["state"] == TrackState.CONFIRMED, max_age, 0)
    gallery.keep(alive)
    table.keep(alive)


def report(table: TrackTable, max_predicted: float, assigned: Rows) -> Tracks:
    """The confirmed tracks that were missed no more than `max_predicted` frames."""
    confirmed = table["state"] == TrackState.CONFIRMED
    shown = np.flatnonzero(confirmed & (table["misses"] <= max_predicted))
    return table.report(shown, boxes.xyah_to_xyxy(table["filter"][shown, motion.X]), assigned)
