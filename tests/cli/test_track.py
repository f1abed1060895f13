"""`mot-track` as a user runs it: what it writes, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from films import cut, film, noise, picture

from mot.cli.track import main
from mot.opencv import cv2


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return film(tmp_path / "in.mp4", 20, rate=Fraction(10))


@pytest.fixture
def det_file(tmp_path: Path) -> Path:
    """One target that moves, and one that is there only sometimes; frames 8 and 9 have nothing."""
    rows = [f"{i},-1,{5 + i},10,12,20,0.9,-1,-1,-1\n" for i in range(1, 21) if i not in (8, 9)]
    rows += [f"{i},-1,45,12,10,22,0.7,-1,-1,-1\n" for i in range(3, 7)]
    path = tmp_path / "det.txt"
    path.write_text("".join(rows))
    return path


def run(*flags: object) -> int:
    return main(["--cfg", "sort.yml", *map(str, flags)])


def refused(capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    """The one line that the run is refused with."""
    assert run(*flags) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("mot-track: error: ")
    return said.err.removeprefix("mot-track: error: ").strip()


def test_detections_on_a_video(
    video: Path, det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lines = tmp_path / "out", tmp_path / "rows.jsonl"
    assert run("--video", video, "--det-file", det_file, "--out", out, "--jsonl", lines) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["in.json", "in.mp4", "in.txt"]

    rows = [line.split(",") for line in (out / "in.txt").read_text().splitlines()]
    assert rows[0][:2] == ["1", "1"]
    assert f"tracked {len({row[1] for row in rows})} objects (person) in 20 frames" in said
    assert all(len(row) == 10 and row[7:] == ["-1", "-1", "-1"] for row in rows)
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(objects) == len(rows)
    assert objects[0] | {"box": 0, "score": 0} == {
        "source": "in",
        "frame": 1,
        "time_s": 0,
        "id": 1,
        "box": 0,
        "score": 0,
        "label": "person",
        "det_index": 0,
    }
    record = json.loads((out / "in.json").read_text())
    assert (record["frames"], record["frames_lost"], record["interrupted"]) == (20, 0, False)
    assert record["config"]["tracker"]["max_age"] == 1
    with av.open(str(out / "in.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.frames) == ("h264", 20)
        assert stream.average_rate == 10
        assert (stream.width, stream.height) == (64, 48)
        drawn = next(container.decode(stream)).to_ndarray(format="bgr24")
    assert np.abs(drawn.astype(int) - picture(0)).max() > 60  # a box is on it


def test_with_video_and_without_it_is_the_same_text(video: Path, det_file: Path, tmp_path: Path) -> None:
    run("--video", video, "--det-file", det_file, "--out", tmp_path / "a", "--no-video", "--quiet")
    run("--det-file", det_file, "--out", tmp_path / "b", "--quiet")
    assert not (tmp_path / "a" / "in.mp4").exists()
    assert (tmp_path / "a" / "in.txt").read_bytes() == (tmp_path / "b" / "det.txt").read_bytes()


def test_start_and_end_are_frames_or_times(video: Path, det_file: Path, tmp_path: Path) -> None:
    flags = ("--video", video, "--det-file", det_file, "--quiet")
    assert run(*flags, "--out", tmp_path / "frames", "--start", 4, "--end", 7) == 0
    assert run(*flags, "--out", tmp_path / "times", "--start", "0.3s", "--end", "0.6s") == 0
    text = (tmp_path / "frames" / "in.txt").read_text()
    assert sorted({int(row.split(",")[0]) for row in text.splitlines()}) == [4, 5, 6, 7]
    assert (tmp_path / "times" / "in.txt").read_text() == text
    with av.open(str(tmp_path / "times" / "in.mp4")) as container:
        assert container.streams.video[0].frames == 4


def test_folder_and_glob_of_pictures(det_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    folder.mkdir()
    for i in range(1, 21):
        cv2.imwrite(str(folder / f"{i}.png"), picture(i))
    assert run("--video", folder, "--det-file", det_file, "--out", tmp_path / "a", "--fps", 5, "--quiet") == 0
    with av.open(str(tmp_path / "a" / "walk.mp4")) as container:
        assert container.streams.video[0].average_rate == 5
    assert run("--video", folder / "*.png", "--det-file", det_file, "--out", tmp_path / "b", "--quiet") == 0
    assert (tmp_path / "a" / "walk.txt").read_bytes() == (tmp_path / "b" / "walk.txt").read_bytes()


def test_nothing_is_overwritten_unasked(
    video: Path, det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--video", video, "--det-file", det_file, "--out", tmp_path / "out", "--quiet")
    assert run(*flags) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert "exists already; --overwrite replaces it" in refused(capsys, *flags)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert run(*flags, "--overwrite") == 0


def test_an_input_is_never_replaced(
    video: Path, det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = video.read_bytes(), det_file.read_bytes()
    flags = ("--out", tmp_path, "--overwrite", "--det-file", det_file)
    assert "in.mp4: is an input" in refused(capsys, "--video", video, *flags)
    assert "det.txt: is an input" in refused(capsys, *flags)
    assert (video.read_bytes(), det_file.read_bytes()) == before


BAD_ROWS = {
    "1,-1,1,2,3": "line 3: expected 7 or more columns",
    "1,-1,1,2,x,4,0.5": "line 3: column 5 is not a number",
    "1,-1,1,2,nan,4,0.5": "line 3: column 5 is nan",
    "1,-1,1,2,-3,4,0.5": "line 3: negative size",
    "21,-1,1,2,3,4,0.5": "has rows for frame 21, but the video ends at frame 20",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_bad_detection_files(
    row: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("1,-1,1,2,3,4,0.5\n\n" + row + "\n")
    said = refused(capsys, "--video", video, "--det-file", path, "--out", tmp_path / "out", "--quiet")
    assert BAD_ROWS[row] in said
    assert not (tmp_path / "out").exists()


def test_bad_sources(det_file: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 100)
    empty = film(tmp_path / "empty.avi", 0, codec="mpeg4")
    for source, words in (
        (tmp_path / "im.mp4", "did you mean 'in.mp4'"),
        (text, "text.mp4"),
        (empty, "empty.avi"),
        (tmp_path / "nothing", "no such file"),
        ("999", "camera 999"),
        ("99999999999999999999", "expected an index from 0"),
        ("", "the name is empty"),
    ):
        assert words in refused(capsys, "--video", source, "--det-file", det_file, "--out", out, "--quiet")
        assert not out.exists()
    assert "nothing to track" in refused(capsys, "--out", out)
    assert "no frame lies between" in refused(
        capsys, "--video", video, "--det-file", det_file, "--out", out, "--start", 99, "--quiet"
    )
    assert not out.exists()


def test_bad_flags_and_configs(
    video: Path, det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    base = ("--video", video, "--out", out)
    for flags, words in (
        (("-o", "tracker.max_agee=3"), "unknown key 'tracker.max_agee'; did you mean 'max_age'"),
        (
            ("-o", "tracker.max_age=old"),
            "tracker.max_age: expected a whole number of frames, as in 30, or seconds above 0, as in 5s, got 'old'",
        ),
        (("-o", "architecture=SROT"), "unknown architecture 'SROT'; did you mean 'SORT'"),
        (("-o", "reid_weights=mobilenetv2"), "reid_weights: SORT would not use 'mobilenetv2'"),
        (("-o", "weights=jde.pt"), "weights: SORT would not use 'jde.pt'"),
        (("-o", "det_weights=yolov3_tinny"), "did you mean 'yolov3_tiny'"),
        (("--start", "soon"), "expected a frame from 1, as in 250, or a time, as in 10s"),
        (("--classes", "persn"), "detector.classes: unknown 'persn'; did you mean 'person'"),
        (("--device", "gpu"), "device 'gpu': expected auto, cpu, cuda or cuda:n"),
        (("--vidio", "x"), "vidio"),
    ):
        with_detections = (
            ("--det-file", det_file) if "det_weights" not in str(flags) and "gpu" not in flags else ()
        )
        assert words in refused(capsys, *base, *with_detections, *flags, "--offline")
        assert not out.exists()
    assert main(["--cfg", "srot.yml", "--video", str(video)]) == 2
    assert "did you mean 'sort.yml'" in capsys.readouterr().err


def test_cuda_where_there_is_none(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    said = refused(capsys, "--video", video, "--out", tmp_path / "out", "--device", "cuda", "--offline")
    assert "no CUDA device on this machine" in said
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written(
    video: Path, det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    flags = ("--video", video, "--det-file", det_file, "--quiet")
    assert "cannot be written: Not a directory" in refused(
        capsys, *flags, "--out", tmp_path / "file" / "deep" / "out"
    )
    assert "cannot be written" in refused(capsys, *flags, "--out", tmp_path / "file")
    said = refused(capsys, *flags, "--out", tmp_path / "out", "--jsonl", tmp_path / "file" / "rows.jsonl")
    assert "file: cannot be written" in said
    assert not (tmp_path / "out").exists()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from mot.cli.track import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [300, 20_000])
def test_a_full_disk_leaves_nothing_half_written(limit: int, tmp_path: Path, det_file: Path) -> None:
    video = film(tmp_path / "in.mp4", 20, draw=noise, size=(320, 240))
    flags = [
        "--cfg",
        "sort.yml",
        "--video",
        video,
        "--det-file",
        det_file,
        "--out",
        tmp_path / "out",
        "--quiet",
    ]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *map(str, flags)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("mot-track: error: ")
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_video_cut_in_the_middle_gives_what_decodes(
    tmp_path: Path, det_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = film(tmp_path / "w.mp4", 20, draw=noise, muxer={"movflags": "faststart"})
    short = cut(whole, 0.6)
    assert run("--video", short, "--det-file", det_file, "--out", tmp_path / "out") == 0
    record = json.loads((tmp_path / "out" / "cut_w.json").read_text())
    assert 0 < record["frames"] < 20
    assert record["frames_lost"] == 20 - record["frames"]
    assert f"{record['frames_lost']} frames of the source could not be decoded" in capsys.readouterr().err


def test_odd_sizes_are_padded_by_a_pixel(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), picture(1, 63, 47))
    (tmp_path / "det.txt").write_text("1,-1,1,2,30,40,0.5\n")
    assert (
        run("--video", folder, "--det-file", tmp_path / "det.txt", "--out", tmp_path / "out", "--quiet") == 0
    )
    with av.open(str(tmp_path / "out" / "odd.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)


def test_ctrl_c_leaves_a_valid_video_and_text(tmp_path: Path) -> None:
    video = film(tmp_path / "long.mp4", 3000, size=(320, 240), options={"preset": "ultrafast"})
    (tmp_path / "det.txt").write_text("".join(f"{i},-1,10,10,50,90,0.9\n" for i in range(1, 3001)))
    flags = [
        "--cfg",
        "sort.yml",
        "--video",
        video,
        "--det-file",
        tmp_path / "det.txt",
        "--out",
        tmp_path / "out",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mot.cli.track", *map(str, flags)], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size for part in (tmp_path / "out").glob(".long.mp4.*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    record = json.loads((tmp_path / "out" / "long.json").read_text())
    assert record["interrupted"] is True
    assert 0 < record["frames"] < 3000
    with av.open(str(tmp_path / "out" / "long.mp4")) as container:
        assert container.streams.video[0].frames == record["frames"]
    last = (tmp_path / "out" / "long.txt").read_text().splitlines()[-1]
    assert int(last.split(",")[0]) == record["frames"]
    assert not list((tmp_path / "out").glob("*.part"))


def test_version_and_profile(det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("mot-track ")
    assert run("--det-file", det_file, "--out", tmp_path / "out", "--profile") == 0
    said = capsys.readouterr().out
    assert all(
        stage in said
        for stage in ("decode", "preprocess", "detect", "nms", "embed", "camera", "associate", "write")
    )


def test_a_camera_that_cannot_be_followed_is_counted(det_file: Path, tmp_path: Path) -> None:
    """No picture has anything in common with the one before."""
    video = film(tmp_path / "in.mp4", 20, draw=noise, size=(128, 96))
    flags = ("--video", video, "--det-file", det_file, "-o", "det_weights=null", "--no-video", "--quiet")
    assert main(["--cfg", "botsort.yml", *map(str, flags), "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "in.json").read_text())["camera_failures"] == 19
