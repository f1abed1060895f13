"""Small real videos for the tests, written by PyAV, and numbered so that every frame can be recognised."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48
TICKS = 90_000


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Eight vertical bars, white where `number` has a bit: survives any lossy codec."""
    bits = [255 * (number >> bit & 1) for bit in range(8)]
    row = np.array(bits, np.uint8)[np.arange(width) * 8 // width]
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def number_of(image: NDArray[np.uint8] | None) -> int:
    """The number that `picture` drew."""
    assert image is not None
    bars = np.array_split(image.mean(axis=(0, 2)), 8)
    return sum(1 << bit for bit, bar in enumerate(bars) if bar[len(bar) // 2] > 127)


def noise(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Large to encode, so that a file's frames make up most of its bytes."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def film(
    path: Path,
    count: int = 20,
    *,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    stamps: Sequence[int] | None = None,  # in 1/90000 s
    draw: Any = picture,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    pixels: str | None = None,  # FFmpeg's name of the pixel format
) -> Path:
    """Write a video of `count` frames; the container follows from the suffix."""
    with av.open(f"file:{path}", "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixels or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        if stamps is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(draw(index, *size), format="bgr24")
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = 1 / rate if stamps is None else Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, int]]:
    """(position, size) in the file of every video packet."""
    with av.open(f"file:{path}") as container:
        return [(p.pos or 0, p.size) for p in container.demux(container.streams.video[0]) if p.size]


def cut(path: Path, share: float) -> Path:
    """A copy cut off after `share` of its bytes."""
    data = path.read_bytes()
    short = path.with_name(f"cut_{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short
