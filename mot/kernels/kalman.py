"""Constant-velocity Kalman banks (T, 5, A), in place. Twins of the same names in `mot.motion`, same bits.

Only banks of independent axes; a coupled bank stays with numpy. `predict_family` and `correct_family` are what
`mot.trackers.bytefamily` does to its filters over xyah or, with `sides`, xywh.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F1, ANY_F2, ANY_I1, BOOL, F3, FLOAT, INT, kernel

TENTATIVE = 1  # as in mot.structures.TrackState
POSITION, VELOCITY = 1 / 20, 1 / 160  # as in mot.motion


@kernel()
def _ahead(f: Any, k: int, q_x: float, q_v: float, dt: float) -> None:
    """Coordinate `k` of a filter, `dt` <= 1 frames ahead, by the variances of one frame."""
    if dt == 1.0:
        f[0, k] += f[1, k]
        f[2, k] += 2.0 * f[3, k] + f[4, k] + q_x
        f[3, k] += f[4, k]
        f[4, k] += q_v
    else:
        f[0, k] += dt * f[1, k]
        f[2, k] += 2.0 * dt * f[3, k] + dt * dt * f[4, k] + dt * q_x
        f[3, k] += dt * f[4, k]
        f[4, k] += dt * q_v


@kernel()
def _believe(f: Any, k: int, z: float, r: float) -> None:
    """Coordinate `k` of a filter by a measurement of variance `r`."""
    innovation = z - f[0, k]
    s = f[2, k] + r
    gain, rate = f[2, k] / s, f[3, k] / s
    f[0, k] += gain * innovation
    f[1, k] += rate * innovation
    f[4, k] -= rate * f[3, k]
    f[2, k] -= gain * f[2, k]
    f[3, k] -= gain * f[3, k]


@kernel(F3, ANY_F2, ANY_F2, FLOAT)
def predict(bank: Any, q_x: Any, q_v: Any, dt: float) -> None:
    """`dt` <= 1 frames ahead; process noise variances of one frame, (T, A), or (1, A) for all."""
    each_x, each_v = len(q_x) > 1, len(q_v) > 1
    for i in range(len(bank)):
        for k in range(bank.shape[2]):
            _ahead(bank[i], k, q_x[i if each_x else 0, k], q_v[i if each_v else 0, k], dt)


@kernel(F3, ANY_F2, ANY_F2)
def correct(bank: Any, z: Any, r: Any) -> None:
    """Correct all filters by measurements `z` (T, A) of variance `r` (T, A), or (1, A) for all."""
    each = len(r) > 1
    for i in range(len(bank)):
        for k in range(bank.shape[2]):
            _believe(bank[i], k, z[i, k], r[i if each else 0, k])


@kernel(F3, ANY_I1, ANY_F2, ANY_F2)
def update(bank: Any, rows: Any, z: Any, r: Any) -> None:
    """Correct the filters `rows` (M,), none twice, by measurements `z` (M, A) of variance `r` (M, A) or (1, A)."""
    each = len(r) > 1
    for m in range(len(rows)):
        for k in range(bank.shape[2]):
            _believe(bank[rows[m]], k, z[m, k], r[m if each else 0, k])


@kernel()
def _variance(f: Any, k: int, share: float, aspect: float, sides: bool) -> float:
    """Of coordinate `k`: a share of the height, or of the side along it, squared; `aspect` of an aspect ratio."""
    along = 2 + k % 2 if sides else 3
    std = aspect if k == 2 and not sides else f[0, along] * share
    return std * std


@kernel(F3, ANY_I1, ANY_F1, INT, BOOL, FLOAT)
def predict_family(bank: Any, state: Any, misses: Any, resting: int, sides: bool, dt: float) -> None:
    """Twin: `predict`, but for `table.step`: coordinates from `resting` on stop changing while a track is lost."""
    q_x, q_v = np.empty(4), np.empty(4)
    for i in range(len(bank)):
        if state[i] == TENTATIVE:
            continue
        f = bank[i]
        if misses[i] > 0:
            f[1, resting:] = 0.0
        for k in range(4):  # all of them before the sizes change
            q_x[k] = _variance(f, k, POSITION, 1e-2, sides)
            q_v[k] = _variance(f, k, VELOCITY, 1e-5, sides)
        for k in range(4):
            _ahead(f, k, q_x[k], q_v[k], dt)


@kernel(F3, ANY_I1, ANY_I1, ANY_F2, BOOL)
def correct_family(bank: Any, rows: Any, det: Any, xyxy: Any, sides: bool) -> None:
    """Twin: `_correct`: the filters `rows` (M,) by the detections `det` (M,) at `xyxy` (D, 4)."""
    z, r = np.empty(4), np.empty(4)
    for m in range(len(rows)):
        f, box = bank[rows[m]], xyxy[det[m]]
        w, h = box[2] - box[0], box[3] - box[1]
        z[0], z[1], z[2], z[3] = w * 0.5 + box[0], h * 0.5 + box[1], w if sides else w / h, h
        for k in range(4):
            r[k] = _variance(f, k, POSITION, 1e-1, sides)
        for k in range(4):
            _believe(f, k, z[k], r[k])
