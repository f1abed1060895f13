"""What is particular to BoT-SORT: camera motion and looks on top of ByteTrack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.botsort import BoTSORT, BoTSORTConfig

NONE = Detections.empty()
REID = BoTSORTConfig(with_reid=True, match_threshold=0.3)


def seen(*rows: tuple[float, float], look: int | None = None) -> Detections:
    """A box 40 x 80 for each (x, score), all with the look number `look`."""
    xyxy = np.array([[x, 10.0, x + 40, 90.0] for x, _ in rows])
    embeddings = None if look is None else np.tile(np.eye(1, 8, look, dtype=np.float32), (len(rows), 1))
    return Detections(xyxy=xyxy, scores=np.array([score for _, score in rows]), embeddings=embeddings)


def turn(angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def run(tracker: BoTSORT, *frames: Detections) -> Tracks:
    for found in frames:
        tracks = tracker.update(found)
    return tracks


def test_tracks_of_a_single_frame_are_reported() -> None:
    tracks = run(BoTSORT(), NONE, seen((0, 0.9), (300, 0.65)))
    assert (tracks.ids.tolist(), tracks.state.tolist()) == ([1], [TrackState.TENTATIVE])
    assert tracks.assigned.tolist() == [1, Reason.UNMATCHED]


def test_a_lost_track_keeps_its_size() -> None:
    tracker = BoTSORT()
    for i in range(6):
        box = np.array([[0.0, 0, 40 + 4 * i, 80 + 8 * i]])
        tracker.update(Detections(xyxy=box, scores=np.array([0.9])))
    sizes = []
    for _ in range(3):
        tracker.update(NONE)
        sizes.append(tracker._table["filter"][0, 0, 2:].tolist())
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_tracks_follow_the_camera() -> None:
    for warp, ids in ((turn(0, 60), [1]), (None, [6])):
        tracker = BoTSORT()
        for i in range(6):
            tracks = tracker.update(seen((60 * i, 0.9)), warp=warp)
        assert tracks.ids.tolist() == ids
        assert tracker._table["filter"].shape[1:] == (5, 4)


def test_a_lost_and_a_tentative_track_follow_a_turning_camera() -> None:
    tracker = BoTSORT()
    run(tracker, seen((0, 0.9)), NONE, seen((300, 0.9)))
    angle, points = 0.05, np.array([[20.0, 50.0], [320.0, 50.0]])
    warp = turn(angle, 30, -10)
    centre = points @ warp[:, :2].T + warp[:, 2]
    size = np.array([40.0, 80.0]) @ warp[:, :2].T
    moved = Detections(xyxy=np.hstack([centre - size / 2, centre + size / 2]), scores=np.full(2, 0.9))
    tracks = tracker.update(moved, warp=warp)
    assert tracks.assigned.tolist() == [1, 2]
    np.testing.assert_allclose(tracks.xyxy, moved.xyxy, atol=1e-6)
    assert tracker._table["filter"].shape == (2, 9, 8)
    assert tracker.update(seen((900, 0.9))).assigned.tolist() == [3]  # a newcomer joins the coupled filters


def test_saved_and_restored_after_a_rotation() -> None:
    tracker, twin = BoTSORT(REID), BoTSORT(REID)
    run(tracker, seen((0, 0.9), look=1), seen((2, 0.9), look=1))
    tracker.update(seen((4, 0.9), look=1), warp=turn(0.01))
    twin.load_state_dict(tracker.state_dict())
    for found in (seen((6, 0.9), look=1), NONE, seen((8, 0.9), (300, 0.9), look=2)):
        a, b = tracker.update(found, warp=turn(-0.01)), twin.update(found, warp=turn(-0.01))
        assert a.xyxy.tolist() == b.xyxy.tolist()
        assert a.assigned.tolist() == b.assigned.tolist()
    state = tracker.state_dict()
    del state["looks"]
    with pytest.raises(InputError, match="'looks' is missing"):
        twin.load_state_dict(state)


@pytest.mark.parametrize("change", [{"warp": np.eye(3)}, {"warp": [[1, 1, 0], [1, 1, 0]]}, {"dt": 0}])
def test_a_refused_call_changes_nothing(change: dict[str, Any]) -> None:
    tracker = BoTSORT()
    run(tracker, seen((0, 0.9)), seen((2, 0.9)))
    before = tracker.state_dict()
    with pytest.raises(InputError, match=r"warp: .*\(2, 3\)|dt"):
        tracker.update(seen((4, 0.9)), **change)
    after = tracker.state_dict()
    assert {name: part.tolist() for name, part in before.items()} == {
        name: part.tolist() for name, part in after.items()
    }


def test_an_equal_look_lowers_the_cost_where_boxes_overlap() -> None:
    start, near, far = seen((0, 0.9), look=1), seen((12, 0.9), look=1), seen((15, 0.9), look=1)
    assert run(BoTSORT(REID), start, near).assigned.tolist() == [1]  # IoU 0.54: overlap alone costs 0.5
    assert run(BoTSORT(REID), start, far).assigned.tolist() == [2]  # IoU 0.46
    assert run(BoTSORT(REID), start, seen((12, 0.9), look=2)).assigned.tolist() == [2]
    assert run(BoTSORT(BoTSORTConfig(match_threshold=0.3)), start, near).assigned.tolist() == [2]


def test_half_the_cosine_distance_is_the_cost_of_a_look() -> None:
    start, near = seen((0, 0.9), look=0), seen((12, 0.9))
    for cosine, ids in ((0.55, [1]), (0.45, [2])):  # halves 0.225 and 0.275, appearance_threshold 0.25
        look = np.array([[cosine, np.sqrt(1 - cosine**2)] + [0] * 6], np.float32)
        found = Detections(xyxy=near.xyxy, scores=near.scores, embeddings=look)
        assert run(BoTSORT(REID), start, found).assigned.tolist() == ids


def test_a_look_is_learned_from_sure_detections_only() -> None:
    tracker = BoTSORT(REID)
    run(tracker, seen((0, 0.9), look=1), seen((0, 0.4), look=2))
    assert tracker._looks._looks.tolist() == np.eye(1, 8, 1).tolist()
    run(tracker, seen((0, 0.95), look=2))
    np.testing.assert_allclose(tracker._looks._looks[0, 1:3], np.array([9, 1]) / np.sqrt(82), atol=1e-12)


def test_embeddings_are_needed_with_reid_only() -> None:
    tracker = BoTSORT(REID)
    run(tracker, seen((0, 0.9), look=1))
    with pytest.raises(InputError, match=r"BoTSORT with with_reid needs \(2, E\) float32, got None"):
        tracker.update(seen((0, 0.9), (300, 0.9)))
    wide = Detections(
        xyxy=seen((0, 0.9)).xyxy, scores=np.array([0.9]), embeddings=np.ones((1, 3), np.float32)
    )
    with pytest.raises(InputError, match=r"width was 8 so far, got \(1, 3\)"):
        tracker.update(wide)
    assert tracker.update(seen((0, 0.9), look=1)).assigned.tolist() == [1]
    assert run(BoTSORT(), wide, seen((0, 0.9))).assigned.tolist() == [1]


def test_class_aware_keeps_matches_within_a_label() -> None:
    other = Detections(xyxy=seen((0, 0.9)).xyxy, scores=np.array([0.9]), labels=np.array([1]))
    assert run(BoTSORT(), seen((0, 0.9)), other).assigned.tolist() == [1]
    assert run(BoTSORT(BoTSORTConfig(class_aware=True)), seen((0, 0.9)), other).assigned.tolist() == [2]
