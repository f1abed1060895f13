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


@dataclass(frozen=True)
class Span:
    """What lies between two marks; None is the source's own start or end."""

    start: Mark | None = None
    end: Mark | None = None

    @classmethod
    def parse(cls, start: int | str | None, end: int | str | None) -> Span:
        """From the texts of `--start` and `--end`."""
        return cls(Mark.parse(start), Mark.parse(end))

    @property
    def open_ended(self) -> bool:
        """Whether the source is read to its end."""
        return self.end is None

    def cut(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames of the span; those before it are read and dropped, those after it are not read.

        Raises:
            SourceError: the source ends before the span starts.
        """
        count = 0
        for frame in frames:
            if self.end and self.end.side(frame) > 0:
                break
            if self.start is None or self.start.side(frame) >= 0:
                count += 1
                yield frame
            if self.end and self.end.frame == frame.index:
                break
        if count == 0 and (self.start or self.end):
            raise SourceError("no frame lies between --start and --end")
