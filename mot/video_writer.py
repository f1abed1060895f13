"""Where annotated pictures go: `VideoWriter`, an H.264 mp4 that any browser plays.

    writer = VideoWriter(Path("out.mp4.part"), source.rate)
    for frame in source:
        writer.write(frame.image, frame.time_s, frame.duration_s)
    writer.close()

Time stamps are kept: the file has the source's frame times, rate and length, variable frame rate included.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mot.errors import OutputError
from mot.opencv import cv2

# a multiple of every usual rate's numerator, NTSC's (24000/1001 ... 120000/1001) and whole ones alike
FINEST_TICKS = 120_000
FALLBACK_S = Fraction(1, 30)  # a lone picture whose duration nobody knows


class Encoder(NamedTuple):
    """What FFmpeg calls it, its options, and the finest clock that its format allows (ticks a second)."""

    name: str
    options: dict[str, str]
    finest: int


# Best first. No B-frames: they are stored out of order, and then at a variable rate the end is not exact;
# encoding is faster, too. MPEG-4 part 2 has 16 bits for the clock.
ENCODERS = (
    Encoder("libx264", {"preset": "veryfast", "crf": "23", "bf": "0"}, FINEST_TICKS),
    Encoder("libopenh264", {"b": "4M"}, FINEST_TICKS),
    Encoder("mpeg4", {"qscale": "4", "bf": "0"}, 60_000),
)


class Matrix(NamedTuple):
    """How colours became YUV: swscale's name, and the number that H.264 and mp4 store (ITU-T H.273)."""

    swscale: Colorspace
    code: int


# a player that ignores the tag assumes BT.709 for high definition and BT.601 below
BT709, BT601 = Matrix(Colorspace.ITU709, 1), Matrix(Colorspace.ITU601, 6)
HIGH_DEFINITION = 720
LIMITED_RANGE = 1


@dataclass
class _Open:
    """What exists once the first picture, and so the size, is known."""

    container: OutputContainer
    stream: VideoStream
    ticks: Fraction  # seconds
    size: tuple[int, int]  # (height, width) of the first picture, before padding
    matrix: Matrix


class VideoWriter:
    """Writes pictures with their times into one mp4; the file appears with the first picture.

    Attributes:
        frames: pictures written so far.
        encoder: name of the encoder in use.
    """

    def __init__(self, path: Path, rate: Fraction | None, *, crf: int = 23, preset: str = "veryfast") -> None:
        """Nothing is opened yet.

        Args:
            path: the file; always an mp4, whatever its name (`out.mp4.part`).
            rate: nominal frames per second of the source; times on its grid are exact. None: unknown.
            crf: quality, 0..51; less is better and larger (x264's default is 23).
            preset: x264's speed against size, `ultrafast` to `veryslow`.
        """
        self.path = path
        self.frames = 0
        chosen = _best_encoder()
        self.encoder = chosen.name
        self._options = chosen.options
        if chosen.name == "libx264":
            self._options = {**chosen.options, "crf": str(crf), "preset": preset}
        self._finest = chosen.finest
        self._rate = rate
        self._open: _Open | None = None
        self._closed = False
        self._first_s = 0.0
        self._last = -1  # stamp of the last picture
        self._lengths: dict[int, int] = {}  # stamp -> ticks, of the pictures that the encoder still holds
        self._reformatter = VideoReformatter()

    def write(self, image: NDArray[np.uint8], time_s: float, duration_s: float | None = None) -> None:
        """Append one picture.

        Args:
            image: (H, W, 3) BGR; another size than the first's is fitted into the first's.
            time_s: when it is shown, on the source's clock; the first picture is the file's second 0.
            duration_s: how long; matters for the last picture, all others last until the next.

        Raises:
            OutputError: the file cannot be written (disk full, no permission), or the writer is closed.
        """
        if self._closed:
            raise OutputError(f"{self.path}: this video is closed")
        try:
            if self._open is None:
                self._first_s = time_s
            opened = self._open or self._start(image.shape[0], image.shape[1])
            self._encode(opened, image, time_s - self._first_s, duration_s)
        except (OSError, av.error.FFmpegError) as error:
            raise self._failed(error) from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file; after this, or after an error, closing again does nothing.

        Raises:
            OutputError: the end of the file cannot be written.
        """
        opened, self._open = self._open, None
        self._closed = True
        if opened is None:
            return
        try:
            self._mux(opened, None)
            opened.container.close()
        except (OSError, av.error.FFmpegError) as error:
            raise self._failed(error, opened) from error

    def _start(self, height: int, width: int) -> _Open:
        """Open the container and the encoder for pictures of this size."""
        container = av.open(f"file:{self.path}", "w", format="mp4", options={"movflags": "+faststart"})
        rate = self._rate or 1 / FALLBACK_S
        stream = container.add_stream(self.encoder, rate=rate, options=self._options)
        assert isinstance(stream, VideoStream)
        ticks = _time_base(self._rate, self._finest)
        matrix = BT709 if height >= HIGH_DEFINITION else BT601
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = ticks
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.colorspace = matrix.code
        stream.codec_context.color_range = LIMITED_RANGE
        self._open = _Open(container, stream, ticks, (height, width), matrix)
        # now, because the encoder gives its first packet only after dozens of pictures
        container.start_encoding()
        return self._open

    def _encode(self, to: _Open, image: NDArray[np.uint8], time_s: float, duration_s: float | None) -> None:
        """One picture into the encoder, and what comes out of it into the file."""
        picture = VideoFrame.from_ndarray(_fitted(image, to.size), format="bgr24")
        picture = self._reformatter.reformat(
            picture, format="yuv420p", dst_colorspace=to.matrix.swscale, dst_color_range=LIMITED_RANGE
        )
        stamp = max(round(time_s / float(to.ticks)), self._last + 1)
        usual = 1 / self._rate if self._rate else FALLBACK_S
        length = float(usual) if duration_s is None else duration_s
        picture.pts, picture.time_base = stamp, to.ticks
        self._lengths[stamp] = max(1, round(length / float(to.ticks)))
        self._last = stamp
        self._mux(to, picture)

    def _mux(self, to: _Open, picture: VideoFrame | None) -> None:
        """Encode and store; without a picture, empty the encoder."""
        for packet in to.stream.encode(picture):
            # the encoder knows no durations; the muxer needs the last one's for the length of the film
            if packet.pts is not None:
                packet.duration = self._lengths.pop(packet.pts, 0)
            to.container.mux(packet)

    def _failed(self, error: Exception, opened: _Open | None = None) -> OutputError:
        """Let go of the file, whose end is now missing, and say why."""
        opened, self._open = opened or self._open, None
        self._closed = True
        if opened is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):  # for the reason that is being reported
                opened.container.close()
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        return OutputError(f"{self.path}: cannot be written ({reason})")


def _best_encoder() -> Encoder:
    """The first encoder that this PyAV was built with; a warning where browsers may not play its files."""
    for encoder in ENCODERS:
        try:
            av.codec.Codec(encoder.name, "w")
        except ValueError:
            continue
        if encoder is not ENCODERS[0]:
            warnings.warn(
                f"no libx264 in this PyAV, so {encoder.name} encodes: pip install --force-reinstall av",
                stacklevel=3,
            )
        return encoder
    raise OutputError("this PyAV has no H.264 or MPEG-4 encoder: pip install --force-reinstall av")


def _time_base(rate: Fraction | None, finest: int) -> Fraction:
    """Seconds a tick: as fine as `finest` allows, and a whole number of ticks a frame at the nominal rate.

    A frame lasts d/n seconds at n/d frames/s, which is k d ticks of 1/(k n) s.
    """
    if rate is None or rate.numerator > finest:
        return Fraction(1, finest)
    return Fraction(1, finest // rate.numerator * rate.numerator)


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` scaled into `size` (H, W), bars around it, then padded to even sides by its own last pixels."""
    height, width = size
    if image.shape[:2] != size:
        scale = min(height / image.shape[0], width / image.shape[1])
        inner = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
        image = np.zeros((height, width, 3), np.uint8)
        image[top : top + inner[1], left : left + inner[0]] = small
    if height % 2 or width % 2:  # yuv420p stores one colour for 2x2 pixels
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
