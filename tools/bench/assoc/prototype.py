"""SORT from arrays, to see what is reachable from Python: once in numpy and scipy, once in numba.

Same tracker as the reference in exact arithmetic: the 7-state filter has diagonal noise, so it splits into three
(position, velocity) pairs and one lone value; the assignment of largest total IoU needs only pairs that overlap. Both
are run against the reference by ``python prototype.py --verify`` (same boxes, same identities up to renaming).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

Q = np.array([1.0, 1.0, 1.0, 1.0])
QV = np.array([1e-2, 1e-2, 1e-4, 0.0])
R = np.array([1.0, 1.0, 10.0, 10.0])
P0 = np.array([10.0, 10.0, 10.0, 10.0])
PV0 = np.array([1e4, 1e4, 1e4, 0.0])
MOVES = np.array([1.0, 1.0, 1.0, 0.0])


def pairs_strips(a, b, gate=0.0):
    """Rows, columns and IoU of the pairs of boxes with IoU > ``gate``, without an (N, M) matrix.

    ``b`` is sorted by (strip of the top edge, left edge), strips as high as its tallest box, so what can overlap a box
    of ``a`` is one run of the order in each of about three strips: two binary searches.
    """
    ax1, ay1, ax2, ay2 = a.T.copy()
    wide, tall = (b[:, 2:] - b[:, :2]).max(0)
    left = min(b[:, 0].min(), ax1.min() - wide)
    span = max(b[:, 0].max(), ax2.max()) - left + 1.0
    key = np.floor(b[:, 1] / tall) * span + (b[:, 0] - left)
    order = np.argsort(key)
    key = key[order]
    bx1, by1, bx2, by2 = b[order].T.copy()
    first = np.floor((ay1 - tall) / tall)
    strips = (np.floor(ay2 / tall) - first).astype(np.intp) + 1
    row = np.repeat(np.arange(len(a)), strips)
    base = (first[row] + (np.arange(len(row)) - np.repeat(np.cumsum(strips) - strips, strips))) * span - left
    low = np.searchsorted(key, base + (ax1[row] - wide), "left")
    count = np.searchsorted(key, base + ax2[row], "left") - low
    rows = np.repeat(row, count)
    columns = np.arange(len(rows)) + np.repeat(low - np.cumsum(count) + count, count)
    w = np.minimum(ax2[rows], bx2[columns]) - np.maximum(ax1[rows], bx1[columns])
    h = np.minimum(ay2[rows], by2[columns]) - np.maximum(ay1[rows], by1[columns])
    near = np.flatnonzero((w > 0) & (h > 0))
    rows, columns = rows[near], columns[near]
    inter = w[near] * h[near]
    iou = inter / (((ax2 - ax1) * (ay2 - ay1))[rows] + ((bx2 - bx1) * (by2 - by1))[columns] - inter)
    keep = np.flatnonzero(iou > gate)
    return rows[keep], order[columns[keep]], iou[keep]


class NumpySort:
    def __init__(self, max_age=1, min_hits=3, iou_threshold=0.3):
        self.max_age, self.min_hits, self.gate = max_age, min_hits, iou_threshold
        self.state = np.empty(
            (5, 0, 4)
        )  # position, velocity, their variances and covariance: x, v, pxx, pvv, pxv
        self.count = np.empty((3, 0), np.int64)  # id, frames since update, hit streak
        self.frame, self.next_id = 0, 1

    def update(self, xyxy):
        self.frame += 1
        x, v, p, r, c = state = self.state
        ids, age, streak = self.count
        n, m = len(ids), len(xyxy)
        corner = xyxy[:, :2]
        size = xyxy[:, 2:] - corner
        z = np.empty((m, 4))
        z[:, :2] = corner + size / 2
        z[:, 2] = size[:, 0] * size[:, 1]
        z[:, 3] = size[:, 0] / size[:, 1]
        rows = columns = np.empty(0, np.int64)
        if n:
            shrinking = x[:, 2] + v[:, 2] <= 0
            if shrinking.any():
                v[shrinking, 2] = 0
            x += v
            p += 2 * c
            p += r
            p += Q
            c += r
            r += QV
            streak[age > 0] = 0
            age += 1
            if m:
                rows, columns = self._match(xyxy, z[:, 2], self._boxes(x), x[:, 2])
                s = p[columns]
                gain = 1.0 / (s + R)
                k = s * gain
                cc = c[columns]
                g = cc * gain
                y = z[rows] - x[columns]
                x[columns] += k * y
                v[columns] += g * y
                r[columns] -= g * cc
                c[columns] = cc - k * cc
                p[columns] = s - k * s
                age[columns] = 0
                streak[columns] += 1
        keep = age <= self.max_age
        fresh = np.ones(m, bool)
        fresh[rows] = False
        born = np.flatnonzero(fresh)
        b = len(born)
        if b or not keep.all():
            old = state[:, keep]
            kept = old.shape[1]
            self.state = state = np.empty((5, kept + b, 4))
            state[:, :kept] = old
            state[0, kept:] = z[born]
            state[1, kept:] = 0
            state[2, kept:] = P0
            state[3, kept:] = PV0
            state[4, kept:] = 0
            count = np.zeros((3, kept + b), np.int64)
            count[:, :kept] = self.count[:, keep]
            count[0, kept:] = np.arange(self.next_id, self.next_id + b)
            self.count = count
            self.next_id += b
        ids, age, streak = self.count
        shown = age < 1
        if self.frame > self.min_hits:
            shown &= streak >= self.min_hits
        shown = np.flatnonzero(shown)
        return ids[shown], self._boxes(self.state[0, shown])

    @staticmethod
    def _boxes(x):
        out = np.empty((len(x), 4))
        half = np.sqrt(x[:, 2:3] * x[:, 3:4])
        out[:, 2:3] = half
        out[:, 3:4] = x[:, 2:3] / half
        out[:, 2:] *= 0.5
        np.subtract(x[:, :2], out[:, 2:], out=out[:, :2])
        out[:, 2:] += x[:, :2]
        return out

    def _match(self, a, area_a, b, area_b):
        if len(a) * len(b) < 20000:
            w = np.minimum(a[:, 2, None], b[:, 2])
            w -= np.maximum(a[:, 0, None], b[:, 0])
            h = np.minimum(a[:, 3, None], b[:, 3])
            h -= np.maximum(a[:, 1, None], b[:, 1])
            np.maximum(w, 0, out=w)
            np.maximum(h, 0, out=h)
            w *= h
            np.add(area_a[:, None], area_b, out=h)
            h -= w
            w /= h
            over = w > self.gate
            if over.sum(0).max() <= 1 and over.sum(1).max() == 1:
                return np.nonzero(over)
            i, j = linear_sum_assignment(w, maximize=True)
            good = w[i, j] >= self.gate
            return i[good], j[good]
        rows, columns, iou = pairs_strips(a, b)
        over = iou > self.gate
        if (
            np.bincount(rows[over], minlength=1).max() <= 1
            and np.bincount(columns[over], minlength=1).max() == 1
        ):
            return rows[over], columns[over]
        alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
        rest = np.flatnonzero(~alone)
        alone &= iou >= self.gate
        ur, ri = np.unique(rows[rest], return_inverse=True)
        uc, ci = np.unique(columns[rest], return_inverse=True)
        dense = np.zeros((len(ur), len(uc)))
        dense[ri, ci] = iou[rest]
        i, j = linear_sum_assignment(dense, maximize=True)
        good = dense[i, j] >= self.gate
        return np.concatenate([rows[alone], ur[i[good]]]), np.concatenate([columns[alone], uc[j[good]]])


def numba_step():
    """The compiled step: one call a frame, float64, candidate pairs by a sweep, sparse shortest augmenting paths."""
    import numba

    @numba.njit
    def step(f, k, counters, dets, out, max_age, min_hits, gate):
        # f (capacity, 24): x v p r c (4 each), box (4); k (capacity, 3): id, age, streak
        n, frame, next_id = counters[0], counters[1] + 1, counters[2]
        m = dets.shape[0]
        widest = 0.0
        for t in range(n):
            s = f[t]
            if s[2] + s[6] <= 0:
                s[6] = 0.0
            for d in range(4):
                s[d] += s[4 + d]
                s[8 + d] += 2 * s[16 + d] + s[12 + d] + 1.0
                s[16 + d] += s[12 + d]
            s[12] += 1e-2
            s[13] += 1e-2
            s[14] += 1e-4
            w = np.sqrt(s[2] * s[3])
            h = s[2] / w
            s[20], s[21], s[22], s[23] = s[0] - w / 2, s[1] - h / 2, s[0] + w / 2, s[1] + h / 2
            widest = max(widest, w)
            if k[t, 1] > 0:
                k[t, 2] = 0
            k[t, 1] += 1

        # candidate pairs, by detection
        left = f[:n, 20].copy()
        order = np.argsort(left)
        for t in range(n):
            left[t] = f[order[t], 20]
        start = np.empty(m + 1, np.int64)
        size = 16 * m + 64
        col = np.empty(size, np.int64)
        iou = np.empty(size)
        e, single, deg_over = 0, True, np.zeros(n, np.int64)
        for i in range(m):
            start[i] = e
            x1, y1, x2, y2 = dets[i, 0], dets[i, 1], dets[i, 2], dets[i, 3]
            area, over = (x2 - x1) * (y2 - y1), 0
            lo, hi = 0, n
            edge = x1 - widest
            while lo < hi:
                mid = (lo + hi) >> 1
                if left[mid] < edge:
                    lo = mid + 1
                else:
                    hi = mid
            for a in range(lo, n):
                if left[a] >= x2:
                    break
                t = order[a]
                w = min(x2, f[t, 22]) - max(x1, left[a])
                h = min(y2, f[t, 23]) - max(y1, f[t, 21])
                if w > 0 and h > 0:
                    if e == size:
                        size *= 2
                        grown_c, grown_i = np.empty(size, np.int64), np.empty(size)
                        grown_c[:e], grown_i[:e] = col, iou
                        col, iou = grown_c, grown_i
                    cross = w * h
                    value = cross / (area + (f[t, 22] - left[a]) * (f[t, 23] - f[t, 21]) - cross)
                    col[e], iou[e] = t, value
                    e += 1
                    if value > gate:
                        over += 1
                        deg_over[t] += 1
                        if over > 1 or deg_over[t] > 1:
                            single = False
        start[m] = e

        match = np.full(m, -1, np.int64)
        if single:
            for i in range(m):
                for a in range(start[i], start[i + 1]):
                    if iou[a] > gate:
                        match[i] = col[a]
        else:
            # columns n + i are the private dummies of the rows
            u, v = np.zeros(m), np.zeros(n + m)
            row_of = np.full(n + m, -1, np.int64)
            col_of = np.full(m, -1, np.int64)
            dist, pred = np.full(n + m, np.inf), np.empty(n + m, np.int64)
            done = np.zeros(n + m, np.bool_)
            touched, rows = np.empty(n + m, np.int64), np.empty(m, np.int64)
            for cur in range(m):
                low, i, sink, nt, nr = 0.0, cur, -1, 0, 0
                while sink < 0:
                    rows[nr] = i
                    nr += 1
                    for a in range(start[i], start[i + 1] + 1):
                        if a < start[i + 1]:
                            j, cost = col[a], 1.0 - iou[a]
                        else:
                            j, cost = n + i, 1.0
                        if done[j]:
                            continue
                        d = low + cost - u[i] - v[j]
                        if d < dist[j]:
                            if dist[j] == np.inf:
                                touched[nt] = j
                                nt += 1
                            dist[j], pred[j] = d, i
                    best, j = np.inf, -1
                    for b in range(nt):
                        q = touched[b]
                        if not done[q] and (dist[q] < best or (dist[q] == best and row_of[q] < 0)):
                            best, j = dist[q], q
                    low = best
                    done[j] = True
                    if row_of[j] < 0:
                        sink = j
                    else:
                        i = row_of[j]
                u[cur] += low
                for b in range(1, nr):
                    u[rows[b]] += low - dist[col_of[rows[b]]]
                for b in range(nt):
                    q = touched[b]
                    if done[q]:
                        v[q] -= low - dist[q]
                j = sink
                while True:
                    i = pred[j]
                    row_of[j] = i
                    col_of[i], j = j, col_of[i]
                    if i == cur:
                        break
                for b in range(nt):
                    dist[touched[b]] = np.inf
                    done[touched[b]] = False
            for i in range(m):
                if col_of[i] < n:
                    for a in range(start[i], start[i + 1]):
                        if col[a] == col_of[i] and iou[a] >= gate:
                            match[i] = col[a]

        # update, birth, death, output
        total = n
        for i in range(m):
            w, h = dets[i, 2] - dets[i, 0], dets[i, 3] - dets[i, 1]
            z = (dets[i, 0] + w / 2, dets[i, 1] + h / 2, w * h, w / h)
            t = match[i]
            if t >= 0:
                s = f[t]
                for d in range(4):
                    gain = 1.0 / (s[8 + d] + (1.0 if d < 2 else 10.0))
                    kk, g, y = s[8 + d] * gain, s[16 + d] * gain, z[d] - s[d]
                    s[d] += kk * y
                    s[4 + d] += g * y
                    s[12 + d] -= g * s[16 + d]
                    s[16 + d] -= kk * s[16 + d]
                    s[8 + d] -= kk * s[8 + d]
                k[t, 1] = 0
                k[t, 2] += 1
            else:
                s = f[total]
                for d in range(4):
                    s[d] = z[d]
                    s[4 + d] = 0.0
                    s[8 + d] = 10.0
                    s[12 + d] = 1e4 if d < 3 else 0.0
                    s[16 + d] = 0.0
                k[total, 0], k[total, 1], k[total, 2] = next_id, 0, 0
                next_id += 1
                total += 1
        alive, shown = 0, 0
        for t in range(total):
            if k[t, 1] > max_age:
                continue
            if alive != t:
                f[alive] = f[t]
                k[alive] = k[t]
            if k[t, 1] < 1 and (k[t, 2] >= min_hits or frame <= min_hits):
                s = f[alive]
                w = np.sqrt(s[2] * s[3])
                h = s[2] / w
                out[shown, 0], out[shown, 1] = s[0] - w / 2, s[1] - h / 2
                out[shown, 2], out[shown, 3] = s[0] + w / 2, s[1] + h / 2
                out[shown, 4] = k[alive, 0]
                shown += 1
            alive += 1
        counters[0], counters[1], counters[2] = alive, frame, next_id
        return shown

    return step


_STEP = None


class NumbaSort:
    def __init__(self, max_age=1, min_hits=3, iou_threshold=0.3):
        global _STEP
        if _STEP is None:
            _STEP = numba_step()
        self.options = max_age, min_hits, iou_threshold
        self.f, self.k = np.zeros((256, 24)), np.zeros((256, 3), np.int64)
        self.counters = np.array([0, 0, 1])
        self.alive = 0

    def update(self, xyxy):
        room = self.alive + len(xyxy)
        if room > len(self.f):
            self.f = np.concatenate([self.f, np.zeros((room, 24))])
            self.k = np.concatenate([self.k, np.zeros((room, 3), np.int64)])
        out = np.empty((room, 5))
        shown = _STEP(self.f, self.k, self.counters, xyxy, out, *self.options)
        self.alive = int(self.counters[0])
        return out[:shown, 4].astype(np.int64), out[:shown, :4]


def verify(scenes=("N=10", "N=100", "N=300", "MOT17-04-FRCNN", "PETS09-S2L1"), limit=300):
    from adapters import ADAPTERS
    from generate import load

    for name in scenes:
        frames = load(name).frames[:limit]
        for kind in (NumpySort, NumbaSort):
            step, ours = ADAPTERS["abewley/sort"].make(), kind()
            there, back, worst, different, rows = {}, {}, 0.0, 0, 0
            for f in frames:
                ids, boxes = step(f.xyxy, f.scores, None)
                got, ours_boxes = ours.update(f.xyxy)
                rows += len(ids)
                if len(got) != len(ids):
                    different += abs(len(got) - len(ids))
                    continue
                # pair the rows by rounded box: the two orders differ
                a, b = np.lexsort(np.round(boxes, 3).T), np.lexsort(np.round(ours_boxes, 3).T)
                worst = max(worst, float(np.abs(boxes[a] - ours_boxes[b]).max(initial=0)))
                for i, j in zip(np.asarray(ids)[a].tolist(), got[b].tolist()):
                    different += there.setdefault(i, j) != j or back.setdefault(j, i) != i
            print(
                f"{name:16} {kind.__name__}: {rows} rows, {different} differ, largest box difference {worst:.2e} px"
            )


if __name__ == "__main__":
    verify()
