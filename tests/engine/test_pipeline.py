"""The pipeline: order, batches, and that whatever goes wrong ends everything, quickly and with its own error."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count

import numpy as np
import pytest

from mot import Detections, Frame, MotError
from mot.engine import pipeline
from mot.engine.channels import Arrival, Channel, Feed, Inbox, StoppedError
from mot.engine.pipeline import Seen, Work
from mot.timing import StageTimes

LIMIT_S = 1.0  # in which everything has to stop


def frames(number: int, size: int = 8, start: int = 1) -> Iterator[Frame]:
    """So many frames; the number is in the picture."""
    for index in range(start, start + number):
        image = np.full((size, size, 3), index % 256, np.uint8)
        yield Frame(image=image, index=index, time_s=index / 10)


def see(some: Sequence[Frame]) -> list[Detections]:
    """One box for each frame, which tells its number."""
    return [Detections(xyxy=np.array([[0, 0, f.index, 1.0]]), scores=np.array([0.5])) for f in some]


def run(feeds: list[Feed], observe: Callable[..., list[Detections]] = see, size: int = 4) -> list[Seen]:
    return list(pipeline.run(feeds, Work(observe, size, StageTimes())))


def feed(source: Iterator[Frame], name: str = "a", live: bool = False) -> Feed:
    return Feed(name, source, live=live)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Every test ends with the threads that it began with."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LIMIT_S
    while set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, set(threading.enumerate()) - before
        time.sleep(0.01)


@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("counts", [[11], [5, 0, 9], [1, 1, 1, 1]])
def test_every_frame_of_every_feed_in_its_order(size: int, counts: list[int]) -> None:
    seen = run([feed(frames(n), str(i)) for i, n in enumerate(counts)], size=size)
    for i, n in enumerate(counts):
        mine = [(a.frame, found) for (a, found) in seen if a.feed.source == str(i)]
        assert [frame.index for frame, _ in mine[:-1] if frame] == list(range(1, n + 1))
        assert mine[-1] == (None, None)
        assert all(found.xyxy[0, 2] == frame.index for frame, found in mine[:-1] if frame and found)


def test_inline_is_the_same() -> None:
    made = run([feed(frames(11), "a"), feed(frames(3), "b")])
    times = StageTimes()
    inline = list(pipeline.run_inline([feed(frames(11), "a"), feed(frames(3), "b")], Work(see, 4, times)))

    def plain(seen: list[Seen], name: str) -> list[object]:
        return [(a.frame and a.frame.index, a.error) for a, _ in seen if a.feed.source == name]

    assert all(plain(made, name) == plain(inline, name) for name in "ab")


def test_batches_are_full_across_feeds_and_of_one_shape() -> None:
    batches: list[list[tuple[int, ...]]] = []

    def watch(some: Sequence[Frame]) -> list[Detections]:
        batches.append([f.image.shape for f in some if f.image is not None])
        return see(some)

    run([feed(frames(8), "a"), feed(frames(8), "b")], watch)
    assert [len(batch) for batch in batches] == [4, 4, 4, 4]
    batches.clear()
    run([feed(frames(4), "a"), feed(frames(4, size=16), "b")], watch)
    assert sum(map(len, batches)) == 8
    assert all(len(set(batch)) == 1 for batch in batches)


def test_a_reader_waits_while_nobody_takes() -> None:
    read: list[int] = []

    def watched() -> Iterator[Frame]:
        for frame in frames(1000):
            read.append(frame.index)
            yield frame

    with closing(pipeline.run([feed(watched())], Work(see, 4, StageTimes()))) as seen:
        next(seen)
        time.sleep(0.1)
        ahead = len(read)
    # a batch with the caller, two between, one at the networks, two in the inbox, and a frame in the reader's hand
    assert ahead <= 4 * 6 + 1
    assert len(read) <= ahead + 1


def test_of_a_live_feed_only_the_newest_frame_counts() -> None:
    times, go = StageTimes(), threading.Event()

    def camera() -> Iterator[Frame]:
        yield from frames(1)
        go.wait()
        yield from frames(50, start=2)

    def slow(some: Sequence[Frame]) -> list[Detections]:
        go.set()
        time.sleep(0.05)
        return see(some)

    seen = [
        a.frame.index for a, _ in pipeline.run([feed(camera(), live=True)], Work(slow, 1, times)) if a.frame
    ]
    assert seen[0] == 1
    assert seen[-1] == 51, "the newest is never lost"
    assert seen == sorted(set(seen))
    assert times.dropped == 51 - len(seen) > 40


def test_a_feed_that_fails_ends_alone() -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(2)
        raise RuntimeError("the film tore")

    seen = run([feed(broken(), "a"), feed(frames(20), "b")])
    (end,) = [a for a, _ in seen if a.feed.source == "a" and a.frame is None]
    assert str(end.error) == "the film tore"
    assert sum(a.feed.source == "a" for a, _ in seen) == 3
    assert sum(a.feed.source == "b" for a, _ in seen) == 21


def test_networks_that_fail_stop_all_with_their_error() -> None:
    def fails(some: Sequence[Frame]) -> list[Detections]:
        if some[0].index > 20:
            raise MotError("out of memory")
        return see(some)

    started, seen = time.monotonic(), 0
    with pytest.raises(MotError, match="out of memory"):
        for _ in pipeline.run([feed(frames(10**9))], Work(fails, 4, StageTimes())):
            seen += 1
    assert time.monotonic() - started < LIMIT_S
    assert seen == 20, "what was seen before is given before"


@pytest.mark.parametrize("taken", [0, 1, 7])
def test_a_caller_that_wants_no_more(taken: int) -> None:
    closed = threading.Event()

    def endless() -> Iterator[Frame]:
        try:
            for index in count(1):
                yield from frames(1, start=index)
        finally:
            closed.set()

    seen = pipeline.run([feed(endless())], Work(see, 4, StageTimes()))
    for _ in range(taken):
        next(seen)
    started = time.monotonic()
    seen.close()
    assert time.monotonic() - started < LIMIT_S
    assert closed.is_set() or not taken, "the reader lets go of its file"


def test_a_source_that_hangs_is_closed() -> None:
    woken = threading.Event()

    def hangs() -> Iterator[Frame]:
        yield from frames(4)
        woken.wait()

    with closing(pipeline.run([Feed("a", hangs(), close=woken.set)], Work(see, 4, StageTimes()))) as seen:
        next(seen)
        started = time.monotonic()
    assert time.monotonic() - started < LIMIT_S
    assert woken.is_set()


def test_waits_are_counted() -> None:
    times = StageTimes(trace=True)

    def slow(some: Sequence[Frame]) -> list[Detections]:
        time.sleep(0.01)
        return see(some)

    list(pipeline.run([feed(frames(40))], Work(slow, 4, times)))
    assert times.waits["associate: no detections"] > 0.05
    assert times.waits["decode: queue full"] > 0.02
    events = times.trace_events()["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert {"decode 1", "networks"} <= names
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events if e["ph"] == "X")


def test_a_channel_gives_what_was_put_before_it_stopped() -> None:
    channel = Channel[int](3)
    channel.put(1)
    channel.put(2)
    channel.stop(ValueError("why"))
    channel.stop(KeyError("too late"))
    with pytest.raises(StoppedError):
        channel.put(3)
    assert [channel.get(), channel.get()] == [1, 2]
    with pytest.raises(ValueError, match="why"):
        channel.get()


def test_an_inbox_does_not_wait_for_a_full_batch_when_none_will_come() -> None:
    file, live = feed(frames(0), "file"), feed(frames(0), "live", live=True)
    inbox = Inbox([file, live], 4, StageTimes())
    (frame,) = frames(1)
    inbox.put(Arrival(live, frame))
    assert [a.frame for a in inbox.take()] == [frame], "a live frame is not kept waiting"
    inbox.put(Arrival(file, frame))
    inbox.put(Arrival(file, None))
    inbox.put(Arrival(live, None))
    assert len(inbox.take()) == 3
    assert inbox.take() == []


def endless(size: int = 8) -> Iterator[Frame]:
    for index in count(1):
        time.sleep(0.001)
        yield from frames(1, size=size, start=index)


@pytest.mark.parametrize("sizes", [[8, 16], [8] * 8])
def test_every_live_feed_gets_its_share(sizes: list[int]) -> None:
    """Also where pictures differ in size, and where there are more feeds than a batch has room for."""

    def slow(some: Sequence[Frame]) -> list[Detections]:
        time.sleep(0.01)
        return see(some)

    feeds = [Feed(i, endless(size), live=True) for i, size in enumerate(sizes)]
    seen = dict.fromkeys(range(len(sizes)), 0)
    with closing(pipeline.run(feeds, Work(slow, 4, StageTimes()))) as run:
        for arrival, _ in run:
            seen[arrival.feed.source] += 1  # type: ignore[index]
            if sum(seen.values()) == 160:
                break
    assert min(seen.values()) > 0.5 * max(seen.values()), seen


@pytest.mark.parametrize("silent", [1, 2, 3])
@pytest.mark.parametrize("size", [4, 16])
def test_silent_live_feeds_hold_no_file_up(silent: int, size: int) -> None:
    woken = threading.Event()

    def mute() -> Iterator[Frame]:
        woken.wait()
        yield from ()

    live = [Feed(f"live {i}", mute(), live=True, close=woken.set) for i in range(silent)]
    seen = []
    with closing(pipeline.run([feed(frames(10), "file"), *live], Work(see, size, StageTimes()))) as run:
        for arrival, _ in run:
            seen.append(arrival.frame and arrival.frame.index)
            if arrival.frame is None:
                break
        started = time.monotonic()
    assert seen == [*range(1, 11), None]
    assert time.monotonic() - started < LIMIT_S


def test_a_source_that_waits_for_its_results_goes_on() -> None:
    done = threading.Semaphore(1)

    def in_step() -> Iterator[Frame]:
        for frame in frames(3):
            done.acquire()
            yield frame

    for _ in pipeline.run([feed(in_step())], Work(see, 4, StageTimes())):
        done.release()


@pytest.mark.parametrize("count", [1, 8])
def test_many_silent_sources_are_closed_within_a_second(count: int) -> None:
    woken = [threading.Event() for _ in range(count)]

    def mute(event: threading.Event) -> Iterator[Frame]:
        yield from frames(1)
        event.wait()

    feeds = [Feed(i, mute(event), live=True, close=event.set) for i, event in enumerate(woken)]
    with closing(pipeline.run(feeds, Work(see, 4, StageTimes()))) as run:
        next(run)
        started = time.monotonic()
    assert time.monotonic() - started < LIMIT_S


def test_an_error_that_is_no_exception_of_a_feed_ends_all() -> None:
    def leaves() -> Iterator[Frame]:
        yield from frames(2)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run([feed(leaves()), feed(endless())])


def test_the_program_ends_while_the_networks_are_at_work() -> None:
    """Without an abort, though the interpreter goes while a batch is under way."""
    program = """
import numpy as np, torch
from mot import Detections, Frame, Tracker

def detector(frames):
    x = torch.randn(1500, 1500)
    for _ in range(12):
        x = x @ x / 1500
    return [Detections.empty() for _ in frames]

def frames():
    for i in range(1, 100):
        yield Frame(image=np.zeros((8, 8, 3), np.uint8), index=i, time_s=i / 10)

for _ in Tracker("sort.yml", detector=detector).track(frames()):
    break
"""
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
