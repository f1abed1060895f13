"""Records: conversion, validation, selection."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mot.errors import InputError, MotError
from mot.structures import Detections, Frame, Reason, Tracks

BOX = [[0.0, 0.0, 4.0, 8.0], [2.0, 1.0, 6.0, 9.0]]


def tracks(count: int, assigned: int = 0) -> Tracks:
    rows = np.arange(count)
    return Tracks(
        ids=rows + 1,
        xyxy=np.zeros((count, 4)),
        scores=rows * np.float64(0.1),
        labels=rows,
        det_index=rows,
        state=rows.astype(np.int8),
        assigned=np.full(assigned, Reason.UNMATCHED),
    )


def test_lists_and_other_dtypes_are_converted() -> None:
    found = Detections(xyxy=np.array(BOX, np.float32), scores=[0, 1])  # type: ignore[arg-type]
    assert found.xyxy.dtype == np.float64
    assert found.labels.tolist() == [0, 0]
    assert len(found) == 2
    assert found.embeddings is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyxy": [[0, 0, 1, np.nan], [0, 0, 1, 1]]}, "xyxy: row 0"),
        ({"xyxy": [[0, 0, 1, 1], [5, 0, 4, 1]]}, "xyxy: row 1 .* x1 <= x2"),
        ({"xyxy": [[0, 0, 1], [5, 0, 4]]}, r"xyxy: expected shape \(any, 4\), got \(2, 3\)"),
        ({"scores": [0.5, 1.5]}, "scores: row 1 is 1.5, expected 0..1"),
        ({"scores": [0.5, np.inf]}, "scores: row 1 is inf"),
        ({"scores": [0.5]}, r"scores: expected shape \(2\), got \(1,\)"),
        ({"scores": ["high", "low"]}, "scores: expected numbers"),
        ({"labels": [0, 1.5]}, "labels: row 1 is 1.5, expected whole numbers"),
        ({"embeddings": np.zeros((3, 8))}, r"embeddings: expected shape \(2, any\), got \(3, 8\)"),
    ],
)
def test_bad_detections_are_refused_by_row(change: dict[str, object], message: str) -> None:
    given_values = {"xyxy": BOX, "scores": [0.5, 0.5]} | change
    with pytest.raises(InputError, match=message) as caught:
        Detections(**given_values)  # type: ignore[arg-type]
    assert isinstance(caught.value, MotError)
    assert isinstance(caught.value, ValueError)


def test_frame_wants_bgr_bytes() -> None:
    with pytest.raises(InputError, match="uint8 BGR"):
        Frame(image=np.zeros((4, 4), np.uint8), index=1, time_s=0)
    assert Frame(image=None, index=1, time_s=0).image is None


@given(st.lists(st.booleans(), max_size=6))
def test_mask_selects_and_leaves_assigned_whole(mask: list[bool]) -> None:
    whole = tracks(len(mask), assigned=3)
    chosen = whole[np.array(mask, bool)]
    assert chosen.ids.tolist() == [i + 1 for i, keep in enumerate(mask) if keep]
    assert len(chosen.assigned) == 3


@pytest.mark.parametrize("count", [0, 2])
def test_mask_of_wrong_length_raises_also_when_empty(count: int) -> None:
    with pytest.raises(InputError, match="mask"):
        tracks(count)[np.zeros(5, bool)]


def test_integer_and_slice_selection() -> None:
    whole = tracks(3)
    assert whole[np.array([2, 0])].ids.tolist() == [3, 1]
    assert whole[1:].ids.tolist() == [2, 3]
    assert whole[[]].ids.tolist() == []
    assert [row.ids[0] for row in whole] == [1, 2, 3]


def test_empty_and_concat() -> None:
    assert len(Detections.empty()) == len(Tracks.empty()) == 0
    empty = Detections.empty(8).embeddings
    assert empty is not None
    assert empty.shape == (0, 8)
    joined = Detections.concat([Detections(xyxy=BOX, scores=[0.1, 0.2]), Detections.empty()])  # type: ignore[arg-type]
    assert joined.scores.tolist() == [0.1, 0.2]
    assert Tracks.concat([tracks(1), tracks(2)]).ids.tolist() == [1, 1, 2]
    assert len(Detections.concat([])) == 0


def test_concat_refuses_what_cannot_be_joined() -> None:
    with pytest.raises(InputError, match="assigned"):
        Tracks.concat([tracks(1, assigned=1), tracks(1)])
    with pytest.raises(InputError, match="embeddings is missing"):
        Detections.concat([Detections.empty(4), Detections.empty()])


def test_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        tracks(1).ids = np.zeros(1, np.int64)  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["unaligned", "subclass"])
def test_arrays_come_out_plain_and_aligned(kind: str) -> None:
    xyxy, scores = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 4.0]]), np.array([0.5, 0.75])

    def odd(values: np.ndarray) -> np.ndarray:
        if kind == "subclass":
            return np.ma.MaskedArray(values)
        shifted = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
        shifted[...] = values
        return shifted

    found = Detections(xyxy=odd(xyxy), scores=odd(scores), labels=odd(np.array([0, 1])))
    for got, want in ((found.xyxy, xyxy), (found.scores, scores), (found.labels, [0, 1])):
        assert type(got) is np.ndarray
        assert got.flags.aligned
        np.testing.assert_array_equal(got, want)
