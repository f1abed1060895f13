"""Kalman banks and what the trackers do with them, compiled: the same bits as numpy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("numba", reason="WITHOUT numba: the compiled kernels are not tested")

from mot import boxes, kernels, motion
from mot.assignment import Matches
from mot.kernels import compiled as fast
from mot.structures import Detections, TrackState
from mot.trackers import botsort, bytefamily, observations
from mot.trackers.observations import XYSR, centre, corners
from mot.trackers.sort import SORT
from mot.trackers.table import TrackTable

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.sampled_from([0, 1, 2, 9, 120])
STEPS = st.sampled_from([1.0, 0.5, 0.3])
LOOSE = settings(max_examples=100, deadline=None)
equal = np.testing.assert_array_equal


@pytest.fixture(autouse=True, scope="module")
def numpy_twins() -> Iterator[None]:
    before = kernels.fast
    kernels.use("numpy")
    yield
    kernels.fast = before


def bank_of(rng: np.random.Generator, count: int, axes: int = 4, scale: float = 1.0) -> Array:
    bank = rng.uniform(1, 300, (count, 5, axes)) * scale
    bank[:, motion.V] = rng.uniform(-50, 50, (count, axes))
    bank[:, motion.PXV] = rng.uniform(-0.5, 0.5, (count, axes))
    return bank


def some_boxes(rng: np.random.Generator, count: int) -> Array:
    corner, size = rng.uniform(-50, 900, (count, 2)), rng.uniform(1, 200, (count, 2))
    return np.hstack([corner, corner + size])


def some_detections(rng: np.random.Generator, count: int) -> Detections:
    labels = rng.integers(0, 2, count)
    return Detections(xyxy=some_boxes(rng, count), scores=rng.random(count), labels=labels)


@LOOSE
@given(SEEDS, COUNTS, st.booleans(), STEPS, st.sampled_from([4, 5]), st.sampled_from([1.0, 1e12]))
def test_predict_and_correct(seed: int, count: int, each: bool, dt: float, axes: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    bank, noise = bank_of(rng, count, axes, scale), rng.uniform(0, 3, (3, count if each else 1, axes))
    mine = bank.copy()
    q = noise if each else noise[:, 0]
    motion.predict(bank, q[0], q[1], dt)
    fast.predict(mine, noise[0], noise[1], dt)
    equal(mine, bank)
    z = rng.uniform(0, 300, (count, axes))
    motion.correct(bank, z, q[2])
    fast.correct(mine, z, noise[2])
    equal(mine, bank)


@LOOSE
@given(SEEDS, COUNTS, st.booleans())
def test_update(seed: int, count: int, each: bool) -> None:
    rng = np.random.default_rng(seed)
    bank, rows = bank_of(rng, count), rng.permutation(count)[: count // 2]
    mine, z = bank.copy(), rng.uniform(0, 300, (len(rows), 4))
    r = rng.uniform(0, 3, (len(rows) if each else 1, 4))
    motion.update(bank, rows, z, r if each else r[0])
    fast.update(mine, rows, z, r)
    equal(mine, bank)


@LOOSE
@given(SEEDS, COUNTS, STEPS)
def test_what_would_shrink_to_nothing_is_held(seed: int, count: int, dt: float) -> None:
    rng = np.random.default_rng(seed)
    tracker = SORT()
    bank = bank_of(rng, count)
    bank[:, motion.X, 2] *= 0.1
    state = tracker.state_dict()
    for name, column in state.items():
        if column.ndim and name not in ("filter", "votes"):
            state[name] = np.zeros(count, column.dtype)
    state |= {"filter": bank, "votes": np.zeros((count, 1), np.int64)}
    tracker.load_state_dict(state)
    tracker._predict(dt)
    mine = bank.copy()
    fast.predict_xysr(mine, motion.XYSR_PROCESS, dt)
    equal(mine, tracker.state_dict()["filter"])


def family_of(rng: np.random.Generator, count: int, times: float = 1.0) -> TrackTable:
    table = bytefamily.make_table("test")
    bytefamily.spawn(
        table,
        bytefamily.XYAH,
        np.arange(count),
        some_detections(rng, count),
        TrackState.CONFIRMED,
    )
    table["filter"] = bank_of(rng, count)
    table["state"], table["misses"] = rng.integers(1, 4, count), rng.integers(0, 5, count) * times
    table["expired"] = rng.random(count) < 0.3
    return table


FAMILIES = pytest.mark.parametrize(
    ("coordinates", "sides"),
    [(bytefamily.XYAH, False), (botsort.XYWH, True)],
    ids=["xyah", "xywh"],
)


@FAMILIES
@LOOSE
@given(SEEDS, COUNTS, STEPS)
def test_family_predict(
    coordinates: bytefamily.Coordinates, sides: bool, seed: int, count: int, dt: float
) -> None:
    table = family_of(np.random.default_rng(seed), count)
    mine = table["filter"].copy()
    fast.predict_family(mine, table["state"], table["misses"], coordinates.resting.start, sides, dt)
    bytefamily.predict(table, coordinates, dt)
    equal(mine, table["filter"])


@FAMILIES
@LOOSE
@given(SEEDS, COUNTS)
def test_family_correct(coordinates: bytefamily.Coordinates, sides: bool, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    table, detections = family_of(rng, count), some_detections(rng, count + 3)
    rows, det = rng.permutation(count)[: count // 2], rng.permutation(count + 3)[: count // 2]
    mine = table["filter"].copy()
    fast.correct_family(mine, rows, det, detections.xyxy, sides)
    bytefamily.see(table, coordinates, Matches(rows, det), detections)
    equal(mine, table["filter"])


@LOOSE
@given(SEEDS, COUNTS, st.sampled_from([1, 3]), st.sampled_from([1.0, 0.5]))
def test_let_go(seed: int, count: int, buffer: int, times: float) -> None:
    table = family_of(np.random.default_rng(seed), count, times)
    state, expired = table["state"].copy(), table["expired"].copy()
    stays = fast.let_go(state, table["misses"], expired, float(buffer))
    equal(stays, bytefamily._let_go(table, buffer))
    equal(state, table["state"])
    equal(expired, table["expired"])


def observed(
    rng: np.random.Generator, count: int, points: int, axes: int = 4, memory: int = 3, frames: int = 8
) -> tuple[TrackTable, NDArray[np.bool_]]:
    """Tracks some of which were seen in each of some frames, in a table that numpy alone has filled."""
    model = observations.Model(*(np.hstack([part, part[..., :1]])[..., :axes] for part in XYSR))
    table = observations.new_table("test", axes=axes, points=points, delta_t=memory)
    extra = rng.random((count, axes - 4))
    observations.spawn(table, np.arange(count), some_detections(rng, count), extra, model)
    made = centre if points == 1 else corners
    for dt in rng.choice([1.0, 1.0, 0.5, 2.5], frames):
        missed = observations.advance(table, motion.steps(float(dt)), model.process)
        rows = (rng.random(count) < 0.4).nonzero()[0]
        xyxy = some_boxes(rng, len(rows))
        fresh = observations.directions(table, rows, observations.oldest(table, 3), made, xyxy)
        observations.observe(table, rows, missed, xyxy, rng.random((len(rows), axes - 4)), model, fresh)
        table.see(rows, rng.integers(0, 5, len(rows)), some_detections(rng, 5))
    return table, missed


def columns_of(table: TrackTable) -> dict[str, Array]:
    return {name: column for name, column in table.state_dict().items() if column.ndim}


def copied(table: TrackTable) -> TrackTable:
    other = observations.new_table("test", table["filter"].shape[2], table["direction"].shape[1], 3)
    other.load_state_dict(table.state_dict())
    return other


@LOOSE
@given(SEEDS, COUNTS, st.lists(STEPS, min_size=1, max_size=3))
def test_advance(seed: int, count: int, steps: list[float]) -> None:
    table, _ = observed(np.random.default_rng(seed), count, 1)
    mine = copied(table)
    changed = ("filter", "frozen", "lead", "misses", "streak", "det_index")
    missed = fast.advance(*(mine[name] for name in changed), XYSR.process, np.array(steps))
    equal(missed, observations.advance(table, steps, XYSR.process))
    for name, column in columns_of(table).items():
        equal(mine[name], column, name)


POINTS = pytest.mark.parametrize(("points", "of"), [(1, centre), (4, corners)], ids=["centre", "corners"])
Points = Callable[[Array], Array]


@POINTS
@LOOSE
@given(SEEDS, COUNTS)
def test_oldest_and_directions(points: int, of: Points, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    table, _ = observed(rng, count, points)
    chosen = fast.oldest(table["seen_at"], table.time, 3)
    equal(chosen, observations.oldest(table, 3))
    rows = rng.permutation(count)[: count // 2]
    xyxy = some_boxes(rng, len(rows))
    for mask in (chosen, observations.recent(table, 3)):
        found = fast.directions(table["seen"], mask, rows, xyxy, points)
        equal(found, observations.directions(table, rows, mask, of, xyxy))


@POINTS
@LOOSE
@given(SEEDS, COUNTS, COUNTS)
def test_cosines(points: int, of: Points, seed: int, count: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    table, _ = observed(rng, count, points)
    xyxy = some_boxes(rng, others)
    twin = observations.consistency(table, 3, of, xyxy)
    arguments = table["seen"], table["seen_at"], table["direction"], table.time, 3, xyxy

    def gain(cosine: Array) -> Array:
        total = np.zeros(cosine.shape[1:])
        for one in cosine:
            total += np.pi / 2 - np.arccos(one)
        total /= np.pi
        return total

    some, all_ = np.arange(0, count, 2), np.arange(others)
    equal(gain(fast.cell_cosines(*arguments, some, all_)), twin(some[:, None], all_))
    rows = rng.integers(0, count, 7 if count and others else 0)
    columns = rng.integers(0, max(others, 1), len(rows))
    equal(gain(fast.pair_cosines(*arguments, rows, columns)), twin(rows, columns))


@LOOSE
@given(SEEDS, COUNTS, st.sampled_from([4, 5]), st.sampled_from([1, 4]))
def test_observe(seed: int, count: int, axes: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    model = observations.Model(*(np.hstack([part, part[..., :1]])[..., :axes] for part in XYSR))
    table, _ = observed(rng, count, points, axes)
    missed = observations.advance(table, [1.0, 0.5], model.process)
    mine, rows = copied(table), (rng.random(count) < 0.7).nonzero()[0]
    xyxy, extra = some_boxes(rng, len(rows)), rng.random((len(rows), axes - 4))
    fresh = rng.random((len(rows), points, 2))
    names = ("filter", "frozen", "lead", "misses", "anchor", "seen", "seen_at", "direction", "streak")
    target = np.concatenate([boxes.xyxy_to_xywh(xyxy), extra], axis=1)
    observations.observe(table, rows, missed, xyxy, extra, model, fresh)
    fast.observe(
        *(mine[name] for name in names),
        rows,
        missed,
        target,
        xyxy,
        fresh,
        table.time,
        model.process,
        model.measurement,
    )
    for name, column in columns_of(table).items():
        equal(mine[name], column, name)
