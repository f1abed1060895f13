"""Sinks beside the loop: one that works in a thread of its own, and one whose time is counted."""

from __future__ import annotations

import threading
from contextlib import nullcontext, suppress

from mot.engine.channels import Channel, StoppedError
from mot.engine.outputs import Sink
from mot.structures import Frame, Tracks
from mot.timing import StageTimes

AHEAD = 8  # frames that may wait to be drawn and encoded


class Threaded:
    """Gives what is written to another sink, in a thread: drawing and encoding go on while the loop does.

    What the other sink raises is raised by the next `write`, or by `close`.

    Args:
        sink: the other one; it must not need the thread that made it.
        times: where its time, and the waits for it, are counted.
    """

    def __init__(self, sink: Sink, times: StageTimes) -> None:
        self._sink, self._times = sink, times
        self._channel = Channel[tuple[Frame, Tracks]](AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take one frame's result, when there is room."""
        try:
            with self._times.stage("write: queue full"):
                self._channel.put((frame, tracks))
        except StoppedError:
            self.close()  # which says why
            raise

    def close(self) -> None:
        """Wait until all is written, then close the other sink."""
        self._channel.stop()
        self._thread.join()
        error, self._error = self._error, None
        with suppress(Exception) if error else nullcontext():  # the first error is the one to be shown
            self._sink.close()
        if error:
            raise error

    def _work(self) -> None:
        try:
            while True:
                frame, tracks = self._channel.get()
                with self._times.stage("write"):
                    self._sink.write(frame, tracks)
        except StoppedError:
            return
        except BaseException as error:
            self._error = error
            self._channel.stop()


class Timed:
    """Gives what is written to another sink, and counts its time.

    Args:
        sink: the other one.
        times: where its time is counted.
    """

    def __init__(self, sink: Sink, times: StageTimes) -> None:
        self._sink, self._times = sink, times

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take one frame's result."""
        with self._times.stage("write"):
            self._sink.write(frame, tracks)

    def close(self) -> None:
        """No more frames will come."""
        self._sink.close()
