"""What is particular to ByteTrack: two bands of scores, tentative and lost tracks, duplicates."""

from __future__ import annotations

import numpy as np
import pytest

from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers.bytefamily import XYAH, predict
from mot.trackers.bytetrack import ByteTrack, ByteTrackConfig

NONE = Detections.empty()


def seen(*rows: tuple[float, float], labels: list[int] | None = None) -> Detections:
    """A box 40 x 80 for each (x, score)."""
    xyxy = np.array([[x, 10.0, x + 40, 90.0] for x, _ in rows]).reshape(-1, 4)
    scores = np.array([score for _, score in rows])
    return Detections(xyxy=xyxy, scores=scores, labels=np.array(labels or [0] * len(rows)))


def run(tracker: ByteTrack, *frames: Detections) -> Tracks:
    for found in frames:
        tracks = tracker.update(found)
    return tracks


def test_a_track_of_the_first_frame_shows_at_once_others_at_their_second_detection() -> None:
    tracker = ByteTrack()
    first = tracker.update(seen((0, 0.9)))
    assert (first.ids.tolist(), first.state.tolist()) == ([1], [TrackState.CONFIRMED])
    second = tracker.update(seen((0, 0.9), (300, 0.9)))
    assert (second.ids.tolist(), second.assigned.tolist()) == ([1], [1, 2])
    assert tracker.update(seen((0, 0.9), (300, 0.9))).ids.tolist() == [1, 2]


def test_a_tentative_track_goes_at_its_first_miss() -> None:
    tracker = ByteTrack()
    run(tracker, NONE, seen((0, 0.9)), NONE)
    assert tracker.update(seen((0, 0.9))).assigned.tolist() == [2]


def test_low_scores_keep_a_track_but_neither_start_nor_find_one() -> None:
    tracker = ByteTrack()
    kept = run(tracker, seen((0, 0.9)), seen((0, 0.3), (300, 0.3)))
    assert kept.assigned.tolist() == [1, Reason.UNMATCHED]
    assert kept.scores.tolist() == [0.3]
    lost = run(tracker, NONE, seen((0, 0.3)))
    assert (len(lost), lost.assigned.tolist()) == (0, [Reason.UNMATCHED])
    assert tracker.update(seen((0, 0.9))).assigned.tolist() == [1]


def test_scores_equal_to_a_threshold_fall_in_no_band() -> None:
    tracker = ByteTrack()
    tracks = run(tracker, seen((0, 0.9)), seen((0, 0.5), (300, 0.1), (600, 0.55), (900, 0.6)))
    below = Reason.BELOW_THRESHOLD
    assert tracks.assigned.tolist() == [below, below, Reason.UNMATCHED, 2]


def test_the_score_weighs_the_overlap() -> None:
    moved = seen((15, 0.55))  # IoU 0.46, times 0.55: cost 0.75
    strict = {"match_threshold": 0.7}
    assert run(ByteTrack(), seen((0, 0.9)), moved).assigned.tolist() == [1]
    weighed = ByteTrack(ByteTrackConfig(**strict))  # type: ignore[arg-type]
    assert run(weighed, seen((0, 0.9)), moved).assigned.tolist() == [Reason.UNMATCHED]
    plain = ByteTrack(ByteTrackConfig(**strict, fuse_score=False))  # type: ignore[arg-type]
    assert run(plain, seen((0, 0.9)), moved).assigned.tolist() == [1]


def test_overlap_counts_whole_pixels() -> None:
    strict = ByteTrackConfig(match_threshold=0.515, fuse_score=False)  # 1 - 27 / 55, not 1 - 26 / 54
    assert run(ByteTrack(strict), seen((0, 0.9)), seen((14, 0.9))).assigned.tolist() == [1]


def test_the_limit_is_inside_the_solve() -> None:
    # costs [[0.29, 0.61], [0.61, 1]]: one good pair is worth more than two poor ones, since the limit is 0.8
    tracker = ByteTrack(ByteTrackConfig(fuse_score=False))
    assert run(tracker, seen((0, 0.9), (25, 0.9)), seen((7, 0.9), (-18, 0.9))).assigned.tolist() == [1, 3]


def test_a_lost_track_keeps_its_height() -> None:
    tracker = ByteTrack()
    for i in range(6):
        box = np.array([[0.0, 0, 40 + 4 * i, 80 + 8 * i]])
        tracker.update(Detections(xyxy=box, scores=np.array([0.9])))
    heights = []
    for _ in range(4):
        tracker.update(NONE)
        heights.append(float(tracker._table["filter"][0, 0, 3]))
    assert heights[0] > 120  # still confirmed when it was predicted
    assert heights[1:] == heights[:1] * 3


def test_a_tentative_track_is_not_predicted() -> None:
    tracker = ByteTrack()
    run(tracker, seen((0, 0.9)), seen((0, 0.9), (300, 0.9)))
    before = tracker._table["filter"].copy()
    predict(tracker._table, XYAH, 1.0)
    assert tracker._table["misses"].tolist() == [1, 1]
    assert (tracker._table["filter"] == before).all(axis=(1, 2)).tolist() == [False, True]


@pytest.mark.parametrize(("frame_rate", "buffer"), [(30.0, 5), (60.0, 10), (15.0, 2)])
def test_a_lost_track_is_found_until_two_frames_after_the_buffer(frame_rate: float, buffer: int) -> None:
    for gap, expected in ((buffer + 1, 1), (buffer + 2, 2)):
        tracker = ByteTrack(ByteTrackConfig(track_buffer=5, frame_rate=frame_rate))
        run(tracker, seen((0, 0.9)), *[NONE] * gap)
        assert tracker.update(seen((0, 0.9))).assigned.tolist() == [expected]


def test_a_track_found_in_the_last_moment_goes_at_its_next_miss() -> None:
    for gap, expected in ((5, 1), (6, 2)):
        tracker = ByteTrack(ByteTrackConfig(track_buffer=5))
        run(tracker, seen((0, 0.9)), *[NONE] * gap, *[seen((0, 0.9))] * 3, NONE)
        assert tracker.update(seen((0, 0.9))).assigned.tolist() == [expected]


@pytest.mark.parametrize(("skipped", "expected"), [(6, 1), (6.5, 1), (7, 2)])
def test_ageing_counts_dt(skipped: float, expected: int) -> None:
    tracker = ByteTrack(ByteTrackConfig(track_buffer=5))
    run(tracker, seen((0, 0.9)))
    tracker.update(NONE, dt=skipped)
    assert tracker.update(seen((0, 0.9))).assigned.tolist() == [expected]


@pytest.mark.parametrize("buffer", [0, 1])
def test_no_buffer_is_a_buffer_of_one_frame(buffer: int) -> None:
    for gap, expected in ((2, 1), (3, 2)):
        tracker = ByteTrack(ByteTrackConfig(track_buffer=buffer))
        run(tracker, seen((0, 0.9)), *[NONE] * gap)
        assert tracker.update(seen((0, 0.9))).assigned.tolist() == [expected]


def test_a_detection_where_a_lost_track_is_starts_none() -> None:
    tracker = ByteTrack(ByteTrackConfig(match_threshold=0.3))
    run(tracker, seen((0, 0.9)), NONE)
    doubtful = tracker.update(seen((0, 0.62)))  # cost 0.38
    assert (len(doubtful), doubtful.assigned.tolist()) == (0, [Reason.DUPLICATE])
    assert tracker.update(seen((0, 0.9), (300, 0.9))).assigned.tolist() == [1, 2]


@pytest.mark.parametrize(("head_start", "kept"), [(8, 1), (1, 2)])
def test_of_a_seen_and_a_lost_track_at_one_place_the_longer_lived_stays(head_start: int, kept: int) -> None:
    tracker = ByteTrack(ByteTrackConfig(match_threshold=0.3))
    run(tracker, *[seen((0, 0.9))] * head_start)
    for x in (16, 14, 12, 10, 8, 6, 4, 2, 1):  # a newcomer walks to where the first one was
        tracks = tracker.update(seen((x, 0.9)))
        if Reason.DUPLICATE in tracks.assigned.tolist():
            break
    run(tracker, NONE)
    assert tracker.update(seen((1, 0.9))).assigned.tolist() == [kept]
    assert tracker._table["ids"].tolist() == [kept]


def test_class_aware_keeps_matches_within_a_label() -> None:
    frames = [seen((0, 0.9), labels=[0]), seen((0, 0.9), labels=[1])]
    assert run(ByteTrack(), *frames).assigned.tolist() == [1]
    assert run(ByteTrack(ByteTrackConfig(class_aware=True)), *frames).assigned.tolist() == [2]
