"""`mot-track --det-file` without a video: needs neither torch nor cv2 nor av."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mot.cli.track import main

HEAVY = "[m for m in ('torch', 'cv2', 'av') if m in sys.modules]"


@pytest.fixture
def det_file(tmp_path: Path) -> Path:
    path = tmp_path / "det.txt"
    path.write_text(
        "".join(f"{i},-1,{5 + i},10,12,20,0.9,-1,-1,-1\n" for i in range(1, 21) if i not in (8, 9))
    )
    return path


def run(*flags: object) -> int:
    return main(["--cfg", "sort.yml", *map(str, flags)])


def test_it_tracks_every_frame(det_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        run("--det-file", det_file, "--out", out, "--quiet", "--fps", 5, "--jsonl", tmp_path / "rows.jsonl")
        == 0
    )
    assert sorted(path.name for path in out.iterdir()) == ["det.json", "det.txt"]
    record = json.loads((out / "det.json").read_text())
    assert record["frames"] == 20
    last = json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[-1])
    assert (last["frame"], last["time_s"], last["source"]) == (20, 3.8, "det")


def test_it_loads_nothing_heavy(det_file: Path, tmp_path: Path) -> None:
    flags = ["--cfg", "sort.yml", "--det-file", str(det_file), "--out", str(tmp_path / "out"), "--quiet"]
    code = f"import sys; from mot.cli.track import main; main({flags!r}); print({HEAVY})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_class_stands_in_column_8_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("".join(f"{i},-1,{10 + 60 * c},10,20,20,.9,{c},-1,-1\n" for i in (1, 2) for c in (0, 1)))
    flags = ("--det-file", path, "--quiet", "-o", "detector.labels=[person, car]")

    def column_8(folder: str) -> set[str]:
        rows = (tmp_path / folder / "det.txt").read_text().splitlines()
        return {row.split(",")[7] for row in rows}

    assert run(*flags, "--out", tmp_path / "two", "--classes", "person,car") == 0
    assert column_8("two") == {"0", "1"}
    assert run(*flags, "--out", tmp_path / "one", "--classes", "car", "--jsonl", tmp_path / "one.jsonl") == 0
    assert column_8("one") == {"-1"}
    objects = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert {(row["label"], row["det_index"]) for row in objects} == {("car", 1)}
    assert run(*flags, "--out", tmp_path / "all", "--classes", "all") == 0
    assert column_8("all") == {"0", "1"}


def test_an_empty_detection_file_is_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.txt"
    path.write_text("")
    assert run("--det-file", path, "--out", tmp_path / "out") == 2
    assert "none.txt: has no rows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_stride_skips_frames_and_keeps_their_numbers(det_file: Path, tmp_path: Path) -> None:
    assert run("--det-file", det_file, "--out", tmp_path / "out", "--stride", 3, "--quiet") == 0
    rows = (tmp_path / "out" / "det.txt").read_text().splitlines()
    assert {int(row.split(",")[0]) for row in rows} <= set(range(1, 21, 3))
    assert (
        len({row.split(",")[1] for row in rows}) == 1
    )  # 1 pixel a frame, predicted over the gaps: one identity
    assert run("--det-file", det_file, "--out", tmp_path / "none", "--stride", 0, "--quiet") == 2


def test_gaps_are_filled_in_text_and_json_lines(det_file: Path, tmp_path: Path) -> None:
    def frames(*flags: object) -> tuple[list[int], list[dict[str, object]]]:
        name = tmp_path / "-".join(map(str, flags)).strip("-")
        lines = name / "rows.jsonl"
        base = ("--det-file", det_file, "--out", name, "--jsonl", lines, "--quiet", "-o", "tracker.max_age=5")
        assert run(*base, *flags) == 0
        rows = [line.split(",") for line in (name / "det.txt").read_text().splitlines()]
        return [int(row[0]) for row in rows], [json.loads(line) for line in lines.read_text().splitlines()]

    plain, _ = frames("--no-video")
    assert 8 not in plain
    for method in ("linear", "gsi"):
        filled, objects = frames("--interpolate", method)
        assert sorted(filled) == list(range(1, 21))
        (gap,) = [row for row in objects if row["frame"] == 8]
        assert gap["det_index"] == -1
        assert gap["time_s"] == pytest.approx(7 / 30, abs=1e-5)
        assert gap["box"] == pytest.approx([13, 10, 25, 30], abs=0.7)
    strided, _ = frames("--stride", 3, "--interpolate", "linear")
    assert sorted(strided) == list(range(1, 20))


def test_size_draws_on_black(det_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    av = pytest.importorskip("av")
    flags = ("--det-file", det_file, "--fps", 10, "--size", "128x72")
    assert run(*flags, "--out", tmp_path / "out", "--quiet") == 0
    with av.open(str(tmp_path / "out" / "det.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (128, 72, 20, 10)
    assert run(*flags, "--out", tmp_path / "bad", "--size", "128") == 2
    assert "expected width x height" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "lines"), [((), 1), (("--quiet",), 0), (("-o", "camera=null"), 0)])
def test_a_camera_that_nobody_sees_is_one_line(
    det_file: Path, tmp_path: Path, flags: tuple[str, ...], lines: int
) -> None:
    command = [
        sys.executable,
        "-m",
        "mot.cli.track",
        "--cfg",
        "botsort.yml",
        "-o",
        "det_weights=null",
        *flags,
    ]
    command += ["--det-file", str(det_file), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = "mot-track: camera: there are no pictures to see its motion in; it is taken to stand still\n"
    assert done.stderr == said * lines
    assert json.loads((tmp_path / "out" / "det.json").read_text()).get("camera_failures", 0) == 0
