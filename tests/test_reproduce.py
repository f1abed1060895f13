"""tools/reproduce: what is claimed is pinned, what is pinned is checked, and what cannot be checked is said."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import parity
import pytest
import reproduce
from reproduce import PINNED, Public, Triple, Whole

from mot.trackers import TRACKERS
from mot.weights import manifest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
FIGURES = re.compile(r"\d+\.\d+ / \d+\.\d+ / \d+\.\d+")


def rounded(figures: Triple) -> str:
    return reproduce.shown(figures, 1)


def test_every_number_in_the_readme_is_pinned() -> None:
    claimed = FIGURES.findall(README)
    pinned = {rounded(figures) for row in PINNED.values() for figures in row.expected.values()}
    assert claimed
    assert sorted(set(claimed) - pinned) == []


def test_every_config_in_the_readme_has_its_own_row() -> None:
    table = re.findall(rf"^\| `(\w+)\.yml` \|.*\| ({FIGURES.pattern}) \|$", README, re.MULTILINE)
    assert len(table) == 9
    for config, claimed in table:
        row = PINNED[f"vtest-{config}"]
        assert isinstance(row, Whole)
        assert (row.config, row.overrides, rounded(row.figures)) == (f"{config}.yml", (), claimed)


def test_every_tracker_and_run_has_a_row() -> None:
    runs = [row.run for row in PINNED.values() if isinstance(row, Public)]
    assert sorted(runs) == sorted(parity.RUNS)
    assert {parity.RUNS[run].tracker for run in runs} == set(TRACKERS)


def test_the_video_is_the_one_of_the_manifest() -> None:
    assert reproduce.VIDEO.sha256 == manifest.find("vtest").sha256


@pytest.mark.parametrize("name", PINNED)
def test_figures_are_pinned_with_a_tolerance_that_would_show_a_change(name: str) -> None:
    row = PINNED[name]
    assert 0 < row.tolerance <= 0.3
    for part, figures in row.expected.items():
        assert all(0 < value < 100 for value in figures)
        assert reproduce.verdict(row, part, figures) == "same"
        for i, metric in enumerate(reproduce.METRICS):
            off = list(figures)
            off[i] -= 2 * row.tolerance
            said = reproduce.verdict(row, part, (off[0], off[1], off[2]))
            assert said.startswith(f"DRIFT by -{2 * row.tolerance:.{row.decimals}f} {metric}")


def said(capsys: pytest.CaptureFixture[str], *argv: object, status: int) -> list[str]:
    """The lines on the stream that the status belongs to."""
    assert reproduce.main([str(arg) for arg in argv]) == status
    captured = capsys.readouterr()
    assert not (captured.out if status == 2 else captured.err)
    return (captured.err if status == 2 else captured.out).splitlines()


def test_an_unknown_name_is_one_line_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(capsys, "public-srot", status=2)
    assert line.startswith("reproduce: unknown result 'public-srot'; did you mean 'public-sort'?")


@pytest.mark.parametrize(
    ("name", "first"), [("public-sort", "mot15/train/ADL-Rundle-6/det/det.txt"), ("vtest-sort", "vtest.avi")]
)
def test_missing_data_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, first: str
) -> None:
    (line,) = said(capsys, name, "--data", tmp_path, status=2)
    assert line.startswith(f"reproduce: {tmp_path}: ")
    assert first in line


def test_the_list_needs_no_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = said(capsys, "--list", "--data", tmp_path, status=0)
    assert [line.split()[0] for line in lines] == list(PINNED)
    assert "MOT15 39.374 / 53.489 / 49.119" in lines[0]


@pytest.mark.data
def test_public_sort_is_the_same(capsys: pytest.CaptureFixture[str], shared_data: Path) -> None:
    *lines, last = said(capsys, "public-sort", "--data", shared_data, status=0)
    assert [line.split()[1] for line in lines] == ["MOT15", "MOT17", "ALL"]
    assert all(line.endswith(": same") for line in lines)
    assert last == "3 results, 3 same, 0 drifted"


@pytest.mark.data
def test_another_score_is_drift(
    capsys: pytest.CaptureFixture[str], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = PINNED["public-sort"]
    assert isinstance(row, Public)
    hota, mota, idf1 = row.mot17
    monkeypatch.setitem(PINNED, "public-sort", replace(row, mot17=(hota, mota + 0.01, idf1)))
    *lines, last = said(capsys, "public-sort", "--data", shared_data, status=1)
    assert lines[1].endswith("DRIFT by -0.010 MOTA (tolerance 0.001)")
    assert last == "3 results, 2 same, 1 drifted"


@pytest.mark.data
def test_other_detections_are_drift_and_said_to_be(
    capsys: pytest.CaptureFixture[str], shared_data: Path, tmp_path: Path
) -> None:
    for file in reproduce.DETECTIONS.files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared_data / file, tmp_path / file)
    with (tmp_path / reproduce.DETECTIONS.files[0]).open("a") as det:
        det.write("1,-1,10,10,20,40,0.9,-1,-1,-1\n")
    line, last = said(capsys, "public-sort", "--data", tmp_path, status=1)
    assert "DRIFT: the detections and their ground truth are not those that were pinned" in line
    assert last == "3 results, 0 same, 3 drifted"
