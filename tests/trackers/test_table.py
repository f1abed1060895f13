"""The table keeps its columns of one length."""

import numpy as np
import pytest

from mot.trackers.table import TrackTable


def table() -> TrackTable:
    rows = TrackTable(ids=np.empty(0, np.int64), mean=np.empty((0, 2)))
    rows.append(ids=np.array([1, 2, 3]), mean=np.arange(6).reshape(3, 2))
    return rows


def test_append_and_keep() -> None:
    rows = table()
    rows.keep(np.array([True, False, True]))
    rows.append(ids=[9], mean=[[7, 7]])
    assert rows["ids"].tolist() == [1, 3, 9]
    assert rows["mean"].tolist() == [[0, 1], [4, 5], [7, 7]]
    assert rows["mean"].dtype == np.float64
    assert len(rows) == 3


def test_columns_are_set_in_place_only() -> None:
    rows = table()
    rows["ids"] += 1
    rows["ids"][rows["ids"] > 3] = 0
    assert rows["ids"].tolist() == [2, 3, 0]
    with pytest.raises(ValueError, match="broadcast"):
        rows["ids"] = np.zeros(5)
    with pytest.raises(TypeError, match="mean"):
        rows.append(ids=np.array([1]))
