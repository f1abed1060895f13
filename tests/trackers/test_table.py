"""The table keeps its columns of one length, counts votes, and can be saved."""

import numpy as np
import pytest

from mot.errors import InputError
from mot.structures import Detections, Reason, TrackState
from mot.trackers.table import TrackTable, unassigned, usable


def seen(labels: list[int]) -> Detections:
    count = len(labels)
    return Detections(
        xyxy=np.tile([0.0, 0, 1, 1], (count, 1)), scores=np.full(count, 0.5), labels=np.array(labels)
    )


def table(count: int = 3) -> TrackTable:
    made = TrackTable("test", mean=np.empty((0, 2)))
    mean = np.arange(2 * count).reshape(count, 2)
    made.spawn(np.arange(count), seen([0] * count), TrackState.TENTATIVE, mean=mean)
    return made


def test_spawn_and_keep() -> None:
    made = table()
    made["misses"] = [1.0, 2.0, 3.0]
    made.keep(np.array([True, False, True]))
    rows = made.spawn(np.array([1]), seen([0, 4]), TrackState.CONFIRMED, mean=[[7, 7]])
    assert rows.tolist() == [2]
    assert made["ids"].tolist() == [1, 3, 4]
    assert made["misses"].tolist() == [1, 3, 0]
    assert made["mean"].tolist() == [[0, 1], [4, 5], [7, 7]]
    assert made["labels"].tolist() == [0, 0, 4]
    assert made["votes"].tolist() == [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert len(made) == 3
    made.keep(np.array([False, True, True]))
    assert made["votes"].tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_columns_are_set_in_place_only() -> None:
    made = table()
    made["ids"] += 1
    made["ids"][made["ids"] > 3] = 0
    assert made["ids"].tolist() == [2, 3, 0]
    with pytest.raises(ValueError, match="broadcast"):
        made["ids"] = np.zeros(5)
    with pytest.raises(TypeError, match="mean"):
        made.spawn(np.array([0]), seen([0]), TrackState.TENTATIVE)


def test_a_label_follows_the_majority() -> None:
    made, row = table(1), np.array([0])
    history = []
    for label in (2, 2, 0, 2, 0, 0):  # after a first 0: a tie keeps the label it has
        made.see(row, row, seen([label]))
        history.append(int(made["labels"][0]))
    assert history == [0, 2, 2, 2, 2, 0]


def test_saved_and_restored() -> None:
    made, other = table(), table(0)
    made.step(2.5)
    other.load_state_dict(made.state_dict())
    assert other.time == 2.5
    assert other.next_id == 4
    assert other["misses"].tolist() == [2.5] * 3
    made["ids"] += 1
    assert other["ids"].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match="'time' is missing"):
        other.load_state_dict({name: part for name, part in made.state_dict().items() if name != "time"})
    with pytest.raises(InputError, match="'mean' is missing"):
        other.load_state_dict({name: part for name, part in made.state_dict().items() if name != "mean"})


def test_columns_are_in_c_order_however_they_were_saved() -> None:
    table = TrackTable("test", filter=np.empty((0, 5, 4)))
    found = Detections(xyxy=np.ones((3, 4)), scores=np.ones(3))
    table.spawn(np.arange(3), found, TrackState.TENTATIVE, filter=np.arange(60.0).reshape(3, 5, 4))
    state = table.state_dict()
    restored = TrackTable("test", filter=np.empty((0, 5, 4)))
    restored.load_state_dict(state | {"filter": np.asfortranarray(state["filter"])})
    restored.keep(np.array([True, False, True]))
    assert all(restored[name].flags.c_contiguous for name in ("filter", "votes", "ids", "misses"))
    np.testing.assert_array_equal(restored["filter"], state["filter"][[0, 2]])


def test_reasons_before_anything_is_used() -> None:
    found = Detections(
        xyxy=np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]], float), scores=np.array([0.5, 0.5, 0.4])
    )
    assigned = unassigned(found, 0.5)
    assert assigned.tolist() == [Reason.UNMATCHED, Reason.UNMATCHED, Reason.BELOW_THRESHOLD]
    assert usable(found, assigned).tolist() == [0]
