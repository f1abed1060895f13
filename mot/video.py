"""Where frames come from: `open_source` takes a video file, a folder or glob of images, a camera or a URL.

    source = open_source("in.mp4")
    for frame in source:                # Frame: BGR, index from 1, time_s from the file's own time stamps
        ...
    source.lost                         # frames that the file claims and that did not decode

Every kind has the attributes of `Source`, which is the seam: write your own class to read from elsewhere.
Damage is passed over, not fatal: a packet that does not decode is skipped, a file cut in the middle gives
what is there, and `lost` counts the rest. What cannot give one frame raises a `SourceError` of one line.
Cameras and streams that break off are opened again, see `mot.stream`; a stream is what comes by rtsp and its kind,
and whatever comes by another protocol, http for example, without saying how long it is.
"""

from __future__ import annotations

import configparser
import difflib
import glob
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from mot.errors import SourceError
from mot.opencv import cv2
from mot.stream import StreamSource
from mot.structures import Frame
from mot.video_clock import tidy_rate
from mot.video_file import VideoSource

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"))
IMAGE_RATE = Fraction(
    30
)  # frames/s of images where neither the caller nor a seqinfo.ini says; MOT17's usual rate


class Source(Protocol):
    """A stream of frames.

    Attributes:
        name: short, safe as a file name; outputs are called after it.
        rate: nominal frames per second, None where unknown.
        frame_count: how many frames the source claims, None where it does not say.
        live: frames come as they happen and cannot be asked for again.
        path: the file or folder, None for cameras and streams.
        lost: frames claimed that could not be decoded, valid once the iteration has ended; of a live source,
            those that its gaps swallowed so far.
    """

    name: str
    rate: Fraction | None
    frame_count: int | None
    live: bool
    path: Path | None
    lost: int

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order shown, index from 1."""
        ...

    def close(self) -> None:
        """Let go of the file or device; also done when an iteration ends, raises or is closed.

        From another thread it ends the iteration of a live source.
        """
        ...


def open_source(spec: str | int | Path, *, fps: float | None = None) -> Source:
    """The source that `spec` names; what cannot be opened raises here, before any work.

    Args:
        spec: a video file; a folder of images, or one with an `img1` subfolder (a MOT sequence); a glob of
            images; one image; a camera's index, also as digits (`./0` is a folder of that name); a URL.
        fps: frames per second of images; asked of a camera; for a video only where it names no rate itself.

    Raises:
        SourceError: there is no such source, or it holds nothing that can be read.
    """
    rate = None if fps is None else _checked_rate(fps)
    if isinstance(spec, int) or (isinstance(spec, str) and re.fullmatch(r"[0-9]+", spec)):
        index = _camera_index(int(spec))
        return StreamSource(lambda: CameraSource(index, rate), f"camera {index}")
    if isinstance(spec, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", spec):
        return _open_url(spec, rate)
    path = Path(spec).expanduser()
    if not str(spec):
        raise SourceError("no video was named: the name is empty")
    if path.is_dir():
        return _open_folder(path, rate)
    if path.exists():
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        return ImageSource([path], path.stem, rate, path) if is_image else VideoSource(path, path.stem, rate)
    if glob.has_magic(str(path)):
        return _open_glob(str(path), rate)
    raise SourceError(f"{path}: {_missing(path)}")


def _camera_index(index: int) -> int:
    """OpenCV takes a C int, and crashes on what it cannot use."""
    if not 0 <= index < 1000:
        raise SourceError(f"camera {index}: expected an index from 0; {_cameras()}")
    return index


def _checked_rate(fps: float) -> Fraction:
    """`fps` as an exact rate: 29.97 is 30000/1001."""
    if not 0 < fps <= 1000:
        raise SourceError(f"fps: expected a number above 0 and up to 1000, got {fps}")
    return tidy_rate(Fraction(fps).limit_denominator(1001))


def _missing(path: Path) -> str:
    """Why there is nothing at `path`, with the name that was perhaps meant."""
    if not path.parent.is_dir():
        return f"no such file: there is no folder {str(path.parent)!r}"
    names = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"no such file or folder; did you mean {close[0]!r}?" if close else "no such file or folder"


def _open_url(url: str, rate: Fraction | None) -> Source:
    """A stream, which lasts, or a remote file; named by its last path part, else by its host."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        return VideoSource(path, path.stem, rate)
    last = unquote(parts.path).rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^\w.-]+", "_", Path(last).stem or parts.hostname or "").strip("._") or "stream"
    video = VideoSource(url, name, rate)
    return StreamSource(lambda: VideoSource(url, name, rate), video.label, video) if video.live else video


# -- images -------------------------------------------------------------------------------------------------


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts `2.jpg` before `10.jpg`; the full name decides between `1.jpg` and `01.jpg`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts], str(path)


def _open_folder(folder: Path, rate: Fraction | None) -> ImageSource:
    """The images of `folder`, or of its `img1`."""
    inner = folder / "img1"
    folder = inner if inner.is_dir() else folder
    paths = [path for path in folder.iterdir() if _is_image(path)]
    if not paths:
        raise SourceError(f"{folder}: no images in this folder ({_suffixes()})")
    paths.sort(key=natural_key)
    return ImageSource(paths, _sequence_name(folder), rate or _sequence_rate(folder), folder)


def _open_glob(pattern: str, rate: Fraction | None) -> ImageSource:
    """The images that `pattern` matches, `**` included."""
    paths = [path for path in map(Path, glob.iglob(pattern, recursive=True)) if _is_image(path)]
    if not paths:
        raise SourceError(f"{pattern}: no image matches ({_suffixes()})")
    paths.sort(key=lambda path: (str(path.parent), natural_key(path)))
    folder = paths[0].parent
    return ImageSource(paths, _sequence_name(folder), rate or _sequence_rate(folder), folder)


def _is_image(path: Path) -> bool:
    """Dot files are left out: macOS puts a `._1.jpg` that is no image beside each `1.jpg`."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _suffixes() -> str:
    return "looked for " + " ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))


def _sequence_name(folder: Path) -> str:
    """The folder's name; a MOT sequence is named by the folder around its `img1`."""
    folder = folder.resolve()
    return (folder.parent.name if folder.name == "img1" else folder.name) or "images"


def _sequence_rate(folder: Path) -> Fraction | None:
    """`frameRate` of a MOT `seqinfo.ini` in the folder or around it."""
    for path in (folder / "seqinfo.ini", folder.resolve().parent / "seqinfo.ini"):
        if path.is_file():
            parser = configparser.ConfigParser(interpolation=None)
            try:
                parser.read(path, encoding="utf-8-sig")
                fps = parser.getfloat("Sequence", "frameRate", fallback=None)
            except (configparser.Error, ValueError) as error:
                raise SourceError(f"{path}: {' '.join(str(error).split())}") from None
            return None if fps is None else _checked_rate(fps)
    return None


class ImageSource:
    """Image files as frames at a constant rate; they may differ in size."""

    live = False
    lost = 0

    def __init__(self, paths: list[Path], name: str, rate: Fraction | None, path: Path) -> None:
        self.paths = paths
        self.name = name
        self.rate: Fraction | None = rate or IMAGE_RATE
        self.frame_count: int | None = len(paths)
        self.path: Path | None = path

    def __iter__(self) -> Iterator[Frame]:
        """Frames in natural order of the names.

        Raises:
            SourceError: a file cannot be read as an image.
        """
        step = 1 / (self.rate or IMAGE_RATE)
        for number, path in enumerate(self.paths):
            yield Frame(
                image=_read_image(path),
                index=number + 1,
                time_s=float(number * step),
                source=self.name,
                duration_s=float(step),
            )

    def close(self) -> None:
        """No file is open between two frames."""


def _read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, upright by its EXIF tag; from bytes, because imread fails on some file names."""
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not an image"
        raise SourceError(f"{path}: cannot be read ({reason})") from None
    if image is None:
        raise SourceError(f"{path}: cannot be read (not an image, or damaged)")
    return np.asarray(image, np.uint8)


# -- cameras ------------------------------------------------------------------------------------------------


class CameraSource:
    """A camera by its index, while it stays plugged in; `time_s` is the moment at which the picture arrived."""

    live = True
    lost = 0
    waited_s: float | None = None
    frame_count: int | None = None
    path: Path | None = None

    def __init__(self, index: int, rate: Fraction | None = None) -> None:
        self.name = f"camera{index}"
        self._capture = _open_capture(index)
        if not self._capture.isOpened():
            raise SourceError(f"camera {index}: cannot be opened; {_cameras()}")
        if rate is not None:
            self._capture.set(cv2.CAP_PROP_FPS, float(rate))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        # drivers that do not know answer 0, -1, NaN or the clock's own rate
        self.rate: Fraction | None = _checked_rate(fps) if 1 <= fps <= 240 else rate

    def __iter__(self) -> Iterator[Frame]:
        """Pictures until the camera gives none any more.

        Raises:
            SourceError: the camera was opened and never gave a picture.
        """
        start, index = 0.0, 0
        try:
            while True:
                good, image = self._capture.read()
                now = time.monotonic()
                if not good:
                    break
                index += 1
                start = now if index == 1 else start
                yield Frame(
                    image=np.asarray(image, np.uint8), index=index, time_s=now - start, source=self.name
                )
        finally:
            self.close()
        if index == 0:
            raise SourceError(f"{self.name}: opened, but gave no picture; another program may be using it")

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


def _open_capture(index: int) -> cv2.VideoCapture:
    """OpenCV's capture, without the lines that it prints about back ends that it tried."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(index)
    finally:
        logging.setLogLevel(level)


def _cameras() -> str:
    """The cameras that Linux lists."""
    found = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
    return f"cameras here: {', '.join(found)}" if found else "no camera was found here"
