"""What is particular to OC-SORT: its three stages and what it reports."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mot.errors import InputError
from mot.structures import Detections, Reason
from mot.trackers.ocsort import OCSORT, OCSORTConfig

Array = NDArray[np.float64]
BOX = np.array([100.0, 100.0, 140.0, 200.0])
RIGHT = np.array([1.0, 0.0, 1.0, 0.0])
EMPTY = Detections.empty()


def seen(*boxes: Array, scores: float | list[float] = 0.9, labels: list[int] | None = None) -> Detections:
    return Detections(
        xyxy=np.array(boxes).reshape(-1, 4),
        scores=np.broadcast_to(np.array(scores, float), len(boxes)),
        labels=np.array(labels or [0] * len(boxes)),
    )


def walked(tracker: OCSORT, frames: int = 6, speed: float = 10.0) -> Array:
    for i in range(frames):
        tracker.update(seen(BOX + speed * i * RIGHT))
    return BOX + speed * (frames - 1) * RIGHT


def test_a_track_is_found_again_where_it_was_last_seen() -> None:
    stopped = walked(OCSORT())
    tracker = OCSORT()
    walked(tracker)
    for _ in range(5):
        tracker.update(EMPTY)
    # predicted 60 px further, without overlap; it had stopped
    assert tracker.update(seen(stopped)).assigned.tolist() == [1]


def test_a_box_left_of_and_above_the_picture_is_an_observation_too() -> None:
    tracker, away = OCSORT(), BOX - 1000
    for i in range(6):
        tracker.update(seen(away + 10 * i * RIGHT))
    for _ in range(5):
        tracker.update(EMPTY)
    assert tracker.update(seen(away + 50 * RIGHT)).assigned.tolist() == [1]


def test_a_track_never_observed_waits_where_it_started_and_nowhere_else() -> None:
    tracker = OCSORT()
    tracker.update(seen(BOX))
    tracker.update(EMPTY)
    nowhere = np.array([-20.0, -50.0, 20.0, 50.0])  # around the origin
    assert tracker.update(seen(nowhere, BOX)).assigned.tolist() == [2, 1]
    assert tracker.update(seen(nowhere, BOX)).assigned.tolist() == [2, 1]


def test_boxes_reported_are_the_detections() -> None:
    tracker = OCSORT()
    rng = np.random.default_rng(0)
    for i in range(6):
        found = seen(BOX + 10 * i * RIGHT + rng.normal(0, 2, 4))
        assert tracker.update(found).xyxy.tolist() == found.xyxy.tolist()


def test_low_scores_continue_tracks_with_byte_only_and_never_start_one() -> None:
    for use_byte, expected in ((True, 1), (False, Reason.BELOW_THRESHOLD)):
        tracker = OCSORT(OCSORTConfig(use_byte=use_byte))
        place = walked(tracker)
        faint = seen(place + 10 * RIGHT, place + 900 * RIGHT, scores=0.3)
        alone = Reason.UNMATCHED if use_byte else Reason.BELOW_THRESHOLD
        assert tracker.update(faint).assigned.tolist() == [expected, alone]
        assert tracker.state_dict()["next_id"] == 2


def test_strong_detections_choose_before_faint_ones() -> None:
    tracker = OCSORT(OCSORTConfig(use_byte=True))
    place = walked(tracker) + 10 * RIGHT
    tracks = tracker.update(seen(place, place + 8 * RIGHT, scores=[0.4, 0.9]))
    assert tracks.assigned.tolist() == [Reason.UNMATCHED, 1]


def test_direction_decides_where_overlap_hardly_does() -> None:
    """Two go past each other; in the middle the overlaps say swap, the directions say straight on."""
    down = np.array([0.0, 1.0, 0.0, 1.0])
    ids = {}
    for inertia in (0.0, 3.0):
        tracker = OCSORT(OCSORTConfig(inertia=inertia))
        for i in range(5):
            tracker.update(seen(BOX + 4 * i * down, BOX + 40 * down - 4 * i * down))
        # each stops short of where it is predicted, on the side the other comes from
        ids[inertia] = tracker.update(seen(BOX + 18.5 * down, BOX + 21.5 * down)).assigned.tolist()
    assert ids[3.0] == ids[0.0][::-1]


def test_labels_keep_apart_where_asked() -> None:
    for aware, expected in ((True, [2]), (False, [1])):
        tracker = OCSORT(OCSORTConfig(class_aware=aware, iou_threshold=0.0))
        walked(tracker, speed=0.0)
        assert tracker.update(seen(BOX, labels=[7])).assigned.tolist() == expected


def test_a_track_outlives_max_age_frames_and_no_more() -> None:
    for gap, expected in ((2, 1), (3, 2)):
        tracker = OCSORT(OCSORTConfig(max_age=2))
        walked(tracker, speed=0.0)
        for _ in range(gap):
            tracker.update(EMPTY)
        assert tracker.update(seen(BOX)).assigned.tolist() == [expected]
    tracker = OCSORT(OCSORTConfig(max_age=2))
    walked(tracker, speed=0.0)
    tracker.update(EMPTY, dt=3.0)
    assert len(tracker.state_dict()["ids"]) == 0


def test_after_a_miss_a_track_is_reported_when_it_has_its_hits_in_a_row_again() -> None:
    tracker = OCSORT(OCSORTConfig(min_hits=2))
    walked(tracker, speed=0.0)
    tracker.update(EMPTY)
    assert [len(tracker.update(seen(BOX))) for _ in range(3)] == [0, 1, 1]
    new = BOX + 500 * RIGHT
    assert [len(tracker.update(seen(BOX, new))) for _ in range(4)] == [1, 1, 2, 2]


def test_a_track_whose_filter_expects_no_box_goes() -> None:
    tracker = OCSORT()
    walked(tracker)
    state = tracker.state_dict()
    state["filter"][0, 0, 2] = -50.0
    tracker.load_state_dict(state)
    assert tracker.update(seen(BOX)).assigned.tolist() == [2]
    assert tracker.state_dict()["ids"].tolist() == [2]


def test_saved_in_a_gap_and_restored() -> None:
    tracker, other = OCSORT(), OCSORT()
    place = walked(tracker)
    tracker.update(EMPTY)
    other.load_state_dict(tracker.state_dict())
    for one in (tracker, other):
        one.update(seen(place + 20 * RIGHT))
    for name, column in tracker.state_dict().items():
        np.testing.assert_array_equal(column, other.state_dict()[name])


@pytest.mark.parametrize("dt", [0.0, -1.0, np.nan, np.inf])
def test_a_refused_call_changes_nothing(dt: float) -> None:
    tracker = OCSORT()
    place = walked(tracker)
    before = tracker.state_dict()
    with pytest.raises(InputError, match="dt: expected"):
        tracker.update(seen(place), dt=dt)
    for name, column in tracker.state_dict().items():
        np.testing.assert_array_equal(column, before[name])
