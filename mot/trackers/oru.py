"""ORU: the filter of a track found again goes back to where it was lost, and from there along a straight way.

Virtual observations lie on the way from the track's anchor to where it was found, one at every prediction that
was made: after the lead, after every whole frame from there, and in the end. `mot.trackers.observations` has the
columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mot import motion
from mot.trackers.table import Rows, TrackTable

Array = NDArray[np.float64]
Leg = tuple[
    Rows, Array, Array
]  # which tracks (M,) made a step, how long it was, and where they were then, in frames


def retrace(table: TrackTable, rows: Rows, target: Array, process: Array, noise: Array) -> None:
    """The filters `rows` (M,) from where they were lost to `target` (M, A).

    Args:
        table: the tracks.
        rows: (M,) those found again.
        target: (M, A) observations: x, y, width, height and what a tracker adds.
        process: (2, A) variances that a frame adds to position and velocity.
        noise: (A,) variances of an observation.
    """
    bank, start, gap = table["frozen"].take(rows, axis=0), table["anchor"][rows], table["misses"][rows]
    legs = _legs(table["lead"][rows], gap)
    every = np.concatenate([some for some, _, _ in legs])
    share = np.concatenate([passed for _, _, passed in legs]) / gap[every]
    z = measured(start[every] + share[:, None] * (target - start)[every])
    begin = 0
    for some, step, _ in legs:
        moved, seen = bank.take(some, axis=0), z[begin : begin + len(some)]
        if begin:  # the first step is in what was frozen
            motion.predict(moved, process[0], process[1], 1.0 if step.min() == 1.0 else step[:, None])
        motion.correct(moved, seen, noise)
        bank[some] = moved
        begin += len(some)
    table["filter"][rows] = bank


def _legs(lead: Array, gap: Array) -> list[Leg]:
    """From `lead` to `gap` (M,) frames, the first step being the lead itself."""
    passed, legs = lead.copy(), [(np.arange(len(lead)), lead, lead)]
    while len(going := (passed < gap).nonzero()[0]):
        step = np.minimum(1.0, gap[going] - passed[going])
        passed[going] += step
        legs.append((going, step, passed[going]))
    return legs


def measured(target: Array) -> Array:
    """(N, A) with width and height in columns 2 and 3 as the filter has it, with scale and aspect ratio there."""
    made = target.copy()
    made[:, 2] *= target[:, 3]
    np.divide(target[:, 2], target[:, 3], out=made[:, 3])
    return made
