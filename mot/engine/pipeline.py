"""Decoding, the networks and association at once, in threads with bounded queues between them.

    reader, one a feed  ──►  Inbox  ──►  networks  ──►  Channel  ──►  caller: associate, draw, write
    (decodes)               (batches)   (detect, embed)              (sinks may have threads of their own)

While the networks work on one batch, the next is decoded and the last associated. Batches are formed across feeds;
that changes no result, because every frame's detections are its own, whatever is beside it.

A feed that fails ends alone: its `Arrival` carries the error. Whatever else fails stops all threads, and is raised
at the caller; so does a caller that wants no more.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import compress, islice
from typing import NamedTuple

from mot.engine import memory
from mot.engine.channels import Arrival, Channel, Feed, Inbox, StoppedError
from mot.engine.session import Observer
from mot.structures import Detections
from mot.timing import StageTimes

AHEAD = 2  # batches that may wait between the networks and the caller
PATIENCE_S = 0.4  # how long threads may take to end by themselves, before their sources are closed


class Seen(NamedTuple):
    """What arrived, and its detections; None where the networks were not asked, and at a feed's end."""

    arrival: Arrival
    detections: Detections | None


@dataclass(frozen=True)
class Work:
    """What is done with the frames.

    Attributes:
        observe: frames of one shape in, their detections out.
        size: frames of a batch.
        times: where time and waits are counted.
        wants: whether the networks shall see a frame; asked of all, in order.
    """

    observe: Observer
    size: int
    times: StageTimes
    wants: Callable[[Arrival], bool] = lambda arrival: True


def run(feeds: Sequence[Feed], work: Work) -> Generator[Seen]:
    """Every frame of the `feeds` (at least one), each feed in its order, and the end of each."""
    times = work.times
    inbox, outbox = Inbox(list(feeds), work.size, times), Channel[list[Seen]](AHEAD)
    threads = [
        _thread(f"decode {i}", _read, feed, inbox, outbox, times) for i, feed in enumerate(feeds, start=1)
    ]
    networks = _thread("networks", _observe, inbox, outbox, work)
    threads.append(networks)
    _going.append((inbox, outbox, networks))
    left, count = len(feeds), 0
    try:
        for thread in threads:
            thread.start()
        while left:
            with times.stage("associate: no detections"):
                batch = outbox.get()
            for seen in batch:
                left -= seen.arrival.frame is None
                yield seen
            count += len(batch)
            if count >= memory.EVERY:
                memory.give_back()
                count = 0
    finally:
        inbox.stop()
        outbox.stop()
        _join(threads, feeds)
        _going[:] = [each for each in _going if each[2].is_alive()]


def run_inline(feeds: Sequence[Feed], work: Work) -> Generator[Seen]:
    """The same without threads, one feed after the other: for frames without pictures, which are there at once."""
    for feed in feeds:
        coming = arrivals(feed, work.times)
        while batch := list(islice(coming, work.size)):
            yield from observed(batch, work)


def arrivals(feed: Feed, times: StageTimes) -> Generator[Arrival]:
    """Every frame of one feed, then its end."""
    error: Exception | None = None
    try:
        with ExitStack() as stack:
            frames = iter(feed.frames)
            stack.callback(getattr(frames, "close", lambda: None))
            for frame in times.each("decode", frames):
                yield Arrival(feed, frame)
    except Exception as failed:  # whatever it is, it is this feed's: the others go on
        error = failed
    yield Arrival(feed, None, error)


def _thread(name: str, work: Callable[..., None], *args: object) -> threading.Thread:
    # a daemon: one that hangs in a decoder must not keep the program from ending
    return threading.Thread(target=work, args=args, name=name, daemon=True)


def _read(feed: Feed, inbox: Inbox, outbox: Channel[list[Seen]], times: StageTimes) -> None:
    """One feed into the inbox."""
    try:
        with closing(arrivals(feed, times)) as coming:
            for arrival in coming:
                inbox.put(arrival)
    except StoppedError:
        return
    except BaseException as error:  # SystemExit and its kind: not the feed's alone
        outbox.stop(error)
        inbox.stop()


def _observe(inbox: Inbox, outbox: Channel[list[Seen]], work: Work) -> None:
    """Batches from the inbox through the networks into the outbox."""
    try:
        while batch := inbox.take():
            seen = list(observed(batch, work))
            with work.times.stage("networks: queue full"):
                outbox.put(seen)
    except BaseException as error:
        outbox.stop(error)


def observed(batch: Sequence[Arrival], work: Work) -> Iterator[Seen]:
    """A batch with the detections of those frames that are wanted."""
    wanted = [each.frame is not None and work.wants(each) for each in batch]
    frames = [each.frame for each in compress(batch, wanted) if each.frame is not None]
    found = iter(work.observe(frames) if frames else ())
    return (Seen(each, next(found) if asked else None) for each, asked in zip(batch, wanted, strict=True))


def _join(threads: Sequence[threading.Thread], feeds: Sequence[Feed]) -> None:
    """Wait for the threads; live sources, which may have nothing to give, and those that hang are closed."""
    _close([feed for feed in feeds if feed.live])
    _wait(threads)
    hanging = [feed for thread, feed in zip(threads, feeds, strict=False) if thread.is_alive()]
    if hanging:
        _close(hanging)
        _wait(threads)


def _close(feeds: Iterable[Feed]) -> None:
    for feed in feeds:
        with suppress(Exception):  # the error that led here is the one to be shown
            feed.close()


def _wait(threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))


# Runs whose networks may still be at work. Python would end under them, and the program with an abort.
_going: list[tuple[Inbox, Channel[list[Seen]], threading.Thread]] = []


@atexit.register
def _end() -> None:
    """When the program ends, so do the networks, after the batch that they are at."""
    for inbox, outbox, networks in _going:
        inbox.stop()
        outbox.stop()
        if networks.ident is not None:
            networks.join()
