"""Stand-ins for other libraries' results, in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mot import adapters
from mot.errors import InputError
from mot.structures import Detections, Tracks, TrackState
from mot.trackers import SORT

BOXES = [[0, 0, 10, 20], [5.5, 6, 9, 8]]


class Tensor:
    """On a device and with a gradient: numpy() works only after detach() and cpu(), in either order."""

    def __init__(self, values: Any, device: bool = True, grad: bool = True, half: bool = False) -> None:
        self.values, self.device, self.grad, self.half = values, device, grad, half

    def detach(self) -> Tensor:
        return Tensor(self.values, self.device, False, self.half)

    def cpu(self) -> Tensor:
        return Tensor(self.values, False, self.grad, self.half)

    def float(self) -> Tensor:
        return Tensor(self.values, self.device, self.grad, False)

    def numpy(self) -> Any:
        if self.device or self.half:
            raise TypeError("can't convert this tensor to numpy")
        if self.grad:
            raise RuntimeError("call detach() first")
        return np.asarray(self.values, np.float32)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the tensor was not taken by its own methods")


@dataclass
class Supervision:
    xyxy: Any
    confidence: Any = None
    class_id: Any = None
    tracker_id: Any = None


@dataclass
class Boxes:
    xyxy: Any
    conf: Any
    cls: Any


@dataclass
class Results:
    boxes: Any
    names: Any = None


def columns(found: Detections) -> tuple[Any, Any, Any]:
    return found.xyxy.tolist(), found.scores.tolist(), found.labels.tolist()


WANTED = (BOXES, [0.5, 0.25], [2, 0])
TABLE = np.array([[0, 0, 10, 20, 0.5, 2], [5.5, 6, 9, 8, 0.25, 0]])


@pytest.mark.parametrize("wrap", [list, np.array, Tensor, lambda values: Tensor(values, half=True)])
def test_every_library_gives_the_same_detections(wrap: Any) -> None:
    boxes, scores, labels = wrap(BOXES), wrap([0.5, 0.25]), wrap([2, 0])
    assert columns(adapters.from_supervision(Supervision(boxes, scores, labels))) == WANTED
    output = {"boxes": boxes, "scores": scores, "labels": labels, "masks": None}
    assert columns(adapters.from_torchvision(output)) == WANTED
    assert columns(adapters.from_ultralytics(Results(Boxes(boxes, scores, labels)))) == WANTED
    assert columns(adapters.from_ultralytics(Boxes(boxes, scores, labels))) == WANTED
    assert columns(adapters.from_array(wrap(TABLE.tolist()))) == WANTED


def test_real_tensors() -> None:
    torch = pytest.importorskip("torch")
    boxes = torch.tensor(BOXES, dtype=torch.bfloat16, requires_grad=True)
    output = {"boxes": boxes, "scores": torch.tensor([0.5, 0.25]), "labels": torch.tensor([2, 0])}
    assert columns(adapters.from_torchvision(output)) == WANTED


def test_what_is_not_said_has_a_default() -> None:
    found = adapters.from_supervision(Supervision(np.array(BOXES)))
    assert columns(found)[1:] == ([1, 1], [0, 0])
    assert adapters.from_torchvision({"boxes": BOXES, "scores": [0.5, 0.25]}).labels.tolist() == [0, 0]
    assert columns(adapters.from_array(TABLE[:, :5])) == (*WANTED[:2], [0, 0])


def test_embeddings_go_along() -> None:
    look = Tensor([[1, 0, 0], [0, 1, 0]])
    for found in (
        adapters.from_array(TABLE, look),
        adapters.from_supervision(Supervision(BOXES), embeddings=look),
        adapters.from_torchvision({"boxes": BOXES, "scores": [1, 1]}, embeddings=look),
        adapters.from_ultralytics(Boxes(BOXES, [1, 1], [0, 0]), embeddings=look),
    ):
        assert found.embeddings is not None
        assert found.embeddings.tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(InputError, match=r"embeddings.*\(1, 3\)"):
        adapters.from_array(TABLE, np.ones((1, 3)))


def test_no_detections() -> None:
    none = np.empty((0, 4), np.float32)
    assert len(adapters.from_supervision(Supervision(none, None, None))) == 0
    assert len(adapters.from_torchvision({"boxes": none, "scores": [], "labels": []})) == 0
    assert len(adapters.from_ultralytics(Boxes(none, [], []))) == 0
    assert len(adapters.from_array([])) == 0
    assert len(adapters.from_array(np.empty((0, 5)))) == len(adapters.from_array(np.empty((0, 6)))) == 0
    assert adapters.from_mot_rows([]) == {}
    assert adapters.from_mot_rows(np.empty((0, 10))) == {}


def test_the_source_stays_as_it_was_and_may_change_afterwards() -> None:
    table = TABLE.copy()
    boxes = table[:, :4].copy()
    found = [adapters.from_array(table), adapters.from_supervision(Supervision(boxes))]
    table[:], boxes[:] = 7, 7
    assert [one.xyxy.tolist() for one in found] == [BOXES, BOXES]


def test_mot_rows_by_frame() -> None:
    rows = np.array(
        [
            [3, -1, 10, 20, 30, 40, 0.5, 1, -1, -1],
            [1, -1, 0, 0, 5, 5, 0.9, 0, -1, -1],
            [3, -1, 1, 2, 3, 4, 0.25, 4, -1, -1],
        ]
    )
    found = adapters.from_mot_rows(rows)
    assert list(found) == [1, 3]
    assert columns(found[3]) == ([[10, 20, 40, 60], [1, 2, 4, 6]], [0.5, 0.25], [0, 0])
    assert columns(adapters.from_mot_rows(rows, with_labels=True)[3])[2] == [1, 4]
    many = np.ones((100, 7))
    many[:, 0], many[:, 6] = np.arange(100) % 2 + 1, np.arange(100) / 100
    assert adapters.from_mot_rows(many)[1].scores.tolist() == many[::2, 6].tolist()
    assert columns(adapters.from_mot_rows(rows[:, :7])[1]) == ([[0, 0, 5, 5]], [0.9], [0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adapters.from_supervision(object()), "supervision.*xyxy.*got object without 'xyxy'"),
        (lambda: adapters.from_supervision(TABLE), r"got ndarray of shape \(2, 6\) without 'xyxy'"),
        (
            lambda: adapters.from_supervision(Supervision([[1, 2, 3]])),
            r"supervision.*\(any, 4\), got \(1, 3\)",
        ),
        (lambda: adapters.from_supervision(Supervision(None)), r"supervision.*xyxy: expected.*got"),
        (lambda: adapters.from_supervision(Supervision([[1], [2, 3]])), "supervision.*expected an array"),
        (lambda: adapters.from_torchvision([{}]), r"torchvision.*a list of 1 \(one image at a time"),
        (lambda: adapters.from_torchvision({"bboxes": 1}), "torchvision.*boxes.*got keys bboxes"),
        (lambda: adapters.from_torchvision({"boxes": BOXES, "scores": [0.5]}), r"scores.*\(2\), got \(1,\)"),
        (
            lambda: adapters.from_torchvision({"boxes": BOXES, "scores": [0.5, 2]}),
            "row 1 is 2.0, expected 0..1",
        ),
        (lambda: adapters.from_ultralytics([Results(None)]), "ultralytics.*a list of 1 .one image"),
        (lambda: adapters.from_ultralytics(Results(None)), "ultralytics.*boxes None"),
        (lambda: adapters.from_ultralytics(Boxes(BOXES, [1, 1], [0.5, 0])), "labels: row 0 is 0.5"),
        (lambda: adapters.from_array(TABLE[:, :4]), r"\(N, 6\).*\(N, 5\).*got shape \(2, 4\)"),
        (lambda: adapters.from_array(TABLE[0]), r"got shape \(6,\); a single row needs two brackets"),
        (lambda: adapters.from_array([["a"] * 5]), "expected numbers"),
        (lambda: adapters.from_array(TABLE[:, [2, 1, 0, 3, 4, 5]]), "xyxy: row 0.*x1 <= x2"),
        (
            lambda: adapters.from_mot_rows(np.ones((2, 6))),
            r"frame, id, x, y, w, h, score, got shape \(2, 6\)",
        ),
        (lambda: adapters.from_mot_rows(np.ones((2, 7)), with_labels=True), r"\(N, 8 or more\).*\(2, 7\)"),
        (
            lambda: adapters.from_mot_rows([[1] * 7, [0] * 7]),
            "frame: row 1 is 0, expected a whole number from 1",
        ),
        (lambda: adapters.from_mot_rows([[1.5] * 7]), "frame: row 0 is 1.5"),
        (lambda: adapters.from_mot_rows([[1] * 7, [1] * 6 + [37.5]]), "MOT rows: scores: row 1 is 37.5"),
    ],
)
def test_errors_say_what_came_and_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.fixture
def tracks() -> Tracks:
    return Tracks(
        ids=np.array([7, 9]),
        xyxy=np.array(BOXES),
        scores=np.array([0.5, 0.25]),
        labels=np.array([2, 0]),
        det_index=np.array([1, -1]),
        state=np.array([TrackState.CONFIRMED, TrackState.LOST]),
    )


def test_tracks_as_rows(tracks: Tracks) -> None:
    rows = adapters.to_array(tracks)
    assert rows.tolist() == [[0, 0, 10, 20, 7, 0.5, 2, 1], [5.5, 6, 9, 8, 9, 0.25, 0, -1]]
    assert rows.dtype == np.float64
    assert adapters.to_array(Tracks.empty()).shape == (0, 8)


def test_tracks_as_fields_of_supervision(tracks: Tracks) -> None:
    made = Supervision(**adapters.to_supervision(tracks))
    assert (made.xyxy.tolist(), made.confidence.tolist()) == (BOXES, [0.5, 0.25])
    assert (made.class_id.tolist(), made.tracker_id.tolist()) == ([2, 0], [7, 9])
    made.xyxy[:] = 0
    assert tracks.xyxy.tolist() == BOXES


def test_tracks_as_mot_rows_and_back(tracks: Tracks) -> None:
    rows = adapters.to_mot_rows(4, tracks)
    assert rows[0].tolist() == [4, 7, 0, 0, 10, 20, 0.5, -1, -1, -1]
    labelled = adapters.to_mot_rows(4, tracks, with_labels=True)
    assert labelled[:, 7].tolist() == [2, 0]
    back = adapters.from_mot_rows(labelled, with_labels=True)[4]
    assert columns(back) == WANTED
    assert adapters.to_mot_rows(1, Tracks.empty()).shape == (0, 10)


def test_a_tracker_in_between() -> None:
    tracks = SORT().update(adapters.from_ultralytics(Results(Boxes(BOXES, [0.9, 0.8], [0, 1]))))
    assert adapters.to_array(tracks)[:, 4:].tolist() == [[1, 0.9, 0, 0], [2, 0.8, 1, 1]]
