"""Constant-velocity Kalman filters for all tracks at once.

With diagonal noise the textbook 8x8 filter falls apart into four independent filters, one a coordinate of
the box, each with a position `x` and a velocity `v`. A bank of T tracks is one array (T, 5, 4):

    bank[:, 0] = x    bank[:, 1] = v    bank[:, 2] = var x    bank[:, 3] = cov(x, v)    bank[:, 4] = var v

and the matrix equations become (Kalman 1960; one frame):

    predict   x += v;  Pxx += 2 Pxv + Pvv + Qx;  Pxv += Pvv;  Pvv += Qv
    update    k = Pxx / (Pxx + R),  g = Pxv / (Pxx + R),  y = z - x
              x += k y;  v += g y;  Pvv -= g Pxv;  Pxv -= k Pxv;  Pxx -= k Pxx

This is exact, not an approximation (`tests/test_motion.py` holds it against a dense 8x8 filter to 1e-9).

A camera that rotates mixes x with y and width with height. `warped` then returns a coupled bank (T, 9, 8): row 0
the mean (x, v), rows 1 to 8 the covariance P of all eight states. `predict`, `update`, `position` and `velocity`
take either kind; nobody pays for the coupled one before the first rotation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot import kernels
from mot.errors import InputError

Bank = NDArray[np.float64]
Array = NDArray[np.float64]
X, V, PXX, PXV, PVV = range(5)
MAX_GAP = 1_000_000  # frames; more would be a mistake, and the predictions are made one by one
COUPLED = (9, 8)  # shape of a row of a coupled bank
_AXIS = np.arange(4)
_STATE = np.arange(8)


def start(z: Array, var_x: Array, var_v: Array) -> Bank:
    """A bank (T, 5, 4) of filters at rest on the measurements `z` (T, 4); variances (T, 4) or (4,)."""
    bank = np.zeros((len(z), 5, 4))
    bank[:, X], bank[:, PXX], bank[:, PVV] = z, var_x, var_v
    return bank


def steps(dt: float) -> list[float]:
    """`dt` frames as single predictions: so many whole ones, then the fraction that is left.

    A whole `dt` is thus exactly so many predictions. A fraction f moves by f velocities and adds f of a
    frame's process noise, so that it lies between the whole ones on either side of it.

    What is seen after a gap is matched first, and tracks too old are dropped afterwards, as always: a track can be
    found again by the first call after a gap, however long.

    Raises:
        InputError: `dt` is not above 0, or more than MAX_GAP.
    """
    if not isinstance(dt, int | float | np.number) or not 0 < dt <= MAX_GAP:
        raise InputError(f"dt: expected a number of frames above 0 and up to {MAX_GAP}, got {dt}")
    rest = dt - int(dt)
    return [1.0] * int(dt) + ([float(rest)] if rest else [])


def predict(bank: Bank, q_x: Array, q_v: Array, dt: float | Array = 1.0) -> None:
    """`dt` <= 1 frames ahead, (T, 1) of each, in place; process noise variances of one frame, (T, 4) or (4,)."""
    if kernels.fast and isinstance(dt, float) and _plain(bank):
        kernels.fast.predict_bank(bank, q_x, q_v, dt)
        return
    if bank.shape[1:] == COUPLED:
        _predict_coupled(bank, np.concatenate([q_x, q_v], axis=-1), dt)
        return
    x, v, pxx, pxv, pvv = planes = _planes(bank)
    q_x, q_v, dt = _columns(q_x), _columns(q_v), dt if isinstance(dt, float) else dt.T
    if isinstance(dt, float) and dt == 1.0:  # the same as below, in fewer operations
        pxx += 2 * pxv + pvv + q_x
        x += v
        pxv += pvv
        pvv += q_v
    else:
        x += dt * v
        pxx += 2 * dt * pxv + dt * dt * pvv + dt * q_x
        pxv += dt * pvv
        pvv += dt * q_v
    bank[...] = planes.transpose(2, 0, 1)


def update(bank: Bank, rows: NDArray[np.int64], z: Array, r: Array) -> None:
    """Correct the filters `rows` (M,) by measurements `z` (M, 4) of variance `r` (M, 4) or (4,), in place."""
    if kernels.fast and _plain(bank):
        kernels.fast.update_bank(bank, rows, z, r)
        return
    chosen = bank.take(rows, axis=0)
    correct(chosen, z, r)
    bank[rows] = chosen


def correct(bank: Bank, z: Array, r: Array) -> None:
    """Correct all filters by measurements `z` (T, 4) of variance `r` (T, 4) or (4,), in place."""
    if kernels.fast and _plain(bank):
        kernels.fast.correct_bank(bank, z, r)
        return
    if bank.shape[1:] == COUPLED:
        _correct_coupled(bank, z, r)
        return
    x, v, pxx, pxv, pvv = planes = _planes(bank)
    s, y = pxx + _columns(r), z.T - x
    k, g = pxx / s, pxv / s
    x += k * y
    v += g * y
    pvv -= g * pxv
    pxv -= k * pxv
    pxx -= k * pxx
    bank[...] = planes.transpose(2, 0, 1)


def _planes(bank: Bank) -> Array:
    """(5, A, T) a copy of a bank (T, 5, A), the numbers of all tracks side by side: arithmetic is twice as fast."""
    return bank.transpose(1, 2, 0).copy()


def _columns(noise: Array) -> Array:
    """(A, T) or (A, 1) of noise (T, A) or (A,)."""
    return noise.T if noise.ndim == 2 else noise[:, None]


def _plain(bank: Bank) -> bool:
    """Whether a kernel takes it: axes on their own, and not some rows or columns of another array."""
    return bank.shape[1:] != COUPLED and bank.flags.c_contiguous


def position(bank: Bank) -> Array:
    """(T, 4) positions of a bank of either kind, as a view."""
    return bank[:, X, :4]


def velocity(bank: Bank) -> Array:
    """(T, 4) velocities of a bank of either kind, as a view."""
    return bank[:, 0, 4:] if bank.shape[1:] == COUPLED else bank[:, V]


def coupled(bank: Bank) -> Bank:
    """The same filters with all eight states in one covariance, (T, 9, 8); a coupled bank stays as it is."""
    if bank.shape[1:] == COUPLED:
        return bank
    full = np.zeros((len(bank), *COUPLED))
    full[:, 0, :4], full[:, 0, 4:] = bank[:, X], bank[:, V]
    full[:, 1 + _AXIS, _AXIS] = bank[:, PXX]
    full[:, 1 + _AXIS, 4 + _AXIS] = full[:, 5 + _AXIS, _AXIS] = bank[:, PXV]
    full[:, 5 + _AXIS, 4 + _AXIS] = bank[:, PVV]
    return full


def check_warp(warp: ArrayLike | None) -> Array | None:
    """A camera motion as a (2, 3) float64 array; None stays None.

    Raises:
        InputError: another shape, a value that is not finite, or a motion that cannot be undone.
    """
    if warp is None:
        return None
    try:
        matrix = np.asarray(warp, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"warp: expected (2, 3) numbers, got {type(warp).__name__} ({error})") from None
    if matrix.shape != (2, 3):
        raise InputError(f"warp: expected shape (2, 3), got {matrix.shape}")
    (a, b, _), (c, d, _) = matrix
    if not np.isfinite(matrix).all() or abs(a * d - b * c) <= 1e-12 * np.abs(matrix[:, :2]).max() ** 2:
        raise InputError(f"warp: expected finite numbers and an inverse, got {matrix.tolist()}; shape (2, 3)")
    return matrix


def warped(bank: Bank, warp: Array) -> Bank:
    """The filters over (x, y, w, h) after the camera moved by `warp` (2, 3) = (R | t), as BoT-SORT does it.

    With M = diag(R, R, R, R):  mean = M mean, (x, y) += t, P = M P M^T. Without a rotation the axes stay
    independent and so does the bank; else it comes back coupled. The argument may be changed.
    """
    rotation, shift = warp[:, :2], warp[:, 2]
    if bank.shape[1:] != COUPLED and not rotation[0, 1] and not rotation[1, 0]:
        scale = np.tile(np.diag(rotation), 2)
        bank[:, :PXX] *= scale
        bank[:, PXX:] *= scale * scale
    else:
        bank = coupled(bank)
        move = np.kron(np.eye(4), rotation)
        bank[:, 0] = bank[:, 0] @ move.T
        bank[:, 1:] = move @ bank[:, 1:] @ move.T
    position(bank)[:, :2] += shift
    return bank


def _predict_coupled(bank: Bank, q: Array, dt: float | Array) -> None:
    """With F adding dt velocities to the positions: mean = F mean, P = F P F^T + dt Q."""
    mean, p = bank[:, 0], bank[:, 1:]
    mean[:, :4] += dt * mean[:, 4:]
    p[:, :4] += dt * p[:, 4:]
    p[:, :, :4] += dt * p[:, :, 4:]
    p[:, _STATE, _STATE] += dt * q


def _correct_coupled(bank: Bank, z: Array, r: Array) -> None:
    """With H taking the positions: S = H P H^T + R, K^T = S^-1 H P, mean += K (z - H mean), P -= P H^T K^T."""
    mean, p = bank[:, 0], bank[:, 1:]
    s = p[:, :4, :4].copy()
    s[:, _AXIS, _AXIS] += r
    gain = np.linalg.solve(s, p[:, :4])
    mean += ((z - mean[:, :4])[:, None] @ gain)[:, 0]
    p -= p[:, :, :4] @ gain


# SORT (abewley/sort): a filter over xysr. The aspect ratio r has no velocity: its variance stays 0.
XYSR_START = np.array([[10.0, 10.0, 10.0, 10.0], [1e4, 1e4, 1e4, 0.0]])
XYSR_PROCESS = np.array([[1.0, 1.0, 1.0, 1.0], [1e-2, 1e-2, 1e-4, 0.0]])
XYSR_MEASUREMENT = np.array([1.0, 1.0, 10.0, 10.0])

# DeepSORT (nwojke/deep_sort): a filter over xyah. Standard deviations are shares of the box's height,
# except those of the aspect ratio, which has no unit.
_PER_HEIGHT = np.array([1.0, 1.0, 0.0, 1.0])
_POSITION, _VELOCITY = 1 / 20, 1 / 160


class _Noise(NamedTuple):
    """Standard deviations of K noises: `shares` (K, 4) of the height, and `aspect` (K,) of the aspect ratio."""

    shares: Array
    aspect: Array


def _noise(*parts: tuple[float, float]) -> _Noise:
    """Of a share of the height and a deviation of the aspect ratio each."""
    shares, aspect = np.array(parts).T
    return _Noise(np.multiply.outer(shares, _PER_HEIGHT), aspect)


def _variance(height: Array, noise: _Noise) -> Array:
    """(K, T, 4) variances: (share * height)^2, and aspect^2 for the aspect ratio."""
    std = np.multiply.outer(noise.shares, height)
    std[:, 2] = noise.aspect[:, None]
    squared: Array = np.square(std, out=std)
    return squared.transpose(0, 2, 1)


_START = _noise((2 * _POSITION, 1e-2), (10 * _VELOCITY, 1e-5))
_PROCESS = _noise((_POSITION, 1e-2), (_VELOCITY, 1e-5))
_MEASUREMENT = _noise((_POSITION, 1e-1))


def xyah_start(height: Array) -> tuple[Array, Array]:
    """Variances of position and velocity of a filter just started on a box of `height` (T,)."""
    var_x, var_v = _variance(height, _START)
    return var_x, var_v


def xyah_process(height: Array) -> tuple[Array, Array]:
    """Process noise of position and velocity, from the heights (T,) before the prediction."""
    q_x, q_v = _variance(height, _PROCESS)
    return q_x, q_v


def xyah_measurement(height: Array) -> Array:
    """Measurement noise, from the predicted heights (T,)."""
    r: Array = _variance(height, _MEASUREMENT)[0]
    return r


# BoT-SORT (NirAharon/BoT-SORT): a filter over xywh, centre and size. Standard deviations are shares of the
# box's width for x and w, of its height for y and h.
def _of_size(size: Array, share: float) -> Array:
    """(T, 4) variances (share * side)^2 from widths and heights (T, 2)."""
    variance = np.empty((4, len(size)))
    np.multiply(size.T, share, out=variance[:2])
    variance[2:] = variance[:2]
    np.square(variance, out=variance)
    return variance.T


def xywh_start(size: Array) -> tuple[Array, Array]:
    """Variances of position and velocity of a filter just started on a box of width and height (T, 2)."""
    return _of_size(size, 2 * _POSITION), _of_size(size, 10 * _VELOCITY)


def xywh_process(size: Array) -> tuple[Array, Array]:
    """Process noise of position and velocity, from widths and heights (T, 2) before the prediction."""
    return _of_size(size, _POSITION), _of_size(size, _VELOCITY)


def xywh_measurement(size: Array) -> Array:
    """Measurement noise, from the predicted widths and heights (T, 2)."""
    return _of_size(size, _POSITION)
