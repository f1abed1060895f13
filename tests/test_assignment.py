"""Assignment against brute force and the dense solver, and the difference that gates and limits make."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mot import assignment
from mot.assignment import Pairs, heaviest, heaviest_of_all, match_iou

Array = NDArray[np.float64]


@pytest.fixture(params=[0, 6, 10_000], autouse=True)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with pairs settled first, with some, and by the solver alone."""
    monkeypatch.setattr(assignment, "SMALL", request.param)
    monkeypatch.setattr(assignment, "FEW", 0)


@st.composite
def weights(draw: st.DrawFn, side: int = 5) -> Array:
    """Few of the cells with weights, many of them equal."""
    rows, columns = draw(st.integers(0, side)), draw(st.integers(0, side))
    value = st.one_of(st.just(0.0), st.sampled_from([0.25, 0.5, 0.75]), st.floats(0.01, 1))
    values = draw(st.lists(value, min_size=rows * columns, max_size=rows * columns))
    return np.array(values, np.float64).reshape(rows, columns)


def pairs_of(weight: Array) -> Pairs:
    rows, columns = weight.nonzero()
    return Pairs(rows, columns, weight[rows, columns])


def best(weight: Array) -> float:
    """By brute force."""
    if weight.shape[0] > weight.shape[1]:
        weight = weight.T
    picks = permutations(range(weight.shape[1]), weight.shape[0])
    return max(sum(float(weight[i, j]) for i, j in enumerate(pick)) for pick in picks)


@given(weights())
def test_the_heaviest_are_one_to_one_and_worth_the_most(weight: Array) -> None:
    found = heaviest(pairs_of(weight), weight.shape)
    assert len(set(found.rows.tolist())) == len(found.rows) == len(set(found.columns.tolist()))
    assert (np.diff(found.rows) > 0).all()
    assert (found.weight == weight[found.rows, found.columns]).all()
    assert (found.weight > 0).all()
    assert found.weight.sum() == pytest.approx(best(weight), abs=1e-9)


@given(weights(), st.integers(0, 10**6), st.floats(0, 0.5))
def test_where_every_cell_gains(weight: Array, seed: int, bound: float) -> None:
    gain = np.random.default_rng(seed).uniform(-bound, bound, weight.shape)
    for known in (bound, np.inf):
        rows, columns = heaviest_of_all(pairs_of(weight), weight.shape, lambda r, c: gain[r, c], known)
        assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist())) == min(weight.shape)
        assert (weight + gain)[rows, columns].sum() == pytest.approx(best(weight + gain), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_few_that_gain_or_lose_all_that_they_can(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        shape = tuple(rng.integers(2, 4, 2))
        weight, bound = np.where(rng.random(shape) < 0.5, rng.random(shape), 0.0), rng.uniform(0, 0.3)
        gain = rng.choice([-bound, bound], shape)
        made = heaviest_of_all(pairs_of(weight), shape, lambda r, c, g=gain: g[r, c], bound)  # type: ignore[misc]
        assert (weight + gain)[made].sum() == pytest.approx(best(weight + gain), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_crowds_against_the_dense_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    side = rng.integers(40, 120, 2)
    weight = np.where(rng.random(side) < rng.choice([0.02, 0.1, 0.5]), rng.random(side), 0.0)
    rows, columns = linear_sum_assignment(weight, maximize=True)
    whole = {(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if weight[r, c]}
    found = heaviest(pairs_of(weight), weight.shape)
    assert set(zip(found.rows.tolist(), found.columns.tolist(), strict=True)) == whole


def test_nobody_is_settled_for_being_the_only_one_above_a_gate() -> None:
    """(0, 0) alone is above 0.3, yet the optimum is the other diagonal: worth more, and then dropped."""
    iou = np.array([[0.35, 0.29], [0.29, 0.0]])
    found = heaviest(pairs_of(iou), iou.shape)
    assert list(zip(found.rows, found.columns, strict=True)) == [(0, 1), (1, 0)]


def test_two_that_are_worth_the_same_do_not_hide_each_other() -> None:
    weight = np.array([[1.0, 1.0, 0.0], [0.9, 0.0, 0.0]])
    found = heaviest(pairs_of(weight), weight.shape)
    assert list(zip(found.rows, found.columns, strict=True)) == [(0, 1), (1, 0)]


def test_rounding_settles_nothing() -> None:
    """0.2 + 0.7 falls short of 0.9 by a rounding: that is for the solver to decide, which takes the two."""
    weight = np.array([[0.0, 0.2], [0.7, 0.9]])
    assert 0.2 + 0.7 < 0.9
    rows, columns = linear_sum_assignment(weight, maximize=True)
    made = weight[rows, columns] > 0
    found = heaviest(pairs_of(weight), weight.shape)
    assert (found.rows.tolist(), found.columns.tolist()) == (rows[made].tolist(), columns[made].tolist())


def test_iou_short_cut_of_sort() -> None:
    # above the threshold only (0, 0); the full solve would take the other diagonal, of greater sum, and drop it all
    iou = np.array([[0.35, 0.29], [0.29, 0.0]])
    assert match_iou(pairs_of(iou), iou.shape, 0.3).rows.tolist() == [0]
    two = np.array([[0.35, 0.29], [0.29, 0.0], [0.31, 0.0]])
    assert match_iou(pairs_of(two), two.shape, 0.3).rows.tolist() == [2]


@given(weights(), st.floats(0, 1))
def test_nothing_below_the_threshold(iou: Array, threshold: float) -> None:
    rows, columns = match_iou(pairs_of(iou), iou.shape, threshold)
    assert (iou[rows, columns] >= threshold).all()
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))


@given(weights(), st.floats(0.05, 1))
def test_a_limit_inside_the_solve(cost: Array, limit: float) -> None:
    """Worth limit - cost: the same optimum as in a square with room for everybody to stay alone at limit / 2."""
    i, j = np.indices(cost.shape).reshape(2, -1)
    rows, columns, _ = heaviest(Pairs(i, j, limit - cost[i, j]), cost.shape)
    value = cost[rows, columns].sum() + limit / 2 * (cost.shape[0] + cost.shape[1] - 2 * len(rows))
    total = sum(cost.shape)
    whole = np.full((total, total), limit / 2)
    whole[: cost.shape[0], : cost.shape[1]] = cost
    whole[cost.shape[0] :, cost.shape[1] :] = 0
    a, b = linear_sum_assignment(whole)
    assert value == pytest.approx(whole[a, b].sum())


def test_a_limit_is_not_a_gate_afterwards() -> None:
    # in full the two pairs of 0.2 are the cheapest; above a gate of 0.15 both are dropped, and nothing is left
    cost = np.array([[0.1, 0.2], [0.2, 0.9]])
    assert heaviest(pairs_of(np.maximum(0.15 - cost, 0)), cost.shape).rows.tolist() == [0]


def test_one_to_one() -> None:
    def ask(weight: list[list[float]]) -> bool:
        cells = np.array(weight)
        return assignment.one_to_one(pairs_of(cells), cells.shape)

    assert ask([[1, 0], [0, 1]])
    assert ask([[0, 0], [0, 1]])
    assert not ask([[0, 0], [0, 0]])
    assert not ask([[1, 1], [0, 0]])
    assert not ask([[1, 0], [1, 0]])


def test_unmatched() -> None:
    assert assignment.unmatched(4, np.array([2, 0])).tolist() == [1, 3]
    assert assignment.unmatched(0, np.array([], np.int64)).tolist() == []


@pytest.mark.parametrize("taken", [[], [2], [0, 9], [2, 5, 7], [5, 2]])
@pytest.mark.parametrize("rows", [[], [2], [2, 5, 7]])
def test_without(rows: list[int], taken: list[int]) -> None:
    some, others = np.array(rows, np.int64), np.array(taken, np.int64)
    expected = some[~np.isin(some, others)]
    np.testing.assert_array_equal(assignment.without(some, others), expected)
