"""Several sources in one run of `mot-track`, and what a fault in any stage leaves behind: nothing."""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from films import cut, film, noise

from mot.cli.track import main
from mot.engine.pictures import PictureSink
from mot.errors import OutputError
from mot.models.registry import MODELS
from mot.opencv import cv2
from mot.perception.detector import Detector
from mot.trackers.sort import SORT
from mot.video_file import VideoSource

LIMIT_S = 1.0  # in which everything has to stop


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real network, small and untrained: what it sees is nonsense, but always the same."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    network = MODELS["yolox_nano"].build(1)
    torch.save({"model": network.state_dict()}, path)
    return path


@pytest.fixture
def flags(weights: Path, tmp_path: Path) -> list[str]:
    made = ["--cfg", "sort.yml", "--out", str(tmp_path / "out"), "-o", f"det_weights={weights}"]
    for each in ("detector.input_size=[64,64]", "detector.score_threshold=0.2", "detector.classes=null"):
        made += ["-o", each]
    return [*made, "-o", "runtime.threads=1", "-o", "detector.max_candidates=20"]


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    """Three short ones of different lengths and sizes."""
    sizes = ((64, 48), (64, 48), (48, 64))
    return [
        film(tmp_path / f"{name}.mp4", 9 + 4 * i, draw=noise, size=size, rate=Fraction(10))
        for i, (name, size) in enumerate(zip("abc", sizes, strict=True))
    ]


def run(*flags: object) -> int:
    return main([*map(str, flags)])


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def busy() -> set[threading.Thread]:
    """The threads of a pipeline."""
    return {t for t in threading.enumerate() if t.name.startswith(("decode", "networks", "write"))}


def assert_all_stopped() -> None:
    deadline = time.monotonic() + LIMIT_S
    while left := busy():
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_sources_together_are_the_same_as_one_by_one(
    films: list[Path], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in films:
        assert run(*flags, "--video", path, "--out", tmp_path / "single", "--quiet") == 0
    single = texts(tmp_path / "single")
    assert all(single.values())
    for batch, order in ((1, films), (4, films[::-1]), (16, films[1:] + films[:1])):
        out = tmp_path / f"many{batch}"
        lines = out / "lines"
        assert (
            run(*flags, "--video", *order, "--out", out, "-o", f"runtime.batch={batch}", "--jsonl", lines)
            == 0
        )
        assert texts(out) == single
        assert sorted(path.name for path in lines.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]
        records = [json.loads((out / f"{name}.json").read_text()) for name in "abc"]
        assert [record["frames"] for record in records] == [9, 13, 17]
        with av.open(str(out / "c.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.frames, stream.width, stream.height) == (17, 48, 64)
    assert "3 sources, 39 frames" in capsys.readouterr().out
    assert_all_stopped()


def test_two_sources_of_one_name_are_refused_before_any_work(
    films: list[Path], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    again = film(tmp_path / "other" / "a.mp4", 3)
    assert run(*flags, "--video", films[0], films[1], again) == 2
    said = capsys.readouterr().err
    assert "'a'" in said
    assert "--out" in said
    assert not (tmp_path / "out").exists()


def test_a_source_that_fails_leaves_the_others_running(
    films: list[Path], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(6):
        cv2.imwrite(str(pictures / f"{i}.jpg"), noise(i))
    (pictures / "3.jpg").write_bytes(b"no picture")
    assert run(*flags, "--video", pictures, films[0], "--no-video") == 2
    said = capsys.readouterr()
    assert "mot-track: error: pictures: " in said.err
    assert "3.jpg" in said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "a.txt"]
    assert json.loads((tmp_path / "out" / "a.json").read_text())["frames"] == 9
    assert "a: tracked" in said.out
    assert "pictures" not in said.out


def test_several_single_pictures_are_refused(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), noise(i))
    assert run(*flags, "--video", *sorted(tmp_path.glob("*.jpg"))) == 2
    assert "3 single pictures; name their folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.mp4", "out/a.json"])
def test_a_trace_replaces_neither_an_input_nor_a_result(
    name: str, films: list[Path], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = films[0].read_bytes()
    assert run(*flags, "--video", films[0], "--profile", tmp_path / name, "--overwrite") == 2
    assert name in capsys.readouterr().err
    assert films[0].read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_a_detection_file_belongs_to_one_video(
    films: list[Path], flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "det.txt"
    rows.write_text("1,-1,1,1,9,9,0.9,-1,-1,-1\n")
    assert run("--cfg", "sort.yml", "--det-file", rows, "--video", *films) == 2
    assert "--det-file" in capsys.readouterr().err


def test_a_trace_for_a_viewer(films: list[Path], flags: list[str], tmp_path: Path) -> None:
    assert run(*flags, "--video", films[0], "--quiet", "--profile", tmp_path / "trace.json") == 0
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"decode", "preprocess", "detect", "nms", "associate", "write"} <= {e["name"] for e in events}
    assert {"decode 1", "networks", "write"} <= {e["args"]["name"] for e in events if e["ph"] == "M"}


def after(calls: int, error: Exception, method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, but for the error that it raises instead of an answer to a later call."""
    done = [0]

    def faulty(*args: Any, **options: Any) -> Any:
        done[0] += 1
        if done[0] > calls:
            raise error
        return method(*args, **options)

    return faulty


STAGES = {
    "decoder": (VideoSource, "__iter__", 0),
    "model": (Detector, "__call__", 1),
    "tracker": (SORT, "update", 3),
    "sink": (PictureSink, "write", 3),
}


@pytest.mark.parametrize("error", [RuntimeError("the fault"), OutputError("the fault")], ids=["bug", "known"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_raises_stops_all(
    stage: str,
    error: Exception,
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = film(tmp_path / "long.mp4", 200, draw=noise)
    owner, name, calls = STAGES[stage]
    raised = [0.0]

    def faulty(*args: Any, **options: Any) -> Any:
        try:
            return inner(*args, **options)
        except (RuntimeError, OutputError):
            raised[0] = raised[0] or time.monotonic()
            raise

    inner = after(calls, error, getattr(owner, name))
    monkeypatch.setattr(owner, name, faulty)
    if isinstance(error, OutputError):
        assert run(*flags, "--video", video) == 2
        assert capsys.readouterr().err.strip() == "mot-track: error: the fault"
    else:
        with pytest.raises(RuntimeError, match="the fault"):
            run(*flags, "--video", video)
    assert time.monotonic() - raised[0] < LIMIT_S
    assert_all_stopped()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("videos", [1, 3])
def test_interrupted_in_the_middle(videos: int, flags: list[str], tmp_path: Path) -> None:
    first = film(tmp_path / "0.mp4", 1500, draw=noise)
    names = [first, *(shutil.copyfile(first, tmp_path / f"{i}.mp4") for i in range(1, videos))]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mot.cli.track",
            *flags,
            "--video",
            *map(str, names),
            "--jsonl",
            str(tmp_path / "l"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size for part in (tmp_path / "out").glob(".0.mp4.*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in said
    records = [json.loads((tmp_path / "out" / f"{i}.json").read_text()) for i in range(videos)]
    assert all(record["interrupted"] and record["frames"] < 1500 for record in records)
    for i in [i for i, record in enumerate(records) if record["frames"]]:
        with av.open(str(tmp_path / "out" / f"{i}.mp4")) as container:
            assert container.streams.video[0].frames == records[i]["frames"]


def test_a_full_disk(flags: list[str], tmp_path: Path) -> None:
    """No file may become larger than 20 kB, which the video does."""
    video = film(tmp_path / "in.mp4", 200, draw=noise, size=(128, 96))
    few = "detector.score_threshold=0.99"  # else the text would be the first to have no room

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [sys.executable, "-m", "mot.cli.track", *flags, "--video", str(video), "-o", few, "--quiet"],
        preexec_fn=little_room,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "in.mp4: cannot be written (File too large)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_film_that_was_cut_beside_a_whole_one(films: list[Path], flags: list[str], tmp_path: Path) -> None:
    long = film(tmp_path / "long.avi", 60, codec="mjpeg", draw=noise)
    short = cut(long, 0.5)
    assert run(*flags, "--video", short, films[0], "--no-video", "--quiet") == 0
    record = json.loads((tmp_path / "out" / f"{short.stem}.json").read_text())
    assert 0 < record["frames"] < 60
    assert record["frames"] + record["frames_lost"] == 60
    assert json.loads((tmp_path / "out" / "a.json").read_text())["frames_lost"] == 0


@pytest.mark.full
def test_a_hundred_starts_and_stops_leave_nothing(flags: list[str], tmp_path: Path) -> None:
    """No thread, no file handle, and no memory that grows with the number of runs."""
    video = film(tmp_path / "in.mp4", 12, draw=noise)
    sizes = []
    for i in range(100):
        assert (
            run(*flags, "--video", video, "--quiet", "--overwrite", *(["--end", "5"] if i % 2 else [])) == 0
        )
        gc.collect()
        handles = len(os.listdir("/proc/self/fd"))
        sizes.append((handles, int(Path("/proc/self/statm").read_text().split()[1]) * 4 / 1024))
    assert_all_stopped()
    assert sizes[-1][0] == sizes[10][0], "file handles"
    assert sizes[-1][1] < sizes[30][1] + 20, f"megabytes: {[round(size) for _, size in sizes[::10]]}"
