"""A part of a source: from a frame or a time to another, both included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mot.errors import ConfigError, SourceError
from mot.structures import Frame


@dataclass(frozen=True)
class Mark:
    """A place in a source: a frame number from 1, or seconds from its start; exactly one is given."""

    frame: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: int | str | None) -> Mark | None:
        """`250` is a frame, `10s` or `2.5s` a time."""
        if text is None:
            return None
        found = re.fullmatch(r"(\d+)|(\d+\.?\d*)s", str(text).strip())
        if not found or found[1] == "0":
            raise ConfigError(
                f"start or end {text!r}: expected a frame from 1, as in 250, or a time, as in 10s"
            )
        return cls(frame=int(found[1])) if found[1] else cls(seconds=float(found[2]))

    def side(self, frame: Frame) -> float:
        """Below 0 before the mark, 0 on it, above 0 after it."""
        if self.frame is not None:
            return frame.index - self.frame
        assert self.seconds is not None
        return round(frame.time_s - self.seconds, 6)


@dataclass
class Span:
    """What lies between two marks; None is the source's own start or end.

    Attributes:
        stride: of these frames, every so many.
        last_read: number of the last frame that was read, used or not.
    """

    start: Mark | None = None
    end: Mark | None = None
    stride: int = 1
    last_read: int = 0

    @classmethod
    def parse(cls, start: int | str | None, end: int | str | None, stride: int = 1) -> Span:
        """From the texts of `--start` and `--end`."""
        if stride < 1:
            raise ConfigError(f"stride: expected a whole number from 1, got {stride}")
        return cls(Mark.parse(start), Mark.parse(end), stride)

    @property
    def open_ended(self) -> bool:
        """Whether the source is read to its end."""
        return self.end is None

    def length(self, frame_count: int | None, rate: float | None) -> int | None:
        """About how many frames `cut` will give, for a progress bar; None where nobody knows."""
        if frame_count is None:
            return None
        first, last = 1.0, float(frame_count)
        for mark, is_start in ((self.start, True), (self.end, False)):
            if mark is not None and (mark.frame is not None or rate):
                at = mark.frame if mark.frame is not None else (mark.seconds or 0) * (rate or 0) + 1
                first, last = (at, last) if is_start else (first, min(last, at))
        return max(0, -int(-(last - first + 1) // self.stride))

    def cut(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames of the span; those before it are read and dropped, those after it are not read.

        Raises:
            SourceError: the source ends before the span starts.
        """
        count = 0
        for frame in frames:
            if self.end and self.end.side(frame) > 0:
                break
            self.last_read = frame.index
            if self.start is None or self.start.side(frame) >= 0:
                count += 1
                if (count - 1) % self.stride == 0:
                    yield frame
            if self.end and self.end.frame == frame.index:
                break
        if count == 0 and (self.start or self.end):
            raise SourceError("no frame lies between --start and --end")
