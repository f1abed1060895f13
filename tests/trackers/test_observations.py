"""The pieces that the observation-centric trackers share, one by one, and ORU against a textbook filter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mot import motion
from mot.assignment import Matches, Pairs
from mot.structures import Detections, Reason
from mot.trackers import observations
from mot.trackers.observations import XYSR, centre, corners
from mot.trackers.ocsort import OCSORT, OCSORTConfig
from mot.trackers.table import Rows, TrackTable

Array = NDArray[np.float64]
BOX = np.array([100.0, 100.0, 140.0, 200.0])
NONE = np.empty(0, np.int64)


def seen(*boxes: Array, score: float = 0.9) -> Detections:
    return Detections(xyxy=np.array(boxes).reshape(-1, 4), scores=np.full(len(boxes), score))


def table_of(count: int, delta_t: int = 3) -> TrackTable:
    table = observations.new_table("test", axes=4, points=1, delta_t=delta_t)
    shifted = [BOX + 200.0 * i * np.array([1, 0, 1, 0]) for i in range(count)]
    observations.spawn(table, np.arange(count), seen(*shifted), np.empty((count, 0)), XYSR)
    return table


def test_bands_leave_out_scores_on_a_threshold_and_boxes_without_area() -> None:
    found = Detections(
        xyxy=np.array([BOX, BOX, BOX, BOX, BOX, [5, 5, 5, 9]]),
        scores=np.array([0.7, 0.6, 0.3, 0.1, 0.05, 0.9]),
    )
    assigned, strong, faint = observations.bands(found, 0.6, 0.1)
    below, unmatched = Reason.BELOW_THRESHOLD, Reason.UNMATCHED
    assert assigned.tolist() == [unmatched, below, unmatched, below, below, unmatched]
    assert (strong.tolist(), faint.tolist()) == ([0], [2])
    assigned, strong, faint = observations.bands(found, 0.6, None)
    assert assigned.tolist() == [unmatched, below, below, below, below, unmatched]
    assert (strong.tolist(), faint.tolist()) == ([0], [])


def test_recent_observations_and_the_last_one_where_there_are_none() -> None:
    table = table_of(3)
    table.time = 10.0
    table["seen_at"] = np.array([[7, 8, 9], [2, 3, 6], [-np.inf] * 3])
    assert observations.recent(table, 3).tolist() == [[True] * 3, [False, False, True], [False] * 3]
    assert observations.recent(table, 2).tolist()[0] == [False, True, True]
    assert observations.oldest(table, 2).tolist() == [
        [False, True, False],
        [False, False, True],
        [False] * 3,
    ]
    assert observations.last_seen(table)[1].tolist() == [True, True, False]


def test_points_of_a_box() -> None:
    assert centre(BOX).tolist() == [[120, 150]]
    assert corners(BOX[None]).tolist() == [[[100, 100], [100, 200], [140, 100], [140, 200]]]


def test_consistency_is_half_straight_on_and_minus_half_straight_back() -> None:
    table = table_of(2)
    table.time = 1.0
    table["seen"][0, -1], table["seen_at"][0, -1] = BOX, 1.0
    table["direction"][0, 0] = [1.0, 0.0]
    ways = BOX + np.array([[9.0, 0, 9, 0], [-9, 0, -9, 0], [0, 9, 0, 9], [9, 9, 9, 9]])
    angles = observations.consistency(table, 3, centre, ways)
    whole = angles(np.arange(2)[:, None], np.arange(4))
    np.testing.assert_allclose(whole[0], [0.5, -0.5, 0.0, 0.25], atol=1e-3)
    assert whole[1].tolist() == [0.0] * 4  # no direction yet
    assert angles(np.array([0, 1, 0]), np.array([3, 0, 1])).tolist() == whole[[0, 1, 0], [3, 0, 1]].tolist()


def pairs_of(overlap: Array) -> Pairs:
    rows, columns = overlap.nonzero()
    return Pairs(rows, columns, overlap[rows, columns])


def test_first_match_asks_the_solver_only_where_the_threshold_leaves_a_choice() -> None:
    gains = np.array([[0.0, 5.0], [5.0, 0.0]])

    def match(overlap: list[list[float]]) -> Matches:
        cells = np.array(overlap)
        return observations.match_first(pairs_of(cells), cells.shape, 0.3, lambda r, c: gains[r, c])

    assert match([[0.5, 0.2], [0.2, 0.5]]).columns.tolist() == [0, 1]
    assert match([[0.5, 0.4], [0.4, 0.5]]).columns.tolist() == [1, 0]
    # what is matched is gated by the overlap alone, after the solve
    found = match([[0.5, 0.4], [0.2, 0.5]])
    assert (found.rows.tolist(), found.columns.tolist()) == ([0], [1])


@pytest.mark.parametrize("seed", range(20))
def test_a_bound_on_the_gain_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(30, 60, 2))
    overlap = np.where(rng.random(shape) < 0.08, 0.3 * rng.random(shape), 0.0)
    known = rng.permutation(min(shape))[: rng.integers(10, 30)]
    overlap[known, known] = rng.uniform(0.4, 1, len(known))
    overlap[0, 1] = overlap[0, 0] = 0.5  # or no solver were needed
    gains, asked = rng.uniform(-0.1, 0.1, shape), list[int]()

    def gain(rows: Rows, columns: Rows) -> Array:
        asked.append(gains[rows, columns].size)
        return np.asarray(gains[rows, columns])

    bound, free = (observations.match_first(pairs_of(overlap), shape, 0.3, gain, b) for b in (0.1, np.inf))
    assert bound.rows.tolist() == free.rows.tolist()
    assert bound.columns.tolist() == free.columns.tolist()
    assert sum(asked[:-1]) < asked[-1] == overlap.size  # with a bound not every cell is asked


def test_second_match_takes_what_is_left_and_only_above_the_threshold() -> None:
    overlap = np.array([[0.9, 0.8, 0.55], [0.9, 0.6, 0.3], [0.9, 0.1, 0.2]])
    made = Matches(np.array([2]), np.array([0]))

    def again(
        threshold: float,
        loss: Array | None = None,
        candidates: tuple[int, ...] = (0, 1, 2),
        tracks: tuple[bool, ...] = (True, True, True),
    ) -> set[object]:
        found = observations.match_again(
            made,
            np.array(tracks),
            np.array(candidates),
            threshold,
            lambda r, c: pairs_of(overlap[np.ix_(r, c)]),
            None if loss is None else lambda r, c: loss[r, c],
        )
        return set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))

    assert again(0.3) == {(2, 0), (0, 2), (1, 1)}  # 0.55 + 0.6, not 0.8 + 0.3
    assert again(0.3, tracks=(True, False, True)) == {(2, 0), (0, 1)}
    assert again(0.57) == {(2, 0), (1, 1)}
    assert again(0.8, candidates=(1,)) == {(2, 0)}  # none is above, so the equal one is not taken either
    assert again(0.79, candidates=(1,)) == {(2, 0), (0, 1)}
    assert again(0.3, candidates=(2,)) == {(2, 0), (0, 2)}
    assert again(0.5, loss=np.array([[0.0, 0, 0], [0, 0.2, 0], [0, 0, 0]])) == {(2, 0), (0, 1)}
    assert again(0.38, loss=np.full((3, 3), 0.2)) == {(2, 0), (1, 1)}  # 0.4 is enough, 0.35 is not


def test_whole_steps_are_predictions_and_a_skipped_frame_is_no_miss() -> None:
    together, apart = table_of(2), table_of(2)
    for table in (together, apart):
        table["filter"][:, motion.V] = [3.0, -2.0, 10.0, 0.0]
    assert not observations.advance(together, [1.0, 1.0], XYSR.process).any()
    observations.advance(apart, [1.0], XYSR.process)
    assert observations.advance(apart, [1.0], XYSR.process).all()
    for name in ("filter", "frozen", "lead", "misses"):
        np.testing.assert_array_equal(together[name], apart[name])
    assert together["frozen"][0, motion.X, 0] == 123.0  # after the first of the two
    tracker = OCSORT()
    for i in range(8):
        tracks = tracker.update(seen(BOX + 2 * i), dt=2.0)
    assert tracks.ids.tolist() == [1]


def test_a_box_that_shrinks_away_stops_shrinking_and_one_that_is_none_goes() -> None:
    table = table_of(2)
    table["filter"][0, motion.V, 2] = -5000.0
    observations.advance(table, [1.0], XYSR.process)
    assert table["filter"][0, motion.X, 2] == 4000.0
    table["filter"][1, motion.X, 2] = -1.0
    assert observations.sound(table).tolist() == [True, False]


def dense_step(mean: Array, p: Array, z: Array | None) -> tuple[Array, Array]:
    """Textbook: predict where `z` is None, else update; states x y s r vx vy vs."""
    f, h = np.eye(7), np.eye(4, 7)
    f[:3, 4:] = np.eye(3)
    if z is None:
        return f @ mean, f @ p @ f.T + np.diag([1, 1, 1, 1, 1e-2, 1e-2, 1e-4])
    gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + np.diag([1.0, 1, 10, 10]))
    return mean + gain @ (z - h @ mean), p - gain @ h @ p


def xysr(x: float, y: float, w: float, h: float) -> Array:
    return np.array([x, y, w * h, w / h])


def test_a_track_found_again_is_updated_along_the_straight_virtual_path() -> None:
    tracker = OCSORT(OCSORTConfig(iou_threshold=0.1))
    path = [np.array([100.0 + 4 * i, 100.0, 140.0 + 4 * i, 200.0 + i]) for i in range(10)]
    for i in (0, 1, 2, 3):
        tracker.update(seen(path[i]))
    for _ in range(3):
        tracker.update(Detections.empty())
    assert tracker.update(seen(path[7])).assigned.tolist() == [1]

    def at(box: Array) -> tuple[float, float, float, float]:
        return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]

    mean, p = np.zeros(7), np.diag([10.0] * 4 + [1e4] * 3)
    mean[:4] = xysr(*at(path[0]))
    for i in (1, 2, 3):
        mean, p = dense_step(*dense_step(mean, p, None), xysr(*at(path[i])))
    start, end = np.array(at(path[3])), np.array(at(path[7]))
    for share in (0.25, 0.5, 0.75, 1.0):
        mean, p = dense_step(mean, p, None)
        mean, p = dense_step(mean, p, xysr(*(start + share * (end - start))))
    mean, p = dense_step(mean, p, xysr(*end))  # the detection itself counts once more
    state = tracker.state_dict()
    np.testing.assert_allclose(state["filter"][0, motion.X], mean[:4], rtol=1e-9)
    np.testing.assert_allclose(state["filter"][0, motion.V, :3], mean[4:], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(state["filter"][0, motion.PXX], np.diag(p)[:4], rtol=1e-9)


def test_a_track_missed_before_its_first_observation_has_no_path_to_follow() -> None:
    tracker = OCSORT()
    tracker.update(seen(BOX))
    tracker.update(Detections.empty())
    tracker.update(seen(BOX + 5))
    mean, p = np.zeros(7), np.diag([10.0] * 4 + [1e4] * 3)
    mean[:4] = xysr(120, 150, 40, 100)
    mean, p = dense_step(*dense_step(mean, p, None), None)
    mean, p = dense_step(mean, p, xysr(125, 155, 40, 100))
    np.testing.assert_allclose(tracker.state_dict()["filter"][0, motion.X], mean[:4], rtol=1e-9)


def test_the_detection_that_starts_a_track_is_no_observation() -> None:
    tracker = OCSORT()
    tracker.update(seen(BOX))
    assert np.isneginf(tracker.state_dict()["seen_at"]).all()
    tracker.update(seen(BOX + 1))
    state = tracker.state_dict()
    assert state["seen_at"][0].tolist() == [-np.inf, -np.inf, 2.0]
    assert state["direction"].tolist() == [[[0.0, 0.0]]]
    tracker.update(seen(BOX + np.array([4, 5, 4, 5])))
    np.testing.assert_allclose(tracker.state_dict()["direction"][0, 0], [0.6, 0.8], atol=1e-6)


@pytest.mark.parametrize("pauses", [[0.5], [0.25, 0.5], [2.5], [1.0, 0.5], [1e-9, 1e-9]])
def test_fractions_of_frames_lead_to_finite_filters_near_the_path(pauses: list[float]) -> None:
    tracker = OCSORT(OCSORTConfig(iou_threshold=0.05))
    for i in range(6):
        tracker.update(seen(BOX + 4 * i))
    for dt in pauses:
        tracker.update(Detections.empty(), dt=dt)
    place = BOX + 4 * (6 + sum(pauses))
    assert tracker.update(seen(place)).assigned.tolist() == [1]
    bank = tracker.state_dict()["filter"][0]
    assert np.isfinite(bank).all()
    np.testing.assert_allclose(bank[motion.X, :2], centre(place)[0], atol=2.0)
    np.testing.assert_allclose(bank[motion.V, :2], 4.0, atol=2.0)
