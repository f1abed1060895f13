"""Overlaps and conversions, compiled: the same bits as numpy's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("numba", reason="WITHOUT numba: the compiled kernels are not tested")

from mot import boxes, kernels
from mot.kernels import compiled as fast
from mot.kernels import overlaps as module

Array = NDArray[np.float64]
COUNTS = st.sampled_from([0, 1, 2, 7, 30, 60, 150])
KINDS = st.sampled_from(["plain", "crowd", "ties", "huge", "far", "tiny", "one giant", "flat"])
EXTRA = st.sampled_from([0.0, 1.0])
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def numpy_twins() -> Iterator[None]:
    before = kernels.fast
    kernels.use("numpy")
    yield
    kernels.fast = before


def some_boxes(rng: np.random.Generator, count: int, kind: str) -> Array:
    """(count, 4) of a kind."""
    corner: Array = rng.uniform(0, 1000, (count, 2))
    size: Array = rng.uniform(1, 100, (count, 2))
    if kind == "crowd":
        corner *= 0.1
    elif kind == "ties":
        corner = rng.integers(0, 6, (count, 2)).astype(np.float64) * 10
        size = rng.integers(0, 3, (count, 2)).astype(np.float64) * 10
    elif kind == "huge":
        corner, size = rng.uniform(-1e15, 1e15, (count, 2)), rng.uniform(0, 1e14, (count, 2))
    elif kind == "far":
        corner += 1e7
    elif kind == "tiny":
        corner, size = rng.uniform(0, 1e-150, (count, 2)), rng.uniform(0, 1e-150, (count, 2))
    elif kind == "one giant":
        size[:1] = 1e6
    elif kind == "flat":
        size[rng.random((count, 2)) < 0.3] = 0.0
    return np.hstack([corner, corner + size])


def same(found: Any, expected: boxes.Overlaps) -> None:
    order = np.lexsort((expected.columns, expected.rows))
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want[order])


@settings(max_examples=300, deadline=None)
@given(SEEDS, COUNTS, COUNTS, KINDS, EXTRA)
def test_overlaps(seed: int, rows: int, columns: int, kind: str, extra: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = some_boxes(rng, rows, kind), some_boxes(rng, columns, kind)
    whole = boxes.iou(a, b, extra)
    i, j = (whole > 0).nonzero()
    same(fast.overlaps(a, b, extra), boxes.Overlaps(i, j, whole[i, j]))


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), KINDS, EXTRA)
def test_the_grid_finds_what_each_with_each_finds(
    seed: int, rows: int, columns: int, kind: str, extra: float
) -> None:
    rng = np.random.default_rng(seed)
    a, b = some_boxes(rng, rows, kind), some_boxes(rng, columns, kind)
    sides = module._sides(a, extra), module._sides(b, extra)
    arguments = sides[0][0], sides[1][0], sides[0][1], sides[1][1]
    found = []
    for way in (module._plain, module._grid):
        room = np.zeros(1600, np.int64), np.zeros(1600, np.int64), np.zeros(1600)
        count = way(*arguments, *room)
        found.append([part[:count] for part in room])
    for got, want in zip(*found, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("count", [1000, 3000])
@pytest.mark.parametrize("extra", [0.0, 1.0])
def test_many(count: int, extra: float) -> None:
    rng = np.random.default_rng(count)
    a, b = some_boxes(rng, count, "plain"), some_boxes(rng, count, "crowd")
    same(fast.overlaps(a, b, extra), boxes.overlaps(a, b, extra))


def test_more_pairs_than_there_was_room_for() -> None:
    a = np.tile([0.0, 0.0, 10.0, 10.0], (100, 1))
    rows, columns, iou = fast.overlaps(a, a, 0.0)
    np.testing.assert_array_equal(rows, np.arange(100).repeat(100))
    np.testing.assert_array_equal(columns, np.tile(np.arange(100), 100))
    assert (iou == 1).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [5, 200])
def test_numbers_that_are_none_overlap_nothing(wrong: float, count: int) -> None:
    rng = np.random.default_rng(3)
    a, b = some_boxes(rng, count, "crowd"), some_boxes(rng, count, "crowd")
    a[2, 1] = b[3, 2] = wrong
    with np.errstate(invalid="ignore"):
        whole = boxes.iou(a, b)
    i, j = (whole > 0).nonzero()
    same(fast.overlaps(a, b, 0.0), boxes.Overlaps(i, j, whole[i, j]))


def test_any_layout_is_taken() -> None:
    rng = np.random.default_rng(0)
    a, b = some_boxes(rng, 60, "crowd"), some_boxes(rng, 50, "crowd")
    expected = fast.overlaps(a, b, 0.0)
    wide = np.zeros((60, 7))
    wide[:, 2:6] = a
    locked = b.copy()
    locked.flags.writeable = False
    for got, want in zip(fast.overlaps(wide[:, 2:6], locked, 0.0), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(fast.overlaps(np.asfortranarray(a), b, 0.0), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@settings(max_examples=100, deadline=None)
@given(SEEDS, COUNTS, KINDS)
@pytest.mark.parametrize(
    "name",
    ["xyxy_to_xywh", "xywh_to_xyxy", "xyxy_to_xyah", "xyah_to_xyxy", "xyxy_to_xysr", "xysr_to_xyxy"],
)
def test_conversions(name: str, seed: int, count: int, kind: str) -> None:
    given_boxes = some_boxes(np.random.default_rng(seed), count, kind)
    if name in ("xyah_to_xyxy", "xysr_to_xyxy"):
        given_boxes = boxes.xyxy_to_xysr(np.abs(given_boxes) + [0, 0, 1, 1])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(getattr(fast, name)(given_boxes), getattr(boxes, name)(given_boxes))
        strided = np.zeros((count, 5, 4))
        strided[:, 0] = given_boxes
        np.testing.assert_array_equal(getattr(fast, name)(strided[:, 0]), getattr(boxes, name)(given_boxes))


@settings(max_examples=100, deadline=None)
@given(SEEDS, COUNTS, COUNTS)
def test_alike(seed: int, count: int, tracks: int) -> None:
    rng = np.random.default_rng(seed)
    left, known = some_boxes(rng, count, "ties"), some_boxes(rng, tracks, "ties")
    hidden = rng.random(tracks) < 0.5
    places = np.concatenate([left, known[~hidden]])
    whole = boxes.iou(places, known[hidden], 1.0)
    i, j = (whole > 0.85).nonzero()
    found = fast.alike(left, known, hidden, 1.0, 0.85)
    np.testing.assert_array_equal(found[0], i)
    np.testing.assert_array_equal(found[1], hidden.nonzero()[0][j])
