"""Constant-velocity Kalman banks (T, 5, A), in place. Twins of the same names in `mot.motion`, same bits.

Only banks of independent axes; a coupled bank stays with numpy.
"""

from __future__ import annotations

from typing import Any

from mot.kernels.jit import ANY_F2, ANY_I1, F3, FLOAT, kernel


@kernel(F3, ANY_F2, ANY_F2, FLOAT)
def predict(bank: Any, q_x: Any, q_v: Any, dt: float) -> None:
    """`dt` <= 1 frames ahead; process noise variances of one frame, (T, A), or (1, A) for all."""
    each_x, each_v = len(q_x) > 1, len(q_v) > 1
    for i in range(len(bank)):
        f, qx, qv = bank[i], q_x[i if each_x else 0], q_v[i if each_v else 0]
        for k in range(bank.shape[2]):
            if dt == 1.0:
                f[0, k] += f[1, k]
                f[2, k] += 2.0 * f[3, k] + f[4, k] + qx[k]
                f[3, k] += f[4, k]
                f[4, k] += qv[k]
            else:
                f[0, k] += dt * f[1, k]
                f[2, k] += 2.0 * dt * f[3, k] + dt * dt * f[4, k] + dt * qx[k]
                f[3, k] += dt * f[4, k]
                f[4, k] += dt * qv[k]


@kernel()
def _correct(bank: Any, i: int, z: Any, m: int, r: Any, n: int) -> None:
    """Filter `i` by measurement `m` of variance `n`."""
    f = bank[i]
    for k in range(f.shape[1]):
        innovation = z[m, k] - f[0, k]
        s = f[2, k] + r[n, k]
        gain, rate = f[2, k] / s, f[3, k] / s
        f[0, k] += gain * innovation
        f[1, k] += rate * innovation
        f[4, k] -= rate * f[3, k]
        f[2, k] -= gain * f[2, k]
        f[3, k] -= gain * f[3, k]


@kernel(F3, ANY_F2, ANY_F2)
def correct(bank: Any, z: Any, r: Any) -> None:
    """Correct all filters by measurements `z` (T, A) of variance `r` (T, A), or (1, A) for all."""
    each = len(r) > 1
    for i in range(len(bank)):
        _correct(bank, i, z, i, r, i if each else 0)


@kernel(F3, ANY_I1, ANY_F2, ANY_F2)
def update(bank: Any, rows: Any, z: Any, r: Any) -> None:
    """Correct the filters `rows` (M,), none twice, by measurements `z` (M, A) of variance `r` (M, A) or (1, A)."""
    each = len(r) > 1
    for m in range(len(rows)):
        _correct(bank, rows[m], z, m, r, m if each else 0)
