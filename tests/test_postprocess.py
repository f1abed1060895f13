"""Gaps filled on straight lines; smoothing against the textbook's Gaussian process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from mot.errors import InputError
from mot.postprocess import TrackRows, by_frame, collect, fill_gsi, fill_linear, length_scale
from mot.structures import Tracks, TrackState


def track(
    frames: list[int] | NDArray[np.int64], ident: int = 1, xyxy: Any = None, **change: Any
) -> dict[str, Any]:
    count = len(frames)
    corner = np.asarray(frames, float)[:, None] * [2.0, -1.0]
    values = {
        "frames": np.asarray(frames),
        "ids": np.full(count, ident),
        "xyxy": np.hstack([corner, corner + [10, 30]]) if xyxy is None else xyxy,
        "scores": np.full(count, 0.5),
        "labels": np.full(count, ident % 3),
        "det_index": np.arange(count),
    }
    return values | change


def rows(*tracks: dict[str, Any]) -> TrackRows:
    return TrackRows(**{name: np.concatenate([one[name] for one in tracks]) for name in tracks[0]})


def columns(found: TrackRows) -> dict[str, Any]:
    names = ("frames", "ids", "xyxy", "scores", "labels", "det_index")
    return {name: getattr(found, name).tolist() for name in names}


def jitter(count: int, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    path = np.stack([np.linspace(0, 300, count), 200 + 40 * np.sin(np.linspace(0, 5, count))], axis=1)
    corner = path + rng.normal(0, 2, (count, 2))
    return np.hstack([corner, corner + 60 + rng.normal(0, 2, (count, 2))])


def test_a_gap_is_filled_on_a_straight_line() -> None:
    box = np.array([[0, 0, 10, 20], [40, -8, 54, 24.0]])
    found = fill_linear(
        rows(track([3, 7], 5, box, scores=np.array([0.4, 0.8]), labels=np.array([2, 1]))), max_gap=3
    )
    assert columns(found) == {
        "frames": [3, 4, 5, 6, 7],
        "ids": [5] * 5,
        "xyxy": [[0, 0, 10, 20], [10, -2, 21, 21], [20, -4, 32, 22], [30, -6, 43, 23], [40, -8, 54, 24]],
        "scores": pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8]),
        "labels": [2, 2, 2, 2, 1],
        "det_index": [0, -1, -1, -1, 1],
    }


def test_gaps_of_most_max_gap_frames_are_filled() -> None:
    apart = rows(track([1, 5, 10]))
    counts = [len(fill_linear(apart, max_gap=gap)) for gap in (0, 2, 3, 4)]
    assert counts == [3, 3, 6, 10]
    # the official interval of 20 excludes a difference of 20 frames
    assert len(fill_linear(rows(track([1, 20])))) == 20
    assert len(fill_linear(rows(track([1, 21])))) == 2


def test_tracks_are_not_mixed_and_order_does_not_matter() -> None:
    both = rows(track([1, 4], 2), track([2, 4, 5], 1), track([9], 3))
    found = fill_linear(both)
    assert found.frames.tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 9]
    assert found.ids.tolist() == [2, 1, 2, 1, 2, 1, 2, 1, 3]
    assert columns(fill_linear(both[np.array([4, 1, 5, 0, 3, 2])])) == columns(found)
    np.testing.assert_allclose(found.xyxy[:, 0], found.frames * 2.0)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_rows_that_were_there_stay_and_every_short_gap_closes(seed: int, gap: int) -> None:
    rng = np.random.default_rng(seed)
    before = rows(*(track(np.flatnonzero(rng.random(40) < 0.4), ident) for ident in (1, 2, 3)))
    after = fill_linear(before, gap)
    made = after.det_index < 0
    kept = sorted(zip(before.ids.tolist(), before.frames.tolist(), before.xyxy.tolist(), strict=True))
    still = zip(*(getattr(after, name)[~made].tolist() for name in ("ids", "frames", "xyxy")), strict=True)
    assert sorted(still) == kept
    for ident in (1, 2, 3):
        left = np.diff(after.frames[after.ids == ident]) - 1
        assert ((left == 0) | (left > gap)).all()
    np.testing.assert_allclose(after.xyxy[:, 1], -1.0 * after.frames, atol=1e-9)
    assert columns(fill_linear(after, gap)) == columns(after)


@pytest.mark.parametrize("count", [1, 5, 80, 300])
def test_smoothing_is_the_mean_of_the_gaussian_process(count: int) -> None:
    xyxy = jitter(count)
    found = fill_gsi(rows(track(list(range(1, count + 1)), 4, xyxy)))
    times = np.arange(count)
    kernel = np.exp(-0.5 * ((times[:, None] - times) / length_scale(count, 10)) ** 2)
    expected = kernel @ cho_solve(cho_factor(kernel + 1e-10 * np.eye(count)), xyxy)
    np.testing.assert_allclose(found.xyxy, expected, atol=1e-3)
    assert found.det_index.tolist() == list(range(count))


def test_smoothing_takes_jitter_away_and_leaves_long_tracks_alone() -> None:
    smooth = fill_gsi(rows(track(list(range(100)), 1, jitter(100)))).xyxy
    assert np.abs(np.diff(smooth, 2, axis=0)).mean() < 0.05 * np.abs(np.diff(jitter(100), 2, axis=0)).mean()
    long = rows(track(list(range(1000)), 1, jitter(1000)))
    assert np.array_equal(fill_gsi(long).xyxy, long.xyxy)


def test_gsi_fills_first_and_smooths_each_track_alone() -> None:
    one, other = track([1, 2, 6, 7, 50], 1), track([2, 3, 4, 9], 2, jitter(4))
    found = fill_gsi(rows(one, other))
    alone = fill_gsi(rows(one))
    assert np.array_equal(found.xyxy[found.ids == 1], alone.xyxy)
    assert alone.frames.tolist() == [1, 2, 3, 4, 5, 6, 7, 50]
    assert alone.det_index.tolist() == [0, 1, -1, -1, -1, 2, 3, 4]
    linear = fill_linear(rows(one)).xyxy
    np.testing.assert_allclose(alone.xyxy, linear, atol=0.05)  # a line is smooth already


def test_length_scale_is_the_papers_within_its_bounds() -> None:
    assert length_scale(100, 10) == pytest.approx(10 * np.log(10))
    assert length_scale(1, 10) == pytest.approx(10 * np.log(1000))
    assert length_scale(5000, 10) == 0.1
    assert length_scale(1, 2) == 4
    assert length_scale(1, 16) == pytest.approx(16 * np.log(4096))
    assert length_scale(1, 1.1) == pytest.approx(1 / 1.1)


def test_boxes_never_turn_inside_out() -> None:
    rng = np.random.default_rng(1)
    corner = rng.normal(0, 30, (60, 2))
    thin = np.hstack([corner, corner + rng.exponential(0.5, (60, 2)) ** 3])
    found = fill_gsi(rows(track(list(range(60)), 1, thin)))
    assert (found.xyxy[:, 2:] >= found.xyxy[:, :2]).all()
    assert (found.xyxy[:, 2:] == found.xyxy[:, :2]).any()  # it would have


def test_from_tracks_and_back() -> None:
    def tracks(ids: list[int], index: list[int]) -> Tracks:
        state = np.full(len(ids), TrackState.CONFIRMED)
        xyxy = np.tile([0.0, 0, 4, 4], (len(ids), 1))
        scores, labels = np.full(len(ids), 0.5), np.zeros(len(ids), np.int64)
        return Tracks(
            ids=np.array(ids), xyxy=xyxy, scores=scores, labels=labels, det_index=np.array(index), state=state
        )

    results = [(1, tracks([2, 1], [0, 1])), (2, Tracks.empty()), (4, tracks([1], [5]))]
    filled = fill_linear(collect(results))
    back = list(by_frame(filled[np.array([4, 0, 2, 1, 3])]))
    assert [(frame, one.ids.tolist(), one.det_index.tolist()) for frame, one in back] == [
        (1, [1, 2], [1, 0]),
        (2, [1], [-1]),
        (3, [1], [-1]),
        (4, [1], [5]),
    ]
    assert back[1][1].state.tolist() == [TrackState.LOST]
    assert back[3][1].state.tolist() == [TrackState.CONFIRMED]


def test_no_rows() -> None:
    none = collect([])
    assert len(fill_linear(none)) == len(fill_gsi(none)) == 0
    assert list(by_frame(none)) == []
    assert columns(fill_gsi(none)) == columns(none)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyxy": np.zeros((2, 5))}, r"xyxy: expected shape \(2, 4\), got \(2, 5\)"),
        ({"scores": np.zeros(3)}, r"scores: expected shape \(2,\), got \(3,\)"),
        ({"frames": np.array([1, 1.5])}, r"frames: row 1 is 1.5, expected whole numbers; shape \(2,\)"),
        ({"frames": [3, 3]}, "ids: row 1, id 1 stands twice in frame 3"),
        ({"xyxy": [[0, 0, 1, 1], [0, 0, np.nan, 1]]}, "xyxy: row 1 .*expected finite"),
        ({"labels": ["a", "b"]}, "labels: expected numbers, got list"),
    ],
)
def test_bad_rows_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrackRows(**(track([1, 2]) | change))


def test_an_id_twice_in_a_frame_is_refused_wherever_it_stands() -> None:
    twice = rows(track([3, 4], 1), track([3, 4], 2))
    assert len(twice) == 4
    with pytest.raises(InputError, match="ids: row 4, id 1 stands twice in frame 3"):
        rows(track([3, 4], 1), track([3, 4], 2), track([3], 1))


def test_bad_parameters_are_refused() -> None:
    one = rows(track([1, 3]))
    with pytest.raises(InputError, match="max_gap.*got -1"):
        fill_linear(one, -1)
    for tau in (0, -1, np.nan, 17):
        with pytest.raises(InputError, match="tau: expected a number above 0, at most 16"):
            fill_gsi(one, tau=tau)
