"""The closed-form Kalman bank against a dense textbook filter of eight states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot import motion

Array = NDArray[np.float64]
F = np.eye(8) + np.eye(8, k=4)
H = np.eye(4, 8)


class Dense:
    """mean' = F mean, P' = F P F^T + Q;  K = P H^T S^-1, mean += K y, P -= K S K^T."""

    def __init__(self, z: Array, var: Array) -> None:
        self.mean = np.concatenate([z, np.zeros(4)])
        self.cov = np.diag(var)

    def predict(self, q: Array) -> None:
        self.mean = F @ self.mean
        self.cov = F @ self.cov @ F.T + np.diag(q)

    def innovation(self, r: Array) -> Array:
        return np.asarray(H @ self.cov @ H.T + np.diag(r))

    def update(self, z: Array, r: Array) -> None:
        s = self.innovation(r)
        gain = self.cov @ H.T @ np.linalg.inv(s)
        self.mean = self.mean + gain @ (z - H @ self.mean)
        self.cov = self.cov - gain @ s @ gain.T

    def distance(self, z: Array, r: Array) -> float:
        y = z - H @ self.mean
        return float(y @ np.linalg.inv(self.innovation(r)) @ y)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=1, max_size=30))
def test_bank_equals_dense_filters(seed: int, seen: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    z = np.column_stack([rng.uniform(0, 1000, (3, 2)), rng.uniform(0.2, 1, 3), rng.uniform(20, 400, 3)])
    var = motion.xyah_start(z[:, 3])
    bank = motion.start(z, *var)
    dense = [Dense(z[i], np.concatenate([part[i] for part in var])) for i in range(3)]
    for update in seen:
        q = motion.xyah_process(bank[:, motion.X, 3])
        motion.predict(bank, *q)
        for i, one in enumerate(dense):
            one.predict(np.concatenate([part[i] for part in q]))
        z = z + rng.normal(0, [3, 3, 0.01, 3], (3, 4))
        r = motion.xyah_measurement(bank[:, motion.X, 3])
        distance = motion.squared_mahalanobis(bank, z, r)
        rows = np.flatnonzero(rng.random(3) < 0.7) if update else np.empty(0, np.int64)
        motion.update(bank, rows, z[rows], r[rows])
        for i, one in enumerate(dense):
            assert distance[i, i] == pytest.approx(one.distance(z[i], r[i]), rel=1e-9)
            if i in rows:
                one.update(z[i], r[i])
    for i, one in enumerate(dense):
        np.testing.assert_allclose(bank[i, [motion.X, motion.V]].ravel(), one.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(bank[i, motion.PXX], np.diag(one.cov)[:4], rtol=1e-9)
        np.testing.assert_allclose(bank[i, motion.PXV], np.diag(one.cov[:4, 4:]), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(bank[i, motion.PVV], np.diag(one.cov)[4:], rtol=1e-9)


def test_ratio_of_sort_never_gets_a_velocity() -> None:
    bank = motion.start(np.array([[10.0, 10.0, 400.0, 0.5]]), *motion.XYSR_START)
    for ratio in (0.6, 0.9, 0.4):
        motion.predict(bank, *motion.XYSR_PROCESS)
        motion.update(bank, np.array([0]), np.array([[10.0, 10.0, 400.0, ratio]]), motion.XYSR_MEASUREMENT)
    assert bank[0, motion.V, 3] == 0
    assert bank[0, motion.V, 0] == 0
