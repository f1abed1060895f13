"""Detections from a file instead of a network. Needs neither torch nor cv2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mot.errors import ConfigError, FormatError
from mot.formats.mot_text import ScoreMap, read_detections
from mot.structures import Detections, Frame


class DetectionFile:
    """An observer that gives each frame the rows a det.txt has for it, by the frame's index.

    Args:
        path: MOT text, see `mot.formats.mot_text`.
        labels: names of the classes 0, 1, … in column 8, which is read only where there is more than one.
        score_map: how scores outside 0..1 come into it, see `mot.formats.mot_text.map_scores`.

    Raises:
        FormatError: a malformed row, or a score outside 0..1 without `score_map`, with its line.
        SourceError: no such file.
    """

    def __init__(
        self, path: str | Path, labels: Sequence[str] = ("person",), score_map: ScoreMap | None = None
    ) -> None:
        self.path = Path(path)
        self.label_names = tuple(labels)
        self._frames = read_detections(self.path, len(self.label_names), score_map)

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The rows of each frame; none is a frame without detections."""
        return [self._frames.get(frame.index, Detections.empty()) for frame in frames]

    @property
    def last_frame(self) -> int:
        """The greatest frame number in the file; 0 if it has no rows."""
        return max(self._frames, default=0)

    def check_length(self, frame_count: int) -> None:
        """Refuse rows beyond a source of `frame_count` frames: they belong to another video."""
        if self.last_frame > frame_count:
            raise FormatError(
                f"{self.path}: has rows for frame {self.last_frame}, but the video ends at frame {frame_count}"
            )

    def frames(self, fps: float = 30.0, size: tuple[int, int] | None = None) -> Iterator[Frame]:
        """Frames 1 to the last that has a row: the source where there is no video.

        Args:
            fps: frames per second.
            size: height and width of black pictures; None: there are no pictures.

        Raises:
            ConfigError: `fps` makes no sense.
            FormatError: there are no rows, so nobody knows how many frames there are.
        """
        if not 0 < fps <= 1000:
            raise ConfigError(f"fps: expected a number above 0 and up to 1000, got {fps}")
        if not self._frames:
            raise FormatError(
                f"{self.path}: has no rows, and without a video nothing says how many frames there are"
            )
        image = None if size is None else np.zeros((*size, 3), np.uint8)
        return (
            Frame(image=image, index=i, time_s=(i - 1) / fps, source=self.path.stem, duration_s=1 / fps)
            for i in range(1, self.last_frame + 1)
        )
