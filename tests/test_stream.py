"""Live sources that break off and come back, over a camera on loopback that numbers its pictures."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from films import number_of, picture
from streams import RATE, Camera, camera, watch

from mot.errors import SourceError
from mot.motion import MAX_GAP, steps
from mot.stream import StreamSource, backoff
from mot.structures import Frame
from mot.video import open_source


class Scripted:
    """A connection that gives frames at once, and then breaks off.

    Attributes:
        times: `time_s` of its frames.
    """

    name = "scripted"
    rate: Fraction | None = Fraction(25)
    waited_s: float | None = 0.0

    def __init__(self, *times: float, error: Exception | None = None) -> None:
        self.times, self.error, self.closed = times, error, False

    def __iter__(self) -> Iterator[Frame]:
        for number, time_s in enumerate(self.times, 1):
            yield Frame(image=picture(number), index=number, time_s=time_s, source=self.name)
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed = True


def scripted(*connections: Scripted | None) -> tuple[StreamSource, list[float]]:
    """A source over these connections, then closed for good, and the pauses that it makes; None: refused."""
    pauses: list[float] = []
    coming = iter(connections)

    def connect() -> Scripted:
        made = next(coming, "over")
        if made == "over":
            source.close()
        if not isinstance(made, Scripted):
            raise SourceError("rtsp://camera: Connection refused")
        return made

    source = StreamSource(connect, "rtsp://camera", pause=pauses.append)
    return source, pauses


def increasing(frames: list[Frame]) -> bool:
    return all(a.index < b.index and a.time_s < b.time_s for a, b in itertools.pairwise(frames))


def restart(made: Camera, after_s: float, size: tuple[int, int] | None = None) -> None:
    """Cut the camera off now, and let it be back later."""
    made.stop()
    made.size = size or made.size
    threading.Timer(after_s, made.start).start()


def test_a_break_of_a_second_is_a_gap_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 0.3)
    with camera() as made:
        source, frames = watch(made), []
        assert (source.live, source.frame_count, source.rate) == (True, None, Fraction(RATE))
        for frame in source:
            frames.append(frame)
            if len(frames) == 25:
                restart(made, 0.6)
            elif len(frames) == 60:
                break
        source.close()
    numbers = [number_of(frame.image) for frame in frames]
    before = next(i for i, (a, b) in enumerate(itertools.pairwise(numbers)) if b - a > 1)
    lost = numbers[before + 1] - numbers[before]  # what the camera filmed meanwhile says how long the gap was
    assert lost > 40
    assert numbers[0] > 0  # none is black
    assert numbers == [*range(numbers[0], numbers[before] + 1), *range(numbers[before + 1], numbers[-1] + 1)]
    assert increasing(frames)
    index, seconds = (
        frames[before + 1].index - frames[before].index,
        frames[before + 1].time_s - frames[before].time_s,
    )
    assert abs(index - lost) <= 10
    assert abs(seconds - lost / RATE) <= 0.2
    assert source.lost == index - 1
    assert [frame.index for frame in frames[: before + 1]] == list(range(1, before + 2))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert "broke off after" in said[0]
    assert f"back after {seconds:.1f} s, {index - 1} frames" in said[1]
    assert "secret" not in caplog.text


def test_another_size_after_the_return_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 0.1)
    with camera() as made:
        source, shapes = watch(made), []
        for frame in source:
            assert frame.image is not None
            shapes.append(frame.image.shape)
            if len(shapes) == 10:
                restart(made, 0.05, (96, 32))
            if shapes[-1] != shapes[0]:
                break
        source.close()
    assert (shapes[0], shapes[-1]) == ((48, 64, 3), (32, 96, 3))


def test_a_silent_stream_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mot.stream.SILENT_S", 0.3)
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 0.1)
    with camera() as made:
        source, numbers = watch(made), []
        for frame in source:
            numbers.append(number_of(frame.image))
            if len(numbers) == 25:
                made.mute.set()
                threading.Timer(0.4, made.mute.clear).start()
            if made.calls == 2:
                break
        source.close()
    assert numbers[-1] - numbers[0] > 40
    assert "no picture for 0.3 s; trying" in caplog.text


def test_gone_for_ever_it_tries_for_ever_and_ends_when_closed(caplog: pytest.LogCaptureFixture) -> None:
    with camera() as made:
        source, frames = watch(made), []
        ended = threading.Event()

        def read() -> None:
            for frame in source:
                frames.append(frame)
                if len(frames) == 10:
                    made.stop()
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        assert not ended.wait(1.3)
        source.close()
        assert ended.wait(1.0)
    assert len(caplog.records) == 1
    assert list(source) == []


def test_a_wait_ends_when_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 60.0)
    source = StreamSource(lambda: Scripted(0.0), "rtsp://camera")
    threading.Timer(0.2, source.close).start()
    assert len(list(source)) == 1


def test_an_answer_that_does_not_come_ends_when_closed() -> None:
    hang, opened = threading.Event(), iter([Scripted(0.0)])

    def connect() -> Scripted:
        for made in opened:
            return made
        source.close()
        hang.wait(20)
        raise SourceError("too late")

    source = StreamSource(connect, "rtsp://camera", pause=lambda seconds: None)
    assert len(list(source)) == 1
    hang.set()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://somebody:secret@127.0.0.1:9/live.ts", "http://127.0.0.1:9/live.ts: Connection refused"),
        ("rtsp://somebody:secret@127.0.0.1:9/cam1", "rtsp://127.0.0.1:9/cam1: Connection refused"),
    ],
)
def test_a_wrong_address_is_an_error_at_once(url: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url)
    assert str(caught.value) == message


def test_what_never_gives_a_picture_is_an_error() -> None:
    source, pauses = scripted(Scripted(error=SourceError("rtsp://camera: no frame could be decoded")))
    with pytest.raises(SourceError, match="no frame could be decoded"):
        list(source)
    assert pauses == []


def test_waits_double_up_to_half_a_minute_and_start_anew_after_a_frame() -> None:
    assert list(itertools.islice(backoff(), 9)) == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    no = [None] * 3
    source, pauses = scripted(Scripted(0.0), *no, Scripted(0.0, 0.04), *no, Scripted(), *no)
    assert len(list(source)) == 3
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[4:12] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_one_line_a_loss_and_one_a_return(caplog: pytest.LogCaptureFixture) -> None:
    source, _ = scripted(Scripted(0.0), *[None] * 20, Scripted(0.0), None)
    assert len(list(source)) == 2
    lost = "rtsp://camera: the stream ended; trying until it is back"
    assert [record.getMessage().split(" after")[0] for record in caplog.records] == [
        lost,
        "rtsp://camera: back",
        lost,
    ]


def test_connections_are_closed_and_their_threads_end() -> None:
    connections = [Scripted(0.0, 0.04), Scripted(0.0), Scripted()]
    source, _ = scripted(*connections)
    frames = list(source)
    assert increasing(frames)
    assert all(each.closed for each in connections)
    assert not [each for each in threading.enumerate() if each.name.startswith("read ")]


def test_an_error_that_is_none_of_the_stream_s_reaches_the_caller() -> None:
    source, _ = scripted(Scripted(0.0), Scripted(0.0, error=MemoryError("no room")))
    with pytest.raises(MemoryError, match="no room"):
        list(source)


def test_stamps_that_jump_are_a_gap_too() -> None:
    source, _ = scripted(Scripted(0.0, 0.04, 0.08, 2.08, 2.12))
    frames = list(source)
    assert [frame.index for frame in frames] == [1, 2, 3, 53, 54]
    assert [frame.time_s for frame in frames] == [0.0, 0.04, 0.08, 2.08, 2.12]
    assert source.lost == 49


def test_no_frame_is_of_the_future_after_a_return() -> None:
    second = Scripted(*np.arange(50) / 25)  # two seconds that come at once
    started = time.monotonic()
    source, _ = scripted(Scripted(0.0), second)
    frames = list(source)
    assert increasing(frames)
    assert frames[-1].time_s < time.monotonic() - started + 0.6
    assert [frame.index for frame in frames[1:]] == list(range(frames[1].index, frames[1].index + 50))


def test_made_up_stamps_give_way_to_the_clock() -> None:
    class Untimed(Scripted):
        waited_s = None

        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                time.sleep(0.1)
                yield frame

    source, _ = scripted(Untimed(0.0, 9.0, 10.0), Untimed(0.0, 0.001))
    started = time.monotonic()
    frames = list(source)
    assert increasing(frames)
    assert frames[0].time_s == 0
    assert frames[-1].time_s < time.monotonic() - started - 0.1
    assert all(b.time_s - a.time_s >= 0.1 for a, b in itertools.pairwise(frames))
    assert [frame.index for frame in frames[:3]] == [1, 2, 3]


def test_pictures_one_by_one_over_http_are_timed_by_the_clock() -> None:
    with camera(jpeg=True) as made:
        source = watch(made)
        assert (source.live, source.rate) == (True, None)
        frames = list(itertools.islice(source, 30))
        source.close()
        assert watch(made, fps=12.5).rate == Fraction(25, 2)
    filmed = (number_of(frames[-1].image) - number_of(frames[0].image)) / RATE
    assert abs(frames[-1].time_s - filmed) < 0.15
    assert increasing(frames)


def test_the_longest_gap_is_one_that_trackers_take() -> None:
    source, _ = scripted(Scripted(0.0, 1e6))
    first, second = source
    assert second.time_s == 1e6
    assert MAX_GAP / 4 < second.index - first.index < MAX_GAP
    assert len(steps(second.index - first.index)) == second.index - first.index
