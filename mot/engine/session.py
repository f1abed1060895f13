"""The light state of one source: its association tracker, and nothing heavy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mot.structures import Detections, Frame, Reason, Tracks
from mot.timing import StageTimes
from mot.trackers import Associator

# Frames in, one Detections for each out: a detector with or without ReID, a joint network, a detection file,
# or any callable of the user's own.
Observer = Callable[[Sequence[Frame]], Sequence[Detections]]


class Session:
    """Tracks one source frame by frame; made by `Tracker.session()`, one for each source.

    Args:
        associator: a fresh tracker.
        observe: what turns frames into detections.
        labels: the labels to track, or None for all; detections of others are `Reason.FILTERED`.
        times: where the time of association is counted.
        keep: what leaves out rows that are not to be told.
    """

    def __init__(
        self,
        associator: Associator,
        observe: Observer,
        labels: NDArray[np.int64] | None = None,
        times: StageTimes | None = None,
        keep: Callable[[Tracks], Tracks] | None = None,
    ) -> None:
        self._keep = keep or (lambda tracks: tracks)
        self._associator = associator
        self._observe = observe
        self._labels = labels
        self._times = times or StageTimes()
        self._count = 0
        self._started = 0.0

    def update(self, image: NDArray[np.uint8], *, dt: float = 1.0) -> Tracks:
        """The tracks after one more picture, for people with a loop of their own.

        Args:
            image: (H, W, 3) uint8 BGR.
            dt: frames since the last picture, where some were skipped.
        """
        now = time.monotonic()
        self._started = self._started or now
        self._count += 1
        frame = Frame(image=image, index=self._count, time_s=now - self._started)
        (detections,) = self._observe([frame])
        return self.step(detections, dt)

    def step(self, detections: Detections, dt: float = 1.0) -> Tracks:
        """The tracks after one more frame whose detections are known, `dt` frames after the last."""
        with self._times.stage("associate"):
            if self._labels is None or len(detections) == 0:
                return self._keep(self._associator.update(detections, dt=dt))
            wanted = np.flatnonzero(np.isin(detections.labels, self._labels))
            tracks = self._associator.update(detections[wanted], dt=dt)
            return self._keep(_renumber(tracks, wanted, len(detections)))


def _renumber(tracks: Tracks, wanted: NDArray[np.int64], total: int) -> Tracks:
    """`tracks` of the detections `wanted`, as tracks of all `total` detections that went in."""
    if len(wanted) == total:
        return tracks
    assigned = np.full(total, Reason.FILTERED, np.int64)
    assigned[wanted] = tracks.assigned
    index = tracks.det_index.copy()
    index[index >= 0] = wanted[index[index >= 0]]
    return replace(tracks, det_index=index, assigned=assigned)
