"""What a user sees while a run lasts: a progress bar, a clean end on Ctrl-C, a table of the time spent."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table

from mot.timing import StageTimes


class Interrupt:
    """Once armed, the first Ctrl-C (or SIGTERM) only sets `asked`; a second one ends the program at once.

    Args:
        calls: what is called at the first one, to close live sources, which may have nothing to give for long.
    """

    def __init__(self, calls: Sequence[Callable[[], None]] = ()) -> None:
        self.asked = False
        self._calls = calls
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        return self

    def arm(self) -> None:
        """From here on there is something worth finishing."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        for call in self._calls:
            call()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Progress:
    """Frames done, frames/s and time left, on stderr; nothing where that is not a terminal."""

    def __init__(self, total: int | None, quiet: bool = False) -> None:
        self._bar = progress.Progress(
            progress.TextColumn("{task.completed:.0f}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not Console(stderr=True).is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("track", total=total, rate="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, frames: int) -> None:
        """So many `frames` are done."""
        speed = self._bar.tasks[0].speed
        self._bar.update(self._task, completed=frames, rate=f"{speed:.1f} frames/s" if speed else "")


def profile_table(times: StageTimes, frames: int, seconds: float) -> None:
    """Print seconds, milliseconds a frame and share of the time of each stage, and what they waited for each other.

    Stages work at the same time, so the shares of a run may add up to more than its whole.
    """
    title = f"where the time went: {seconds:.2f} s, {1000 * seconds / max(frames, 1):.2f} ms a frame"
    table = Table("stage", "seconds", "ms/frame", "share", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for part, style in ((times.seconds, None), (times.waits, "dim")):
        for stage, spent in part.items():
            share = spent / max(seconds, 1e-9)
            row = f"{spent:.2f}", f"{1000 * spent / max(frames, 1):.2f}", f"{share:.1%}"
            table.add_row(stage, *row, style=style)
        table.add_section()
    Console().print(table)
