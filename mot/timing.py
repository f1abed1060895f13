"""Where the time goes: seconds by stage, for `mot-track --profile` and `tools/bench`; and what went wrong there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")

STAGES = ("decode", "preprocess", "detect", "nms", "embed", "camera", "associate", "write")
# who waits for whom: a full queue behind a stage, or an empty one before it
WAITS = (
    "decode: queue full",
    "networks: no frame",
    "networks: queue full",
    "associate: no detections",
    "write: queue full",
)
TRACE_LIMIT = 1_000_000  # pieces of work that a trace holds, about 200 bytes each


class StageTimes:
    """Adds up wall-clock seconds under the names of `STAGES` and `WAITS`, from any thread.

    Costs about a microsecond a measurement.

    Args:
        trace: whether to remember every piece of work as well, for `trace_events`.

    Attributes:
        seconds: by stage, of all threads together: stages overlap, so they may add up to more than a run took.
        waits: likewise, what the stages waited for each other.
        failures: by stage, how often it had to do without an answer; only stages that can.
        dropped: frames of live sources that were passed over, because newer ones were there.
    """

    def __init__(self, trace: bool = False) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.waits = dict.fromkeys(WAITS, 0.0)
        self.failures = {"camera": 0}
        self.dropped = 0
        self._lock = threading.Lock()
        self._begun = time.perf_counter()
        self._trace: list[tuple[str, str, float, float]] | None = [] if trace else None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """The time of the block counts for stage `name`, or as a wait of that name."""
        started = time.perf_counter()
        try:
            yield
        finally:
            ended = time.perf_counter()
            with self._lock:
                counted = self.seconds if name in self.seconds else self.waits
                counted[name] += ended - started
                if self._trace is not None and len(self._trace) < TRACE_LIMIT:
                    self._trace.append((name, threading.current_thread().name, started, ended))

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

    def drop(self) -> None:
        """One more frame was passed over."""
        with self._lock:
            self.dropped += 1

    def trace_events(self) -> dict[str, Any]:
        """All pieces of work in the format of Chrome's trace viewer (chrome://tracing, Perfetto): microseconds."""
        pieces = self._trace or []
        threads = {name: number for number, name in enumerate(dict.fromkeys(piece[1] for piece in pieces))}
        names = [
            {"name": "thread_name", "ph": "M", "pid": 0, "tid": number, "args": {"name": name}}
            for name, number in threads.items()
        ]
        work = [
            {
                "name": name,
                "cat": "wait" if name in self.waits else "work",
                "ph": "X",
                "pid": 0,
                "tid": threads[thread],
                "ts": round(1e6 * (started - self._begun), 1),
                "dur": round(1e6 * (ended - started), 1),
            }
            for name, thread, started, ended in pieces
        ]
        return {"traceEvents": names + work, "displayTimeUnit": "ms"}
