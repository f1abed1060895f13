"""`mot-eval`: a table for anybody's results, whole folders from detections to table, one line for what is wrong."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import folders
import pytest

from mot import evaluate
from mot.cli.eval import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "MOT17" / "train"
    for name in ("MOT17-02-FRCNN", "MOT17-04-FRCNN"):
        folder = folders.sequence(root / name, "MOT17", 30)
        rows = (f"{i},-1,{10 * i},{50 * p},20,40,0.9\n" for i in range(1, 31) for p in (1, 2))
        (folder / "det" / "det.txt").write_text("".join(rows))
    return root


@pytest.fixture
def results(tmp_path: Path) -> Path:
    out = tmp_path / "ours"
    out.mkdir()
    for name in ("MOT17-02-FRCNN", "MOT17-04-FRCNN"):
        (out / f"{name}.txt").write_text(folders.result(30))
    return out


def said(capsys: pytest.CaptureFixture[str], *flags: object, status: int = 0) -> str:
    assert main([*map(str, flags)]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_a_table_of_results(
    data: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--save-json", tmp_path / "e.json", "--save-csv", tmp_path / "e.csv")
    text = said(capsys, "--gt", data, "--results", results, *flags).splitlines()
    assert text[0].split() == [
        "sequence", "HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR",
        "IDSW", "FP", "FN", "MT", "PT", "ML", "Frag",
    ]  # fmt: skip
    assert [line.split()[0] for line in text[1:]] == ["MOT17-02-FRCNN", "MOT17-04-FRCNN", "combined"]
    assert text[3].split()[5] == "50.000"  # one of two people is found
    found = json.loads((tmp_path / "e.json").read_text())
    assert set(found) == {"MOT17-02-FRCNN", "MOT17-04-FRCNN", "combined"}
    assert found["combined"]["MOTA"] == 0.5
    assert len(found["combined"]["HOTA"]) == 19
    rows = list(csv.DictReader((tmp_path / "e.csv").open()))
    assert rows[2]["sequence"] == "combined"
    assert rows[2]["FN"] == "60"
    table = evaluate(data, results)
    assert table.combined["MOTA"] == 0.5
    assert str(table) == "\n".join(text)


def test_columns_families_frames_and_iou(
    data: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("--gt", data, "--results", results)
    assert said(capsys, *base, "--columns", "MOTA,FN").splitlines()[0].split() == ["sequence", "MOTA", "FN"]
    assert "IDTP" in said(capsys, *base, "--metrics", "Identity")
    assert (
        said(capsys, *base, "--columns", "FN", "--frames", "second-half").splitlines()[-1].split()[1] == "28"
    )
    assert said(capsys, *base, "--columns", "MOTA", "--iou", "1").splitlines()[-1].split()[1].startswith("-")
    one = said(capsys, *base, "--sequences", "MOT17-04-FRCNN", "--columns", "FN")
    assert "MOT17-02" not in one


def test_against_says_where_the_difference_comes_from(
    data: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for path in results.iterdir():
        (theirs / path.name).write_text(path.read_text())
    lines = (results / "MOT17-02-FRCNN.txt").read_text().splitlines()
    (theirs / "MOT17-02-FRCNN.txt").write_text("\n".join([*lines[:9], *lines[10:]]) + "\n")
    text = said(capsys, "--gt", data, "--results", results, "--against", theirs, "--columns", "MOTA,FN")
    assert "MOT17-02-FRCNN: MOTA +1.667, FN -1" in text
    assert "  1 misses only there: frame 10 person 1\n" in text
    assert "MOT17-04-FRCNN: the same" in text


def test_against_does_not_mind_how_people_are_numbered(
    data: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One has a false box in three frames, and takes the second person for another one in the last two."""
    ours, theirs = tmp_path / "a", tmp_path / "b"
    for folder in (ours, theirs):
        folder.mkdir()
    walk = [f"{f},7,{10 * f},50,20,40,1" for f in range(1, 31)]
    second = [f"{f},{9 if f < 29 else 5},{10 * f},100,20,40,1" for f in range(1, 31)]
    false = [f"{f},8,600,400,20,40,1" for f in (4, 5, 6)]
    renamed = [row.replace(",7,", ",1007,").replace(",9,", ",1009,") for row in walk + second[:28]]
    last = [row.replace(",5,", ",1009,") for row in second[28:]]
    for name in ("MOT17-02-FRCNN", "MOT17-04-FRCNN"):
        (ours / f"{name}.txt").write_text("\n".join(walk + second + false))
        (theirs / f"{name}.txt").write_text("\n".join(renamed + last))
    text = said(capsys, "--gt", data, "--results", ours, "--against", theirs, "--columns", "IDSW,FP")
    assert "MOT17-02-FRCNN: IDSW +1, FP +3\n" in text
    assert "  1 switches only here: frame 29 person 2 becomes 5\n" in text
    assert "  3 false boxes only here: frames 4-6 ids 8\n" in text
    assert "only there" not in text


def test_counts_of_hota_are_counts(data: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--gt", data, "--results", results, "--columns", "HOTA_TP,HOTA_FN,HOTA")
    found, missed, hota = map(float, text.splitlines()[-1].split()[1:])
    assert found + missed == 120
    assert 0 < hota < 100


@pytest.mark.data
def test_from_pictures_to_table_twice(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run, cached, asks no network; the whole of vtest.avi is what `tools/reproduce` does."""
    pytest.importorskip("torch")
    import cv2

    from mot.video import open_source

    monkeypatch.setenv("MOT_WEIGHTS", str(shared_data / "weights"))
    folder = tmp_path / "MOT15" / "train" / "PETS09-S2L1"
    shutil.copytree(shared_data / "mot15" / "train" / "PETS09-S2L1", folder)
    (folder / "img1").mkdir()
    for frame, _ in zip(open_source(shared_data / "video" / "vtest.avi"), range(12), strict=False):
        assert frame.image is not None
        cv2.imwrite(str(folder / "img1" / f"{frame.index:06d}.jpg"), frame.image)
    (folder / "img1" / "thumb.png").write_bytes(b"not of the sequence")
    flags = ["--cfg", "deepsort.yml", "--data", folder, "--frames", "1-12", "--cache", tmp_path / "cache"]
    tables = [said(capsys, *flags, "--out", tmp_path / name, "--columns", "HOTA,MOTA,FN") for name in "ab"]
    assert _scores(tables[0]) == _scores(tables[1])
    assert float(tables[0].splitlines()[-1].split()[1]) > 50
    spent = [json.loads((tmp_path / name / "PETS09-S2L1.json").read_text())["seconds"] for name in "ab"]
    assert [each["detect"] > 0 for each in spent] == [each["embed"] > 0 for each in spent] == [True, False]


def test_from_detections_to_table_and_on_after_an_interruption(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = (
        "--cfg",
        "sort.yml",
        "--data",
        data,
        "--det-file",
        "det/det.txt",
        "--out",
        out,
        "--columns",
        "MOTA,IDSW",
    )
    first = said(capsys, *flags)
    assert first.splitlines()[0].split() == ["sequence", "MOTA", "IDSW", "frames/s"]
    assert float(first.splitlines()[-1].split()[1]) > 90
    assert "exists: --resume keeps it, --overwrite replaces it" in said(capsys, *flags, status=2)
    (out / "MOT17-04-FRCNN.txt").unlink()

    def scores(text: str) -> list[list[str]]:
        return [line.split()[:3] for line in text.splitlines()]

    assert scores(said(capsys, *flags, "--resume")) == scores(first)
    assert scores(said(capsys, *flags, "--overwrite", "--workers", "2")) == scores(first)
    assert "another config" in said(capsys, *flags, "--resume", "-o", "tracker.max_age=3", status=2)


def test_a_killed_driver_loses_nothing_finished(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "MOT17-02-FRCNN", data / "MOT17-05-FRCNN")
    flags = ["--cfg", "sort.yml", "--data", data, "--det-file", "det/det.txt", "--columns", "HOTA,MOTA,IDSW"]
    command = [sys.executable, "-m", "mot.cli.eval", *map(str, flags), "--out"]
    whole = subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True, text=True)

    out = tmp_path / "killed"
    driver = subprocess.Popen([*command, out], stdout=subprocess.PIPE)
    while not (kept := list(out.glob("*.json"))):
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.communicate()  # until the last process that could write is gone: its worker ends with it
    assert len(list(out.glob("*.json"))) < 3
    before = kept[0].stat().st_mtime_ns

    resumed = subprocess.run([*command, out, "--resume"], check=True, capture_output=True, text=True)
    assert kept[0].stat().st_mtime_ns == before
    assert _scores(resumed.stdout) == _scores(whole.stdout)
    names = [path.name for path in sorted((tmp_path / "whole").glob("*.txt"))]
    assert len(names) == 3
    assert all((out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in names)


def _scores(table: str) -> list[list[str]]:
    """Without the last column, frames a second."""
    return [line.split()[:4] for line in table.splitlines()]


def test_missing_images_are_named_or_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--cfg", "sort.yml", "--data", data, "--out", tmp_path / "out")
    assert "MOT17-02-FRCNN" in said(capsys, *flags, status=2)
    (data / "MOT17-04-FRCNN" / "det" / "det.txt").unlink()
    by_file = (*flags, "--det-file", "det/det.txt")
    assert "MOT17-04-FRCNN: no det/det.txt" in said(capsys, *by_file, status=2)
    assert main([*map(str, by_file), "--allow-missing"]) == 0
    captured = capsys.readouterr()
    assert "left out: MOT17-04-FRCNN" in captured.err
    assert "MOT17-04" not in captured.out
    none = (*flags, "--allow-missing", "--overwrite")
    assert "no sequence is left to track" in said(capsys, *none, status=2)


def test_sequences_without_pictures_for_the_camera_are_one_line(data: Path, tmp_path: Path) -> None:
    flags = ["--cfg", "botsort.yml", "-o", "det_weights=null", "--data", data, "--det-file", "det/det.txt"]
    command = [
        sys.executable,
        "-m",
        "mot.cli.eval",
        *map(str, flags),
        "--out",
        str(tmp_path / "out"),
        "--quiet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    what = "no pictures of 2 of 2 sequences: their camera is taken to stand still"
    assert done.stderr == f"mot-eval: note: {what}\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gt", "DATA"], "give --gt and --results"),
        (["--cfg", "sort.yml"], "--cfg needs --data"),
        (["--cfg", "sort.yml", "--data", "DATA", "--gt", "DATA"], "--gt would not be used with --cfg"),
        (["--gt", "DATA", "--results", "RESULTS", "--workers", "2"], "--workers would not be used without"),
        (["--gt", "DATA", "--results", "RESULTS", "-o", "a=b"], "-o would not be used without --cfg"),
        (["--gt", "DATA", "--results", "RESULTS", "--metrics", "HOTA", "--columns", "MOTA"], "give one"),
        (["--gt", "DATA", "--results", "RESULTS", "--save-csv", "DATA"], "cannot be written"),
        (["--gt", "DATA", "--results", "RESULTS", "--benchmark", "mot17"], "did you mean 'MOT17'"),
        (["--gt", "DATA", "--results", "RESULTS", "--columns", "HOTTA"], "did you mean 'HOTA'"),
        (["--gt", "DATA", "--results", "RESULTS", "--metrics", "Hota"], "known: HOTA, CLEAR"),
        (["--gt", "DATA", "--results", "RESULTS", "--iou", "2"], "iou 2: expected 0.01..1"),
        (["--gt", "DATA", "--results", "RESULTS", "--frames", "99-100"], "frames"),
        (["--gt", "nowhere", "--results", "RESULTS"], "nowhere"),
        (["--gt", "DATA", "--results", "DATA"], "result"),
        (["--cfg", "sort.yml", "--data", "DATA", "--workers", "0"], "--workers: expected 1"),
    ],
)
def test_mistakes_are_one_line(
    flags: list[str], words: str, data: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"DATA": str(data), "RESULTS": str(results)}
    text = said(capsys, *(names.get(flag, flag) for flag in flags), status=2)
    assert words in text
    assert text.count("\n") == 1
