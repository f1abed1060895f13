"""The motion gate against its equation, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mot import boxes
from mot.trackers import gate

Array = NDArray[np.float64]
LIMIT = 9.4877  # the 95 % quantile of chi-square with 4 degrees of freedom, to the digits that all use


@pytest.fixture(params=[0, 10**9], ids=["by place", "every cell"], autouse=True)
def dense(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "DENSE", request.param)
    monkeypatch.setattr(boxes, "SWEPT", 0)


def bank_at(x: Array, variance: Array) -> Array:
    """Filters at `x` (T, 4) of `variance` (T, 4), with velocities and covariances that must not matter."""
    bank = np.full((len(x), 5, 4), 1e3)
    bank[:, 0], bank[:, 2] = x, variance
    return bank


@pytest.mark.parametrize("seed", range(10))
def test_what_is_within_reach(seed: int) -> None:
    """Filters as wide as high or not, and measurements that mostly differ in one coordinate or two."""
    rng = np.random.default_rng(seed)
    x, variance, noise = (rng.uniform(low, high, (40, 4)) for low, high in ((0, 60), (1, 30), (1, 10)))
    z = rng.uniform(0, 60, (50, 4))
    z[:, 2:] = 30 + rng.normal(0, 4, (50, 2))
    x[:, 2:] = 30
    distance = (np.square(z - x[:, None]) / (variance + noise)[:, None]).sum(axis=2)
    rows, columns, weight = gate.within_reach(bank_at(x, variance), z, noise)
    expected = distance <= LIMIT
    assert 100 < expected.sum() < 1000
    assert (np.diff(rows) >= 0).all()
    order = np.lexsort([columns, rows])
    assert list(zip(rows[order], columns[order], strict=True)) == list(zip(*expected.nonzero(), strict=True))
    np.testing.assert_allclose(weight, distance[rows, columns], rtol=1e-12)


def test_the_limit_itself_is_within_reach() -> None:
    """Of variance LIMIT and LIMIT away: squared and divided, that is LIMIT."""
    x, variance = np.full((1, 4), 0.0), np.full((1, 4), LIMIT - 1)
    z = np.array([[0, 0, 0, LIMIT], [0, 0, 0, LIMIT + 1e-9]])
    rows, columns, weight = gate.within_reach(bank_at(x, variance), z, np.ones((1, 4)))
    assert (rows.tolist(), columns.tolist(), weight.tolist()) == ([0], [0], [LIMIT])


def test_nobody_and_nothing() -> None:
    none, one = np.empty((0, 4)), np.ones((1, 4))
    for x, z in ((none, one), (one, none), (none, none)):
        assert len(gate.within_reach(bank_at(x, x), z, x).rows) == 0
