"""What each source has of its own while several are tracked at once, and which of its frames the networks see."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Sequence
from inspect import isgenerator
from typing import Any, Literal

from mot.engine.channels import Arrival, Feed
from mot.engine.session import Observer, Session
from mot.engine.span import Span
from mot.structures import Detections, Frame, Tracks

USUAL_RATE = 30.0  # frames/s of a source that names none
RESERVE = 1.1  # by which the networks shall be faster than the source
PATIENCE = 5  # batches before a pace is chosen: the first ones are slow

_log = logging.getLogger(__name__)


class Lane:
    """One source while it is tracked.

    Args:
        source: the source.
        span: the part of it that is wanted.
        session: of its own.
    """

    def __init__(self, source: Iterable[Frame], span: Span, session: Session) -> None:
        self.source, self.span, self._session = source, span, session
        self._last: int | None = None  # number of the last frame with detections
        self.feed = Feed(
            source=source,
            frames=span.cut(source),
            decodes=getattr(source, "pictures", True),
            live=getattr(source, "live", False),
            rate=rate_of(source),
            # a generator cannot be closed while another thread is in it
            close=getattr(source, "close", _nothing) if not isgenerator(source) else _nothing,
        )

    @property
    def last_number(self) -> int:
        """Of the source's last frame, as far as it was read; what did not decode at the end of a file counts."""
        return self.span.last_read + (0 if self.feed.live else getattr(self.source, "lost", 0))

    def step(self, frame: Frame, detections: Detections | None) -> Tracks:
        """The tracks of the next frame; without detections they coast."""
        dt = 1 if self._last is None else frame.index - self._last
        if detections is None:
            return self._session.coast(dt)
        self._last = frame.index
        return self._session.step(detections, dt, frame)


def _nothing() -> None:
    """What cannot be closed from outside."""


def rate_of(source: Iterable[Frame]) -> float | None:
    """Frames per second; None where the source does not say."""
    rate: Any = getattr(source, "rate", None)
    return None if rate is None else float(rate)


class Pace:
    """Which frames the networks see: every so many of each source.

    Args:
        every: how many; `auto`: as the time that the networks take asks for.
        stride: of the frames that are tracked at all.
        rate: frames per second of all sources together.
    """

    def __init__(self, every: int | Literal["auto"], stride: int = 1, rate: float = USUAL_RATE) -> None:
        self.every = 1 if every == "auto" else every
        self._auto, self._stride, self._rate = every == "auto", stride, rate / stride
        self._next: dict[Feed, int] = {}
        self._spent: list[float] = []  # seconds a frame, of the last batches

    def wants(self, arrival: Arrival) -> bool:
        """Whether the networks shall see this frame; asked once of each frame of a source, in order."""
        assert arrival.frame is not None
        index = arrival.frame.index
        if index < self._next.get(arrival.feed, index):
            return False
        self._next[arrival.feed] = index + self.every * self._stride
        return True

    def timed(self, observe: Observer) -> Observer:
        """`observe`, its time taken where the pace depends on it."""
        if not self._auto:
            return observe

        def watched(frames: Sequence[Frame]) -> Sequence[Detections]:
            started = time.perf_counter()
            found = observe(frames)
            self._choose((time.perf_counter() - started) / len(frames))
            return found

        return watched

    def _choose(self, seconds: float) -> None:
        """After a batch of so many `seconds` a frame: the least that keeps up, by the median of the last ones."""
        self._spent = [*self._spent[-4 * PATIENCE :], seconds]
        if len(self._spent) < PATIENCE:
            return
        needed = sorted(self._spent)[len(self._spent) // 2] * self._rate * RESERVE
        # slower at once, faster only where there is room: else it would change with every breath of the machine
        every = max(1, math.ceil(needed))
        if every > self.every or needed < 0.8 * (self.every - 1):
            self.every = every
            _log.warning(
                "realtime: the networks take %.0f ms a frame and %.4g come a second: they see %s",
                1000 * needed / self._rate / RESERVE,
                self._rate,
                "all" if every == 1 else f"one in {every}, tracks coast between",
            )
