"""What is particular to Deep OC-SORT: looks and the camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mot import motion
from mot.errors import InputError
from mot.structures import Detections
from mot.trackers.deepocsort import DeepOCSORT, DeepOCSORTConfig

Array = NDArray[np.float64]
BOX = np.array([100.0, 100.0, 140.0, 200.0])
RIGHT = np.array([1.0, 0.0, 1.0, 0.0])
LOOKS = np.eye(6, dtype=np.float32)
TURN = np.array([[0.8, -0.6, 30.0], [0.6, 0.8, -40.0]]) * [[1.1, 1.1, 1.0]]


def seen(*boxes: Array, looks: list[int] | None = None, score: float = 0.9) -> Detections:
    chosen = list(range(len(boxes))) if looks is None else looks
    return Detections(
        xyxy=np.array(boxes).reshape(-1, 4), scores=np.full(len(boxes), score), embeddings=LOOKS[chosen]
    )


def test_looks_decide_where_overlap_hardly_does() -> None:
    pair = (BOX, BOX + 10 * RIGHT)
    assigned = {}
    for weight in (0.0, 0.75):
        tracker = DeepOCSORT(DeepOCSORTConfig(embedding_weight=weight, adaptive_weights=False, inertia=0.0))
        for _ in range(4):
            tracker.update(seen(*pair))
        assigned[weight] = tracker.update(seen(*pair, looks=[1, 0])).assigned.tolist()
    assert assigned == {0.0: [1, 2], 0.75: [2, 1]}


def test_looks_alone_make_no_match() -> None:
    tracker = DeepOCSORT(DeepOCSORTConfig(embedding_weight=9.0))
    for _ in range(4):
        tracker.update(seen(BOX, BOX + 10 * RIGHT))
    assert tracker.update(seen(BOX + 400 * RIGHT, BOX + 10 * RIGHT)).assigned.tolist() == [3, 2]


def test_similarities_that_stand_out_weigh_more_up_to_a_limit() -> None:
    tracker = DeepOCSORT(DeepOCSORTConfig(weight_bonus=0.5))
    tracker.update(seen(BOX, BOX + 300 * RIGHT))
    alike = np.array([[0.8, 0.6, 0, 0, 0, 0], [0.6, 0.8, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]], np.float32)
    # rows: (0.8, 0.6, 0), (0.6, 0.8, 1); columns lead by 0.2, 0.2, 1
    row, column = np.array([[0.2], [0.2]]), np.array([0.2, 0.2, 0.5])
    similar = np.array([[0.8, 0.6, 0.0], [0.6, 0.8, 1.0]])
    np.testing.assert_allclose(tracker._alike(alike), similar * (0.75 + row / 2 + column / 2), atol=1e-6)
    plain = DeepOCSORT(DeepOCSORTConfig(adaptive_weights=False))
    plain.update(seen(BOX, BOX + 300 * RIGHT))
    np.testing.assert_allclose(plain._alike(alike), similar * 0.75, atol=1e-6)
    alone = DeepOCSORT()
    alone.update(seen(BOX))  # a single row: nothing to stand out from in a column
    np.testing.assert_allclose(alone._alike(alike[:1]), [[0.8 * 0.75]], atol=1e-6)


@pytest.mark.parametrize(("score", "alpha"), [(1.0, 0.95), (0.8, 0.975), (0.6001, 1.0)])
def test_a_look_changes_the_less_the_lower_the_score(score: float, alpha: float) -> None:
    tracker = DeepOCSORT()
    tracker.update(seen(BOX))
    tracker.update(seen(BOX, looks=[1], score=score))
    mixed = np.array([alpha, 1 - alpha, 0, 0, 0, 0])
    look = tracker.state_dict()["gallery"][0, 0]
    np.testing.assert_allclose(look, mixed / np.linalg.norm(mixed), atol=1e-4)


def test_a_still_camera_is_the_same_as_none() -> None:
    a, b = DeepOCSORT(), DeepOCSORT()
    for i in range(8):
        found = seen(BOX + 9 * i * RIGHT) if i != 4 else Detections.empty()
        assert a.update(found).xyxy.tolist() == b.update(found, warp=np.eye(2, 3)).xyxy.tolist()
    np.testing.assert_allclose(a.state_dict()["filter"], b.state_dict()["filter"], atol=1e-9)


def test_the_camera_moves_positions_velocities_and_variances_as_matrices_do() -> None:
    tracker = DeepOCSORT()
    for i in range(4):
        tracker.update(seen(BOX + 9 * i * RIGHT))
    before = tracker.state_dict()["filter"][0]
    tracker._follow_camera(TURN)
    after = tracker.state_dict()["filter"][0]
    turn, shift = TURN[:, :2], TURN[:, 2]
    np.testing.assert_allclose(after[motion.X, :2], turn @ before[motion.X, :2] + shift)
    np.testing.assert_allclose(after[motion.V, :2], turn @ before[motion.V, :2])
    for row in (motion.PXX, motion.PVV):  # M P M^T stays diagonal: a rotation with one scale
        np.testing.assert_allclose(
            np.diag(after[row, :2]), turn @ np.diag(before[row, :2]) @ turn.T, atol=1e-9
        )
    np.testing.assert_array_equal(after[:, 2:], before[:, 2:])
    np.testing.assert_array_equal(after[motion.PXV], before[motion.PXV])


def test_observations_follow_the_camera_once_or_twice_as_officially() -> None:
    pan = np.array([[1.0, 0.0, 50.0], [0.0, 1.0, 0.0]])
    for double, moves in ((False, 1), (True, 2)):
        tracker = DeepOCSORT(DeepOCSORTConfig(official_warp=double))
        for _ in range(3):
            tracker.update(seen(BOX))
        before = tracker.state_dict()["seen"][0]
        tracker.update(Detections.empty(), warp=pan)
        after = tracker.state_dict()["seen"][0]
        np.testing.assert_allclose(after[-1], before[-1] + moves * 50 * RIGHT)
        np.testing.assert_allclose(after[-2], before[-2] + 50 * RIGHT)
        tracker.update(Detections.empty())
        tracker.update(Detections.empty())
        third = tracker.state_dict()["seen"][0, -1]
        tracker.update(Detections.empty(), warp=pan)  # it was seen delta_t frames ago
        np.testing.assert_allclose(tracker.state_dict()["seen"][0, -1], third + moves * 50 * RIGHT)
        old = tracker.state_dict()["seen"][0, -1]
        tracker.update(Detections.empty(), warp=pan)  # missed more than delta_t frames: once
        np.testing.assert_allclose(tracker.state_dict()["seen"][0, -1], old + 50 * RIGHT)


def test_with_the_warp_a_track_survives_a_pan_that_loses_it_without() -> None:
    pan = np.array([[1.0, 0.0, 200.0], [0.0, 1.0, 0.0]])
    for warp, expected in ((pan, 1), (None, 2)):
        tracker = DeepOCSORT()
        for _ in range(4):
            tracker.update(seen(BOX))
        tracker.update(Detections.empty(), warp=warp)
        found = tracker.update(seen(BOX + 200 * RIGHT))
        assert found.assigned.tolist() == [expected]
        bank = tracker.state_dict()["filter"][-1]
        # the virtual path starts where the camera moved the last observation to
        assert bank[motion.X, 0] == pytest.approx(320.0, abs=1.0)


def test_a_pan_while_a_track_is_lost_shifts_its_filter_and_nothing_else() -> None:
    pan = np.array([[1.0, 0.0, 200.0], [0.0, 1.0, 0.0]])
    banks = []
    for warp in (None, pan):
        tracker = DeepOCSORT()
        for i in range(5):
            tracker.update(seen(BOX + 8 * i * RIGHT))
        tracker.update(Detections.empty())
        tracker.update(Detections.empty(), warp=warp)
        tracker.update(seen(BOX + ((0 if warp is None else 200) + 60) * RIGHT))
        banks.append(tracker.state_dict()["filter"][0])
    banks[0][motion.X, 0] += 200
    np.testing.assert_allclose(banks[0], banks[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warp": np.eye(3)}, r"warp: expected shape \(2, 3\), got \(3, 3\)"),
        ({"warp": np.full((2, 3), np.nan)}, r"warp: .*shape \(2, 3\)"),
        ({"warp": np.zeros((2, 3))}, r"warp: .*inverse"),
        ({"dt": 0.0}, "dt: expected"),
        ({"embeddings": None}, r"DeepOCSORT needs \(1, E\) float32, got None"),
        ({"embeddings": np.ones((1, 5), np.float32)}, r"width was 6 so far, got \(1, 5\)"),
    ],
)
def test_a_refused_call_changes_nothing(change: dict[str, Any], message: str) -> None:
    tracker = DeepOCSORT()
    for i in range(4):
        tracker.update(seen(BOX + i * RIGHT), warp=np.eye(2, 3))
    before = tracker.state_dict()
    embeddings = change.pop("embeddings", LOOKS[:1])
    found = Detections(xyxy=BOX[None], scores=np.array([0.9]), embeddings=embeddings)
    with pytest.raises(InputError, match=message):
        tracker.update(found, **change)
    for name, column in tracker.state_dict().items():
        np.testing.assert_array_equal(column, before[name])


def test_saved_in_a_gap_and_restored() -> None:
    tracker, other = DeepOCSORT(), DeepOCSORT()
    for i in range(5):
        tracker.update(seen(BOX + 5 * i * RIGHT, BOX + 300 + i), warp=TURN if i == 3 else None)
    tracker.update(Detections.empty())
    other.load_state_dict(tracker.state_dict())
    for one in (tracker, other):
        one.update(seen(BOX + 30 * RIGHT, BOX + 306), warp=np.eye(2, 3))
    for name, column in tracker.state_dict().items():
        np.testing.assert_array_equal(column, other.state_dict()[name])
