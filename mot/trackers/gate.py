"""The motion gate: which detections are where a track's filter can believe it to be.

Squared Mahalanobis distance d^2 = sum((z - x)^2 / s) over the four coordinates, s the variance of position and
measurement together; beyond the 95 % quantile of its distribution a pair cannot be (Wojke et al. 2017).
"""

from __future__ import annotations

import numpy as np

from mot import boxes, motion
from mot.assignment import CHI2_95, Pairs

DENSE = 2_000  # cells up to which all of them are looked at
LIMIT = CHI2_95[4]
ABOVE = 1 + 1e-12  # so that a pair on the limit is looked at


def within_reach(bank: motion.Bank, z: motion.Array, noise: motion.Array) -> Pairs:
    """The pairs of filters (T, 5, 4) and measurements `z` (D, 4) within the gate, by rows; their weight is d^2.

    Args:
        bank: filters that are not coupled; the first two coordinates are a place.
        z: measurements.
        noise: (T, 4) variances of a measurement.
    """
    x, spread = bank[:, motion.X], bank[:, motion.PXX] + noise
    if len(x) * len(z) <= DENSE:
        rows, columns = np.arange(len(x)).repeat(len(z)), np.tile(np.arange(len(z)), len(x))
    else:
        reach = np.sqrt(LIMIT * spread[:, :2]) * ABOVE
        around = np.concatenate([x[:, :2] - reach, x[:, :2] + reach], axis=1)
        rows, columns = boxes.neighbours(around, z[:, [0, 1, 0, 1]])
    gap = z.T.take(columns, axis=1)
    gap -= x.T.take(rows, axis=1)
    gap *= gap
    gap /= spread.T.take(rows, axis=1)
    distance = gap.sum(axis=0)
    return Pairs(rows, columns, distance).where(distance <= LIMIT)
