"""Ages in seconds, on their way to the trackers; and what they are for: a camera that is away for a while."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from films import number_of
from streams import RATE, camera, watch

from mot.engine.config import ARCHITECTURES, Config, read_config
from mot.engine.tracker import Tracker
from mot.errors import ConfigError
from mot.structures import Detections, Frame
from mot.trackers import TRACKERS, Associator

FILES = {name: f"{name.lower()}.yml" for name in ARCHITECTURES}


def age_of(name: str) -> str:
    """The key of the age."""
    config, _ = TRACKERS[ARCHITECTURES[name].tracker]
    return "track_buffer" if "track_buffer" in config.__dataclass_fields__ else "max_age"


def read(name: str, age: str, *overrides: str) -> Config:
    return read_config(FILES[name], [f"tracker.{age_of(name)}={age}", *overrides])


def lifetime(tracker: Associator) -> int:
    """How many frames without detections a track outlives that was seen ten times."""
    table: Any = tracker
    xyxy, embeddings = np.array([[10.0, 10, 50, 90]]), np.eye(1, 8, dtype=np.float32)
    for _ in range(10):
        tracker.update(Detections(xyxy=xyxy, scores=np.array([0.9]), embeddings=embeddings))
    for count in range(1000):
        if not len(table._table):
            return count
        tracker.update(Detections.empty())
    raise AssertionError("it lives for ever")


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("rate", [12.5, 30.0, 50.0, None])
def test_seconds_are_the_same_at_every_rate(name: str, rate: float | None) -> None:
    frames = round(2 * (rate or 30))
    expected = lifetime(read(name, str(frames)).make_tracker(30.0))
    assert abs(expected - frames) <= 2
    assert lifetime(read(name, "2s").make_tracker(rate)) == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_frames_stay_frames_and_buffers_are_scaled_as_ever(name: str) -> None:
    at_30, at_60 = (lifetime(read(name, "20").make_tracker(rate)) for rate in (None, 60.0))
    assert at_60 - at_30 == (20 if age_of(name) == "track_buffer" else 0)


def test_a_rate_in_the_config_wins() -> None:
    config = read("ByteTrack", "2s", "tracker.frame_rate=10")
    expected = lifetime(read("ByteTrack", "20").make_tracker(None))
    assert [lifetime(config.make_tracker(rate)) for rate in (None, 50.0)] == [expected] * 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_wrong_age_says_what_is_expected(name: str) -> None:
    key = f"tracker.{age_of(name)}"
    with pytest.raises(
        ConfigError, match=f"{key}: expected a whole number of frames, .* as in 5s, got '5 sec"
    ):
        read(name, "5 seconds")
    with pytest.raises(ConfigError, match="tracker.class_aware: expected bool, got '5s'"):
        read(name, "5s", "tracker.class_aware=5s")


def test_the_record_has_what_the_config_says() -> None:
    assert Tracker(read("SORT", "5s")).record()["config"]["tracker"]["max_age"] == "5s"


@pytest.mark.parametrize(("age", "ids"), [("1", {1, 2}), ("5s", {1})])
def test_identities_survive_a_camera_that_is_away(
    age: str, ids: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody walks slowly; after the return the detector needs five pictures to see them again."""
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 0.2)
    back: list[int] = []

    def detect(frames: Sequence[Frame]) -> list[Detections]:
        (frame,) = frames
        if frame.index > 40:
            back.append(frame.index)
        if 0 < len(back) <= 5:
            return [Detections.empty()]
        left = 10 + 0.2 * number_of(frame.image)
        return [Detections(xyxy=np.array([[left, 5, left + 20, 45]]), scores=np.array([0.9]))]

    tracker, rows = Tracker(read("ByteTrack", age), detector=detect), []
    with camera() as made:
        source = watch(made)
        for frame, tracks in tracker.track(source):
            rows.append((frame.time_s, tracks.ids.tolist()))
            if len(rows) == 15:
                made.stop()
                threading.Timer(0.1, made.start).start()
            if len(back) == 15:
                break
        source.close()
    assert {each for _, row in rows for each in row} == ids
    gaps = np.diff([time_s for time_s, _ in rows])
    assert sorted(gaps)[-1] > 0.2 > 5 / RATE > sorted(gaps)[-2]
