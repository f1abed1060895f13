"""What a frame brings and what a table is told, compiled; and every tracker with and without."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="WITHOUT numba: the compiled kernels are not tested")

from mot import assignment, kernels, structures
from mot.kernels import compiled as fast
from mot.kernels import detections as module
from mot.kernels import verbs
from mot.structures import Detections, Reason
from mot.trackers import TRACKERS, bytefamily, observations
from mot.trackers import table as tables
from mot.trackers.table import TrackTable

SEEDS = st.integers(0, 2**32 - 1)
COUNTS = st.sampled_from([0, 1, 5, 60])
LOOSE = settings(max_examples=100, deadline=None)
equal = np.testing.assert_array_equal


@pytest.fixture(autouse=True)
def numpy_twins() -> Iterator[None]:
    before = kernels.fast
    kernels.use("numpy")
    yield
    kernels.fast = before


def some_detections(rng: np.random.Generator, count: int, labels: int = 1) -> Detections:
    """Scores on thresholds, boxes without area, and some of two identical boxes."""
    corner = rng.uniform(0, 400, (count, 2))
    size = rng.uniform(5, 80, (count, 2)) * (rng.random((count, 1)) > 0.1)
    xyxy = np.hstack([corner, corner + size])
    if count > 2:
        xyxy[1] = xyxy[0]
    scores = rng.choice([0.0, 0.1, 0.5, 0.6, 0.75, 0.9, 1.0], count)
    vectors = rng.normal(size=(count, 4)).astype(np.float32)
    return Detections(xyxy=xyxy, scores=scores, labels=rng.integers(0, labels, count), embeddings=vectors)


def test_the_constants_are_those_of_the_twins() -> None:
    assert (module.MAX_LABELS, module.MAX_PIXELS) == (structures.MAX_LABELS, structures.MAX_PIXELS)
    assert module.MIN_SIDE == tables.MIN_SIDE
    assert verbs.SMALL == assignment.SMALL
    assert (module.BELOW_THRESHOLD, module.UNMATCHED) == (Reason.BELOW_THRESHOLD, Reason.UNMATCHED)


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1e7, -1e7, 1.0001e7, np.nan, np.inf, -np.inf, -1.0, 2.0, 65536.0]
)
@pytest.mark.parametrize("where", ["x1", "y1", "x2", "y2", "score", "label"])
def test_sound(value: float, where: str) -> None:
    xyxy, scores = np.tile([0.0, 0.0, 1.0, 1.0], (3, 1)), np.full(3, 0.5)
    labels = np.zeros(3, np.int64)
    if where == "score":
        scores[1] = value
    elif where == "label":
        if not np.isfinite(value):
            return
        labels[1] = int(value)
    else:
        xyxy[1, ["x1", "y1", "x2", "y2"].index(where)] = value
    assert fast.sound(xyxy, scores, labels) == structures._sound(xyxy, scores, labels, None)


@LOOSE
@given(SEEDS, COUNTS, st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.5, 0.6]))
def test_bands(seed: int, count: int, low: float, high: float) -> None:
    detections = some_detections(np.random.default_rng(seed), count)
    arrays = detections.xyxy, detections.scores
    for got, want in zip(
        fast.split(*arrays, low, high), bytefamily.bands(detections, low, high), strict=True
    ):
        equal(got, want)
    for bound in (low, None):
        expected = observations.bands(detections, high, bound)
        assigned, above, below = fast.split(*arrays, np.inf if bound is None else bound, high)
        for got, want in zip((assigned, above.nonzero()[0], below.nonzero()[0]), expected, strict=True):
            equal(got, want)
    assigned, rows = fast.usable(*arrays, low)
    expected_reasons = tables.unassigned(detections, low)
    equal(assigned, expected_reasons)
    equal(rows, tables.usable(detections, expected_reasons))


def filled(rng: np.random.Generator, count: int, labels: int) -> TrackTable:
    table = TrackTable("test")
    table.spawn(np.arange(count), some_detections(rng, count, labels), structures.TrackState.TENTATIVE)
    for _ in range(3):
        rows = rng.permutation(count)[: count // 2]
        table.step(1.0)
        table.see(rows, rows, some_detections(rng, count, labels))
    return table


@LOOSE
@given(SEEDS, COUNTS, st.sampled_from([1, 3]), st.booleans(), st.booleans())
def test_see_and_report(seed: int, count: int, labels: int, wider: bool, choose: bool) -> None:
    rng = np.random.default_rng(seed)
    table = filled(rng, count, labels)
    detections = some_detections(rng, count + 2, labels + wider)
    rows, det = rng.permutation(count)[: count // 2], rng.permutation(count + 2)[: count // 2]
    renewed = rng.random(len(rows)) < 0.5 if choose else None
    mine = TrackTable("test")
    mine.load_state_dict(table.state_dict())
    table.step(1.0)
    mine.step(1.0)
    table.see(rows, det, detections, renewed)
    counted = fast.see(
        *(mine[name] for name in ("misses", "det_index", "scores", "labels", "votes")),
        rows,
        det,
        detections.scores,
        detections.labels,
        np.empty(0, np.bool_) if renewed is None else renewed,
    )
    if not counted:
        assert detections.labels[det].max() >= mine["votes"].shape[1]
        mine._vote(rows, detections.labels[det])
    for name, column in table.state_dict().items():
        equal(mine.state_dict()[name], column, name)
    assigned = np.full(count + 2, -4)
    ours = assigned.copy()
    shown = (table["det_index"] >= 0).nonzero()[0][::2]
    tracks = table.report(shown, np.zeros((len(shown), 4)), assigned)
    names = ("ids", "scores", "labels", "det_index", "state")
    found = fast.report(*(mine[name] for name in names), shown, ours)
    equal(ours, assigned)
    for name, got in zip(names, found, strict=True):
        assert got.dtype == getattr(tracks, name).dtype
        equal(got, getattr(tracks, name), name)


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize(("count", "frames"), [(6, 120), (60, 25)])
def test_every_tracker_gives_the_same_with_and_without(tracker: str, count: int, frames: int) -> None:
    rng = np.random.default_rng(count)
    seen = [some_detections(rng, int(rng.integers(0, count)), 2) for _ in range(frames)]
    # things that move a little, so that something matches
    start = some_detections(rng, count, 2)
    for n in range(0, frames, 2):
        keep = rng.random(count) < 0.9
        xyxy = start.xyxy + rng.normal(0, 1, (count, 1)) + n
        seen[n] = Detections(
            xyxy=xyxy, scores=start.scores, labels=start.labels, embeddings=start.embeddings
        )[keep]
    runs = []
    for choice in ("numpy", "numba"):
        kernels.use(choice)
        config, make = TRACKERS[tracker]
        instance = make(config())
        runs.append([(instance.update(d), instance.state_dict()) for d in seen])
    for (tracks, state), (others, other_state) in zip(*runs, strict=True):
        for name in ("ids", "xyxy", "scores", "labels", "det_index", "state", "assigned"):
            equal(getattr(others, name), getattr(tracks, name), name)
        for name, column in state.items():
            equal(other_state[name], column, name)
