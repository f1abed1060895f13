"""Constant-velocity Kalman filters for all tracks at once.

With diagonal noise the textbook 8x8 filter falls apart into four independent filters, one a coordinate of
the box, each with a position `x` and a velocity `v`. A bank of T tracks is one array (T, 5, 4):

    bank[:, 0] = x    bank[:, 1] = v    bank[:, 2] = var x    bank[:, 3] = cov(x, v)    bank[:, 4] = var v

and the matrix equations become (Kalman 1960; one frame):

    predict   x += v;  Pxx += 2 Pxv + Pvv + Qx;  Pxv += Pvv;  Pvv += Qv
    update    k = Pxx / (Pxx + R),  g = Pxv / (Pxx + R),  y = z - x
              x += k y;  v += g y;  Pvv -= g Pxv;  Pxv -= k Pxv;  Pxx -= k Pxx

This is exact, not an approximation (`tests/test_motion.py` holds it against a dense 8x8 filter to 1e-9).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mot.errors import InputError

Bank = NDArray[np.float64]
Array = NDArray[np.float64]
X, V, PXX, PXV, PVV = range(5)


def start(z: Array, var_x: Array, var_v: Array) -> Bank:
    """A bank (T, 5, 4) of filters at rest on the measurements `z` (T, 4); variances (T, 4) or (4,)."""
    bank = np.zeros((len(z), 5, 4))
    bank[:, X], bank[:, PXX], bank[:, PVV] = z, var_x, var_v
    return bank


def steps(dt: float) -> list[float]:
    """`dt` frames as single predictions: so many whole ones, then the fraction that is left.

    A whole `dt` is thus exactly so many predictions. A fraction f moves by f velocities and adds f of a
    frame's process noise, so that it lies between the whole ones on either side of it.

    Raises:
        InputError: `dt` is not a positive finite number.
    """
    if not 0 < dt < math.inf:
        raise InputError(f"dt: expected a number of frames above 0, got {dt}")
    rest = dt - int(dt)
    return [1.0] * int(dt) + ([rest] if rest else [])


def predict(bank: Bank, q_x: Array, q_v: Array, dt: float = 1.0) -> None:
    """`dt` <= 1 frames ahead, in place; process noise variances of one frame, (T, 4) or (4,)."""
    if dt == 1.0:  # the same as below, in fewer operations
        bank[:, X] += bank[:, V]
        bank[:, PXX] += 2 * bank[:, PXV] + bank[:, PVV] + q_x
        bank[:, PXV] += bank[:, PVV]
        bank[:, PVV] += q_v
        return
    bank[:, X] += dt * bank[:, V]
    bank[:, PXX] += 2 * dt * bank[:, PXV] + dt * dt * bank[:, PVV] + dt * q_x
    bank[:, PXV] += dt * bank[:, PVV]
    bank[:, PVV] += dt * q_v


def update(bank: Bank, rows: NDArray[np.int64], z: Array, r: Array) -> None:
    """Correct the filters `rows` (M,) by measurements `z` (M, 4) of variance `r` (M, 4) or (4,), in place."""
    x, v, pxx, pxv, pvv = np.moveaxis(bank[rows], 1, 0)
    innovation = z - x
    s = pxx + r
    k, g = pxx / s, pxv / s
    corrected = [x + k * innovation, v + g * innovation, pxx - k * pxx, pxv - k * pxv, pvv - g * pxv]
    bank[rows] = np.stack(corrected, axis=1)


def squared_mahalanobis(bank: Bank, z: Array, r: Array) -> Array:
    """(T, D) squared distances of measurements `z` (D, 4) from every filter, in units of its spread."""
    gap = z - bank[:, X, None]
    spread = (bank[:, PXX] + r)[:, None]
    distance: Array = (np.square(gap, out=gap) / spread).sum(axis=2)
    return distance


# SORT (abewley/sort): a filter over xysr. The aspect ratio r has no velocity: its variance stays 0.
XYSR_START = np.array([[10.0, 10.0, 10.0, 10.0], [1e4, 1e4, 1e4, 0.0]])
XYSR_PROCESS = np.array([[1.0, 1.0, 1.0, 1.0], [1e-2, 1e-2, 1e-4, 0.0]])
XYSR_MEASUREMENT = np.array([1.0, 1.0, 10.0, 10.0])

# DeepSORT (nwojke/deep_sort): a filter over xyah. Standard deviations are shares of the box's height,
# except those of the aspect ratio, which has no unit.
_PER_HEIGHT = np.array([1.0, 1.0, 0.0, 1.0])
_POSITION, _VELOCITY = 1 / 20, 1 / 160


def _variance(height: Array, share: float, aspect_std: float) -> Array:
    """(T, 4) variances: (share * height)^2, and aspect_std^2 for the aspect ratio."""
    std = np.multiply.outer(height, share * _PER_HEIGHT)
    std[:, 2] = aspect_std
    return np.square(std, out=std)


def xyah_start(height: Array) -> tuple[Array, Array]:
    """Variances of position and velocity of a filter just started on a box of `height` (T,)."""
    return _variance(height, 2 * _POSITION, 1e-2), _variance(height, 10 * _VELOCITY, 1e-5)


def xyah_process(height: Array) -> tuple[Array, Array]:
    """Process noise of position and velocity, from the heights (T,) before the prediction."""
    return _variance(height, _POSITION, 1e-2), _variance(height, _VELOCITY, 1e-5)


def xyah_measurement(height: Array) -> Array:
    """Measurement noise, from the predicted heights (T,)."""
    return _variance(height, _POSITION, 1e-1)
