"""Video files and streams, decoded by PyAV: real time stamps, upright pictures, damage passed over.

What a player does and a bare decode loop does not:
    - pictures are turned and mirrored as the file's display matrix says (phones film sideways);
    - `time_s` follows the file's stamps, variable frame rate included, and always increases;
    - packets that do not decode are skipped, and those missing at the end of a cut file are counted as lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import dropwhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mot.errors import SourceError
from mot.structures import Frame
from mot.video_clock import Clock, tidy_rate

LIVE_SCHEMES = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "mms"))
UNTIMED = frozenset(("mpjpeg", "mjpeg", "h264", "hevc"))  # for these FFmpeg makes up stamps, 25 a second
ANSWER_S = 10.0  # seconds a network stream may stay silent, when opened and between two packets
# RTSP over UDP, FFmpeg's first choice, loses packets silently on any busy network
OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}, "rtsps": {"rtsp_transport": "tcp"}}
LONGEST_REORDER = 16  # pictures that H.264 and HEVC may hold back for those shown before them
# these containers write their duration into the header; elsewhere FFmpeg guesses it from what is there
DURATION_IN_HEADER = ("matroska", "flv", "asf")


class VideoSource:
    """A video file, or one connection to a network stream: a `mot.video.Source` and a `mot.stream.Connection`.

    `label` is what messages call it, without a password.
    """

    def __init__(self, spec: Path | str, name: str, rate: Fraction | None = None) -> None:
        self.path = spec if isinstance(spec, Path) else None
        self.name = name
        self.lost = 0
        self._url = spec if isinstance(spec, str) else f"file:{spec}"  # else `a:b.mp4` would be protocol `a`
        self.label = str(spec) if self.path else _without_password(self._url)
        self._scheme = urlsplit(self._url).scheme
        self.live = self._scheme in LIVE_SCHEMES
        self._container: InputContainer | None = self._open()
        try:
            stream = self._stream(self._container)
            self.live = self.live or (self.path is None and _endless(self._container, stream))
            untimed = self.live and self._container.format.name in UNTIMED
            self.rate = rate if untimed else _nominal_rate(stream) or rate
            self.waited_s: float | None = None if untimed else 0.0
            self.frame_count = None if self.live else _claimed_frames(self._container, stream, self.rate)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order shown; a file can be iterated again.

        Raises:
            SourceError: not one frame decodes, or a network stream breaks off.
        """
        container = self._container or self._open()
        self._container, self.lost = None, 0
        with container:
            run = _Run(container, self._stream(container), self.rate, self._open)
            try:
                yield from self._frames(run)
            except av.error.FFmpegError as error:
                raise SourceError(
                    f"{self.label}: broke off after {run.shown} frames: {_reason(error)}"
                ) from None
            self.lost = run.lost()
        if run.shown == 0:
            raise SourceError(f"{self.label}: no frame could be decoded")

    def close(self) -> None:
        """Close what was opened and not iterated; an iteration closes its own file."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _frames(self, run: _Run) -> Iterator[Frame]:
        """Frames with their durations; in a file the next one's time says how long a frame is shown."""
        held: Frame | None = None
        for index, (picture, time_s) in enumerate(run.timed(), start=1):
            image = run.to_bgr(picture)
            duration = run.own_duration(picture)
            frame = Frame(image=image, index=index, time_s=time_s, source=self.name, duration_s=duration)
            if self.live:  # holding a frame back would add its duration to the delay
                if index == 1 and self.waited_s is not None:
                    self.waited_s = run.waited()
                yield frame
                continue
            if held is not None:
                yield replace(held, duration_s=time_s - held.time_s)
            held = frame
        if held is not None:
            yield replace(held, duration_s=run.last_duration(held))

    def _open(self) -> InputContainer:
        """The container, opened; errors in one line."""
        timeout = None if self.path else ANSWER_S
        try:
            return av.open(self._url, timeout=timeout, options=OPTIONS.get(self._scheme, {}))
        except (OSError, ValueError, av.error.FFmpegError) as error:
            raise SourceError(f"{self.label}: {_reason(error)}") from None

    def _stream(self, container: InputContainer) -> VideoStream:
        """The first video stream, decoded on all cores."""
        # FFmpeg renders any text file as a film of a terminal, a det.txt given by mistake too
        if container.format.name == "tty":
            raise SourceError(f"{self.label}: a text file, not a video")
        if not container.streams.video:
            raise SourceError(f"{self.label}: no video stream in this file")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise SourceError(f"{self.label}: this build of PyAV has no decoder for the video in it")
        # by frames is faster, but then each thread holds one back, and a live one would be so much older
        stream.thread_type = "SLICE" if self.live else "AUTO"
        return stream


@dataclass
class _Run:
    """One pass over a file: what was read, shown and missed so far."""

    container: InputContainer
    stream: VideoStream
    rate: Fraction | None
    reopen: Callable[[], InputContainer]
    sent: int = 0  # packets handed to the decoder that should each give a picture
    silent: int = 0  # packets that rightly give none: cut away by an edit list, or `as before`
    damaged: int = 0
    shown: int = 0
    last: int | None = None  # stamp of the last picture shown
    last_length: int = 0
    matrix: NDArray[np.int32] | None = None  # by which pictures are turned and mirrored

    def __post_init__(self) -> None:
        """Choose the stamps: AVI has no time of display, its decoding times in order serve as such."""
        assert self.stream.time_base is not None
        self.time_base: Fraction = self.stream.time_base
        self.is_file = self.container.name.startswith("file:")
        self.decoding_times = self.container.format.name == "avi"
        self.reformatter = VideoReformatter()  # one for all: PyAV makes a new one for each picture, 3x slower
        self.clock = Clock(self.time_base, self.rate)

    def timed(self) -> Iterator[tuple[VideoFrame, float]]:
        """Every picture that decodes, in the order shown, with its seconds since the first."""
        for picture in self.pictures():
            self.shown += 1
            self.last = self.stamp(picture)
            self.last_length = picture.duration or 0
            yield picture, self.clock(self.last)

    def pictures(self) -> Iterator[VideoFrame]:
        """What the decoder gives, and then what it withheld."""
        yield from self.decoded()
        # a damaged packet at the very end makes FFmpeg drop what its other threads had in work
        if self.is_file and self.shown < self.sent and (self.last is not None or not self.shown):
            yield from self.after(self.last)

    def decoded(self) -> Iterator[VideoFrame]:
        """The pictures of all packets."""
        return (picture for packet in self.packets() for picture in self.decode(packet))

    def packets(self) -> Iterator[Any]:
        """Packets, then None to empty the decoder; reading ends at the second error in a row."""
        failed = False
        while True:
            try:
                for packet in self.container.demux(self.stream):
                    failed = False
                    wanted = packet.size > 0 and not packet.is_discard
                    self.sent += wanted
                    self.silent += not wanted and packet.dts is not None
                    if packet.size > 0:  # an empty one would end the decoding
                        yield packet
                break
            except av.error.FFmpegError as error:
                if not self.is_file and not isinstance(error, av.error.InvalidDataError):
                    raise
                if failed or isinstance(error, OSError):
                    break
                failed = True
        yield None

    def decode(self, packet: Any) -> list[VideoFrame]:
        """The pictures that one packet completes; none if it is damaged."""
        try:
            return self.stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            self.damaged += 1
            return []

    def after(self, last: int | None) -> Iterator[VideoFrame]:
        """Decode the end once more, in one thread: the pictures later than `last`; None: all pictures."""
        with self.reopen() as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            again = _Run(container, stream, self.rate, self.reopen)
            if last is None:
                yield from again.decoded()
                return
            try:
                container.seek(last, stream=stream)
            except av.error.FFmpegError:
                return
            yield from dropwhile(lambda picture: (again.stamp(picture) or last) <= last, again.decoded())

    def stamp(self, picture: VideoFrame) -> int | None:
        """Time of display in units of the time base; None where the file does not say."""
        return picture.dts if self.decoding_times else picture.pts

    def waited(self) -> float:
        """Seconds from the stream's first stamp to that of the first picture; 0 where they do not say."""
        start, first = self.stream.start_time, self.clock.first
        return 0.0 if start is None or first is None else max(0.0, float(first - start * self.time_base))

    def to_bgr(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) BGR as a player shows it, in memory of its own."""
        image = np.asarray(self.reformatter.reformat(picture, format="bgr24").to_ndarray(), np.uint8)
        if picture.key_frame or self.shown == 1:  # not of all: one that was asked is kept until gc runs
            matrix: Any = picture.side_data.get("DISPLAYMATRIX")
            self.matrix = None if matrix is None else np.frombuffer(matrix, np.int32).copy()
        return image if self.matrix is None else upright(image, self.matrix)

    def own_duration(self, picture: VideoFrame) -> float | None:
        """Seconds, as the packet says, else by the nominal rate."""
        if picture.duration:
            return float(self.clock.length(picture.duration * self.time_base))
        return float(1 / self.rate) if self.rate else None

    def last_duration(self, frame: Frame) -> float | None:
        """The last frame is shown to the stream's end, where the file knows it and was not cut."""
        stream = self.stream
        if stream.duration is None or self.decoding_times or self.silent or self.lost():
            return frame.duration_s
        rest = float(self.clock.length(stream.duration * self.time_base - Fraction(frame.time_s)))
        usual = frame.duration_s or 0.0
        return rest if usual / 2 < rest < 10 * usual else frame.duration_s

    def lost(self) -> int:
        """Frames that the file claims and that were not shown; 0 where it claims nothing."""
        exact = _exact_frames(self.stream)
        if exact:
            return max(0, exact - self.silent - self.shown)
        evidence = self.damaged + self._cut_away()
        claimed = _claimed_frames(self.container, self.stream, self.rate) or 0
        missing = claimed - self.shown
        # at a variable rate the claim is but an average; near the cut the count also knows of gaps
        return missing if evidence and 0 < missing <= evidence + LONGEST_REORDER else evidence

    def _cut_away(self) -> int:
        """Frames between the last one shown and the end that the header promises."""
        promised = _promised_end(self.container, self.stream)
        if promised is None or self.last is None or self.rate is None:
            return 0
        # the header may mean the longest stream, and sound often outlasts the picture
        slack = 1 if len(self.container.streams) > 1 else 0
        end = (self.last + self.last_length) * self.time_base + slack
        return max(0, round((promised - end) * self.rate))


def upright(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """`image` turned and mirrored by a display matrix (9 numbers by rows, the first two columns 16.16).

    x' = a x + c y,  y' = b x + d y   with (a, b; c, d) the matrix's upper left; only quarter turns count.
    """
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    swapped = abs(b) > abs(a)
    flip_x, flip_y = (c < 0, b < 0) if swapped else (a < 0, d < 0)
    turned = image.transpose(1, 0, 2) if swapped else image
    return np.ascontiguousarray(turned[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _nominal_rate(stream: VideoStream) -> Fraction | None:
    """Frames per second that the stream names, or that FFmpeg worked out."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= 1000:
            return tidy_rate(rate)
    return None


def _exact_frames(stream: VideoStream) -> int:
    """The number of frames that the container's tables or tags name; 0 if they do not."""
    tag = _tag(stream, "NUMBER_OF_FRAMES")
    return stream.frames or (int(tag) if tag.isdecimal() else 0)


def _claimed_frames(container: InputContainer, stream: VideoStream, rate: Fraction | None) -> int | None:
    """The number of frames that the file says it has, else its duration times its rate."""
    exact = _exact_frames(stream)
    if exact:
        return exact
    seconds = _promised_end(container, stream)
    if stream.time_base is not None and stream.duration is not None:
        seconds = stream.duration * stream.time_base
    elif stream.time_base is not None and seconds is not None:
        seconds -= (stream.start_time or 0) * stream.time_base
    return round(seconds * rate) or None if rate and seconds else None


def _promised_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The end of the video by the file's clock, where its header says it; None where it would be a guess."""
    if not container.format.name.startswith(DURATION_IN_HEADER):
        return None
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", _tag(stream, "DURATION"))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])
    if container.duration is None:
        return None
    return Fraction(container.duration, av.time_base)


def _endless(container: InputContainer, stream: VideoStream) -> bool:
    """Whether nothing tells how long a stream is, a playlist's own size aside: a camera, whatever the protocol."""
    sized = container.size > 0 and not container.format.name.startswith("hls")
    return not (sized or container.duration or stream.duration or _exact_frames(stream))


def _tag(stream: VideoStream, name: str) -> str:
    """A stream's tag, also with the language that mkvmerge adds: `NUMBER_OF_FRAMES-eng`."""
    return next((text for key, text in stream.metadata.items() if key.partition("-")[0] == name), "")


def _without_password(url: str) -> str:
    """The URL as it may be printed."""
    return re.sub(r"//[^/@]*@", "//", url)


def _reason(error: Exception) -> str:
    """What went wrong, for people."""
    if isinstance(error, av.error.InvalidDataError):
        return "not a video, or a video cut off before its index"
    if isinstance(error, av.error.ExitError):
        return f"no answer within {ANSWER_S:g} s"
    return " ".join(str(getattr(error, "strerror", None) or error).split())
