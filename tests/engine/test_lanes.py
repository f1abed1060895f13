"""Which frames the networks see, and how tracks coast between."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np
import pytest

from mot import Detections, Frame, Tracker
from mot.engine.channels import Arrival, Feed
from mot.engine.config import read_config
from mot.engine.lanes import PATIENCE, Pace
from mot.structures import Tracks

BLACK = np.zeros((48, 64, 3), np.uint8)


def film(count: int, first: int = 1) -> list[Frame]:
    return [Frame(image=BLACK, index=i, time_s=i / 10) for i in range(first, first + count)]


class Walker:
    """A detector that sees one person, who walks two pixels a frame; it remembers what it was asked."""

    label_names = ("person",)

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        self.asked += [frame.index for frame in frames]
        boxes = [np.array([[2.0 * f.index, 10, 2 * f.index + 30, 40]]) for f in frames]
        return [Detections(xyxy=box, scores=np.array([0.9])) for box in boxes]


def tracked(every: object, frames: list[Frame], stride: int = 1) -> tuple[Walker, list[tuple[int, Tracks]]]:
    walker = Walker()
    config = read_config("bytetrack.yml", ["det_weights=null", f"runtime.detect_every={every}"])
    return walker, [(f.index, t) for f, t in Tracker(config, detector=walker).track(frames, stride=stride)]


def test_tracks_coast_between_the_frames_that_the_networks_see() -> None:
    walker, rows = tracked(3, film(20))
    assert walker.asked == [1, 4, 7, 10, 13, 16, 19]
    assert [index for index, _ in rows] == list(range(1, 21))
    for index, tracks in rows[9:]:
        assert tracks.ids.tolist() == [1]
        assert tracks.xyxy[0, 0] == pytest.approx(2 * index, abs=0.5), index
        seen = index in walker.asked
        assert tracks.det_index.tolist() == [0 if seen else -1]
        assert tracks.assigned.tolist() == ([1] if seen else [])


def test_every_frame_that_is_seen_is_tracked_as_with_a_stride() -> None:
    """What coasts in between changes nothing in the tracker."""
    _, rows = tracked(3, film(20))
    _, strided = tracked(1, film(20), stride=3)
    seen = [(index, tracks) for index, tracks in rows if (index - 1) % 3 == 0]
    assert [index for index, _ in seen] == [index for index, _ in strided]
    for (_, a), (_, b) in zip(seen, strided, strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert a.xyxy.tolist() == b.xyxy.tolist()


def test_a_stride_counts_in_frames_that_are_tracked() -> None:
    walker, rows = tracked(2, film(20), stride=3)
    assert [index for index, _ in rows] == [1, 4, 7, 10, 13, 16, 19]
    assert walker.asked == [1, 7, 13, 19]


def test_frames_that_were_dropped_count() -> None:
    pace, lane = Pace(3), Feed("a", [])
    frames = [film(1, index)[0] for index in (1, 2, 6, 7, 8, 9, 30)]
    assert [pace.wants(Arrival(lane, f)) for f in frames] == [True, False, True, False, False, True, True]


def test_a_session_without_anything_yet_coasts_on_nothing() -> None:
    assert len(Tracker("sort.yml", detector=Walker()).session().coast(1)) == 0


def test_auto_keeps_up_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    pace = Pace("auto", rate=100)
    spent = iter([0.045] * 20 + [0.001] * 40)

    def slow(frames: Sequence[Frame]) -> list[Detections]:
        time.sleep(next(spent))
        return [Detections.empty() for _ in frames]

    observe = pace.timed(slow)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            observe(film(1))
        assert 5 <= pace.every <= 7, "45 ms a frame, 10 ms between frames, a tenth to spare"
        assert "they see one in" in caplog.text
        for _ in range(40):
            observe(film(1))
    assert pace.every == 1, "and faster again when there is room"
    assert PATIENCE < 20


def test_auto_is_in_the_record() -> None:
    config = read_config("sort.yml", ["det_weights=null", "runtime.detect_every=auto"])
    tracker = Tracker(config, detector=Walker())
    list(tracker.track(film(8)))
    assert tracker.record()["detect_every"] >= 1
