"""The light state of one source: its association tracker, what is kept of the last picture, and nothing heavy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mot.perception.settings import CameraConfig
from mot.structures import Detections, Frame, Reason, Tracks
from mot.timing import StageTimes
from mot.trackers import Associator

# Frames in, one Detections for each out: a detector with or without ReID, a joint network, a detection file,
# or any callable of the user's own.
Observer = Callable[[Sequence[Frame]], Sequence[Detections]]
# A frame with a picture, and the boxes of what moves by itself, in; the camera's motion from the last such frame to
# this one out: (2, 3) affine, or None where it cannot be told.
Follow = Callable[[Frame, NDArray[np.float64]], NDArray[np.float64] | None]

if TYPE_CHECKING:
    from mot.camera import Camera

_log = logging.getLogger(__name__)


class Following:
    """`mot.camera` over the frames of one source: a `Follow`.

    Args:
        config: the `camera` block.
        times: where its time is counted.
    """

    def __init__(self, config: CameraConfig, times: StageTimes) -> None:
        self._config, self._times = config, times
        self._camera: Camera | None = None

    def __call__(self, frame: Frame, boxes: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The motion up to this frame.

        Raises:
            MotError: OpenCV cannot be imported; only where there are pictures it is needed.
        """
        from mot.camera import Camera

        assert frame.image is not None
        camera = self._camera = self._camera or Camera(self._config)
        with self._times.stage("camera"):
            before, warp = camera.failures, camera(frame.image, boxes)
        return warp if camera.failures == before else None


class Session:
    """Tracks one source frame by frame; made by `Tracker.session()`, one for each source.

    Args:
        associator: a fresh tracker.
        observe: what turns frames into detections.
        labels: the labels to track, or None for all; detections of others are `Reason.FILTERED`.
        times: where the time of association, and what the camera did not tell, is counted.
        keep: what leaves out rows that are not to be told.
        follow: what tells the camera's motion, for an associator that takes `warp=`; None: nothing does.
    """

    def __init__(
        self,
        associator: Associator,
        observe: Observer,
        labels: NDArray[np.int64] | None = None,
        times: StageTimes | None = None,
        keep: Callable[[Tracks], Tracks] | None = None,
        follow: Follow | None = None,
    ) -> None:
        self._keep = keep or (lambda tracks: tracks)
        self._associator = associator
        self._observe = observe
        self._labels = labels
        self._times = times or StageTimes()
        self._follow = follow
        self._blind = False  # whether it was said that there are no pictures
        self._count = 0
        self._started = 0.0
        self._last: Tracks | None = None  # what the last step told
        self._before: Tracks | None = None  # and the one before it, `_dt` frames earlier
        self._dt = 1.0

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
        return self.step(detections, dt, frame)

    def step(self, detections: Detections, dt: float = 1.0, frame: Frame | None = None) -> Tracks:
        """The tracks after one more frame whose detections are known.

        Args:
            detections: of the frame.
            dt: frames since the last one, where some were skipped.
            frame: the frame itself, for the camera's motion; None, or one without a picture: the camera is taken
                to stand still.
        """
        wanted = np.arange(len(detections))
        if self._labels is not None:
            wanted = np.isin(detections.labels, self._labels).nonzero()[0]
        inside = detections if len(wanted) == len(detections) else detections[wanted]
        warp = self._warp(frame, inside)
        with self._times.stage("associate"):
            tracks = self._associator.update(inside, dt=dt, **warp)
            tracks = self._keep(_renumber(tracks, wanted, len(detections)))
            self._before, self._last, self._dt = self._last, tracks, dt
            return tracks

    def coast(self, dt: float) -> Tracks:
        """Where the tracks that were told last are `dt` frames later, if all moved on as they did before.

        The tracker itself is not asked, and does not age: it does at the next `step`.
        """
        last, before = self._last, self._before
        if last is None:
            return Tracks.empty()
        xyxy = last.xyxy.copy()
        if before is not None:
            now, then = np.intersect1d(last.ids, before.ids, return_indices=True)[1:]
            xyxy[now] += (last.xyxy[now] - before.xyxy[then]) * (dt / self._dt)
        unseen = np.full(len(last), -1)
        return replace(last, xyxy=xyxy, det_index=unseen, assigned=np.empty(0, np.int64))

    def _warp(self, frame: Frame | None, detections: Detections) -> dict[str, Any]:
        """The associator's `warp=`; nothing where the camera is not followed."""
        if self._follow is None:
            return {}
        if frame is None or frame.image is None:
            if not self._blind:
                _log.warning("camera: there are no pictures to see its motion in; it is taken to stand still")
            self._blind = True
            return {"warp": np.eye(2, 3)}
        warp = self._follow(frame, detections.xyxy)
        self._times.failures["camera"] += warp is None
        return {"warp": np.eye(2, 3) if warp is None else warp}


def _renumber(tracks: Tracks, wanted: NDArray[np.int64], total: int) -> Tracks:
    """`tracks` of the detections `wanted`, as tracks of all `total` detections that went in."""
    if len(wanted) == total:
        return tracks
    assigned = np.full(total, Reason.FILTERED, np.int64)
    assigned[wanted] = tracks.assigned
    index = tracks.det_index.copy()
    index[index >= 0] = wanted[index[index >= 0]]
    return replace(tracks, det_index=index, assigned=assigned)
