"""Box conversions and overlaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot import boxes

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
