"""The gallery against a plain list of vectors per track."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mot.appearance import Gallery, unit


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 60))
def test_gallery_equals_lists(seed: int, budget: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    gallery, lists = Gallery(budget), list[list[np.ndarray]]()
    for _ in range(steps):
        action = rng.integers(3)
        if action == 0:
            vectors = rng.normal(size=(int(rng.integers(1, 4)), 5)).astype(np.float32)
            gallery.append(unit(vectors))
            lists += [[vector] for vector in vectors]
        elif action == 1 and lists:
            rows = rng.permutation(len(lists))[: int(rng.integers(1, len(lists) + 1))]
            vectors = rng.normal(size=(len(rows), 5)).astype(np.float32)
            gallery.add(rows, unit(vectors))
            for row, vector in zip(rows, vectors, strict=True):
                lists[row] = [*lists[row], vector][-budget:]
        elif lists:
            mask = rng.random(len(lists)) < 0.8
            gallery.keep(mask)
            lists = [kept for kept, stays in zip(lists, mask, strict=True) if stays]
    assert len(gallery) == len(lists)
    query = rng.normal(size=(9, 5)).astype(np.float32)
    rows, columns = rng.random((len(lists), len(query))).round().nonzero()
    for nearest in (1, 3) if lists else ():
        every = [np.sort(1 - unit(np.array(memory)) @ unit(query).T, axis=0) for memory in lists]
        expected = np.array([distances[:nearest].mean(axis=0) for distances in every])[rows, columns]
        np.testing.assert_allclose(
            gallery.distances(rows, columns, unit(query), nearest), expected, atol=1e-6
        )
        if nearest == 1:  # as near as that will do
            enough = rng.uniform(-0.5, 2.0, len(rows))
            found = gallery.distances(rows, columns, unit(query), nearest, enough)
            assert (found > expected - 1e-6).all()
            np.testing.assert_allclose(found[found > enough], expected[found > enough], atol=1e-6)
            assert ((found <= enough) == (expected <= enough + 1e-6)).all() or len(set(rows)) == 0
            again = gallery.restored(gallery.state_dict() | {"ids": np.arange(len(lists))})
            for known, limit in ((gallery, 0.05), (gallery, 0.6), (again, 0.05), (again, 0.6)):
                assert (expected[known.apart(rows, columns, unit(query), limit)] > limit).all()


def looks_at(*degrees: float) -> np.ndarray:
    """(N, 2) vectors of length 1 in these directions."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1).astype(np.float32)


def test_looks_apart_are_told_without_a_search() -> None:
    """Chords of 80, 45 and 20 degrees: 1.29, 0.77 and 0.35; of the limit 0.2: 0.63."""
    gallery, rows = Gallery(3), np.arange(2)
    gallery.append(looks_at(0, 0))
    gallery.add(rows, looks_at(0, 45))
    assert gallery.apart(rows, rows, looks_at(80, 80), 0.2).tolist() == [True, False]
    assert gallery.apart(rows, rows, looks_at(-45, 180), 0.2).tolist() == [True, True]
    gallery.add(rows, looks_at(20, 0))
    assert gallery.apart(rows, rows, looks_at(80, 80), 0.2).tolist() == [True, False]
    assert gallery.apart(rows, rows, looks_at(45, 30), 0.2).tolist() == [False, False]


def test_a_new_track_does_not_inherit_how_far_the_looks_of_another_spread() -> None:
    gallery, row = Gallery(3), np.arange(1)
    gallery.append(looks_at(0))
    gallery.add(row, looks_at(180))
    gallery.keep(np.zeros(1, bool))
    gallery.append(looks_at(0))
    assert gallery.apart(row, row, looks_at(90), 0.2).tolist() == [True]


def test_nobody_new_changes_nothing() -> None:
    gallery = Gallery(3)
    gallery.append(np.empty((0, 2), np.float32))
    assert (len(gallery), gallery.size) == (0, None)
    gallery.append(looks_at(0, 90))
    gallery.append(np.empty((0, 2), np.float32))
    assert (len(gallery), gallery.size) == (2, 2)


def test_pool_grows_with_use_and_is_reused() -> None:
    gallery = Gallery(budget=1000)
    vector = np.ones((1, 4), np.float32)
    for _ in range(500):
        gallery.append(vector)
        gallery.keep(np.zeros(1, bool))
    assert gallery._pool.nbytes < 1000


def test_unit_leaves_zero_alone() -> None:
    assert unit(np.zeros((1, 3), np.float32)).tolist() == [[0, 0, 0]]
