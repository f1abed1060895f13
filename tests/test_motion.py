"""The closed-form Kalman bank against a dense textbook filter of eight states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot import motion
from mot.errors import InputError
from mot.trackers import gate

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
        near = gate.within_reach(bank, z, r)
        pairs = zip(near.rows.tolist(), near.columns.tolist(), strict=True)
        distance = dict(zip(pairs, near.weight, strict=True))
        rows = np.flatnonzero(rng.random(3) < 0.7) if update else np.empty(0, np.int64)
        motion.update(bank, rows, z[rows], r[rows])
        for i, one in enumerate(dense):
            expected = one.distance(z[i], r[i])
            assert ((i, i) in distance) == (expected <= gate.LIMIT)
            assert distance.get((i, i), expected) == pytest.approx(expected, rel=1e-9)
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


def boxes_xywh(rng: np.random.Generator, count: int) -> Array:
    return np.column_stack([rng.uniform(0, 1000, (count, 2)), rng.uniform(20, 400, (count, 2))])


def predict_xywh(bank: Array, dt: float) -> None:
    motion.predict(bank, *motion.xywh_process(motion.position(bank)[:, 2:]), dt=dt)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1))
def test_coupled_bank_equals_the_bank_per_axis_without_rotation(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    z = boxes_xywh(rng, 4)
    bank = motion.start(z, *motion.xywh_start(z[:, 2:]))
    full = motion.coupled(bank)
    assert full.shape == (4, 9, 8)
    for dt in (1.0, fraction, 1.0, 1.0, fraction):
        warp = np.column_stack([np.diag(rng.uniform(0.9, 1.1, 2)), rng.normal(0, 20, 2)])
        z = z + rng.normal(0, 3, z.shape)
        rows = np.flatnonzero(rng.random(4) < 0.7)
        for one in (bank, full):
            predict_xywh(one, dt)
            assert motion.warped(one, warp) is one
            r = motion.xywh_measurement(motion.position(one)[rows, 2:])
            motion.update(one, rows, z[rows], r)
        np.testing.assert_allclose(full, motion.coupled(bank), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(motion.velocity(full), motion.velocity(bank), rtol=1e-9, atol=1e-9)


def test_coupled_bank_equals_dense_filters_with_rotation() -> None:
    rng = np.random.default_rng(3)
    z = boxes_xywh(rng, 3)
    var = motion.xywh_start(z[:, 2:])
    bank = motion.start(z, *var)
    dense = [Dense(z[i], np.concatenate([part[i] for part in var])) for i in range(3)]
    rotation = np.array([[0.99, -0.05], [0.04, 1.01]])
    move = np.kron(np.eye(4), rotation)
    for _ in range(6):
        q = motion.xywh_process(motion.position(bank)[:, 2:])
        motion.predict(bank, *q)
        bank = motion.warped(bank, np.column_stack([rotation, [5.0, -3.0]]))
        z = boxes_xywh(rng, 3)
        r = motion.xywh_measurement(motion.position(bank)[:, 2:])
        motion.update(bank, np.arange(3), z, r)
        for i, one in enumerate(dense):
            one.predict(np.concatenate([part[i] for part in q]))
            one.mean = move @ one.mean
            one.mean[:2] += [5.0, -3.0]
            one.cov = move @ one.cov @ move.T
            one.update(z[i], r[i])
            np.testing.assert_allclose(bank[i, 0], one.mean, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(bank[i, 1:], one.cov, rtol=1e-9, atol=1e-9)


def test_bank_stays_per_axis_until_the_camera_rotates() -> None:
    bank = motion.start(np.array([[10.0, 20, 30, 40]]), *motion.xywh_start(np.array([[30.0, 40.0]])))
    motion.velocity(bank)[:] = 1.0
    still = motion.warped(bank, np.array([[2.0, 0, 5], [0, 3, 7]]))
    assert still.shape == (1, 5, 4)
    assert motion.position(still).tolist() == [[25, 67, 60, 120]]
    assert motion.velocity(still).tolist() == [[2, 3, 2, 3]]
    turned = motion.warped(still, np.array([[0.0, -1, 0], [1, 0, 0]]))
    assert turned.shape == (1, 9, 8)
    assert motion.position(turned).tolist() == [[-67, 25, -120, 60]]
    assert motion.velocity(turned).tolist() == [[-3, 2, -3, 2]]


@pytest.mark.parametrize(
    ("warp", "message"),
    [
        (np.eye(3), r"expected shape \(2, 3\), got \(3, 3\)"),
        ([[1, 0, np.nan], [0, 1, 0]], "finite numbers and an inverse"),
        ([[1, 2, 0], [2, 4, 0]], "finite numbers and an inverse"),
        (np.zeros((2, 3)), "finite numbers and an inverse"),
        ("left", r"expected \(2, 3\) numbers, got str"),
    ],
)
def test_a_warp_that_is_none_is_refused(warp: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        motion.check_warp(warp)  # type: ignore[arg-type]
    assert motion.check_warp(None) is None
    assert motion.check_warp([[1, 0, 0], [0, 1, 0]]) is not None


@given(st.integers(0, 2**32 - 1))
def test_the_gate_without_a_whole_array_is_that_with_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = np.column_stack([rng.uniform(0, 300, (30, 2)), rng.uniform(0.2, 1, 30), rng.uniform(20, 400, 30)])
    bank = motion.start(z, *motion.xyah_start(z[:, 3]))
    seen = z[:20] + rng.normal(0, 10, (20, 4)) * [1, 1, 0.002, 1]
    noise = motion.xyah_measurement(z[:, 3])
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for dense in (0, 10_000):
            patch.setattr(gate, "DENSE", dense)
            pairs = gate.within_reach(bank, seen, noise)
            order = np.lexsort([pairs.columns, pairs.rows])
            found.append([part[order].tolist() for part in pairs])
    assert found[0] == found[1]
    assert len(found[0][0]) >= 10
