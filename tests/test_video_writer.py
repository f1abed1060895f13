"""Encoding: what is written is opened again by PyAV and compared."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from films import film, number_of, picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot.errors import OutputError
from mot.video import open_source
from mot.video_writer import ENCODERS, FINEST_TICKS, VideoWriter, _fitted, _time_base

NTSC = [Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)]
RATES = [
    *map(Fraction, (1, 5, 10, 15, 24, 25, 30, 50, 60, 90, 120)),
    *NTSC,
    Fraction(25, 2),
    Fraction(151, 10),
]


class Facts(NamedTuple):
    """What PyAV says about a file."""

    frames: int
    rate: Fraction | None
    seconds: Fraction
    times: list[Fraction]
    codec: str
    pix_fmt: str | None
    size: tuple[int, int]


def facts(path: Path) -> Facts:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        assert stream.duration is not None
        times = [frame.pts * stream.time_base for frame in container.decode(stream) if frame.pts is not None]
        context = stream.codec_context
        return Facts(
            frames=stream.frames,
            rate=stream.average_rate,
            seconds=stream.duration * stream.time_base,
            times=times,
            codec=context.codec.canonical_name,
            pix_fmt=context.pix_fmt,
            size=(context.width, context.height),
        )


def write(
    path: Path,
    images: Sequence[NDArray[np.uint8]],
    times: Sequence[float],
    rate: Fraction | None,
    last_s: float | None = None,
) -> Path:
    writer = VideoWriter(path, rate)
    for image, time_s in zip(images, times, strict=True):
        writer.write(image, time_s, last_s)
    writer.close()
    assert writer.frames == len(images)
    return path


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_constant_rates_come_out_exactly(tmp_path: Path, rate: Fraction, count: int) -> None:
    times = [float(index / rate) for index in range(count)]
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(count)], times, rate, float(1 / rate))
    found = facts(path)
    assert (found.frames, found.rate, found.seconds) == (count, rate, count / rate)
    assert found.times == [index / rate for index in range(count)]
    assert (found.codec, found.pix_fmt, found.size) == ("h264", "yuv420p", (64, 48))
    assert [number_of(frame.image) for frame in open_source(path)] == list(range(count))


def test_a_long_ntsc_film_does_not_drift(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    black = [np.zeros((16, 16, 3), np.uint8)] * 2000
    found = facts(write(tmp_path / "a.mp4", black, [float(i / rate) for i in range(2000)], rate))
    assert (found.rate, found.seconds) == (rate, 2000 / rate)
    assert found.times == [i / rate for i in range(2000)]


@pytest.mark.parametrize(
    "rate", [None, Fraction(30), Fraction(30000, 1001), Fraction(1_145_000, 66_193)], ids=str
)
def test_variable_rate_keeps_every_time_and_the_last_duration(tmp_path: Path, rate: Fraction | None) -> None:
    times = [0, 0.0333, 0.0400, 1.5, 1.5021, 3.0]
    path = write(tmp_path / "v.mp4", [picture(i) for i in range(6)], times, rate, 0.75)
    found = facts(path)
    assert [float(time) for time in found.times] == pytest.approx(times, abs=1e-5)
    assert float(found.seconds) == pytest.approx(3.75, abs=2e-5)
    again = list(open_source(path))
    assert [frame.time_s for frame in again] == pytest.approx(times, abs=2e-5)
    assert again[-1].duration_s == pytest.approx(0.75, abs=1e-4)


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [
        ("mkv", "libx264", NTSC[1]),
        ("mp4", "libx264", Fraction(25)),
        ("avi", "mpeg4", Fraction(10)),
        ("ts", "libx264", NTSC[0]),
    ],
)
def test_a_copy_of_a_film_has_its_rate_length_and_pictures(
    tmp_path: Path, suffix: str, codec: str, rate: Fraction
) -> None:
    source = open_source(film(tmp_path / f"in.{suffix}", 30, rate=rate, codec=codec))
    writer = VideoWriter(tmp_path / "out.mp4.part", source.rate)
    for frame in source:
        assert frame.image is not None
        writer.write(frame.image, frame.time_s, frame.duration_s)
    writer.close()
    found = facts(tmp_path / "out.mp4.part")
    assert (found.frames, found.rate, found.seconds) == (30, rate, 30 / rate)
    assert [number_of(frame.image) for frame in open_source(tmp_path / "out.mp4.part")] == list(range(30))


def test_a_part_that_starts_later_begins_at_zero(tmp_path: Path) -> None:
    times = [10 + index / 25 for index in range(5)]
    found = facts(write(tmp_path / "a.mp4", [picture(i) for i in range(5)], times, Fraction(25)))
    assert found.times == [Fraction(index, 25) for index in range(5)]


def test_times_that_do_not_increase_are_made_to(tmp_path: Path) -> None:
    found = facts(
        write(tmp_path / "a.mp4", [picture(i) for i in range(4)], [0, 0.04, 0.04, 0.01], Fraction(25))
    )
    assert found.frames == 4
    assert all(b > a for a, b in pairwise(found.times))


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (63, 48), (1, 1), (3, 200)])
def test_odd_sizes_are_padded_by_their_own_last_pixels(tmp_path: Path, width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, -1:] = image[-1:] = 255
    path = write(tmp_path / "a.mp4", [image] * 3, [0, 0.1, 0.2], Fraction(10))
    assert facts(path).size == (width + width % 2, height + height % 2)
    decoded = next(iter(open_source(path))).image
    assert decoded is not None
    assert decoded[-1, -1].min() > 180
    assert np.array_equal(_fitted(image, (height, width))[:height, :width], image)


def test_pictures_of_another_size_are_fitted_into_the_first(tmp_path: Path) -> None:
    white = [np.full((*size, 3), 255, np.uint8) for size in ((48, 64), (96, 64), (20, 400), (1, 1))]
    path = write(tmp_path / "a.mp4", white, [0, 0.1, 0.2, 0.3], Fraction(10))
    lit = [frame.image.mean(axis=2) > 128 for frame in open_source(path) if frame.image is not None]
    assert [mask.shape for mask in lit] == [(48, 64)] * 4
    assert [mask.mean() for mask in lit] == pytest.approx([1, 0.5, 3 / 48, 0.75], abs=0.06)
    assert lit[1][:, 20:44].all()
    assert not lit[1][:, :12].any()
    assert not lit[1][:, -12:].any()


@pytest.mark.parametrize("height", [64, 720])
def test_colours_survive_and_are_tagged_for_players(tmp_path: Path, height: int) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (40, 120, 200), (128, 128, 128)]
    images = [np.full((height, 64, 3), colour, np.uint8) for colour in colours]
    path = write(tmp_path / "a.mp4", images, [i / 10 for i in range(5)], Fraction(10))
    for frame, colour in zip(open_source(path), colours, strict=True):
        assert frame.image is not None
        # of 255; limited-range YUV has about 220 steps
        assert np.abs(frame.image.reshape(-1, 3).mean(axis=0) - colour).max() <= 6
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1 if height >= 720 else 6, 1)


def test_it_can_start_to_play_before_it_is_loaded(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4", [picture(0)] * 3, [0, 0.1, 0.2], Fraction(10)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@given(
    numerator=st.integers(1, 200_000),
    denominator=st.integers(1, 2000),
    finest=st.sampled_from([60_000, FINEST_TICKS]),
)
def test_a_tick_divides_a_frame_and_is_fine(numerator: int, denominator: int, finest: int) -> None:
    rate = Fraction(numerator, denominator)
    tick = _time_base(rate, finest)
    assert Fraction(1, finest) <= tick <= Fraction(2, finest)
    if rate.numerator <= finest:
        assert (1 / rate / tick).denominator == 1


# -- encoders -----------------------------------------------------------------------------------------------


def test_without_x264_another_encoder_is_used_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mot.video_writer.ENCODERS", (ENCODERS[0]._replace(name="no_such_encoder"), ENCODERS[-1])
    )
    with pytest.warns(UserWarning, match="mpeg4"):
        writer = VideoWriter(tmp_path / "a.mp4", NTSC[0])
    for index in range(10):
        writer.write(picture(index), float(index / NTSC[0]), float(1 / NTSC[0]))
    writer.close()
    found = facts(tmp_path / "a.mp4")
    assert (found.codec, found.frames, found.rate) == ("mpeg4", 10, NTSC[0])


def test_without_any_encoder_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mot.video_writer.ENCODERS", ())
    with pytest.raises(OutputError, match=r"no H\.264 or MPEG-4 encoder"):
        VideoWriter(tmp_path / "a.mp4", None)


# -- what cannot be written ---------------------------------------------------------------------------------


def test_no_picture_no_file(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "a.mp4", Fraction(25)).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["missing/a.mp4", "."])
def test_a_path_that_cannot_be_opened_fails_at_the_first_picture(tmp_path: Path, name: str) -> None:
    writer = VideoWriter(tmp_path / name, Fraction(25))
    with pytest.raises(OutputError, match="cannot be written") as caught:
        writer.write(picture(0), 0.0)
    assert "\n" not in str(caught.value)
    writer.close()


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", Fraction(25))
    writer.write(picture(0), 0.0)
    writer.close()
    writer.close()
    with pytest.raises(OutputError, match="closed"):
        writer.write(picture(1), 0.04)


DISK_FULL = """
    import resource, sys
    from fractions import Fraction
    from pathlib import Path
    import numpy as np
    from mot.errors import OutputError
    from mot.video_writer import VideoWriter

    limit, count = int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer = VideoWriter(Path(sys.argv[1]), Fraction(25))
    noise = np.random.default_rng(0)
    try:
        for index in range(count):
            writer.write(noise.integers(0, 256, (120, 160, 3), np.uint8), index / 25)
        print("written")
        writer.close()
    except OutputError as error:
        print(error)
    writer.close()
    print("closed")
"""


@pytest.mark.parametrize(
    ("limit", "count", "late"),
    [(1, 2, False), (60_000, 200, False), (20_000, 5, True)],
    ids=["header", "middle", "end"],
)
def test_a_full_disk_is_an_error_that_names_the_file(
    tmp_path: Path, limit: int, count: int, late: bool
) -> None:
    path = tmp_path / "out.mp4.part"
    command: list[Any] = [sys.executable, "-c", textwrap.dedent(DISK_FULL), path, limit, count]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:-2] == (["written"] if late else [])
    assert lines[-2:] == [f"{path}: cannot be written (File too large)", "closed"]


# -- the real one -------------------------------------------------------------------------------------------


@pytest.mark.data
def test_vtest_is_copied_exactly(shared_data: Path, tmp_path: Path) -> None:
    source = open_source(shared_data / "video" / "vtest.avi")
    writer = VideoWriter(tmp_path / "a.mp4", source.rate, preset="ultrafast")
    for frame in source:
        assert frame.image is not None
        writer.write(frame.image[::4, ::4], frame.time_s, frame.duration_s)
    writer.close()
    found = facts(tmp_path / "a.mp4")
    assert (found.frames, found.rate, found.seconds) == (795, Fraction(10), Fraction(159, 2))
    assert found.times == [Fraction(index, 10) for index in range(795)]
