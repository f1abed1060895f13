"""What the parts of association cost at least: one (N, N) IoU, one gated assignment, one Kalman step for N tracks.

    python floor.py [--n 10 100 300 1000] [--repeat 7]

The boxes come from the synthetic scene: frame 20 against frame 21. Reported is the least CPU time of ``--repeat`` in
microseconds (a busy machine disturbs it least). numba rows appear if numba is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402
from scipy.sparse import csr_array  # noqa: E402
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generate import synthetic  # noqa: E402
from prototype import pairs_strips  # noqa: E402

GATE = 0.3  # least IoU


def iou_broadcast(a, b):
    """As SORT does it: columns broadcast against each other."""
    x1 = np.maximum(a[:, None, 0], b[None, :, 0])
    y1 = np.maximum(a[:, None, 1], b[None, :, 1])
    x2 = np.minimum(a[:, None, 2], b[None, :, 2])
    y2 = np.minimum(a[:, None, 3], b[None, :, 3])
    inter = np.maximum(0.0, x2 - x1) * np.maximum(0.0, y2 - y1)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return inter / (area_a[:, None] + area_b[None, :] - inter)


def iou_in_place(a, b):
    """The same with contiguous columns and reused buffers."""
    ax1, ay1, ax2, ay2 = np.ascontiguousarray(a.T)[:, :, None]
    bx1, by1, bx2, by2 = np.ascontiguousarray(b.T)[:, None, :]
    w = np.minimum(ax2, bx2)
    t = np.maximum(ax1, bx1)
    np.subtract(w, t, out=w)
    np.maximum(w, 0, out=w)
    h = np.minimum(ay2, by2)
    np.maximum(ay1, by1, out=t)
    np.subtract(h, t, out=h)
    np.maximum(h, 0, out=h)
    w *= h
    np.add((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1), out=h)
    h -= w
    w /= h
    return w


def pairs_sweep(a, b):
    """Pairs that overlap in x, by sorting and two searches; (rows, columns) and their IoU, only those over the gate."""
    order = np.argsort(b[:, 0])
    left = b[order, 0]
    widest = (b[:, 2] - b[:, 0]).max()
    lo = np.searchsorted(left, a[:, 0] - widest, "left")
    hi = np.searchsorted(left, a[:, 2], "right")
    count = hi - lo
    rows = np.repeat(np.arange(len(a)), count)
    offset = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    columns = order[np.repeat(lo, count) + offset]
    p, q = a[rows], b[columns]
    low = np.maximum(p[:, :2], q[:, :2])
    size = np.minimum(p[:, 2:], q[:, 2:]) - low
    keep = np.flatnonzero((size > 0).all(1))
    rows, columns, size = rows[keep], columns[keep], size[keep]
    inter = size[:, 0] * size[:, 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    iou = inter / (area_a[rows] + area_b[columns] - inter)
    keep = iou > GATE
    return rows[keep], columns[keep], iou[keep]


def assign_pairs(rows, columns, iou, n, m):
    """Optimal gated matching of the pairs. A pair that is alone in its row and column is taken as it is; what is left
    falls apart into connected components, each solved by a small dense assignment."""
    degree_r = np.bincount(rows, minlength=n)
    degree_c = np.bincount(columns, minlength=m)
    alone = (degree_r[rows] == 1) & (degree_c[columns] == 1)
    out_r, out_c = [rows[alone]], [columns[alone]]
    rest = np.flatnonzero(~alone)
    if len(rest):
        r, c, v = rows[rest], columns[rest], iou[rest]
        ur, ri = np.unique(r, return_inverse=True)
        uc, ci = np.unique(c, return_inverse=True)
        k = len(ur)
        graph = csr_array((np.ones(len(r), np.int8), (ri, ci + k)), shape=(k + len(uc),) * 2)
        _, label = connected_components(graph, directed=False)
        edge = label[ri]
        order = np.argsort(edge, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(edge[order])) + 1):
            pr, lr = np.unique(ri[part], return_inverse=True)
            pc, lc = np.unique(ci[part], return_inverse=True)
            dense = np.zeros((len(pr), len(pc)))
            dense[lr, lc] = v[part]
            x, y = linear_sum_assignment(dense, maximize=True)
            good = dense[x, y] > 0
            out_r.append(ur[pr[x[good]]])
            out_c.append(uc[pc[y[good]]])
    return np.concatenate(out_r), np.concatenate(out_c)


def assign_rest_dense(rows, columns, iou, n, m):
    """As above, the rest in one dense assignment instead of one for each component."""
    degree_r = np.bincount(rows, minlength=n)
    degree_c = np.bincount(columns, minlength=m)
    alone = (degree_r[rows] == 1) & (degree_c[columns] == 1)
    rest = np.flatnonzero(~alone)
    if not len(rest):
        return rows, columns
    r, c = rows[rest], columns[rest]
    ur, ri = np.unique(r, return_inverse=True)
    uc, ci = np.unique(c, return_inverse=True)
    dense = np.zeros((len(ur), len(uc)))
    dense[ri, ci] = iou[rest]
    x, y = linear_sum_assignment(dense, maximize=True)
    good = dense[x, y] > 0
    return np.concatenate([rows[alone], ur[x[good]]]), np.concatenate([columns[alone], uc[y[good]]])


def sparse_full(rows, columns, iou, n, m):
    """scipy's sparse full matching: each row gets a dummy column that costs as much as no match."""
    weight = np.concatenate([1.0 - iou + 1e-9, np.full(n, 2.0)])
    r = np.concatenate([rows, np.arange(n)])
    c = np.concatenate([columns, m + np.arange(n)])
    return min_weight_full_bipartite_matching(csr_array((weight, (r, c)), shape=(n, m + n)))


def kalman_blocks(x, p, v, c, r, z, q, qv, s):
    """Predict and update of N constant-velocity filters of 4 independent (position, velocity) pairs, in place."""
    x += v
    p += 2 * c + r
    p += q
    c += r
    r += qv
    gain = 1.0 / (p + s)
    k, g = p * gain, c * gain
    y = z - x
    x += k * y
    v += g * y
    r -= g * c
    c -= k * c
    p -= k * p
    return x


def kalman_full(mean, cov, f, q, h, s, z):
    """The same with batched 8x8 matrices (einsum-free, numpy matmul)."""
    mean = mean @ f.T
    cov = f @ cov @ f.T + q
    ph = cov[:, :, :4]
    innovation = ph[:, :4] + s
    k = np.swapaxes(np.linalg.solve(innovation, np.swapaxes(ph, 1, 2)), 1, 2)
    mean = mean + (k @ (z - mean[:, :4])[:, :, None])[:, :, 0]
    return mean, cov - k @ np.swapaxes(ph, 1, 2)


def best(call, repeat, least=0.02):
    """Least CPU time of one call in microseconds (CPU, not wall: the machine may be shared)."""
    clock = time.process_time
    call()
    t = clock()
    call()
    loops = max(1, int(least / max(clock() - t, 1e-6)))
    values = []
    for _ in range(repeat):
        t = clock()
        for _ in range(loops):
            call()
        values.append((clock() - t) / loops)
    return 1e6 * min(values)


def with_numba():
    try:
        import numba
    except ImportError:
        return {}
    jit = numba.njit(cache=False, fastmath=False)

    @jit
    def iou(a, b):
        out = np.empty((a.shape[0], b.shape[0]))
        for i in range(a.shape[0]):
            area = (a[i, 2] - a[i, 0]) * (a[i, 3] - a[i, 1])
            for j in range(b.shape[0]):
                w = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
                h = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
                inter = max(w, 0.0) * max(h, 0.0)
                out[i, j] = inter / (area + (b[j, 2] - b[j, 0]) * (b[j, 3] - b[j, 1]) - inter)
        return out

    @jit
    def pairs(a, b, gate, rows, columns, value):
        order = np.argsort(b[:, 0])
        n = 0
        widest = 0.0
        for j in range(b.shape[0]):
            widest = max(widest, b[j, 2] - b[j, 0])
        left = b[:, 0][order]
        for i in range(a.shape[0]):
            area = (a[i, 2] - a[i, 0]) * (a[i, 3] - a[i, 1])
            for k in range(np.searchsorted(left, a[i, 0] - widest), b.shape[0]):
                if left[k] >= a[i, 2]:
                    break
                j = order[k]
                w = min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0])
                h = min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1])
                if w > 0 and h > 0:
                    inter = w * h
                    v = inter / (area + (b[j, 2] - b[j, 0]) * (b[j, 3] - b[j, 1]) - inter)
                    if v > gate:
                        rows[n], columns[n], value[n] = i, j, v
                        n += 1
        return n

    return {"iou": iou, "pairs": pairs}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, nargs="*", default=[10, 100, 300, 1000])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--out", default=str(Path(__file__).resolve().parent / "floor.json"))
    options = parser.parse_args()
    try:
        import lap
    except ImportError:
        lap = None
    compiled = with_numba()
    result: dict[str, dict[str, float]] = {}
    for n in options.n:
        frames = synthetic(n, frames=22).frames
        a, b = frames[20].xyxy, frames[21].xyxy
        iou = iou_broadcast(a, b)
        rows, columns, value = pairs_sweep(a, b)
        cost = 1.0 - iou
        gated = np.where(iou > GATE, -iou, 0.0)

        def weight(r, c):
            return float(iou[r, c].sum())

        dense = linear_sum_assignment(gated)
        pick = iou[dense] > GATE
        totals = {
            "dense": weight(dense[0][pick], dense[1][pick]),
            "components": weight(*assign_pairs(rows, columns, value, len(a), len(b))),
            "rest dense": weight(*assign_rest_dense(rows, columns, value, len(a), len(b))),
        }
        assert np.ptp(list(totals.values())) < 1e-6, totals
        assert len(rows) == len(pairs_strips(a, b, GATE)[0]) == int((iou > GATE).sum())

        k = len(a)
        blocks = [np.random.default_rng(0).random((k, 4)) + 1 for _ in range(6)]
        mean, cov = np.ones((k, 8)), np.tile(np.eye(8), (k, 1, 1))
        f = np.eye(8) + np.eye(8, k=4)
        q, s, z = np.eye(8) * 0.1, np.eye(4), np.ones((k, 4))
        calls = {
            "IoU (N,N), numpy broadcast": lambda: iou_broadcast(a, b),
            "IoU (N,N), numpy in place": lambda: iou_in_place(a, b),
            "gated pairs, numpy sweep in x": lambda: pairs_sweep(a, b),
            "gated pairs, numpy strips": lambda: pairs_strips(a, b, GATE),
            "scipy linear_sum_assignment, gated dense": lambda: linear_sum_assignment(gated),
            "scipy linear_sum_assignment, ungated dense": lambda: linear_sum_assignment(cost),
            "scipy sparse full matching with dummies": lambda: sparse_full(
                rows, columns, value, len(a), len(b)
            ),
            "pairs: alone, then components": lambda: assign_pairs(rows, columns, value, len(a), len(b)),
            "pairs: alone, then one small dense": lambda: assign_rest_dense(
                rows, columns, value, len(a), len(b)
            ),
            "Kalman predict+update, 4 blocks of 2, numpy": lambda: kalman_blocks(
                *blocks[:5], z, 0.1, 0.01, 1.0
            ),
            "Kalman predict+update, batched 8x8, numpy": lambda: kalman_full(mean, cov, f, q, None, s, z),
        }
        if lap:
            calls["lap.lapjv, cost_limit (extends to 2N)"] = lambda: lap.lapjv(
                cost, extend_cost=True, cost_limit=1 - GATE
            )
            calls["lap.lapjv, no limit, ungated"] = lambda: lap.lapjv(cost, extend_cost=True)
            calls["lap.lapjv, no limit, gated cost"] = lambda: lap.lapjv(gated, extend_cost=True)
        if compiled:
            buffers = np.empty(40 * k, np.int64), np.empty(40 * k, np.int64), np.empty(40 * k)
            assert compiled["pairs"](a, b, GATE, *buffers) == len(rows)
            calls["IoU (N,N), numba"] = lambda: compiled["iou"](a, b)
            calls["gated pairs, numba sweep"] = lambda: compiled["pairs"](a, b, GATE, *buffers)
        for name, call in calls.items():
            result.setdefault(name, {})[str(n)] = best(call, options.repeat)
        degree_r, degree_c = np.bincount(rows, minlength=k), np.bincount(columns, minlength=len(b))
        alone = ((degree_r[rows] == 1) & (degree_c[columns] == 1)).sum()
        result.setdefault("(pairs over the gate)", {})[str(n)] = float(len(rows))
        result.setdefault("(of them alone in row and column)", {})[str(n)] = float(alone)
    Path(options.out).write_text(
        json.dumps({"unit": "microseconds of CPU, least", "load": os.getloadavg(), "rows": result}, indent=1)
    )
    print("| microseconds | " + " | ".join(f"N={n}" for n in options.n) + " |")
    print("|---|" + "---|" * len(options.n))
    for name, row in sorted(result.items()):
        print(
            f"| {name} | "
            + " | ".join(f"{row[str(n)]:,.1f}" if str(n) in row else "-" for n in options.n)
            + " |"
        )


if __name__ == "__main__":
    main()
