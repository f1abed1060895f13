"""A sink that fills gaps before it writes: it can only do so once all frames are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mot.engine.outputs import Sink
from mot.postprocess import TrackRows, by_frame, collect, fill_gsi, fill_linear
from mot.structures import Frame, Tracks

FILL: dict[str, Callable[[TrackRows], TrackRows]] = {"linear": fill_linear, "gsi": fill_gsi}


class Interpolated:
    """Keeps the rows of all frames, and gives them to another sink at the end, gaps filled.

    Args:
        sink: where they go; the frames it is given have no picture.
        method: a key of `FILL`.
    """

    def __init__(self, sink: Sink, method: str) -> None:
        self._sink, self._fill = sink, FILL[method]
        self._results: list[tuple[int, Tracks]] = []
        self._times: list[float] = []
        self._source = ""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Remember one frame's rows."""
        self._results.append((frame.index, tracks))
        self._times.append(frame.time_s)
        self._source = frame.source

    def close(self) -> None:
        """Fill, write and close."""
        known = [index for index, _ in self._results]
        for index, tracks in by_frame(self._fill(collect(self._results))):
            # frames that a stride skipped get rows as well, and so a time
            time_s = float(np.interp(index, known, self._times))
            self._sink.write(Frame(image=None, index=index, time_s=time_s, source=self._source), tracks)
        self._sink.close()
