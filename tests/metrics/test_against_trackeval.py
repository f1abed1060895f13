"""Equal to the installed trackeval in every field: 1e-9, counts exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_scenes import Row, Scene, boxes, hand_made, random_scene

from mot.metrics import DISTRACTORS, Counts, combine, count, prepare, scores

WHY = "needs trackeval, which tools/check --full installs; tests/metrics/test_metrics_golden.py stands in"
reference = pytest.importorskip("metrics_reference", reason=WHY)
bench = pytest.importorskip("metrics", reason=WHY)

SCENES = hand_made()
# Of every kind a few in a second; tools/check --full looks at all.
SMALL = ("TUD-Campus", "KITTI-17")


def check(scene: Scene, iou: float = 0.5) -> tuple[Counts, object]:
    ours, theirs = count(prepare(*scene), iou), reference.evaluate(reference.prepared(*scene), iou)
    assert not reference.differences(scores(ours), theirs)
    return ours, theirs


@pytest.mark.parametrize("name", SCENES)
def test_hand_made(name: str) -> None:
    ours, theirs = check(SCENES[name])
    assert not reference.differences(scores(combine([ours])), reference.combined([theirs]))


@pytest.mark.parametrize("iou", [0.05, 1 / 3, 0.7, 1.0])
def test_other_thresholds(iou: float) -> None:
    for scene in SCENES.values():
        check(scene, iou)


@pytest.mark.parametrize("benchmark", DISTRACTORS)
@pytest.mark.parametrize("grid", [0.0, 12.0])
def test_crowds(benchmark: str, grid: float) -> None:
    """Wide frames, because numpy adds up eight and more columns in another order than fewer."""
    pairs = [
        check(random_scene(seed, benchmark, 15, grid, people, 5.0))
        for seed, people in ((1, 4), (2, 9), (3, 17), (4, 30))
    ]
    ours, theirs = zip(*pairs, strict=True)
    assert not reference.differences(scores(combine(ours)), reference.combined(theirs))


@st.composite
def small_scenes(draw: st.DrawFn) -> Scene:
    """Few boxes on a coarse grid, so that most decisions are ties; or stretched, so that few are."""
    length, stretch = draw(st.integers(1, 6)), draw(st.sampled_from([1.0, 1.0, 1.37]))
    place, size = st.integers(0, 4).map(lambda x: x * stretch), st.integers(0, 3).map(lambda x: x * stretch)

    def rows(classes: tuple[int, ...]) -> list[Row]:
        row = st.tuples(
            st.integers(1, length),
            st.integers(1, 5),
            *(place, place, size, size),
            st.sampled_from([1.0, 1.0, 1.0, 0.0]),
            st.sampled_from(classes),
        )
        return draw(st.lists(row, max_size=24, unique_by=lambda row: row[:2]))

    truth, result = rows((1, 1, 1, 2, 6, 8, 11)), rows((1, -1))
    return Scene(boxes(truth), boxes(result), length, draw(st.sampled_from(["MOT15", "MOT17", "MOT20"])))


def many_scenes(examples: int) -> int:
    """Checks so many pairs of scenes, each by itself and combined; returns how many."""
    seen = 0

    @settings(max_examples=examples, deadline=None, database=None)
    @given(st.tuples(small_scenes(), small_scenes()))
    def equal(scenes: tuple[Scene, Scene]) -> None:
        nonlocal seen
        seen += 1
        ours, theirs = zip(*map(check, scenes), strict=True)
        assert not reference.differences(scores(combine(ours)), reference.combined(theirs))

    equal()
    return seen


def test_random_small_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    seen = many_scenes(200)
    with capsys.disabled():
        print(f" {seen} pairs of random scenes", end=" ")
    assert seen >= 200


@pytest.mark.full
def test_more_random_small_scenes(capsys: pytest.CaptureFixture[str]) -> None:
    seen = many_scenes(2000)
    with capsys.disabled():
        print(f" {seen} pairs of random scenes", end=" ")
    assert seen >= 2000


@pytest.mark.data
def test_some_reference_runs(shared_data: Path) -> None:
    compare([job for job in bench.jobs(shared_data, "MOT15") if job.sequence.name in SMALL])
    seventeen = bench.jobs(shared_data, "MOT17")
    compare(
        [
            job
            for job in seventeen
            if (job.result.parent.name, job.sequence.name) == ("sort", "MOT17-09-FRCNN")
        ]
    )


@pytest.mark.full
@pytest.mark.data
@pytest.mark.parametrize("benchmark", ["MOT15", "MOT17"])
def test_every_reference_run(benchmark: str, shared_data: Path) -> None:
    compare(bench.jobs(shared_data, benchmark))


def compare(jobs: list[object]) -> None:
    assert jobs
    assert not bench.compare(jobs, bench.ours(jobs), bench.theirs(jobs))
