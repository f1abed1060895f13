"""The verbs of ByteTrack and its relatives, filters over xyah or, with `sides`, xywh.

Twins in `mot.trackers.bytefamily`, same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F1, ANY_F2, ANY_I1, BOOL, COL_B1, COL_I1, F3, FLOAT, INT, kernel

TENTATIVE, CONFIRMED, LOST = 1, 2, 3  # as in mot.structures.TrackState
POSITION, VELOCITY = 1 / 20, 1 / 160  # as in mot.motion


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
        for k in range(4):
            q_x[k] = _variance(f, k, POSITION, 1e-2, sides)
            q_v[k] = _variance(f, k, VELOCITY, 1e-5, sides)
        for k in range(4):
            if dt == 1.0:
                f[0, k] += f[1, k]
                f[2, k] += 2.0 * f[3, k] + f[4, k] + q_x[k]
                f[3, k] += f[4, k]
                f[4, k] += q_v[k]
            else:
                f[0, k] += dt * f[1, k]
                f[2, k] += 2.0 * dt * f[3, k] + dt * dt * f[4, k] + dt * q_x[k]
                f[3, k] += dt * f[4, k]
                f[4, k] += dt * q_v[k]


@kernel(F3, ANY_I1, ANY_I1, ANY_F2, BOOL)
def correct_family(bank: Any, rows: Any, det: Any, xyxy: Any, sides: bool) -> None:
    """Twin: what `see` does to the filters `rows` (M,) of the detections `det` (M,) at `xyxy` (D, 4)."""
    z, r = np.empty(4), np.empty(4)
    for m in range(len(rows)):
        f, box = bank[rows[m]], xyxy[det[m]]
        w, h = box[2] - box[0], box[3] - box[1]
        z[0], z[1], z[2], z[3] = w * 0.5 + box[0], h * 0.5 + box[1], w if sides else w / h, h
        for k in range(4):
            r[k] = _variance(f, k, POSITION, 1e-1, sides)
        for k in range(4):
            innovation = z[k] - f[0, k]
            s = f[2, k] + r[k]
            gain, rate = f[2, k] / s, f[3, k] / s
            f[0, k] += gain * innovation
            f[1, k] += rate * innovation
            f[4, k] -= rate * f[3, k]
            f[2, k] -= gain * f[2, k]
            f[3, k] -= gain * f[3, k]


@kernel(COL_I1, ANY_F1, COL_B1, FLOAT)
def let_go(state: Any, misses: Any, expired: Any, limit: float) -> Any:
    """Missed tracks become lost, those missed for more than `limit` expire; (T,) which stay. Twin: `_let_go`."""
    stays = np.empty(len(state), np.bool_)
    for i in range(len(state)):
        confirmed = state[i] == CONFIRMED
        condemned = state[i] == TENTATIVE or (confirmed and expired[i]) or misses[i] >= limit + 2
        stays[i] = misses[i] <= 0 or not condemned
        expired[i] = expired[i] or misses[i] > limit
        if misses[i] > 0 and confirmed:
            state[i] = LOST
    return stays
