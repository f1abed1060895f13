"""What the metrics promise by themselves; that they are trackeval's numbers is in the other files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from metrics_scenes import boxes, hand_made, random_scene, walk
from numpy.typing import NDArray

from mot import boxes as geometry
from mot.errors import ConfigError, InputError
from mot.metrics import clear, combine, count, events, hota, identity, prepare, scene, scores
from mot.metrics.matching import contested, match
from mot.structures import Rows

SCENES = hand_made()
TEN = range(1, 11)


def test_a_perfect_result_scores_one() -> None:
    found = scores(count(prepare(*SCENES["perfect"])))
    for name in ("HOTA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "MTR"):
        np.testing.assert_allclose(found[name], 1, atol=1e-12)


def test_swapped_ids_by_hand() -> None:
    """Two people change ids half-way: two switches, half of the boxes keep the id that fits best."""
    prepared = prepare(*SCENES["swap"])
    assert (clear(prepared).switches, clear(prepared).fragments, clear(prepared).tp) == (2, 0, 20)
    assert (identity(prepared).tp, identity(prepared).fn, identity(prepared).fp) == (10, 10, 10)
    # each of 20 matches has 5 of 10 + 10 - 5 frames in common
    np.testing.assert_allclose(hota(prepared).association, 20 / 3)


def test_names_of_ids_do_not_matter() -> None:
    truth, result, length, benchmark = random_scene(5, "MOT17")
    other = replace(result, ids=10_000_000 - 7 * result.ids)
    assert_same(prepare(truth, result, length, benchmark), prepare(truth, other, length, benchmark))


def test_order_of_frames_in_the_file_does_not_matter() -> None:
    truth, result, length, benchmark = random_scene(6, "MOT17")
    backwards = reordered(result, -result.frames)  # not within a frame: that order decides ties
    assert_same(prepare(truth, result, length, benchmark), prepare(truth, backwards, length, benchmark))


def reordered(rows: Rows, by: NDArray[np.int64]) -> Rows:
    order = np.argsort(by, kind="stable")
    return Rows(**{name: column[order] for name, column in vars(rows).items()})


def assert_same(a: scene.Prepared, b: scene.Prepared) -> None:
    first, second = scores(count(a)), scores(count(b))
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", SCENES)
def test_events_are_what_clear_counts(name: str) -> None:
    prepared = prepare(*SCENES[name])
    found, counts = events(prepared), clear(prepared)
    kinds = [int((found["kind"] == kind).sum()) for kind in ("false", "miss", "switch")]
    assert kinds == [counts.fp, counts.fn, counts.switches]
    assert (np.diff(found["frame"]) >= 0).all()


def test_events_name_frames_and_ids_as_in_the_files() -> None:
    truth = walk(41, TEN, 0)
    result = walk(7, range(1, 4), 0) + walk(9, range(5, 11), 0) + walk(8, range(2, 3), 500)
    found = events(prepare(boxes(truth), boxes(result), 10))
    assert found.tolist() == [(2, "false", -1, 8), (4, "miss", 41, -1), (5, "switch", 41, 9)]


@pytest.mark.parametrize("name", SCENES)
def test_overlaps_are_those_of_mot_boxes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, result, length, _ = SCENES[name]
    monkeypatch.setattr(scene, "CHUNK", 60)  # a few frames at once
    truth = replace(truth, scores=np.ones(len(truth)))
    prepared = prepare(truth, result, length, "MOT15")
    truth, result = (reordered(rows, rows.frames) for rows in (truth, result))
    expected = geometry.iou(geometry.tlwh_to_xyxy(truth.tlwh), geometry.tlwh_to_xyxy(result.tlwh))
    expected[truth.frames[:, None] != result.frames] = 0
    found = np.zeros_like(expected)
    found[prepared.pairs.truth, prepared.pairs.result] = prepared.pairs.similarity
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("benchmark", ["MOT15", "MOT20"])
@pytest.mark.parametrize("grid", [0.0, 10.0])
def test_where_nothing_is_contested_the_solver_takes_every_pair(
    benchmark: str, grid: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = prepare(*random_scene(3, benchmark, 200, grid, people=5)).pairs
    pairs = pairs.where(pairs.similarity >= 0.3)
    every = match(pairs, pairs.similarity)
    fewer = list(contested(pairs))
    monkeypatch.setattr(np, "bincount", lambda values: np.full(values.max() + 1, 2))
    blocks = list(contested(pairs))
    monkeypatch.undo()
    assert len(blocks) > len(fewer) + 20
    for block in blocks:
        np.testing.assert_array_equal(block.solve(pairs.similarity[block.span]), every[block.span])


def test_combining_counts_a_sequence_without_truth() -> None:
    """By itself its ratios are 0; combined, its false boxes count."""
    alone = count(prepare(*SCENES["empty truth"]))
    assert scores(alone)["MOTA"] == 0
    assert scores(combine([alone]))["MOTA"] == -20
    both = combine([alone, count(prepare(*SCENES["perfect"]))])
    assert (both.sequences, scores(both)["MOTA"]) == (2, 0)


def test_no_sequences() -> None:
    with pytest.raises(InputError, match="no sequences"):
        combine([])


PERSON = boxes(walk(1, TEN, 0))


@pytest.mark.parametrize(
    ("truth", "result", "said"),
    [
        (boxes(walk(1, range(1, 12), 0)), PERSON, "ground truth: frame 11 is outside 1..10"),
        (PERSON, boxes(walk(1, range(3), 0)), "result: frame 0 is outside 1..10"),
        (
            PERSON,
            boxes(walk(4, range(1, 9), 0) + walk(4, range(8, 9), 9)),
            "result: id 4 is twice in frame 8",
        ),
        (PERSON, boxes(walk(4, range(3, 5), np.nan)), "result: frame 3, id 4: box .nan"),
        (boxes(walk(1, TEN, 0, cls=14)), PERSON, "ground truth: frame 1 has class 14, expected 1..13"),
        (PERSON, boxes(walk(1, TEN, 0, cls=3)), "result: frame 1 has class 3, expected 1 or -1"),
    ],
)
def test_bad_rows_are_named(truth: Rows, result: Rows, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepare(truth, result, 10)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'MOT17'"):
        prepare(PERSON, PERSON, 10, "MOT-17")
    with pytest.raises(InputError, match="0 frames"):
        prepare(PERSON, PERSON, 0)
    with pytest.raises(InputError, match="iou 0: expected"):
        clear(prepare(PERSON, PERSON, 10), 0)
    with pytest.raises(InputError, match=r"\(9, 4\)"):
        replace(PERSON, tlwh=PERSON.tlwh[:9])
