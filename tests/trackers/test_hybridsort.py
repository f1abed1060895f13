"""What is particular to Hybrid-SORT: scores, heights and corners as cues."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mot import boxes, motion
from mot.structures import Detections, Reason
from mot.trackers.hybridsort import SCORE, HybridSORT, HybridSORTConfig, height_modulated

Array = NDArray[np.float64]
BOX = np.array([100.0, 100.0, 140.0, 200.0])
RIGHT = np.array([1.0, 0.0, 1.0, 0.0])
FIRST = np.array([0])
EMPTY = Detections.empty()


def seen(*boxes: Array, scores: float | list[float] = 0.9) -> Detections:
    return Detections(
        xyxy=np.array(boxes).reshape(-1, 4), scores=np.broadcast_to(np.array(scores, float), len(boxes))
    )


def test_height_modulated_iou() -> None:
    other = np.array(
        [[100, 100, 140, 150], [100, 150, 140, 250], [100, 200, 140, 300], [500, 100, 540, 200.0]]
    )
    found = height_modulated(BOX[None], other)
    assert found.columns.tolist() == [0, 1]
    np.testing.assert_allclose(found.iou, [0.25, 1 / 9])
    np.testing.assert_allclose(boxes.iou(BOX[None], other), [[0.5, 1 / 3, 0, 0]])


def test_heights_make_the_threshold_stricter() -> None:
    half = BOX - np.array([0, 0, 0, 55.0])  # IoU 0.45, heights 0.45
    for modulated, expected in ((True, 2), (False, 1)):
        tracker = HybridSORT(HybridSORTConfig(height_modulated=modulated))
        for _ in range(4):
            tracker.update(seen(BOX))
        assert tracker.update(seen(half)).assigned.tolist() == [expected]


def test_the_score_expected_decides_where_overlap_hardly_does() -> None:
    """Two stand still; the boxes say swap by a pixel, the scores say stay."""
    pair, assigned = (BOX, BOX + 10 * RIGHT), {}
    for weight in (0.0, 1.0):
        tracker = HybridSORT(HybridSORTConfig(tcm_weight=weight, inertia=0.0))
        for _ in range(6):
            tracker.update(seen(*pair, scores=[0.95, 0.65]))
        found = tracker.update(seen(BOX + 6 * RIGHT, BOX + 4 * RIGHT, scores=[0.95, 0.65]))
        assigned[weight] = found.assigned.tolist()
    assert assigned == {0.0: [2, 1], 1.0: [1, 2]}


def test_the_filter_has_the_score_as_fifth_axis_and_predicts_it() -> None:
    tracker = HybridSORT()
    for score in (0.9, 0.85, 0.8, 0.75):
        tracker.update(seen(BOX, scores=score))
    bank = tracker.state_dict()["filter"]
    assert bank.shape == (1, 5, 5)
    assert bank[0, motion.X, SCORE] == pytest.approx(0.75, abs=0.05)
    assert bank[0, motion.V, SCORE] < -0.01
    tcm, _ = tracker._score_losses(np.array([1.0, 0.6]))
    smooth = np.clip(bank[0, motion.X, SCORE], 0.6, 1.0)
    np.testing.assert_allclose(tcm(FIRST, np.array([0, 1])), np.abs([1.0 - smooth, 0.6 - smooth]))


def test_the_score_expected_in_the_first_stage_is_not_below_its_threshold() -> None:
    tracker = HybridSORT()
    for score in (0.9, 0.7, 0.5, 0.3, 0.2, 0.2):
        tracker.update(seen(BOX, scores=score))
    assert tracker.state_dict()["filter"][0, motion.X, SCORE] < 0.5
    tcm, _ = tracker._score_losses(np.array([0.7]))
    np.testing.assert_allclose(tcm(FIRST, FIRST), [0.1])


def test_in_the_low_band_the_score_goes_on_falling_by_its_last_change() -> None:
    tracker = HybridSORT()
    for score in (0.9, 0.9, 0.8, 0.55, 0.4):
        tracker.update(seen(BOX, scores=score))
    _, loss = tracker._score_losses(np.array([0.25, 0.5]))
    np.testing.assert_allclose(loss(FIRST, np.array([0, 1])), [0.0, 0.25], atol=1e-9)
    tracker.update(EMPTY)  # after a miss the last score stands
    _, loss = tracker._score_losses(np.array([0.25, 0.5]))
    np.testing.assert_allclose(loss(FIRST, np.array([0, 1])), [0.15, 0.1], atol=1e-9)
    tracker.update(seen(BOX, scores=0.2))  # and the change counts from there again; not below 0.1
    _, loss = tracker._score_losses(np.array([0.15]))
    np.testing.assert_allclose(loss(FIRST, FIRST), [0.05], atol=1e-9)


def test_a_faint_box_of_an_unexpected_score_is_not_taken() -> None:
    for weight, expected in ((1.0, Reason.UNMATCHED), (0.0, 1)):
        tracker = HybridSORT(HybridSORTConfig(tcm_byte_weight=weight))
        for _ in range(5):
            tracker.update(seen(BOX))
        poor = BOX - np.array([0, 0, 0, 25.0])  # HMIoU 0.5625, less |0.2 - 0.6|
        assert tracker.update(seen(poor, scores=0.2)).assigned.tolist() == [expected]


def test_directions_are_those_of_the_corners_summed_over_the_last_observations() -> None:
    tracker = HybridSORT()
    grown = [BOX + i * np.array([0.0, 0.0, 3.0, 4.0]) for i in range(6)]
    for box in grown:
        tracker.update(seen(box))
    expected = np.array([[0, 0], [0, 3], [3, 0], [3 * 0.6, 3 * 0.8]])
    np.testing.assert_allclose(tracker.state_dict()["direction"][0], expected, atol=1e-5)
    for _ in range(3):
        tracker.update(EMPTY)
    tracker.update(seen(grown[-1] + 5 * RIGHT))  # nothing recent: from the last one alone
    np.testing.assert_allclose(tracker.state_dict()["direction"][0], [[1, 0]] * 4, atol=1e-5)


def test_saved_in_a_gap_and_restored() -> None:
    tracker, other = HybridSORT(), HybridSORT()
    for i in range(5):
        tracker.update(seen(BOX + 5 * i * RIGHT, scores=0.9 - 0.1 * i))
    tracker.update(EMPTY)
    other.load_state_dict(tracker.state_dict())
    for one in (tracker, other):
        assert one.update(seen(BOX + 30 * RIGHT)).assigned.tolist() == [1]
    for name, column in tracker.state_dict().items():
        np.testing.assert_array_equal(column, other.state_dict()[name])
