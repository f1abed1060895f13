"""Observation-centric pieces: what OC-SORT, Deep OC-SORT and Hybrid-SORT share, as functions of their table.

A filter that goes without detections drifts; what was really seen does not. Hence (Cao et al., CVPR 2023)

    OCM   a pair gains by the angle between the track's direction, measured between two observations, and the
          way from an observation to the detection: (pi/2 - angle) / pi, weighed by inertia and score
    OCR   what is left is matched by overlap with the last observation
    ORU   a track found again goes back to where it was lost and is updated along a straight virtual path

The table has the columns, for filters of A axes (x, y, scale, aspect ratio, and what a tracker adds), P points of a
box and K observations to remember:

    filter (T, 5, A)     the Kalman bank
    frozen (T, 5, A)     the same after the first prediction since the last observation, and `lead` (T,) its length
    anchor (T, A)        the last observation: x, y, width, height, and what a tracker adds
    seen (T, K, 4)       the last K observed boxes, the newest last, and `seen_at` (T, K) when; -inf: none yet
    direction (T, P, 2)  of the track, unit vectors or their sum; 0: not known
    streak (T,)          updates in a row

The detection that starts a track is no observation; the first one is its first update. A call that finds no
detection for a track is a miss; frames skipped inside one call (`dt` above 1) are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot import assignment, boxes, kernels, motion
from mot.assignment import Matches, Pairs
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import oru
from mot.trackers.table import (
    BELOW_THRESHOLD,
    CONFIRMED,
    TENTATIVE,
    UNMATCHED,
    Rows,
    TrackTable,
    has_area,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
EPSILON = 1e-6  # pixels added to a distance before dividing by it, as the official codes do


class Model(NamedTuple):
    """Variances of a Kalman bank of A axes.

    Attributes:
        start: (2, A) of position and velocity in the beginning.
        process: (2, A) what a frame adds to them.
        measurement: (A,) of a detection.
    """

    start: Array
    process: Array
    measurement: Array


XYSR = Model(motion.XYSR_START, motion.XYSR_PROCESS, motion.XYSR_MEASUREMENT)


def new_table(tracker: str, axes: int, points: int, delta_t: int, **columns: NDArray[Any]) -> TrackTable:
    """No tracks, with the columns above and the tracker's own `columns`."""
    return TrackTable(
        tracker,
        filter=np.empty((0, 5, axes)),
        frozen=np.empty((0, 5, axes)),
        lead=np.empty(0),
        anchor=np.empty((0, axes)),
        seen=np.empty((0, delta_t, 4)),
        seen_at=np.empty((0, delta_t)),
        direction=np.empty((0, points, 2)),
        streak=np.empty(0, np.int64),
        **columns,
    )


def bands(detections: Detections, high: float, low: float | None) -> tuple[Rows, Rows, Rows]:
    """The reason of every detection so far, rows above `high`, and rows between `low` and `high`.

    A score equal to a threshold is in neither band; a box without area in none. `low` None: no low band.
    """
    if kernels.fast:
        made: tuple[Rows, Rows, Rows] = kernels.fast.split_rows(detections, high, low)
        return made
    scores, sound = detections.scores, has_area(detections.xyxy)
    above = scores > high
    below = np.zeros_like(above) if low is None else (scores > low) & (scores < high)
    assigned = np.where(above | below, UNMATCHED, BELOW_THRESHOLD)
    return assigned, (above & sound).nonzero()[0], (below & sound).nonzero()[0]


def sound(table: TrackTable) -> Mask:
    """(T,) whether scale and ratio are positive: else there is no box to predict, and the track must go."""
    bank = table["filter"]
    return np.asarray((bank[:, motion.X, 2] > 0) & (bank[:, motion.X, 3] > 0))


def advance(table: TrackTable, steps: list[float], process: Array) -> Mask:
    """All tracks some `steps` ahead; (T,) which of them the last call missed."""
    if kernels.fast:
        made: Mask = kernels.fast.advance_table(table, steps, process)
        return made
    missed = table["misses"] > 0
    table["streak"][missed] = 0
    for step in steps:
        bank, fresh = table["filter"], table["misses"] == 0
        shrinking = bank[:, motion.X, 2] + bank[:, motion.V, 2] <= 0
        bank[shrinking, motion.V, 2] = 0.0
        motion.predict(bank, process[0], process[1], step)
        seen = fresh.nonzero()[0]
        table["frozen"][seen] = bank.take(seen, axis=0)
        table["lead"][seen] = step
        table.step(step)
    return missed


def predicted(table: TrackTable) -> boxes.Boxes:
    """(T, 4) where the filters expect the tracks."""
    return boxes.xysr_to_xyxy(table["filter"][:, motion.X, :4])


def last_seen(table: TrackTable) -> tuple[boxes.Boxes, Mask]:
    """(T, 4) boxes of the last observations, and (T,) whether there is one."""
    return table["seen"][:, -1], np.isfinite(table["seen_at"][:, -1])


def centre(xyxy: Array) -> Array:
    """(…, 1, 2) the centre of boxes (…, 4)."""
    return ((xyxy[..., :2] + xyxy[..., 2:]) / 2)[..., None, :]


def corners(xyxy: Array) -> Array:
    """(…, 4, 2) the four corners of boxes (…, 4)."""
    return np.stack([xyxy[..., [i, j]] for i in (0, 2) for j in (1, 3)], axis=-2)


def recent(table: TrackTable, delta_t: int) -> Mask:
    """(T, K) the observations no more than `delta_t` frames ago; where there is none, the last one ever.

    All False for a track that was never observed.
    """
    new = table["seen_at"] >= table.time - delta_t - EPSILON
    _, known = last_seen(table)
    new[:, -1] |= known & ~new.any(axis=1)
    return np.asarray(new)


def oldest(table: TrackTable, delta_t: int) -> Mask:
    """(T, K) of the `recent` observations the oldest one."""
    if kernels.fast:
        made: Mask = kernels.fast.oldest(table["seen_at"], table.time, delta_t)
        return made
    new = recent(table, delta_t)
    return np.asarray(new & (new.cumsum(axis=1) == 1))


def consistency(
    table: TrackTable, delta_t: int, points: Callable[[Array], Array], xyxy: boxes.Boxes
) -> Callable[[Rows, Rows], Array]:
    """OCM: (pi/2 - angle) / pi between a track's direction and the way to a detection, over all points.

    The way starts at the oldest `recent` observation. 0 where the direction is not known. What is given back takes
    rows of tracks (P,) and of the boxes `xyxy` (D, 4) and tells (P,) of each pair.
    """
    if kernels.fast:
        made: Callable[[Rows, Rows], Array] = kernels.fast.angles(table, delta_t, xyxy)
        return made
    column = recent(table, delta_t).argmax(axis=1)
    origin, goal = points(table["seen"][np.arange(len(table)), column]), points(xyxy)
    of_points = [each.transpose(1, 2, 0) for each in (table["direction"], origin, goal)]  # (P, 2, T or D)

    def of(rows: Rows, columns: Rows) -> Array:
        total = np.zeros(np.broadcast_shapes(rows.shape, columns.shape))
        for (way_x, way_y), (from_x, from_y), (to_x, to_y) in zip(*of_points, strict=True):
            x = to_x[columns] - from_x[rows]
            y = to_y[columns] - from_y[rows]
            cosine = way_x[rows] * x
            cosine += way_y[rows] * y
            x *= x
            y *= y
            x += y
            cosine /= np.sqrt(x, out=x) + EPSILON
            np.clip(cosine, -1.0, 1.0, out=cosine)
            total += np.pi / 2 - np.arccos(cosine, out=cosine)
        total /= np.pi
        return total

    return of


def near(
    table: TrackTable,
    places: boxes.Boxes,
    detections: Detections,
    class_aware: bool,
    overlaps: Callable[[boxes.Boxes, boxes.Boxes], boxes.Overlaps] = boxes.overlaps,
) -> Callable[[Rows, Rows], Pairs]:
    """What tells of rows of tracks, which are at `places` (T, 4), and of detections the pairs that overlap."""

    def of(rows: Rows, det: Rows) -> Pairs:
        pairs = Pairs(*overlaps(places.take(rows, axis=0), detections.xyxy.take(det, axis=0)))
        if class_aware:
            return pairs.where(table["labels"][rows[pairs.rows]] == detections.labels[det[pairs.columns]])
        return pairs

    return of


def match_first(
    pairs: Pairs,
    shape: tuple[int, int],
    threshold: float,
    gain: Callable[[Rows, Rows], Array],
    bound: float = np.inf,
) -> Matches:
    """Pairs of greatest total overlap and `gain`, those of less overlap than `threshold` dropped.

    Where the pairs above the threshold already are one-to-one, they are it, and the gain is not asked for.

    Args:
        pairs: all that overlap, by how much.
        shape: numbers of tracks and detections.
        threshold: least overlap.
        gain: see `assignment.heaviest_of_all`.
        bound: likewise.
    """
    if kernels.fast:
        return Matches(*kernels.fast.match_first(pairs, shape, threshold, gain, bound))
    above = pairs.where(pairs.weight > threshold)
    if assignment.one_to_one(above, shape):
        return assignment.matches(above)
    found = pairs.of(assignment.heaviest_of_all(pairs, shape, gain, bound), shape[0])
    return assignment.matches(found.where(found.weight >= threshold))


def match_again(
    made: Matches,
    tracks: Mask,
    candidates: Rows,
    threshold: float,
    near: Callable[[Rows, Rows], Pairs],
    loss: Callable[[Rows, Rows], Array] | None = None,
) -> Matches:
    """`made`, and pairs of what it left by greatest total overlap - `loss`, those below `threshold` dropped.

    None are added where no overlap is above the threshold.

    Args:
        made: matches of tracks with detections so far.
        tracks: (T,) which tracks may be matched again.
        candidates: (C,) detections that may be added, ascending.
        threshold: least overlap, less the loss.
        near: rows of tracks (R,) and of detections (C,) -> the pairs of these that overlap, numbered within them.
        loss: rows of tracks (P,) and of detections (P,) -> (P,); None: none.
    """
    tracks = tracks.copy()
    tracks[made.rows] = False
    rows, left = tracks.nonzero()[0], assignment.without(candidates, made.columns)
    if not len(rows) or not len(left):
        return made
    pairs, shape = near(rows, left), (len(rows), len(left))
    if pairs.weight.max(initial=0.0) <= threshold:
        return made
    if loss is None:
        found = assignment.heaviest(pairs, shape)
    else:
        lost = loss

        def gain(some: Rows, others: Rows) -> Array:
            return -lost(rows[some], left[others])

        found = pairs.of(assignment.heaviest_of_all(pairs, shape, gain), shape[0])
        found = found._replace(weight=found.weight + gain(found.rows, found.columns))
    found = found.where(found.weight >= threshold)
    return assignment.join(made, Matches(rows[found.rows], left[found.columns]))


def observe(
    table: TrackTable, rows: Rows, missed: Mask, xyxy: boxes.Boxes, extra: Array, model: Model, fresh: Array
) -> None:
    """The tracks `rows` (M,) were seen again: ORU for those that were missed, then the filters, then memory.

    Args:
        table: the tracks.
        rows: (M,) which.
        missed: (T,) which tracks the last call missed.
        xyxy: (M, 4) where they were seen.
        extra: (M, A - 4) measurements beside the box.
        model: variances.
        fresh: (M, P, 2) their directions; see `directions`.
    """
    target = np.concatenate([boxes.xyxy_to_xywh(xyxy), extra], axis=1)
    if kernels.fast:
        kernels.fast.observe_all(table, rows, missed, target, xyxy, model, fresh)
        return
    back = missed[rows]
    if back.any():
        back &= last_seen(table)[1][rows]
        oru.retrace(table, rows[back], target[back], model.process, model.measurement)
    motion.update(table["filter"], rows, oru.measured(target), model.measurement)
    table["direction"][rows] = fresh
    table["anchor"][rows] = target
    seen, seen_at = table["seen"].take(rows, axis=0), table["seen_at"].take(rows, axis=0)
    seen[:, :-1], seen[:, -1] = seen[:, 1:], xyxy
    seen_at[:, :-1], seen_at[:, -1] = seen_at[:, 1:], table.time
    table["seen"][rows], table["seen_at"][rows] = seen, seen_at
    table["streak"][rows] += 1


def directions(
    table: TrackTable, rows: Rows, chosen: Mask, points: Callable[[Array], Array], xyxy: Array
) -> Array:
    """(M, P, 2) directions of the tracks `rows` (M,) that are now at `xyxy` (M, 4).

    The sum of the unit vectors from those observations that are `chosen` (T, K).
    """
    if kernels.fast:
        made: Array = kernels.fast.directions(table["seen"], chosen, rows, xyxy, table["direction"].shape[1])
        return made
    way = points(xyxy)[:, None] - points(table["seen"].take(rows, axis=0))
    way /= np.sqrt(np.square(way).sum(axis=-1, keepdims=True)) + EPSILON
    way *= chosen.take(rows, axis=0)[:, :, None, None]
    total: Array = way.sum(axis=1)
    return total


def spawn(
    table: TrackTable, det: Rows, detections: Detections, extra: Array, model: Model, **columns: ArrayLike
) -> None:
    """A track for each of the detections `det` (N,), with measurements `extra` (N, A - 4) beside the box."""
    count = len(det)
    if not count:
        return
    anchor = np.concatenate([boxes.xyxy_to_xywh(detections.xyxy[det]), extra], axis=1)
    bank = np.zeros((count, 5, anchor.shape[1]))
    bank[:, motion.X], bank[:, motion.PXX], bank[:, motion.PVV] = oru.measured(anchor), *model.start
    table.spawn(
        det,
        detections,
        TrackState.TENTATIVE,
        filter=bank,
        frozen=bank,
        lead=0.0,
        anchor=anchor,
        seen=0.0,
        seen_at=-np.inf,
        direction=0.0,
        streak=0,
        **columns,
    )


def report(table: TrackTable, detections: Detections, min_hits: int, assigned: Rows) -> Tracks:
    """The tracks seen now, after `min_hits` updates in a row, as they were detected.

    In the first `min_hits` frames they are reported at once.
    """
    ready = table["streak"] >= min_hits
    table["state"] = np.where(ready, CONFIRMED, TENTATIVE)
    shown = ((table["det_index"] >= 0) & (ready | (table.updates < min_hits))).nonzero()[0]
    return table.report(shown, detections.xyxy[table["det_index"][shown]], assigned)
