"""Whole folders through a tracker: workers change nothing, a killed one loses nothing, a cache is used."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import folders
import pytest

from mot.engine import benchmark
from mot.engine.benchmark import Job, finished, run_all
from mot.errors import MotError, OutputError
from mot.formats.sequences import Sequence, find_sequences, frame_range


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three sequences, with detections of one person who walks."""
    root = tmp_path / "MOT17" / "train"
    for name, length in (("MOT17-02-FRCNN", 40), ("MOT17-04-FRCNN", 60), ("MOT17-05-FRCNN", 20)):
        folder = folders.sequence(root / name, "MOT17", length)
        rows = (f"{i},-1,{10 * i},50,20,40,0.9\n" for i in range(1, length + 1))
        (folder / "det" / "det.txt").write_text("".join(rows))
    return root


def jobs_of(data: Path, out: Path, **changes: object) -> list[Job]:
    facts: dict[str, object] = {"cfg": "sort.yml", "det_file": "det/det.txt"} | changes
    return [Job(one, out, **facts) for one in find_sequences(data)]  # type: ignore[arg-type]


def test_two_workers_write_the_bytes_of_one(data: Path, tmp_path: Path) -> None:
    texts = []
    for workers in (1, 2):
        jobs = jobs_of(data, tmp_path / str(workers))
        records = run_all(jobs, workers)
        assert list(records) == [job.folder.name for job in jobs]
        assert [record["frames"] for record in records.values()] == [40, 60, 20]
        texts.append([job.text.read_bytes() for job in jobs])
    assert texts[0] == texts[1]
    assert all(len(text.splitlines()) > 15 for text in texts[0])


def test_a_killed_worker_is_named_and_loses_nothing_finished(data: Path, tmp_path: Path) -> None:
    jobs = jobs_of(data, tmp_path / "out")
    killed: list[str] = []

    def kill(running: Mapping[str, int]) -> None:
        import multiprocessing

        for process in multiprocessing.active_children():
            if process.name == "MOT17-02-FRCNN" and process.pid and not killed:
                killed.append(process.name)
                os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(
        MotError, match=r"^MOT17-02-FRCNN: its worker was killed .SIGKILL.; go on with --resume"
    ):
        run_all(jobs, 1, kill)
    assert [job.text.exists() for job in jobs] == [False, True, True]
    assert [finished(job) is not None for job in jobs] == [False, True, True]
    left = [job for job in jobs if finished(job) is None]
    run_all(left, 1)
    assert all(finished(job) for job in jobs)


def test_a_result_of_another_config_is_not_taken_for_finished(data: Path, tmp_path: Path) -> None:
    (job, *_) = jobs_of(data, tmp_path / "out")
    assert finished(job) is None
    benchmark.track(job)
    assert finished(job) is not None
    (other, *_) = jobs_of(data, tmp_path / "out", overrides=("tracker.max_age=9",))
    with pytest.raises(OutputError, match="was made with another config"):
        finished(other)
    job.record.write_text(job.record.read_text()[:-9])
    assert finished(job) is None


def test_what_was_changed_since_is_not_taken_for_finished(data: Path, tmp_path: Path) -> None:
    (job, *_) = jobs_of(data, tmp_path / "out")
    benchmark.track(job)
    text = job.text.read_text()
    job.text.write_text(text[: len(text) // 2])
    assert finished(job) is None
    job.text.write_text(text)
    assert finished(job) is not None
    det = job.folder.folder / "det" / "det.txt"
    det.write_text(det.read_text()[:-9] + ",0.8\n")
    with pytest.raises(OutputError, match="was made with another content of its inputs"):
        finished(job)


def test_what_a_killed_run_left_goes(data: Path, tmp_path: Path) -> None:
    (job, other, _) = jobs_of(data, tmp_path / "out")
    job.out.mkdir()
    parts = [job.out / f".{one.folder.name}.txt.00ff.part" for one in (job, other)]
    for part in parts:
        part.touch()
    benchmark.track(job)
    assert [part.exists() for part in parts] == [False, True]


def test_rows_beyond_the_sequence_are_refused_whatever_part_is_tracked(data: Path, tmp_path: Path) -> None:
    (job, *_) = jobs_of(data, tmp_path / "out", frames=range(1, 11))
    det = job.folder.folder / "det" / "det.txt"
    det.write_text(det.read_text() + "41,-1,10,50,20,40,0.9\n")
    with pytest.raises(MotError, match="MOT17-02-FRCNN: .*has rows for frame 41"):
        benchmark.track(job)


def test_what_is_wrong_in_a_worker_names_its_sequence(data: Path, tmp_path: Path) -> None:
    (data / "MOT17-04-FRCNN" / "det" / "det.txt").write_text("1,-1,oops\n")
    jobs = jobs_of(data, tmp_path / "out")
    with pytest.raises(MotError, match=r"^MOT17-04-FRCNN: .*det\.txt.*line 1"):
        run_all(jobs, 2)
    assert [job.text.exists() for job in jobs] == [True, False, True]


@pytest.fixture
def pictures(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence:
    """As much of a sequence as there are pictures of."""
    pytest.importorskip("torch")
    monkeypatch.setenv("MOT_WEIGHTS", str(shared_data / "weights"))
    (folder,) = find_sequences(shared_data / "mot17" / "train", names=["MOT17-09-FRCNN"])
    return replace(folder, length=len(list(folder.image_dir.glob("*.jpg"))))


@pytest.mark.data
def test_all_trackers_share_one_pass_of_the_networks(pictures: Sequence, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"overrides": ("detector.input_size=320",), "offline": True}
    cached = facts | {"cache": tmp_path / "cache"}
    spent = {}
    for name in ("ocsort", "deepsort", "bytetrack", "strongsort", "sort", "deepsort"):
        record = benchmark.track(Job(pictures, tmp_path / "cached", f"{name}.yml", **cached))
        benchmark.track(Job(pictures, tmp_path / "plain", f"{name}.yml", **facts))
        spent[name] = {stage: record["seconds"].get(stage, 0) for stage in ("detect", "embed")}
        text = (tmp_path / "cached" / f"{pictures.name}.txt").read_bytes()
        assert text == (tmp_path / "plain" / f"{pictures.name}.txt").read_bytes()
        assert text
        if len(spent) == 2:
            assert spent["deepsort"]["embed"] > 0
    assert spent.pop("ocsort")["detect"] > 0
    assert not any(each["detect"] or each["embed"] for each in spent.values())


@pytest.mark.data
def test_a_cache_of_looks_beside_detections_from_a_file(pictures: Sequence, tmp_path: Path) -> None:
    det = tmp_path / "det.txt"
    rows = [f"{i},-1,{600 + 9 * i},400,90,260,0.9\n" for i in range(1, pictures.length + 1)]
    facts: dict[str, Any] = {"cache": tmp_path / "cache", "offline": True, "det_file": str(det)}
    spent = []
    for text, how in ((rows, "clip"), (rows, "clip"), (rows[:-1], "clip"), (rows, "logistic")):
        det.write_text("".join(text))
        facts["overrides"] = (f"detector.score_map={how}",)
        record = benchmark.track(Job(pictures, tmp_path / "out", "deepsort.yml", **facts))
        spent.append(record["seconds"]["embed"] > 0)
    assert spent == [True, False, True, True]


@pytest.mark.data
def test_half_a_sequence_is_tracked_from_its_start(pictures: Sequence, tmp_path: Path) -> None:
    half, det = frame_range("second-half", pictures.length), tmp_path / "det.txt"
    det.write_text("".join(f"{i},-1,{600 + 9 * i},400,90,260,0.9\n" for i in range(1, pictures.length + 1)))
    facts: dict[str, Any] = {"det_file": str(det), "cfg": "sort.yml"}
    record = benchmark.track(Job(pictures, tmp_path / "half", frames=half, **facts))
    assert record["frames"] == len(half)
    frames = [
        int(row.split(",")[0])
        for row in (tmp_path / "half" / f"{pictures.name}.txt").read_text().splitlines()
    ]
    assert frames[0] == half[0]  # in its first frames a tracker tells of all; one that ran before would not
    assert frames[-1] <= half[-1]
