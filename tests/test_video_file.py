"""Decoding: counts, times, orientation and damage, on real files."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from films import TICKS, cut, film, noise, number_of, packets, picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot.structures import Frame
from mot.video import open_source
from mot.video_clock import Clock, tidy_rate
from mot.video_file import upright

RATES = [
    Fraction(10),
    Fraction(25),
    Fraction(30),
    Fraction(60),
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60)),
]
CONTAINERS = ["mp4", "mkv", "avi", "ts", "mov"]
FASTSTART = {"movflags": "faststart"}


def frames_of(path: Path) -> list[Frame]:
    return list(open_source(path))


def times(frames: list[Frame]) -> list[float]:
    return [frame.time_s for frame in frames]


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_frame_comes_once_in_order_at_its_exact_time(
    tmp_path: Path, suffix: str, rate: Fraction
) -> None:
    source = open_source(film(tmp_path / f"a film.{suffix}", 20, rate=rate))
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == list(range(20))
    assert [frame.index for frame in frames] == list(range(1, 21))
    assert (source.rate, source.frame_count, source.lost) == (rate, 20, 0)
    assert (source.name, source.live, source.path) == ("a film", False, tmp_path / f"a film.{suffix}")
    assert times(frames) == pytest.approx([float(i / rate) for i in range(20)], abs=1 / TICKS)
    assert [frame.duration_s for frame in frames] == pytest.approx([float(1 / rate)] * 20, abs=1.1e-3)


def test_matroska_milliseconds_are_put_back_on_the_grid(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    frames = frames_of(film(tmp_path / "a.mkv", 40, rate=rate))
    assert times(frames) == [float(i / rate) for i in range(40)]


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "libx264"])
def test_avi_frames_are_evenly_spaced_although_avi_has_no_time_of_display(tmp_path: Path, codec: str) -> None:
    frames = frames_of(film(tmp_path / "a.avi", 20, codec=codec))
    assert [number_of(frame.image) for frame in frames] == list(range(20))
    assert times(frames) == pytest.approx([i / 25 for i in range(20)])


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_variable_rate_times_are_the_files_own(tmp_path: Path, suffix: str) -> None:
    stamps = [0, 3000, 3600, 12000, 12500, 90000, 93000]
    frames = frames_of(film(tmp_path / f"v.{suffix}", 7, stamps=stamps, options={"bf": "0"}))
    assert times(frames) == pytest.approx([stamp / TICKS for stamp in stamps], abs=1 / TICKS)
    gaps = [b - a for a, b in pairwise(times(frames))]
    assert [frame.duration_s for frame in frames[:-1]] == pytest.approx(gaps)


def test_variable_rate_matroska_keeps_its_times_to_the_millisecond_and_loses_nothing(tmp_path: Path) -> None:
    stamps = [0, 3000, 3600, 12000, 12500, 90000, 93000]
    source = open_source(film(tmp_path / "v.mkv", 7, stamps=stamps))
    assert times(list(source)) == pytest.approx([stamp / TICKS for stamp in stamps], abs=1.6e-3)
    assert source.lost == 0


def test_raw_h264_without_stamps_is_paced_by_the_nominal_rate(tmp_path: Path) -> None:
    source = open_source(film(tmp_path / "a.h264", 12))
    assert times(list(source)) == pytest.approx([i / 25 for i in range(12)])
    assert (source.frame_count, source.lost) == (None, 0)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    (frame,) = frames_of(film(tmp_path / "one.mp4", 1, rate=Fraction(10)))
    assert (frame.index, frame.time_s) == (1, 0.0)
    assert frame.duration_s == pytest.approx(0.1)


def test_pictures_are_not_overwritten_by_later_ones(tmp_path: Path) -> None:
    frames = frames_of(film(tmp_path / "a.mp4", 60))
    assert [number_of(frame.image) for frame in frames] == list(range(60))
    assert all(f.image is not None and f.image.flags.c_contiguous and f.image.flags.writeable for f in frames)


def test_a_file_can_be_iterated_again_and_closed_in_between(tmp_path: Path) -> None:
    source = open_source(film(tmp_path / "a.mp4", 5))
    assert [len(list(source)), len(list(source))] == [5, 5]
    source.close()
    assert len(list(source)) == 5


def test_the_file_is_closed_when_the_iteration_is_abandoned(tmp_path: Path, monkeypatch: Any) -> None:
    path = film(tmp_path / "a.mp4", 5)
    opened = []
    real = av.open

    def spy(*args: Any, **kwargs: Any) -> Any:
        opened.append(real(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr("mot.video_file.av.open", spy)
    frames = iter(open_source(path))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="not open"):
        next(opened[0].demux())


# -- orientation --------------------------------------------------------------------------------------------


QUARTERS = {  # degrees clockwise that a player turns the stored picture -> (a, b, c, d) of the display matrix
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the display matrix into the mp4's track header, as phones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", data, start, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("degrees", QUARTERS)
def test_phone_videos_come_upright(tmp_path: Path, degrees: int) -> None:
    path = turned(film(tmp_path / "phone.mp4", 3, draw=lambda *_: quadrants()), *QUARTERS[degrees])
    image = frames_of(path)[0].image
    expected = np.rot90(quadrants(), -degrees // 90)
    assert image is not None
    assert image.shape == expected.shape
    assert image.flags.c_contiguous
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(image[inner].astype(int) - expected[inner]).mean() < 8


def quadrants() -> NDArray[np.uint8]:
    """Four greys, so that every turn and mirror image looks different."""
    greys = np.array([[0, 80], [160, 240]], np.uint8).repeat(24, axis=0).repeat(32, axis=1)
    return np.stack([greys] * 3, axis=-1)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)], ids=str)
def test_upright_moves_every_pixel_where_the_matrix_says(swap: bool, signs: tuple[int, int]) -> None:
    a, b, c, d = (0, signs[1], signs[0], 0) if swap else (signs[0], 0, 0, signs[1])
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    expected = np.zeros((3, 2, 3) if swap else (2, 3, 3), np.uint8)
    height, width = expected.shape[:2]
    for y, x in product(range(2), range(3)):
        row, column = b * x + d * y, a * x + c * y
        expected[row + (height - 1) * (b + d < 0), column + (width - 1) * (a + c < 0)] = image[y, x]
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32) * 65536
    assert np.array_equal(upright(image, matrix), expected)


# -- damage -------------------------------------------------------------------------------------------------

CUT = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("mkv", "libx264"),
    ("avi", "mpeg4"),
    ("avi", "mjpeg"),
    ("webm", "libvpx"),
]


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize(("suffix", "codec"), CUT)
def test_a_cut_file_gives_what_is_there_and_counts_the_rest(
    tmp_path: Path, suffix: str, codec: str, share: float
) -> None:
    muxer = FASTSTART if suffix == "mp4" else {}
    whole = film(tmp_path / f"a.{suffix}", 40, codec=codec, draw=noise, muxer=muxer, options={"g": "10"})
    there = sum(position + size <= whole.stat().st_size * share for position, size in packets(whole))
    source = open_source(cut(whole, share))
    frames = list(source)
    # one more where half a packet will do; fewer where B-frames lack the frame after them
    assert there - 2 <= len(frames) <= there + 1
    assert 3 <= len(frames) < 40
    assert source.frame_count == 40
    assert source.lost == 40 - len(frames)


def test_a_cut_transport_stream_claims_nothing(tmp_path: Path) -> None:
    source = open_source(cut(film(tmp_path / "a.ts", 40, draw=noise), 0.5))
    assert 10 < len(list(source)) < 30
    assert source.lost == 0


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mjpeg"), ("mp4", "mpeg4")]
)
def test_a_damaged_packet_in_the_middle_costs_its_frame_only(tmp_path: Path, suffix: str, codec: str) -> None:
    path = film(tmp_path / f"a.{suffix}", 40, codec=codec, draw=noise, options={"g": "10"})
    position, size = packets(path)[15]
    data = bytearray(path.read_bytes())
    data[position + 4 : position + size] = bytes(byte ^ 0x5A for byte in data[position + 4 : position + size])
    path.write_bytes(data)
    source = open_source(path)
    frames = list(source)
    assert (len(frames), source.lost) == (39, 1)
    assert all(b > a for a, b in pairwise(times(frames)))
    assert times(frames)[-1] == pytest.approx(39 / 25)


@pytest.mark.parametrize("damaged", [17, 18, 19])
def test_damage_at_the_end_costs_no_frame_that_other_threads_hold(tmp_path: Path, damaged: int) -> None:
    path = film(tmp_path / "a.mp4", 20, draw=noise, options={"bf": "0"})
    position, size = packets(path)[damaged]
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    source = open_source(path)
    assert len(list(source)) == 19
    assert source.lost == 1


def test_a_single_frame_before_the_cut_is_enough(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 3, draw=noise, options={"bf": "0"}, muxer=FASTSTART)
    position, size = packets(path)[1]
    (tmp_path / "b.mp4").write_bytes(path.read_bytes()[: position + size // 2])
    source = open_source(tmp_path / "b.mp4")
    assert [frame.index for frame in source] == [1]
    assert source.lost == 2


def test_frames_that_an_edit_list_cuts_away_are_not_lost(tmp_path: Path) -> None:
    stamps = [3600 * (index - 5) for index in range(20)]
    source = open_source(film(tmp_path / "trimmed.mp4", 20, stamps=stamps, options={"bf": "0", "g": "30"}))
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == list(range(5, 20))
    assert source.lost == 0


@pytest.mark.parametrize("suffix", ["mkv", "flv", "mp4"])
def test_sound_that_outlasts_the_picture_is_no_loss(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sound.{suffix}"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), format="bgr24")))
        container.mux(video.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    source = open_source(path)
    assert len(list(source)) == 10
    assert source.lost == 0


# -- times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([100, 140, 180], [0, 0.04, 0.08]),
        ([0, 40, 40, 80], [0, 0.04, 0.05, 0.08]),  # one stamp twice
        ([0, 40, 20, 80], [0, 0.04, 0.05, 0.08]),  # one step back
        ([9000, 9040, 0, 40], [0, 0.04, 0.08, 0.12]),  # the clock was set back
        ([None, None, None], [0, 0.04, 0.08]),
        ([0, None, 80], [0, 0.04, 0.08]),
        ([None, None, 500, 540], [0, 0.04, 0.08, 0.12]),
        ([0, 5000], [0, 5]),  # a real pause
    ],
)
def test_the_clock_goes_forward_whatever_the_stamps_do(
    stamps: list[int | None], expected: list[float]
) -> None:
    clock = Clock(Fraction(1, 1000), Fraction(25))
    assert [clock(stamp) for stamp in stamps] == pytest.approx(expected)


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=60), st.sampled_from([None, *RATES]))
def test_the_clock_starts_at_zero_and_always_increases(
    stamps: list[int | None], rate: Fraction | None
) -> None:
    clock = Clock(Fraction(1, 1000), rate)
    seconds = [clock(stamp) for stamp in stamps]
    assert seconds[:1] in ([], [0.0])
    assert all(b > a for a, b in pairwise(seconds))


@pytest.mark.parametrize(
    ("rate", "tidy"),
    [
        (Fraction(19001, 317), Fraction(60000, 1001)),
        (Fraction(10_000_000, 333_333), Fraction(30)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (Fraction(25), Fraction(25)),
        (Fraction(1, 10), Fraction(1, 10)),
        (Fraction(151, 10), Fraction(151, 10)),
    ],
    ids=str,
)
def test_rates_that_rounding_bent_are_made_straight(rate: Fraction, tidy: Fraction) -> None:
    assert tidy_rate(rate) == tidy


# -- the real one -------------------------------------------------------------------------------------------


@pytest.mark.data
def test_vtest(shared_data: Path) -> None:
    source = open_source(shared_data / "video" / "vtest.avi")
    seconds = []
    for frame in source:
        assert frame.image is not None
        assert frame.image.shape == (576, 768, 3)
        assert frame.duration_s == pytest.approx(0.1)
        seconds.append(frame.time_s)
    assert seconds == [index / 10 for index in range(795)]
    assert (source.name, source.frame_count, source.lost) == ("vtest", 795, 0)
    assert source.rate == 10
