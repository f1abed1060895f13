"""Drawing, checked by pixels."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot.draw import Trails, colour_of, draw_tracks, style_for
from mot.structures import Tracks

GREY = np.full((240, 320, 3), 90, np.uint8)


def tracks(
    boxes: Sequence[Sequence[float]],
    ids: Sequence[int] | None = None,
    det_index: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
) -> Tracks:
    count = len(boxes)
    return Tracks(
        ids=np.array(range(1, count + 1) if ids is None else ids),
        xyxy=np.array(boxes, np.float64).reshape(-1, 4),
        scores=np.ones(count),
        labels=np.zeros(count, np.int64) if labels is None else np.array(labels, np.int64),
        det_index=np.arange(count) if det_index is None else np.array(det_index),
        state=np.full(count, 2),
    )


def is_colour(picture: NDArray[np.uint8], track_id: int) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (picture == colour_of(track_id)).all(axis=-1)
    return same


def changed(picture: NDArray[np.uint8], before: NDArray[np.uint8] = GREY) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = (picture != before).any(axis=-1)
    return different


def test_the_picture_handed_in_stays_as_it_is() -> None:
    image = GREY.copy()
    image.flags.writeable = False
    picture = draw_tracks(image, tracks([[50, 50, 100, 150]]), trails={1: np.array([[0, 0], [50, 50]])})
    assert changed(picture).any()
    assert not np.shares_memory(picture, image)
    assert (picture.shape, picture.dtype) == (image.shape, image.dtype)
    assert np.array_equal(draw_tracks(GREY, Tracks.empty()), GREY)


def test_a_box_lies_where_the_track_is_and_nowhere_else() -> None:
    picture = draw_tracks(GREY, tracks([[50, 100, 150, 200]]))
    box = is_colour(picture, 1)
    assert box[100, 50:151].all()
    assert box[200, 50:151].all()
    assert box[100:201, 50].all()
    assert box[100:201, 150].all()
    assert not changed(picture)[105:195, 55:145].any()
    outside = changed(picture)
    outside[70:202, 48:153] = False
    assert not outside.any()


def test_a_predicted_box_is_dashed() -> None:
    seen = draw_tracks(GREY, tracks([[50, 100, 150, 200]]))
    predicted = draw_tracks(GREY, tracks([[50, 100, 150, 200]], det_index=[-1]))
    for side in (np.s_[200, 50:150], np.s_[100:200, 150]):
        assert is_colour(seen, 1)[side].mean() == 1
        assert 0.4 < is_colour(predicted, 1)[side].mean() < 0.75
    assert is_colour(predicted, 1)[[100, 100, 200, 200], [50, 149, 50, 149]].any()


# -- colours ------------------------------------------------------------------------------------------------


def test_colours_are_the_same_in_every_run() -> None:
    assert [colour_of(track_id) for track_id in (1, 2, 3)] == [(204, 67, 10), (109, 242, 187), (231, 64, 255)]


@given(st.integers(1, 2**40))
def test_colours_of_ids_that_meet_differ_clearly_and_none_is_dark_or_grey(first: int) -> None:
    colours = [colour_of(track_id) for track_id in range(first, first + 8)]
    assert all(np.abs(np.subtract(a, b)).sum() > 60 for a, b in combinations(colours, 2))
    assert all(max(colour) > 190 and max(colour) - min(colour) > 100 for colour in colours)
    hues = sorted(colorsys.rgb_to_hsv(*colour[::-1])[0] for colour in colours)
    assert min(b - a for a, b in zip(hues, [*hues[1:], hues[0] + 1], strict=True)) > 0.04


# -- tags ---------------------------------------------------------------------------------------------------

ANYWHERE = [
    [100, 100, 150, 200],
    [-30, -30, 20, 20],
    [300, 220, 500, 400],
    [-50, 100, 400, 110],
    [310, 0, 319, 5],
]


@pytest.mark.parametrize("box", ANYWHERE, ids=str)
@pytest.mark.parametrize("track_id", [7, 123_456])
def test_the_tag_is_readable_and_inside_the_picture(box: list[float], track_id: int) -> None:
    picture = draw_tracks(GREY, tracks([box], ids=[track_id]))
    field = changed(picture)
    ink = field & ~is_colour(picture, track_id)
    rows, columns = np.nonzero(ink)
    assert len(rows) > 15 * len(str(track_id)), "the number's strokes"
    # a field of the id's colour all round the letters: nothing was cut off by the picture's edge
    top, bottom, left, right = rows.min() - 1, rows.max() + 1, columns.min() - 1, columns.max() + 1
    assert top >= 0
    assert left >= 0
    frame = np.zeros_like(ink)
    frame[top : bottom + 1, left : right + 1] = True
    frame[top + 1 : bottom, left + 1 : right] = False
    assert is_colour(picture, track_id)[frame].all()
    letters = picture[ink].astype(int).sum(axis=1)
    contrast = np.abs(letters - sum(colour_of(track_id)))
    assert contrast.max() > 200


def test_the_label_name_stands_before_the_id() -> None:
    box = tracks([[100, 100, 200, 200]], labels=[1])
    plain, named, unknown = (
        np.count_nonzero(changed(draw_tracks(GREY, box, label_names=names))[60:95])
        for names in ((), ("person", "car"), ("person",))
    )
    assert named > 2 * plain
    assert unknown == plain


def test_lines_and_letters_grow_with_the_picture() -> None:
    sizes = [style_for(height) for height in (1, 48, 480, 1080, 2160, 4320)]
    assert sizes == sorted(sizes)
    assert sizes[0].line == 1
    assert sizes[3].line == 3
    assert sizes[-1].font > 2 * sizes[3].font


# -- trails -------------------------------------------------------------------------------------------------


def test_a_trail_fades_towards_its_beginning() -> None:
    points = np.array([[x, 120.0] for x in range(20, 301, 20)])
    picture = draw_tracks(GREY, Tracks.empty(), trails={5: points}).astype(int)
    strength = np.abs(picture[120, 20:300] - 90).sum(axis=1)
    assert strength[-5] > 4 * strength[5] > 0
    assert (np.diff(strength[::20]) >= 0).all()
    away = changed(picture.astype(np.uint8))
    away[117:124, 17:304] = False
    assert not away.any()


def test_trails_hold_the_last_foot_points() -> None:
    trails = Trails(length=3)
    for step in range(5):
        found = trails.update(tracks([[step, 0, step + 10, 50]], ids=[9]))
    assert list(found) == [9]
    assert found[9].tolist() == [[7, 50], [8, 50], [9, 50]]


def test_trails_forget_ids_that_are_gone() -> None:
    trails = Trails(length=4)
    for track_id in range(1, 500):
        trails.update(tracks([[0, 0, 1, 1]], ids=[track_id]))
        assert len(trails) <= 4
    for _ in range(4):
        assert trails.update(Tracks.empty()) == {}
    assert len(trails) == 0


def test_a_trail_goes_on_after_a_short_absence() -> None:
    trails = Trails(length=5)
    trails.update(tracks([[0, 0, 10, 10]]))
    trails.update(Tracks.empty())
    assert trails.update(tracks([[2, 0, 12, 10]]))[1].tolist() == [[5, 10], [7, 10]]


# -- anything goes ------------------------------------------------------------------------------------------

coordinate = st.one_of(
    st.floats(-1e6, 1e6), st.floats(-20, 340), st.sampled_from([-1e300, -(2.0**31), 2.0**63, 1e300])
)


@settings(max_examples=60)
@given(
    corners=st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=4),
    predicted=st.booleans(),
    size=st.sampled_from([(1, 1), (1, 300), (48, 64), (240, 320)]),
)
def test_boxes_and_trails_anywhere_are_drawn_without_a_crash(
    corners: list[tuple[float, float, float, float]], predicted: bool, size: tuple[int, int]
) -> None:
    boxes = [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners]
    found = tracks(boxes, det_index=[-1 if predicted else 0] * len(boxes))
    trail = np.array(corners).reshape(-1, 2)
    picture = draw_tracks(np.zeros((*size, 3), np.uint8), found, label_names=("person",), trails={3: trail})
    assert picture.shape == (*size, 3)


@pytest.mark.parametrize(
    "box", [[-100, -100, -50, -50], [400, 10, 500, 60], [10, 300, 60, 400], [1e9, 1e9, 2e9, 2e9]]
)
def test_a_box_outside_leaves_no_mark(box: list[float]) -> None:
    assert np.array_equal(draw_tracks(GREY, tracks([box])), GREY)
