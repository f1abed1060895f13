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
from numpy.typing import NDArray

from mot import assignment, boxes, motion
from mot.assignment import Matches
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.table import Rows, TrackTable, usable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
EPSILON = 1e-6  # pixels added to a distance before dividing by it, as the official codes do
FORBIDDEN = -1e-9  # overlap of a pair that cannot be: next to none in the sum, below any threshold


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
    scores = detections.scores
    assigned = np.where(scores > high, Reason.UNMATCHED, Reason.BELOW_THRESHOLD).astype(np.int64)
    strong = usable(detections, assigned)
    if low is None:
        return assigned, strong, strong[:0]
    assigned[(scores > low) & (scores < high)] = Reason.UNMATCHED
    return assigned, strong, np.setdiff1d(usable(detections, assigned), strong)


def sound(table: TrackTable) -> Mask:
    """(T,) whether scale and ratio are positive: else there is no box to predict, and the track must go."""
    return np.asarray((table["filter"][:, motion.X, 2:4] > 0).all(axis=1))


def advance(table: TrackTable, steps: list[float], process: Array) -> Mask:
    """All tracks some `steps` ahead; (T,) which of them the last call missed."""
    missed = table["misses"] > 0
    table["streak"][missed] = 0
    for step in steps:
        bank, fresh = table["filter"], table["misses"] == 0
        shrinking = bank[:, motion.X, 2] + bank[:, motion.V, 2] <= 0
        bank[shrinking, motion.V, 2] = 0.0
        motion.predict(bank, process[0], process[1], step)
        table["frozen"][fresh] = bank[fresh]
        table["lead"][fresh] = step
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
    new = recent(table, delta_t)
    return np.asarray(new & (new.cumsum(axis=1) == 1))


def consistency(
    table: TrackTable, delta_t: int, points: Callable[[Array], Array], xyxy: boxes.Boxes
) -> Array:
    """(T, D) OCM: (pi/2 - angle) / pi between a track's direction and the way to a detection, over all points.

    The way starts at the oldest `recent` observation. 0 where the direction is not known.
    """
    column = recent(table, delta_t).argmax(axis=1)
    origin, goal = points(table["seen"][np.arange(len(table)), column]), points(xyxy)
    total = np.zeros((len(table), len(xyxy)))
    for point, direction in enumerate(np.moveaxis(table["direction"], 1, 0)):
        x = goal[:, point, 0] - origin[:, point, 0, None]
        y = goal[:, point, 1] - origin[:, point, 1, None]
        distance = np.sqrt(x * x + y * y) + EPSILON
        x /= distance
        y /= distance
        cosine = np.clip(direction[:, 0, None] * x + direction[:, 1, None] * y, -1, 1)
        total += (np.pi / 2 - np.arccos(cosine)) / np.pi
    return total


def match_first(overlap: Array, threshold: float, possible: Mask, gain: Callable[[], Array]) -> Matches:
    """Pairs of greatest total `overlap` + `gain` (T, D), those of less overlap than `threshold` dropped.

    Where the pairs above the threshold already are one-to-one, they are it, and the gain is not asked for.
    """
    overlap = np.where(possible, overlap, FORBIDDEN)
    above = overlap > threshold
    if not above.size:
        return Matches(*np.nonzero(above))
    if above.any() and above.sum(axis=0).max() == 1 and above.sum(axis=1).max() == 1:
        return Matches(*np.nonzero(above))
    found = assignment.match(-(overlap + np.where(possible, gain(), 0.0)), np.inf)
    enough = overlap[found.rows, found.columns] >= threshold
    return Matches(found.rows[enough], found.columns[enough])


def match_again(
    made: Matches,
    candidates: Rows,
    threshold: float,
    possible: Mask,
    overlap: Callable[[Rows, Rows], Array],
    loss: Array | None = None,
) -> Matches:
    """`made`, and pairs of what it left by greatest total `overlap` - `loss`, those below `threshold` dropped.

    None are added where no overlap is above the threshold.

    Args:
        made: matches of tracks with detections so far.
        candidates: (C,) detections that may be added.
        threshold: least overlap, less the loss.
        possible: (T, D) whether a pair may be.
        overlap: rows of tracks and of detections -> their overlaps.
        loss: (T, D); None: none.
    """
    rows, left = assignment.unmatched(len(possible), made.rows), np.setdiff1d(candidates, made.columns)
    pairs = np.ix_(rows, left)
    gain = np.where(possible[pairs], overlap(rows, left), FORBIDDEN)
    if gain.max(initial=0.0) <= threshold:
        return made
    found = assignment.match(-gain if loss is None else loss[pairs] - gain, -threshold)
    return Matches(
        np.concatenate([made.rows, rows[found.rows]]), np.concatenate([made.columns, left[found.columns]])
    )


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
    bank, target = table["filter"], np.hstack([_centre_size(xyxy), extra])
    _, known = last_seen(table)
    back = missed[rows] & known[rows]
    _retrace(table, rows[back], target[back], model)
    motion.update(bank, rows, _measurement(target), model.measurement)
    table["direction"][rows] = fresh
    table["anchor"][rows] = target
    for name, newest in (("seen", xyxy), ("seen_at", table.time)):
        table[name][rows] = np.roll(table[name][rows], -1, axis=1)
        table[name][rows, -1] = newest
    table["streak"][rows] += 1


def directions(
    table: TrackTable, rows: Rows, chosen: Mask, points: Callable[[Array], Array], xyxy: Array
) -> Array:
    """(M, P, 2) directions of the tracks `rows` (M,) that are now at `xyxy` (M, 4).

    The sum of the unit vectors from those observations that are `chosen` (T, K).
    """
    way = points(xyxy)[:, None] - points(table["seen"][rows])
    way /= np.sqrt(np.square(way).sum(axis=-1, keepdims=True)) + EPSILON
    total: Array = (way * chosen[rows][:, :, None, None]).sum(axis=1)
    return total


def spawn(
    table: TrackTable, det: Rows, detections: Detections, extra: Array, model: Model, **columns: NDArray[Any]
) -> None:
    """A track for each of the detections `det` (N,), with measurements `extra` (N, A - 4) beside the box."""
    count, delta_t = len(det), table["seen"].shape[1]
    anchor = np.hstack([_centre_size(detections.xyxy[det]), extra])
    bank = np.zeros((count, 5, anchor.shape[1]))
    bank[:, motion.X], bank[:, motion.PXX], bank[:, motion.PVV] = _measurement(anchor), *model.start
    table.spawn(
        det,
        detections,
        TrackState.TENTATIVE,
        filter=bank,
        frozen=bank,
        lead=np.zeros(count),
        anchor=anchor,
        seen=np.zeros((count, delta_t, 4)),
        seen_at=np.full((count, delta_t), -np.inf),
        direction=np.zeros((count, *table["direction"].shape[1:])),
        streak=np.zeros(count),
        **columns,
    )


def report(table: TrackTable, detections: Detections, min_hits: int, assigned: Rows) -> Tracks:
    """The tracks seen now, after `min_hits` updates in a row, as they were detected.

    In the first `min_hits` frames they are reported at once.
    """
    ready = table["streak"] >= min_hits
    table["state"] = np.where(ready, TrackState.CONFIRMED, TrackState.TENTATIVE)
    shown = np.flatnonzero((table["det_index"] >= 0) & (ready | (table.updates < min_hits)))
    return table.report(shown, detections.xyxy[table["det_index"][shown]], assigned)


def _retrace(table: TrackTable, rows: Rows, target: Array, model: Model) -> None:
    """ORU: the filters `rows` (M,) from where they were lost to `target` (M, A), by virtual observations.

    They lie on the straight way from the anchor, one at every prediction that was made: after the lead, after
    every whole frame from there, and at the target.
    """
    spans = np.column_stack([table["lead"][rows], table["misses"][rows]])
    for lead, gap in np.unique(spans, axis=0):
        group = np.flatnonzero((spans == (lead, gap)).all(axis=1))
        bank, every = table["frozen"][rows[group]], np.arange(len(group))
        start, way = table["anchor"][rows[group]], target[group] - table["anchor"][rows[group]]
        passed = lead
        motion.update(bank, every, _measurement(start + passed / gap * way), model.measurement)
        for step in motion.steps(gap - lead) if gap > lead else []:
            motion.predict(bank, model.process[0], model.process[1], step)
            passed += step
            motion.update(bank, every, _measurement(start + passed / gap * way), model.measurement)
        table["filter"][rows[group]] = bank


def _centre_size(xyxy: boxes.Boxes) -> Array:
    """(N, 4) centre x, centre y, width, height."""
    size = xyxy[:, 2:] - xyxy[:, :2]
    return np.hstack([xyxy[:, :2] + size / 2, size])


def _measurement(target: Array) -> Array:
    """(N, A) with width and height in columns 2 and 3 as the filter has it, with scale and aspect ratio there."""
    width, height = target[:, 2], target[:, 3]
    return np.column_stack([target[:, :2], width * height, width / height, target[:, 4:]])
