"""Live sources that come back: whatever ends, breaks off or falls silent is opened again, for ever.

Frames go on where they would be had nothing happened: over a gap `time_s` advances by the wall clock, and `index`
by the frames that the gap would have held at the nominal rate, so that the difference of two indices is the `dt`
of a tracker. No frame is made up for those that were missed. Between gaps the stream's own time stamps count.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Protocol

from mot.errors import SourceError
from mot.motion import MAX_GAP
from mot.structures import Frame

FIRST_WAIT_S = 0.5  # before the first try to come back
LONGEST_WAIT_S = 30.0  # before any later one
SILENT_S = 5.0  # without a picture after which a connection is given up
FIRST_PICTURE_S = 20.0  # the same before its first picture: there is a key picture every 10 s or more often
LOOK_S = 0.1  # between two looks whether `close` was called or the stream is silent
STALL_S = 0.5  # between the stamps of two pictures, from which on pictures are missing between them
PROBED = 20  # pictures that FFmpeg reads before it gives the first, to find out their rate
RECENT = 50  # pictures by which the delay of a connection is judged
FALLBACK_RATE = Fraction(30)
# The trackers predict frame by frame and refuse longer gaps. Half of it leaves room for what else is skipped.
LONGEST_GAP = MAX_GAP // 2

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """One connection to a stream, or a camera while it stays plugged in; iterated once.

    Attributes:
        name: of the source.
        rate: nominal frames per second, None where unknown.
        waited_s: seconds of the stream before its first picture, because only a key picture can be the first; valid
            once there is one. None: `time_s` means nothing, a picture's time is that of its arrival.
    """

    name: str
    rate: Fraction | None
    waited_s: float | None

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the connection ends; a SourceError says why it broke off."""
        ...

    def close(self) -> None:
        """Let go of it, if it was not iterated."""
        ...


def backoff() -> Iterator[float]:
    """Seconds to wait before each try, for ever: 0.5, 1, 2, 4, 8, 16, 30, 30 and so on."""
    seconds = FIRST_WAIT_S
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_WAIT_S)


class StreamSource:
    """A live source over one connection after another; see `mot.video.Source` for the attributes.

    `lost` counts the frames that the gaps swallowed so far.

    Args:
        connect: opens a connection, or raises a SourceError.
        label: what messages call it; without a password.
        first: a connection that is open already; None: one is opened here, at once.
        pause: waits so many seconds, or shorter where `close` is called; None: it does.

    Raises:
        SourceError: it cannot be opened the first time.
    """

    live = True
    frame_count: int | None = None
    path: Path | None = None

    def __init__(
        self,
        connect: Callable[[], Connection],
        label: str,
        first: Connection | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        opened = first or connect()
        self.name, self.rate = opened.name, opened.rate
        self._opened = [opened]  # until somebody iterates, or closes: popped, because they may be two threads
        self.lost = 0
        self._connect, self._label = connect, label
        self._closed = threading.Event()
        self._pause = pause or self._closed.wait

    def __iter__(self) -> Iterator[Frame]:
        """Frames until `close` is called; for as long as there are none it waits for the next.

        Raises:
            SourceError: there never was a picture: the wrong address, or nothing that can be shown.
        """
        self.lost, line, waits = 0, _Timeline(self.rate), backoff()
        while not self._closed.is_set():
            reader, up = _Reader(self._open, self._label, line.step), False
            try:
                for arrival in reader.arrivals(self._closed):
                    frame, self.lost = line.place(arrival), line.lost
                    if not up:
                        self._say_back(line)
                        up, waits = True, backoff()
                    yield frame
            except SourceError as error:
                if not line.index:
                    raise
                if up:
                    _log.warning("%s; trying until it is back", error)
            finally:
                reader.stop()
            self._pause(next(waits))

    def close(self) -> None:
        """End the iteration, from whatever thread: at once, also while it waits; afterwards there are no frames."""
        self._closed.set()
        with suppress(IndexError):
            self._opened.pop().close()

    def _open(self) -> Connection:
        """The connection that was opened when the source was made, then new ones."""
        try:
            return self._opened.pop()
        except IndexError:
            return self._connect()

    def _say_back(self, line: _Timeline) -> None:
        """One line after each loss."""
        if line.index > 1:
            _log.warning("%s: back after %.1f s, %d frames", self._label, line.gap_s, line.gap)


@dataclass(frozen=True)
class _Arrival:
    """A frame as its connection gave it.

    Attributes:
        frame: numbered and timed from the start of the connection.
        at: when it arrived, by the wall clock (`time.monotonic`).
        sent: about when the camera took it, for the first of a connection; None for the others.
    """

    frame: Frame
    at: float
    sent: float | None


class _Reader:
    """One connection, opened and read in a thread of its own.

    Neither FFmpeg nor OpenCV lets another thread interrupt them while they wait for a silent network or device. So
    that thread is left alone until they give up by themselves (after ANSWER_S of `mot.video_file`), and then ends.

    Args:
        connect: opens the connection.
        label: what messages call it.
        step: seconds between two pictures.
    """

    def __init__(self, connect: Callable[[], Connection], label: str, step: float) -> None:
        self._connect, self._label, self._step = connect, label, step
        self._stopped = threading.Event()
        self._items: Queue[_Arrival | Exception] = Queue(1)  # more would only make pictures older
        self._heard: float | None = None  # when there last was a sign of life; None: not open yet
        self._thread = threading.Thread(target=self._read, name=f"read {label}", daemon=True)
        self._thread.start()

    def arrivals(self, closed: threading.Event) -> Iterator[_Arrival]:
        """What arrives, until `closed` is set.

        Raises:
            SourceError: the connection could not be made, ended, broke off, or fell silent.
        """
        limit = FIRST_PICTURE_S
        while not closed.is_set():
            try:
                item = self._items.get(timeout=LOOK_S)
            except Empty:
                if self._heard is not None and time.monotonic() - self._heard > limit:
                    raise SourceError(f"{self._label}: no picture for {limit:g} s") from None
                continue
            if isinstance(item, Exception):
                raise item
            yield item
            self._heard, limit = time.monotonic(), SILENT_S

    def stop(self) -> None:
        """Let the thread end; waits for it as long as an answer should take, and no longer."""
        self._stopped.set()
        with suppress(Empty):
            self._items.get_nowait()  # it may be waiting for room: it puts one more at most
        self._thread.join(LOOK_S)

    def _read(self) -> None:
        """The thread: hand over each frame, then how it ended."""
        end: Exception = SourceError(f"{self._label}: the stream ended")
        try:
            opened = time.monotonic()
            connection = self._connect()
            self._heard = time.monotonic()
            frames: Any = iter(connection)
            with closing(connection), closing(frames):
                for count, frame in enumerate(frames):
                    waited_s = connection.waited_s
                    self._items.put(self._arrival(frame, waited_s, opened if count == 0 else None))
                    if self._stopped.is_set():
                        return
        except Exception as error:  # whatever it is, it belongs to the one who iterates
            end = error
        if not self._stopped.is_set():
            self._items.put(end)

    def _arrival(self, frame: Frame, waited_s: float | None, opened: float | None) -> _Arrival:
        """The frame with the time by the wall clock; `opened`: when the connection was, for its first frame."""
        at = time.monotonic()
        if waited_s is None:
            frame = replace(frame, time_s=at, duration_s=None)
        if waited_s is None or opened is None:
            return _Arrival(frame, at, None if opened is None else at)
        # a stream starts when it is asked for, but FFmpeg reads PROBED pictures before it gives the first
        return _Arrival(frame, at, min(at, max(opened + waited_s, at - PROBED * self._step)))


class _Timeline:
    """Number and time of each frame, over all connections; both always increase.

    Attributes:
        index: of the last frame; 0 before the first.
        time_s: of the last frame.
        lost: frames that are missing between those so far.
        gap: frames missing before the last one.
        gap_s: seconds between the last one and the one before it.
    """

    def __init__(self, rate: Fraction | None) -> None:
        self.step = 1 / float(rate or FALLBACK_RATE)
        self.index, self.lost, self.gap = 0, 0, 0
        self.time_s, self.gap_s = 0.0, 0.0
        self._shift = 0.0  # from the connection's time to `time_s`
        self._zero = -math.inf  # the wall clock at `time_s` 0
        self._anchor = math.inf  # the same, as the connection's first frame has it
        self._lags: deque[float] = deque(maxlen=RECENT)  # and as recent frames have it, by when they arrived

    def place(self, arrival: _Arrival) -> Frame:
        """The frame with its number and time in the whole."""
        frame, sent = arrival.frame, arrival.sent
        if sent is not None:
            self._begin(sent, frame.time_s)
        # pictures that waited in a buffer come faster than they were taken: no frame is of the future
        self._shift = min(self._shift, arrival.at - self._zero - frame.time_s)
        time_s = frame.time_s + self._shift
        if self.index and time_s <= self.time_s:
            time_s = self.time_s + self.step / 4
        self.gap_s, self.gap = time_s - self.time_s, 0
        if self.index and (sent is not None or self.gap_s > max(STALL_S, 2 * self.step)):
            self.gap = min(max(round(self.gap_s / self.step), 1), LONGEST_GAP) - 1
        self.index, self.time_s, self.lost = self.index + 1 + self.gap, time_s, self.lost + self.gap
        self._anchor = self._anchor if sent is None else sent - time_s
        self._lags.append(arrival.at - time_s)
        return replace(frame, index=self.index, time_s=time_s)

    def _begin(self, sent: float, time_s: float) -> None:
        """A connection's first frame, `time_s` by its own clock, is timed by the wall clock."""
        self._shift = -time_s
        if self.index:
            self._zero = min(self._anchor, *self._lags)
            self._lags.clear()
            self._shift += sent - self._zero
