"""Box conversions and overlaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot import boxes

Array = NDArray[np.float64]
side = st.floats(1, 500)
corner = st.floats(-500, 1500)


@st.composite
def some_boxes(draw: st.DrawFn) -> NDArray[np.float64]:
    rows = draw(st.lists(st.tuples(corner, corner, side, side), max_size=8))
    tlwh = np.array(rows, np.float64).reshape(-1, 4)
    return boxes.tlwh_to_xyxy(tlwh)


@given(some_boxes())
def test_every_conversion_has_its_inverse(xyxy: NDArray[np.float64]) -> None:
    for there, back in (
        (boxes.xyxy_to_tlwh, boxes.tlwh_to_xyxy),
        (boxes.xyxy_to_xyah, boxes.xyah_to_xyxy),
        (boxes.xyxy_to_xysr, boxes.xysr_to_xyxy),
    ):
        np.testing.assert_allclose(back(there(xyxy)), xyxy, atol=1e-6)


@given(some_boxes(), some_boxes())
def test_iou_equals_the_plain_definition(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    found = boxes.iou(a, b)
    assert found.shape == (len(a), len(b))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            w = max(0.0, min(p[2], q[2]) - max(p[0], q[0]))
            h = max(0.0, min(p[3], q[3]) - max(p[1], q[1]))
            union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - w * h
            assert found[i, j] == pytest.approx(w * h / union, abs=1e-12)


def test_iou_of_empty_boxes_is_zero_not_nan() -> None:
    point = np.array([[3.0, 3.0, 3.0, 3.0]])
    assert boxes.iou(point, point).tolist() == [[0.0]]


def test_clip_empties_what_is_outside() -> None:
    outside = np.array([[-20.0, 5.0, -10.0, 8.0], [90.0, 40.0, 120.0, 70.0]])
    clipped = boxes.clip(outside, height=50, width=100)
    assert clipped.tolist() == [[0, 5, 0, 8], [90, 40, 100, 50]]
    assert boxes.area(clipped).tolist() == [0, 100]


def test_suppress_drops_the_covered_box_of_lower_score() -> None:
    xyxy = np.array([[0, 0, 9, 9], [0, 0, 99, 99], [200, 200, 210, 210]], np.float64)
    # the small box lies wholly in the large one, whose IoU with it is tiny: cover counts, not IoU
    assert boxes.suppress(xyxy, np.array([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    assert boxes.suppress(xyxy, np.array([0.9, 0.5, 0.1]), 0.5).tolist() == [0, 1, 2]
    assert boxes.suppress(xyxy, np.array([0.5, 0.9, 0.1]), 1.0).tolist() == [0, 1, 2]
    assert boxes.suppress(xyxy[:0], np.empty(0), 0.5).tolist() == []


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Array, Array, float]:
    """Two sets of boxes of all sizes in a narrow or wide place, near 0 or far from it."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    spread, far = draw(st.sampled_from([1.0, 50.0, 5000.0])), draw(st.sampled_from([0.0, -300.0, 1e6]))
    sets = []
    for _ in range(2):
        count = draw(st.integers(1, 30))
        corner = rng.uniform(0, spread, (count, 2)).round(draw(st.sampled_from([0, 3]))) + far
        size = rng.uniform(0, draw(st.sampled_from([2.0, 60.0])), (count, 2)).round(draw(st.integers(0, 2)))
        sets.append(np.hstack([corner, corner + size]))
    return sets[0], sets[1], draw(st.sampled_from([0.0, 1.0]))


@given(crowds())
def test_overlaps_without_a_whole_array_are_those_with_one(scene: tuple[Array, Array, float]) -> None:
    a, b, extra = scene
    whole = boxes.iou(a, b, extra)
    with pytest.MonkeyPatch.context() as patch:
        for dense, swept in ((0, 0), (0, 10_000), (10_000, 0)):
            patch.setattr(boxes, "DENSE", dense)
            patch.setattr(boxes, "SWEPT", swept)
            rows, columns, iou = boxes.overlaps(a, b, extra)
            assert (np.diff(rows) >= 0).all()
            order = np.lexsort([columns, rows])
            assert list(zip(rows[order], columns[order], strict=True)) == list(
                zip(*whole.nonzero(), strict=True)
            )
            np.testing.assert_array_equal(iou[order], whole[whole > 0])


@pytest.mark.parametrize("gap", [-0.5, 0.5])
def test_neighbours_that_hardly_overlap_in_every_direction(gap: float) -> None:
    """A grid of boxes, of which each overlaps those around it by half a pixel, or does so with the extra one."""
    pitch, extra = 10 + gap, 1.0 if gap > 0 else 0.0
    x, y = np.meshgrid(pitch * np.arange(9), pitch * np.arange(30))
    grid = np.stack([x, y, x + 10, y + 10], axis=-1).reshape(-1, 4)
    with pytest.MonkeyPatch.context() as patch:
        for swept in (0, 10**6):
            patch.setattr(boxes, "SWEPT", swept)
            rows, columns, _ = boxes.overlaps(grid, grid, extra)
            found = set(zip(rows.tolist(), columns.tolist(), strict=True))
            whole = boxes.iou(grid, grid, extra).nonzero()
            assert found == set(zip(*(side.tolist() for side in whole), strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_overlaps_finer_than_the_rounding_of_places(seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, end, wide = rng.uniform(-100, -50), rng.uniform(0, 1e-3), rng.uniform(5, 40)
    b = np.array([[left, 0, left + 1, 10], [end - wide, 0, end, 10]])
    a = np.array([[np.nextafter(end, -1), 0, 30, 10]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "DENSE", 0)
        patch.setattr(boxes, "SWEPT", 0)
        assert boxes.overlaps(a, b).columns.tolist() == boxes.iou(a, b)[0].nonzero()[0].tolist() == [1]


def test_a_box_inside_out_overlaps_nothing() -> None:
    """As the filter of a lost track can come to predict one."""
    a, b = (
        np.array([[30.0, 0, 10, 10], [0, 0, 5, 10]]),
        np.array([[i, 0.0, i + 4.0, 10.0] for i in range(40)]),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "DENSE", 0)
        for swept in (0, 10**6):
            patch.setattr(boxes, "SWEPT", swept)
            assert boxes.overlaps(a, b).rows.tolist() == [1] * 5


def test_neighbours_are_few_where_boxes_are_spread() -> None:
    x, y = np.meshgrid(np.arange(0, 3000, 30.0), np.arange(0, 3000, 30.0))
    grid = np.stack([x, y, x + 20, y + 20], axis=-1).reshape(-1, 4)
    rows, _ = boxes.neighbours(grid, grid + 5)
    assert len(rows) < 12 * len(grid)


def test_a_box_inside_out_meets_nothing_in_any_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1000, (60, 2))
    a, b = (np.concatenate([corner, corner + rng.uniform(5, 30, (60, 2))], axis=1) for _ in range(2))
    a[7] = [100, 1000, 120, 0]
    expected = boxes.iou(a, b) > 0
    for limit in (0, 10**9):
        monkeypatch.setattr(boxes, "SWEPT", limit)
        rows, columns = boxes.neighbours(a, b)
        found = np.zeros_like(expected)
        found[rows, columns] = True
        assert (found >= expected).all()
        assert not found[7].any()
