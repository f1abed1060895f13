"""Which source a name means, images, cameras, and what cannot be opened."""

from __future__ import annotations

import functools
import http.server
import itertools
import re
import struct
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from films import cut, film, noise, number_of, packets, picture

from mot.errors import SourceError
from mot.video import CameraSource, ImageSource, Source, open_source
from mot.video_file import VideoSource


def save(path: Path, number: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """One image file that shows `number`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    good, data = cv2.imencode(path.suffix, picture(number, *size))
    assert good
    path.write_bytes(data.tobytes())
    return path


def numbers(source: Source) -> list[int]:
    return [number_of(frame.image) for frame in source]


# -- images -------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order_at_30_frames_a_second(tmp_path: Path) -> None:
    for number in (1, 2, 10, 11, 100):
        save(tmp_path / "my images" / f"frame {number}.png", number)
    source = open_source(str(tmp_path / "my images"))
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == [1, 2, 10, 11, 100]
    assert [frame.index for frame in frames] == [1, 2, 3, 4, 5]
    assert [frame.time_s for frame in frames] == [index / 30 for index in range(5)]
    assert {frame.duration_s for frame in frames} == {1 / 30}
    assert (source.name, source.frame_count, source.live, source.lost) == ("my images", 5, False, 0)
    assert (source.rate, source.path) == (Fraction(30), tmp_path / "my images")


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".png", ".bmp", ".tif", ".tiff", ".webp"])
def test_every_image_format_is_read(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"größe 图{suffix}", 5)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / f"._größe{suffix}").write_bytes(b"what macOS leaves behind")
    assert numbers(open_source(tmp_path)) == [5]


def test_images_may_differ_in_size_depth_and_colour(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1, (64, 48))
    save(tmp_path / "2.png", 2, (33, 21))
    cv2.imwrite(str(tmp_path / "3.png"), np.full((10, 12), 40_000, np.uint16))
    cv2.imwrite(str(tmp_path / "4.png"), np.zeros((10, 12, 4), np.uint8))
    shapes = [frame.image.shape for frame in open_source(tmp_path) if frame.image is not None]
    assert shapes == [(48, 64, 3), (21, 33, 3), (10, 12, 3), (10, 12, 3)]


@pytest.mark.parametrize(
    ("fps", "rate"), [(5, Fraction(5)), (29.97, Fraction(30000, 1001)), (0.5, Fraction(1, 2))]
)
def test_the_callers_rate_wins(tmp_path: Path, fps: float, rate: Fraction) -> None:
    save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "seqinfo.ini").write_text("[Sequence]\nframeRate=14\n")
    assert open_source(tmp_path / "a", fps=fps).rate == rate


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e6])
def test_impossible_rates_are_refused(tmp_path: Path, fps: float) -> None:
    save(tmp_path / "1.png")
    with pytest.raises(SourceError, match="fps: expected"):
        open_source(tmp_path, fps=fps)


@pytest.mark.parametrize("spec", ["MOT17-09", "MOT17-09/img1", "MOT17-09/img1/*.jpg"])
def test_a_mot_sequence_gives_its_name_and_rate(tmp_path: Path, spec: str) -> None:
    save(tmp_path / "MOT17-09" / "img1" / "000001.jpg", 1)
    save(tmp_path / "MOT17-09" / "img1" / "000002.jpg", 2)
    (tmp_path / "MOT17-09" / "seqinfo.ini").write_text("[Sequence]\nname=MOT17-09\nframeRate=14\n")
    source = open_source(f"{tmp_path}/{spec}")
    assert (source.name, source.rate) == ("MOT17-09", Fraction(14))
    assert numbers(source) == [1, 2]


def test_a_broken_seqinfo_is_named(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=fast\n")
    assert "seqinfo.ini" in error_of(tmp_path)


def test_a_glob_takes_what_matches_and_is_named_by_its_folder(tmp_path: Path) -> None:
    for name, number in (("a_2.png", 2), ("a_10.png", 10), ("b_1.png", 1)):
        save(tmp_path / "imgs" / name, number)
    source = open_source(f"{tmp_path}/imgs/a_*.png")
    assert source.name == "imgs"
    assert numbers(source) == [2, 10]
    assert numbers(open_source(f"{tmp_path}/**/*.png")) == [2, 10, 1]


def test_an_existing_name_with_brackets_is_a_name_and_no_pattern(tmp_path: Path) -> None:
    film(tmp_path / "clip [1].mp4", 3)
    assert numbers(open_source(f"{tmp_path}/clip [1].mp4")) == [0, 1, 2]


@pytest.mark.parametrize("name", ["12:30 clip.mp4", "größe 图.mp4", "100%d.mp4", "-x.mp4"])
def test_odd_file_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / name, 3)
    monkeypatch.chdir(tmp_path)
    source = open_source(name)
    assert numbers(source) == [0, 1, 2]
    assert source.name == name.removesuffix(".mp4")


def test_one_image_is_a_source_of_one_frame(tmp_path: Path) -> None:
    source = open_source(save(tmp_path / "photo.jpg", 9))
    assert isinstance(source, ImageSource)
    assert (source.name, source.frame_count) == ("photo", 1)
    assert numbers(source) == [9]


EXIF_UPRIGHT = {  # orientation tag -> how to turn the stored picture
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    6: lambda image: np.rot90(image, -1),
    8: lambda image: np.rot90(image, 1),
}


def exif(orientation: int) -> bytes:
    """An APP1 segment with nothing but the orientation: TIFF header, one entry of type SHORT."""
    tiff = struct.pack("<2sHI H HHIHH I", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("orientation", EXIF_UPRIGHT)
def test_photos_come_upright(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 255
    _, data = cv2.imencode(".jpg", stored)
    plain = data.tobytes()
    (tmp_path / "a.jpg").write_bytes(plain[:2] + exif(orientation) + plain[2:])
    (frame,) = open_source(tmp_path)
    expected = EXIF_UPRIGHT[orientation](stored)
    assert frame.image is not None
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 5


# -- cameras ------------------------------------------------------------------------------------------------


class FakeCapture:
    """A camera that gives three pictures."""

    def __init__(self, fps: float = 30.0, opened: bool = True, count: int = 3) -> None:
        self.fps, self.opened, self.left, self.released = fps, opened, count, False

    def isOpened(self) -> bool:
        return self.opened

    def get(self, _: int) -> float:
        return self.fps

    def set(self, _: int, value: float) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, picture(self.left)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize("spec", [0, "0"])
def test_a_camera_is_a_source_that_lasts(spec: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = [FakeCapture(count=2), FakeCapture(opened=False), FakeCapture(count=0), FakeCapture(count=9)]
    opened = iter(captures)
    monkeypatch.setattr("mot.video._open_capture", lambda index: next(opened))
    monkeypatch.setattr("mot.stream.FIRST_WAIT_S", 0.05)
    source = open_source(spec)
    assert (source.name, source.live, source.path, source.frame_count) == ("camera0", True, None, None)
    frames = list(itertools.islice(source, 5))
    assert [number_of(frame.image) for frame in frames] == [1, 0, 8, 7, 6]
    # 0.05, 0.1 and 0.2 s were waited, at 30 frames per second
    assert frames[2].time_s - frames[1].time_s >= 0.35
    assert frames[2].index - frames[1].index == round((frames[2].time_s - frames[1].time_s) * 30) > 10
    assert source.lost == frames[2].index - 3
    assert all(capture.released for capture in captures if capture.opened)


def test_a_camera_is_live_and_timed_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture()
    monkeypatch.setattr("mot.video._open_capture", lambda index: capture)
    ticks = iter((100.0, 100.5, 100.75, 101.0))
    monkeypatch.setattr("mot.video.time.monotonic", lambda: next(ticks))
    source = CameraSource(0)
    frames = list(source)
    assert [(frame.index, frame.time_s, frame.duration_s) for frame in frames] == [
        (1, 0.0, None),
        (2, 0.5, None),
        (3, 0.75, None),
    ]
    assert capture.released


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(30.0, Fraction(30)), (29.97, Fraction(30000, 1001)), (0.0, None), (-1.0, None), (1e5, None)],
)
def test_a_cameras_rate_is_believed_only_if_sane(
    fps: float, rate: Fraction | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mot.video._open_capture", lambda index: FakeCapture(fps))
    assert open_source(1).rate == rate


def test_a_camera_is_given_back_when_the_loop_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture()
    monkeypatch.setattr("mot.video._open_capture", lambda index: capture)
    frames: Any = iter(open_source(0))
    next(frames)
    frames.close()
    assert capture.released


def test_a_camera_that_is_not_used_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture()
    monkeypatch.setattr("mot.video._open_capture", lambda index: capture)
    source = open_source(0)
    source.close()
    assert capture.released
    assert list(source) == []


def test_a_camera_that_is_not_there_and_one_that_gives_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of(97).startswith("camera 97: cannot be opened; ")
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr("mot.video._open_capture", lambda index: FakeCapture(count=0))
    assert error_of(0).startswith("camera0: opened, but gave no picture")


# -- what cannot be read ------------------------------------------------------------------------------------


def error_of(spec: str | int | Path) -> str:
    """The one line that opening or reading `spec` fails with."""
    with pytest.raises(SourceError) as caught:
        list(open_source(spec))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    film(tmp_path / "street.mp4", 1)
    assert error_of(tmp_path / "stret.mp4").endswith("did you mean 'street.mp4'?")
    assert error_of(tmp_path / "qqqqqqqqqqq").endswith("no such file or folder")
    assert "no folder" in error_of(tmp_path / "nowhere" / "street.mp4")


def test_a_folder_and_a_glob_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty: no images in this folder" in error_of(tmp_path / "empty")
    assert "*.jpg: no image matches" in error_of(f"{tmp_path}/*.jpg")


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_an_unreadable_image_is_named_when_its_turn_comes(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "1.jpg", 1)
    (tmp_path / "2.jpg").write_bytes(content)
    frames = iter(open_source(tmp_path))
    assert number_of(next(frames).image) == 1
    with pytest.raises(SourceError, match=r"2\.jpg: cannot be read"):
        next(frames)


def test_a_text_file_named_mp4(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_text("not a video\n" * 50)
    assert re.search(r"in\.mp4: not a video", error_of(tmp_path / "in.mp4"))


def test_a_detection_file_given_as_video_is_not_played_as_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("1,-1,10,10,20,20,0.9,-1,-1,-1\n" * 50)
    assert re.search(r"det\.txt: (a text file, )?not a video", error_of(tmp_path / "det.txt"))


def test_an_empty_file_and_one_cut_before_its_index(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert "empty.mp4: not a video" in error_of(tmp_path / "empty.mp4")
    assert "before its index" in error_of(cut(film(tmp_path / "a.mp4", 10), 0.5))


def test_a_file_with_sound_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    assert error_of(path).endswith("sound.mp4: no video stream in this file")


def test_a_video_of_zero_frames(tmp_path: Path) -> None:
    path = tmp_path / "zero.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
    assert "zero.avi" in error_of(path)


def test_a_video_of_which_nothing_decodes(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 5, codec="mjpeg")
    data = bytearray(path.read_bytes())
    for position, size in packets(path):
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    assert error_of(path).endswith("a.mp4: no frame could be decoded")


def test_a_stream_that_nobody_serves_is_one_line_without_the_password() -> None:
    text = error_of("rtsp://user:secret@127.0.0.1:9/cam1")
    assert "secret" not in text
    assert text.startswith("rtsp://127.0.0.1:9/cam1: ")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_file_over_http_is_read_like_one_on_disk(tmp_path: Path, suffix: str) -> None:
    film(tmp_path / f"my film.{suffix}", 10)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = open_source(f"http://127.0.0.1:{server.server_port}/my%20film.{suffix}")
        assert [number_of(frame.image) for frame in source] == list(range(10))
        server.shutdown()
    assert (source.name, source.live, source.path, source.rate) == ("my_film", False, None, Fraction(25))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_connection_that_falls_silent_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mot.video_file.ANSWER_S", 0.5)
    data = film(tmp_path / "a.ts", 60, draw=noise).read_bytes()
    hang = threading.Event()

    class Stalling(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            hang.wait(20)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        frames = iter(VideoSource(f"http://127.0.0.1:{server.server_port}/live.ts", "live"))
        with pytest.raises(SourceError, match=r"broke off after \d\d frames: no answer within 0.5 s"):
            list(frames)
        hang.set()
        server.shutdown()
