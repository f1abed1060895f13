"""Assignment against brute force, and the difference that its gates make."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mot import assignment


@st.composite
def costs(draw: st.DrawFn) -> NDArray[np.float64]:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    values = draw(st.lists(st.floats(0, 1), min_size=rows * columns, max_size=rows * columns))
    return np.array(values, np.float64).reshape(rows, columns)


def cheapest(cost: NDArray[np.float64]) -> float:
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    picks = permutations(range(cost.shape[1]), cost.shape[0])
    return min(sum(float(cost[i, j]) for i, j in enumerate(pick)) for pick in picks)


@given(costs())
def test_match_is_one_to_one_and_optimal(cost: NDArray[np.float64]) -> None:
    rows, columns = assignment.match(cost, max_cost=1.0)
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist())) == min(cost.shape)
    assert cost[rows, columns].sum() == pytest.approx(cheapest(cost))


@given(costs(), st.floats(0, 1))
def test_nothing_above_the_gate(cost: NDArray[np.float64], gate: float) -> None:
    for solve in (assignment.match, assignment.match_clamped):
        rows, columns = solve(cost, gate)
        assert (cost[rows, columns] <= gate).all()
    rows, columns = assignment.match_iou(cost, gate)
    assert (cost[rows, columns] >= gate).all()
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))


def test_clamping_frees_the_pairs_within_reach() -> None:
    cost = np.array([[0.3, 0.1], [0.9, 0.2]])  # in full: 0.3 + 0.2; but with 0.9 out of reach it is still so
    assert assignment.match(cost, 0.25).rows.tolist() == [1]
    far = np.array([[0.1, 0.2], [0.2, 9.0]])
    assert assignment.match(far, 0.5).rows.tolist() == [0, 1]
    assert assignment.match_clamped(np.array([[0.1, 0.2], [0.6, 9.0]]), 0.5).rows.tolist() == [0]


def test_iou_short_cut_of_sort() -> None:
    # above the threshold only (0, 0); the full solve would take the other diagonal, of greater sum, and drop it all
    iou = np.array([[0.35, 0.29], [0.29, 0.0]])
    assert assignment.match_iou(iou, 0.3).rows.tolist() == [0]
    assert assignment.match(-iou, -0.3).rows.tolist() == []


@given(costs(), st.floats(0.05, 1))
def test_a_limit_inside_the_solve(cost: NDArray[np.float64], limit: float) -> None:
    rows, columns = assignment.match_limited(cost, limit)
    assert len(set(rows.tolist())) == len(rows) == len(set(columns.tolist()))
    value = cost[rows, columns].sum() + limit / 2 * (cost.shape[0] + cost.shape[1] - 2 * len(rows))
    # the same optimum by brute force: a square with room for everybody to stay alone
    total = sum(cost.shape)
    whole = np.full((total, total), limit / 2)
    whole[: cost.shape[0], : cost.shape[1]] = cost
    whole[cost.shape[0] :, cost.shape[1] :] = 0
    a, b = linear_sum_assignment(whole)
    assert value == pytest.approx(whole[a, b].sum())


def test_a_limit_is_not_a_gate_afterwards() -> None:
    # in full the two pairs of 0.2 are the cheapest; above a gate of 0.15 both are dropped, and nothing is left
    cost = np.array([[0.1, 0.2], [0.2, 0.9]])
    assert assignment.match(cost, 0.15).rows.tolist() == []
    assert assignment.match_limited(cost, 0.15).rows.tolist() == [0]


def test_unmatched() -> None:
    assert assignment.unmatched(4, np.array([2, 0])).tolist() == [1, 3]
    assert assignment.unmatched(0, np.array([], np.int64)).tolist() == []
