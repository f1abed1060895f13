"""Where the time goes: seconds by stage, for `mot-track --profile` and `tools/bench`; and what went wrong there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

STAGES = ("decode", "preprocess", "detect", "nms", "embed", "camera", "associate", "write")


class StageTimes:
    """Adds up wall-clock seconds under the names of `STAGES`; costs about a microsecond a measurement.

    Attributes:
        seconds: by stage.
        failures: by stage, how often it had to do without an answer; only stages that can.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.failures = {"camera": 0}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The time of the block counts for stage `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, the time to produce each counted for stage `name`."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
