"""`TrackTable`: everything a tracker knows of its tracks, as columns of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class TrackTable:
    """Columns by name, one row a track. `keep` and `append` alone change the number of rows.

        table["misses"] += 1
        table["score"][rows] = scores

    Args:
        columns: name -> empty array (0, …) that gives the column's dtype and the shape of one row.
    """

    def __init__(self, **columns: NDArray[Any]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        self._columns[name][...] = values

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows that are False in `mask` (T,)."""
        if not mask.all():
            self._columns = {name: column[mask] for name, column in self._columns.items()}

    def append(self, **rows: ArrayLike) -> None:
        """Add rows; every column must be given, all of one length."""
        if rows.keys() != self._columns.keys():
            raise TypeError(f"columns differ: {sorted(rows.keys() ^ self._columns.keys())}")
        self._columns = {
            name: np.concatenate([column, np.asarray(rows[name], column.dtype)])
            for name, column in self._columns.items()
        }
