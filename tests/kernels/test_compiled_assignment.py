"""Assignment, compiled: the same pairs as scipy and numpy find, equals included."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

pytest.importorskip("numba", reason="WITHOUT numba: the compiled kernels are not tested")

from mot import assignment, kernels
from mot.assignment import Pairs
from mot.kernels import assignment as module
from mot.kernels import compiled as fast
from mot.trackers import bytefamily

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.sampled_from([0, 1, 2, 3, 6, 20, 45, 90])
KINDS = st.sampled_from(["real", "few values", "equal", "signed"])
LOOSE = settings(max_examples=200, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def numpy_twins() -> Iterator[None]:
    before = kernels.fast
    kernels.use("numpy")
    yield
    kernels.fast = before


def weights(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Array:
    if kind == "few values":
        return rng.integers(0, 4, shape) / 4
    if kind == "equal":
        return np.ones(shape)
    return rng.uniform(-0.5 if kind == "signed" else 0, 1, shape)


def some_pairs(rng: np.random.Generator, shape: tuple[int, int], kind: str, share: float) -> Pairs:
    rows, columns = (rng.random(shape) < share).nonzero()
    return Pairs(rows, columns, weights(rng, shape, kind)[rows, columns])


def test_the_constants_are_those_of_the_twin() -> None:
    assert (module.SMALL, module.FEW, module.MARGIN) == (
        assignment.SMALL,
        assignment.FEW,
        assignment.MARGIN,
    )


@LOOSE
@given(SEEDS, SIDES, SIDES, KINDS)
def test_solve_is_scipy_also_among_equals(seed: int, rows: int, columns: int, kind: str) -> None:
    weight = weights(np.random.default_rng(seed), (rows, columns), kind)
    partner = fast.solve(weight)
    made, to = linear_sum_assignment(weight, maximize=True)
    expected = np.full(rows, -1)
    expected[made] = to
    np.testing.assert_array_equal(partner, expected)


@LOOSE
@given(SEEDS, SIDES, SIDES, KINDS, st.sampled_from([0.02, 0.1, 0.5]))
def test_heaviest(seed: int, rows: int, columns: int, kind: str, share: float) -> None:
    pairs = some_pairs(np.random.default_rng(seed), (rows, columns), kind, share)
    found, expected = fast.heaviest(*pairs, rows, columns), assignment.heaviest(pairs, (rows, columns))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["real", "few values"])
def test_heaviest_of_many(kind: str) -> None:
    rng, shape = np.random.default_rng(5), (400, 380)
    for share in (0.003, 0.01, 0.05):
        pairs = some_pairs(rng, shape, kind, share)
        found, expected = fast.heaviest(*pairs, *shape), assignment.heaviest(pairs, shape)
        np.testing.assert_array_equal(found[0], expected.rows)
        np.testing.assert_array_equal(found[1], expected.columns)
        dense = np.zeros(shape)
        dense[pairs.rows, pairs.columns] = pairs.weight
        optimum = dense[linear_sum_assignment(dense, maximize=True)].sum()
        assert found[2].sum() == pytest.approx(optimum, abs=1e-9)


@LOOSE
@given(SEEDS, SIDES, SIDES, KINDS, st.sampled_from([0.02, 0.1, 0.5]), st.sampled_from([0.3, 0.5]))
def test_match_iou(seed: int, rows: int, columns: int, kind: str, share: float, threshold: float) -> None:
    pairs = some_pairs(np.random.default_rng(seed), (rows, columns), kind, share)
    found = fast.match_iou(*pairs, rows, columns, threshold)
    expected = assignment.match_iou(pairs, (rows, columns), threshold)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@LOOSE
@given(SEEDS, SIDES, SIDES, KINDS, st.sampled_from([0.05, 0.3]), st.sampled_from([0.02, 0.2, np.inf]))
def test_heaviest_of_all(seed: int, rows: int, columns: int, kind: str, share: float, bound: float) -> None:
    rng, shape = np.random.default_rng(seed), (rows, columns)
    pairs = some_pairs(rng, shape, kind, share)
    every = rng.uniform(-1, 1, shape) * min(bound, 1.0)
    if kind == "equal":
        every[:] = 0.0

    def gain(some: NDArray[np.int64], others: NDArray[np.int64]) -> Array:
        return np.asarray(every[some, others])

    expected = assignment.heaviest_of_all(pairs, shape, gain, bound)
    weight = pairs.weight
    if rows * columns > assignment.SMALL and bound < np.inf:
        weight = np.asarray(weight + gain(pairs.rows, pairs.columns))
    partner, left, free = fast.settle(pairs.rows, pairs.columns, weight, *shape, bound)
    found = fast.complete(partner, left, free, gain(left[:, None], free), *pairs)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
    kept = pairs.of(expected, rows)
    kept = kept.where(kept.weight >= 0.3)
    agreed = fast.agreed(*pairs, *found, rows, 0.3)
    np.testing.assert_array_equal(agreed[0], kept.rows)
    np.testing.assert_array_equal(agreed[1], kept.columns)


@LOOSE
@given(SEEDS, SIDES, SIDES, st.sampled_from([0.005, 0.02, 0.3]))
def test_clear_cut(seed: int, rows: int, columns: int, share: float) -> None:
    pairs = some_pairs(np.random.default_rng(seed), (rows, columns), "real", share)
    clear, some, others = fast.clear_cut(*pairs, rows, columns, 0.3)
    above = pairs.where(pairs.weight > 0.3)
    assert clear == assignment.one_to_one(above, (rows, columns))
    np.testing.assert_array_equal(some, above.rows)
    np.testing.assert_array_equal(others, above.columns)


@LOOSE
@given(SEEDS, SIDES, SIDES, KINDS, st.booleans())
def test_match_overlap(seed: int, rows: int, columns: int, kind: str, weighed: bool) -> None:
    rng = np.random.default_rng(seed)
    pairs = some_pairs(rng, (rows, columns), kind, 0.2)
    tracks, det = rng.random(rows) < 0.7, rng.random(columns) < 0.7
    scores = rng.random(columns)
    ours = tracks.copy(), det.copy()
    found = fast.match_overlap(*pairs, *ours, 0.8, scores if weighed else np.empty(0))
    expected = bytefamily.match_overlap(pairs, tracks, det, 0.8, scores if weighed else None)
    for got, want in zip((*found, *ours), (*expected, tracks, det), strict=True):
        np.testing.assert_array_equal(got, want)
