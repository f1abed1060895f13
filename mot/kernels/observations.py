"""What OC-SORT and its relatives do with filters and observations. Twins in `mot.trackers.observations`, same bits.

`pair_cosines` and `cell_cosines` stop before the arc cosine: numpy's has other last bits than the compiled one, so
that is left to `np.arccos` on their result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mot.kernels.jit import (
    ANY_B1,
    ANY_B2,
    ANY_F1,
    ANY_F2,
    ANY_I1,
    COL_F1,
    COL_I1,
    F1,
    F2,
    F3,
    FLOAT,
    INT,
    kernel,
)

EPSILON = 1e-6  # as in mot.trackers.observations


@kernel()
def _copy(of: Any, to: Any) -> None:
    """One row of numbers (A, B) to another."""
    for i in range(of.shape[0]):
        for k in range(of.shape[1]):
            to[i, k] = of[i, k]


@kernel()
def _predict(f: Any, q: Any, dt: float) -> None:
    for k in range(f.shape[1]):
        if dt == 1.0:
            f[0, k] += f[1, k]
            f[2, k] += 2.0 * f[3, k] + f[4, k] + q[0, k]
            f[3, k] += f[4, k]
            f[4, k] += q[1, k]
        else:
            f[0, k] += dt * f[1, k]
            f[2, k] += 2.0 * dt * f[3, k] + dt * dt * f[4, k] + dt * q[0, k]
            f[3, k] += dt * f[4, k]
            f[4, k] += dt * q[1, k]


@kernel()
def _correct(f: Any, target: Any, r: Any) -> None:
    """By a target x, y, width, height, …; the filter runs over x, y, scale, aspect ratio, …."""
    for k in range(f.shape[1]):
        z = target[k]
        if k == 2:
            z = target[2] * target[3]
        elif k == 3:
            z = target[2] / target[3]
        innovation = z - f[0, k]
        s = f[2, k] + r[k]
        gain, rate = f[2, k] / s, f[3, k] / s
        f[0, k] += gain * innovation
        f[1, k] += rate * innovation
        f[4, k] -= rate * f[3, k]
        f[2, k] -= gain * f[2, k]
        f[3, k] -= gain * f[3, k]


@kernel(F3, ANY_F2, FLOAT)
def predict_xysr(bank: Any, process: Any, dt: float) -> None:
    """One step, after the scale of those that would shrink to nothing was held. Twin: `SORT._predict`."""
    for i in range(len(bank)):
        f = bank[i]
        if f[0, 2] + f[1, 2] <= 0.0:
            f[1, 2] = 0.0
        _predict(f, process, dt)


@kernel(F3, F3, COL_F1, COL_F1, COL_I1, COL_I1, ANY_F2, F1)
def advance(
    bank: Any, frozen: Any, lead: Any, misses: Any, streak: Any, det_index: Any, process: Any, steps: Any
) -> Any:
    """All tracks some `steps` (S,) ahead; (T,) which the last call missed. Twin: `advance`, but for the time."""
    missed = np.empty(len(bank), np.bool_)
    for i in range(len(bank)):
        f = bank[i]
        missed[i] = misses[i] > 0.0
        if missed[i]:
            streak[i] = 0
        for n in range(len(steps)):
            dt = steps[n]
            if f[0, 2] + f[1, 2] <= 0.0:
                f[1, 2] = 0.0
            _predict(f, process, dt)
            if misses[i] == 0.0:
                lead[i] = dt
                _copy(f, frozen[i])
            misses[i] += dt
            det_index[i] = -1
    return missed


@kernel()
def _oldest(seen_at: Any, time: float, delta_t: float) -> int:
    """Which observation (K,) is the oldest no more than `delta_t` ago, else the last one; -1: never seen."""
    last = len(seen_at) - 1
    for k in range(last + 1):
        if seen_at[k] >= time - delta_t - EPSILON:
            return k
    return last if math.isfinite(seen_at[last]) else -1


@kernel(F2, FLOAT, FLOAT)
def oldest(seen_at: Any, time: float, delta_t: float) -> Any:
    """(T, K) the oldest of the recent observations. Twin: `oldest`."""
    chosen = np.zeros(seen_at.shape, np.bool_)
    for i in range(len(seen_at)):
        k = _oldest(seen_at[i], time, delta_t)
        if k >= 0:
            chosen[i, k] = True
    return chosen


@kernel()
def _point(box: Any, p: int, points: int) -> tuple[float, float]:
    """Point `p` of a box: its centre where there is one, else left top, left bottom, right top, right bottom."""
    if points == 1:
        return (box[0] + box[2]) / 2.0, (box[1] + box[3]) / 2.0
    return box[0 if p < 2 else 2], box[1 if p % 2 == 0 else 3]


@kernel(F3, ANY_B2, ANY_I1, ANY_F2, INT)
def directions(seen: Any, chosen: Any, rows: Any, xyxy: Any, points: int) -> Any:
    """(M, P, 2) the sum of the unit vectors from the `chosen` (T, K) observations to `xyxy` (M, 4).

    Twin: `directions`, with `points` 1 for `centre`, 4 for `corners`.
    """
    total = np.zeros((len(rows), points, 2))
    for m in range(len(rows)):
        for k in range(seen.shape[1]):
            if not chosen[rows[m], k]:
                continue
            for p in range(points):
                x, y = _point(xyxy[m], p, points)
                from_x, from_y = _point(seen[rows[m], k], p, points)
                x -= from_x
                y -= from_y
                length = math.sqrt(x * x + y * y) + EPSILON
                total[m, p, 0] += x / length
                total[m, p, 1] += y / length
    return total


@kernel()
def _cosine(x: float, y: float, from_x: float, from_y: float, to_x: float, to_y: float) -> float:
    """Between the direction x, y and the way from one point to another."""
    way_x, way_y = to_x - from_x, to_y - from_y
    cosine = x * way_x
    cosine += y * way_y
    cosine /= math.sqrt(way_x * way_x + way_y * way_y) + EPSILON
    cosine = -1.0 if cosine < -1.0 else cosine
    return 1.0 if cosine > 1.0 else cosine


@kernel(F3, F2, F3, FLOAT, FLOAT, ANY_F2, ANY_I1, ANY_I1)
def pair_cosines(
    seen: Any, seen_at: Any, direction: Any, time: float, delta_t: float, xyxy: Any, rows: Any, columns: Any
) -> Any:
    """(points, P) cosines of the pairs of tracks `rows` (P,) and boxes `columns` (P,). Twin: in `consistency`."""
    made = np.empty((direction.shape[1], len(rows)))
    for n in range(len(rows)):
        i = rows[n]
        k = _oldest(seen_at[i], time, delta_t)
        for p in range(len(made)):
            from_x, from_y = _point(seen[i, max(k, 0)], p, len(made))
            x, y = _point(xyxy[columns[n]], p, len(made))
            made[p, n] = _cosine(direction[i, p, 0], direction[i, p, 1], from_x, from_y, x, y)
    return made


@kernel(F3, F2, F3, FLOAT, FLOAT, ANY_F2, ANY_I1, ANY_I1)
def cell_cosines(
    seen: Any, seen_at: Any, direction: Any, time: float, delta_t: float, xyxy: Any, rows: Any, columns: Any
) -> Any:
    """(points, R, C) cosines of each of the tracks `rows` (R,) and each of the boxes `columns` (C,)."""
    made, x, y = (
        np.empty((direction.shape[1], len(rows), len(columns))),
        np.empty(len(columns)),
        np.empty(len(columns)),
    )
    for p in range(len(made)):
        for m in range(len(columns)):
            x[m], y[m] = _point(xyxy[columns[m]], p, len(made))
        for n in range(len(rows)):
            i = rows[n]
            k = max(_oldest(seen_at[i], time, delta_t), 0)
            from_x, from_y = _point(seen[i, k], p, len(made))
            of_x, of_y = direction[i, p, 0], direction[i, p, 1]
            for m in range(len(columns)):
                made[p, n, m] = _cosine(of_x, of_y, from_x, from_y, x[m], y[m])
    return made


@kernel()
def _retrace(
    f: Any, frozen: Any, start: Any, target: Any, lead: float, gap: float, process: Any, r: Any
) -> None:
    """The filter from where it was lost to `target` (A,), by virtual observations on the straight way."""
    _copy(frozen, f)
    point, passed = np.empty(len(target)), lead
    for k in range(len(target)):
        point[k] = start[k] + passed / gap * (target[k] - start[k])
    _correct(f, point, r)
    while passed < gap:
        dt = min(1.0, gap - passed)
        passed += dt
        _predict(f, process, dt)
        for k in range(len(target)):
            point[k] = start[k] + passed / gap * (target[k] - start[k])
        _correct(f, point, r)


@kernel(
    F3, F3, ANY_F1, ANY_F1, F2, F3, F2, F3, COL_I1, ANY_I1, ANY_B1, ANY_F2, ANY_F2, F3, FLOAT, ANY_F2, ANY_F1
)
def observe(
    bank: Any,
    frozen: Any,
    lead: Any,
    misses: Any,
    anchor: Any,
    seen: Any,
    seen_at: Any,
    direction: Any,
    streak: Any,
    rows: Any,
    missed: Any,
    target: Any,
    xyxy: Any,
    fresh: Any,
    time: float,
    process: Any,
    r: Any,
) -> None:
    """The tracks `rows` (M,) were seen again at `target` (M, A), `xyxy` (M, 4). Twin: `observe`."""
    last = seen.shape[1] - 1
    for m in range(len(rows)):
        i = rows[m]
        f, z = bank[i], target[m]
        if missed[i] and math.isfinite(seen_at[i, last]):
            _retrace(f, frozen[i], anchor[i], z, lead[i], misses[i], process, r)
        _correct(f, z, r)
        _copy(fresh[m], direction[i])
        for k in range(len(z)):
            anchor[i, k] = z[k]
        for n in range(last):
            for k in range(4):
                seen[i, n, k] = seen[i, n + 1, k]
            seen_at[i, n] = seen_at[i, n + 1]
        for k in range(4):
            seen[i, last, k] = xyxy[m, k]
        seen_at[i, last] = time
        streak[i] += 1
