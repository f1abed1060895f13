"""Appearance: how alike two embeddings look, and what a track remembers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mot.errors import InputError

Vectors = NDArray[np.float32]
WIDE = 4  # pairs of a track that most have no more of
SLACK = 0.01  # between chords; far above the rounding of float32
Real = TypeVar("Real", np.float32, np.float64)


def unit(vectors: NDArray[Real], out: NDArray[Real] | None = None) -> NDArray[Real]:
    """(N, E) vectors scaled to length 1, in `out` if it is given; a zero vector stays zero."""
    length = np.sqrt(np.einsum("ne,ne->n", vectors, vectors))
    length[length == 0] = 1.0
    scaled: NDArray[Real] = np.divide(vectors, length[:, None], out=out)
    return scaled


class Gallery:
    """The last `budget` embeddings of every track, as ring buffers in one array.

    A track is a row, in the order of the tracker's table; its buffer stays where it is in the pool, so that
    births and deaths move no vectors. The pool grows with use, in both directions, by doubling. Whatever goes in,
    or is compared, has length 1; see `unit`.

    Pairs of a track and a vector that is far from it are told apart without a search. The chord between two looks
    of cosine distance d is sqrt(2 d); by the triangle inequality no look of a track is nearer to a vector than the
    first one is, less the longest chord from there to another.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._pool: Vectors = np.zeros((0, 1, 0), np.float32)  # (P, capacity, E), unit length
        self._place: NDArray[np.int64] = np.empty(0, np.int64)  # (T,) the track's buffer in the pool
        self._count: NDArray[np.int64] = np.empty(0, np.int64)  # (T,) embeddings ever added
        self._first: Vectors = np.zeros((0, 0), np.float32)  # (P, E) of the buffer's track
        self._spread: NDArray[np.float32] = np.zeros(0, np.float32)  # (P,) the longest chord from there

    def __len__(self) -> int:
        return len(self._place)

    @property
    def size(self) -> int | None:
        """E, the width of the embeddings; None before the first one."""
        return self._pool.shape[2] or None

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Forget the tracks that are False in `mask` (T,)."""
        self._place, self._count = self._place[mask], self._count[mask]

    def append(self, vectors: Vectors) -> None:
        """A new track for each of `vectors` (N, E), which are its first memory."""
        if not len(vectors):
            return
        known, total = len(self), len(self) + len(vectors)
        if total > len(self._pool):
            self._grow(max(total, 2 * len(self._pool)), self._pool.shape[1], vectors.shape[1])
        unused = np.ones(len(self._pool), np.bool_)
        unused[self._place] = False
        free = unused.nonzero()[0][: len(vectors)]
        self._place = np.concatenate([self._place, free])
        self._count = np.concatenate([self._count, np.zeros(len(vectors), np.int64)])
        self._first[free], self._spread[free] = vectors, 0.0
        self.add(np.arange(known, total), vectors)

    def add(self, rows: NDArray[np.int64], vectors: Vectors) -> None:
        """One more embedding for each track in `rows` (M,); the oldest goes when the budget is spent."""
        if not len(rows):
            return
        places, capacity, size = self._pool.shape
        needed = min(self._budget, int(self._count[rows].max()) + 1)
        if needed > capacity:
            self._grow(places, min(self._budget, 2 * capacity), size)
        place, count = self._place[rows], self._count[rows]
        self._pool[place, count % self._budget] = vectors
        self._count[rows] = count + 1
        if self._budget > 1:
            chord = _chord(self._first.take(place, axis=0), vectors)
            self._spread[place] = np.maximum(self._spread[place], chord)

    def apart(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], vectors: Vectors, limit: float
    ) -> NDArray[np.bool_]:
        """(P,) which of the tracks `rows` surely are further than `limit` from their own row of `vectors` (D, E).

        The others may be nearer or not. In a gallery of one look that is asked of none: a distance costs no more.
        """
        if self._budget == 1:
            return np.zeros(len(rows), np.bool_)
        place = self._place[rows]
        chord = _chord(self._first.take(place, axis=0), vectors.take(columns, axis=0))
        return np.asarray(chord - self._spread[place] > np.sqrt(2.0 * limit) + SLACK)

    def distances(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        vectors: Vectors,
        nearest: int = 1,
        enough: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """(P,) cosine distance of each of the tracks `rows` to a vector: the mean of the `nearest` least.

        One, the least over the gallery, is what DeepSORT does; the mean of a few is not fooled by a single
        look that was somebody else's. A gallery of fewer gives the mean of those it has.

        Args:
            rows: (P,) tracks, ascending.
            columns: (P,) rows of `vectors`.
            vectors: (D, E), of length 1.
            nearest: how many.
            enough: (P,) distances that will do: where the newest look is as near, no nearer one is searched for.
        """
        looks = vectors.take(columns, axis=0)
        if enough is None or nearest > 1:
            return self._searched(rows, looks, nearest)
        made, hoped = np.full(len(rows), np.inf), (enough >= 0).nonzero()[0]
        some = rows[hoped]
        newest = self._pool[self._place[some], (self._count[some] - 1) % self._budget]
        made[hoped] = 1.0 - np.einsum("pe,pe->p", newest, looks.take(hoped, axis=0)).astype(np.float64)
        far = (made > enough).nonzero()[0]
        if len(far):
            made[far] = self._searched(rows[far], looks.take(far, axis=0), nearest)
        return np.asarray(made)

    def _searched(self, rows: NDArray[np.int64], looks: Vectors, nearest: int) -> NDArray[np.float64]:
        """(P,) distances of the tracks `rows` to `looks` (P, E), their whole galleries searched."""
        made = np.empty(len(rows))
        turn = np.arange(len(rows)) - rows.searchsorted(rows)  # which of its track's pairs each is
        # a product a track, as wide as the most that one asks for: so the few that ask for many go by themselves
        for part in ((turn < WIDE).nonzero()[0], (turn >= WIDE).nonzero()[0]):
            if len(part):
                width = int(turn[part].max()) + 1
                few = looks.take(part, axis=0) if len(part) < len(looks) else looks
                made[part] = self._nearest(rows[part], turn[part], few, width, nearest)
        return np.asarray(made)

    def _nearest(
        self, rows: NDArray[np.int64], turn: NDArray[np.int64], looks: Vectors, width: int, nearest: int
    ) -> NDArray[np.float64]:
        """(P,) of the tracks `rows` to `looks` (P, E); `turn` (P,), below `width`, tells a track's pairs apart."""
        tracks = rows[np.concatenate([[True], rows[1:] != rows[:-1]])]
        capacity = min(int(self._count[tracks].max()), self._pool.shape[1])
        pool, place = self._pool[:, :capacity], self._place
        if 2 * len(tracks) < len(pool):  # else a copy of so many costs more than the products of the others
            pool = pool[place[tracks]]
            place = np.empty(len(self), np.int64)
            place[tracks] = np.arange(len(tracks))
        wanted = np.zeros((len(pool), width, looks.shape[1]), np.float32)
        wanted[place[rows], turn] = looks
        alike = (wanted @ pool.transpose(0, 2, 1))[place[rows], turn]
        count = self._count[rows]
        if count.min() < capacity:
            alike[np.arange(capacity) >= count[:, None]] = -np.inf
        if nearest == 1:
            return np.asarray(1.0 - alike.max(axis=1).astype(np.float64))
        best = np.partition(alike, max(capacity - nearest, 0), axis=1)[:, -nearest:].astype(np.float64)
        known = np.isfinite(best)
        return np.asarray(1.0 - best.sum(axis=1, where=known) / known.sum(axis=1))

    def first(self, rows: NDArray[np.int64] | slice) -> Vectors:
        """(M, E) the only look of each of `rows` (M,), in a gallery of budget 1."""
        looks: Vectors = self._pool[self._place[rows], 0]
        return looks

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """What the tracks remember, as plain arrays: (T, capacity, E) and (T,)."""
        return {"gallery": self._pool[self._place], "gallery_count": self._count.copy()}

    def restored(self, state: Mapping[str, NDArray[Any]]) -> Gallery:
        """Another gallery of this budget, with what `state_dict` gave.

        Raises:
            InputError: the vectors are missing, or not one row for each of the state's `ids`.
        """
        pool, count = state.get("gallery"), state.get("gallery_count")
        if (
            pool is None
            or count is None
            or pool.ndim != 3
            or not len(pool) == len(count) == len(state.get("ids", ()))
        ):
            raise InputError("state: 'gallery' is missing or of another length; from another tracker?")
        made = Gallery(self._budget)
        made._pool, made._count, made._place = np.array(pool), np.array(count), np.arange(len(pool))
        made._first = made._pool[:, 0].copy()
        chord = _chord(made._pool, made._first[:, None])
        chord[np.arange(pool.shape[1]) >= made._count[:, None]] = 0.0
        made._spread = chord.max(axis=1, initial=0.0)
        return made

    def _grow(self, places: int, capacity: int, size: int) -> None:
        """A larger pool with the old one in its corner."""
        pool = np.zeros((places, capacity, size), np.float32)
        if self._pool.size:
            old_places, old_capacity, _ = self._pool.shape
            pool[:old_places, :old_capacity] = self._pool
        self._pool = pool
        if places > len(self._first):
            first, spread = np.zeros((places, size), np.float32), np.zeros(places, np.float32)
            first[: len(self._first), : self._first.shape[1]] = self._first
            spread[: len(self._spread)] = self._spread
            self._first, self._spread = first, spread


def _chord(a: Vectors, b: Vectors) -> NDArray[np.float32]:
    """(...,) the straight line between vectors (..., E) of length 1."""
    return np.asarray(np.sqrt(np.maximum(2.0 - 2.0 * np.einsum("...e,...e->...", a, b), 0.0)))
