"""The sink with pixels: tracks drawn on the frames, into a video file, a window, or both."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from mot.draw import Trails, draw_tracks
from mot.engine.outputs import EnoughError
from mot.errors import OutputError
from mot.opencv import cv2
from mot.structures import Frame, Tracks
from mot.video_writer import VideoWriter


class PictureSink:
    """Draws every frame once.

    Args:
        path: the video to write, or None.
        rate: the source's frames per second, None where unknown.
        label_names: names to draw beside the ids; none where all are of one class.
        show: whether to show the frames in a window.
    """

    def __init__(
        self, path: Path | None, rate: Fraction | None, label_names: Sequence[str], show: bool
    ) -> None:
        self._writer = None if path is None else VideoWriter(path, rate)
        self._label_names, self._show = label_names, show
        self._trails = Trails()

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Draw, then write and show."""
        assert frame.image is not None
        trails = self._trails.update(tracks)
        picture = draw_tracks(frame.image, tracks, label_names=self._label_names, trails=trails)
        if self._writer is not None:
            self._writer.write(picture, frame.time_s, frame.duration_s)
        if self._show:
            _show(f"mot: {frame.source}", picture)

    def close(self) -> None:
        """Finish the video and close the window."""
        if self._writer is not None:
            self._writer.close()
        if self._show:
            cv2.destroyAllWindows()


def _show(title: str, picture: cv2.typing.MatLike) -> None:
    try:
        cv2.imshow(title, picture)
        key = cv2.waitKey(1) & 0xFF
    except cv2.error:
        raise OutputError(
            "--show: this OpenCV or machine has no windows; on a desktop: "
            "pip uninstall -y opencv-python-headless, then pip install opencv-python"
        ) from None
    if key == ord("q"):
        raise EnoughError
