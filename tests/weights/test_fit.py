from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mot.errors import WeightsError
from mot.weights.containers import fit, split
from mot.weights.report import report

TENSORS = {"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float32)}
SHAPES = {"b": (4,), "a": (2, 3)}


def test_fit_returns_exactly_what_is_expected() -> None:
    extra = {
        "classifier.weight": np.zeros(9),
        "classifier.bias": np.zeros(3),
        "bn.num_batches_tracked": np.array(5),
    }
    fitted = fit({**TENSORS, **extra}, SHAPES, "w.pt", ignore=("classifier.*",))
    assert list(fitted) == ["b", "a"]
    assert fitted["b"] is TENSORS["b"]


def test_the_report_counts_what_was_used() -> None:
    held = {**TENSORS, "n.num_batches_tracked": np.array(5), "classifier.weight": np.zeros(9)}
    shapes = {**SHAPES, "n.num_batches_tracked": (), "m.num_batches_tracked": ()}
    fitted = fit(held, shapes, "w.pt", ignore=("classifier.*",))
    made = report(Path("folder/w.pt"), "torch", "Megvii", "yolox_s", held, fitted)
    assert (made.file, made.tensors, made.floats, made.ignored) == ("w.pt", 3, 10, ("classifier.weight",))
    said = "w.pt (torch, Megvii) into yolox_s: 3 tensors, 10 numbers, 1 not used (classifier.weight)"
    assert str(made) == said
    many = replace(made, ignored=tuple("abcd"))
    assert str(many).endswith("4 not used (a, b, c, …)")
    assert "not used" not in str(replace(made, ignored=()))


def test_fit_fills_in_only_the_optional_counter() -> None:
    fitted = fit(TENSORS, {**SHAPES, "bn.num_batches_tracked": ()}, "w.pt")
    assert fitted["bn.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": TENSORS["a"]}, r"w\.pt does not fit a network of 2 tensors: 1 missing \(b\)"),
        ({**TENSORS, "c": np.zeros(1)}, r"1 unexpected \(c\)"),
        (
            {"a": np.zeros((3, 2)), "b": TENSORS["b"]},
            r"1 of another shape \(a \(3, 2\) instead of \(2, 3\)\)",
        ),
        ({**TENSORS, "b": np.array([1, np.nan, 1, 1])}, r"1 not finite \(b\)"),
        ({}, r"2 missing \(b, a\)"),
        (
            {**TENSORS, **{f"c{i}": np.zeros(1) for i in range(9)}},
            r"9 unexpected \(c0, c1, c2, c3, c4 and 4 more\)",
        ),
    ],
)
def test_fit_lists_what_is_wrong(tensors: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        fit(tensors, SHAPES, "w.pt")


@given(st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), max_size=5), st.integers(-3, 3))
def test_split_uses_every_number_once_and_in_order(shapes: list[tuple[int, ...]], surplus: int) -> None:
    named = [(str(i), shape) for i, shape in enumerate(shapes)]
    total = sum(int(np.prod(shape)) for shape in shapes)
    floats = np.arange(max(total + surplus, 0), dtype=np.float32)
    if len(floats) != total:
        with pytest.raises(WeightsError, match=f"holds {len(floats)} numbers, the network takes {total}"):
            split(floats, named, "w.weights")
        return
    parts = split(floats, named, "w.weights")
    assert [(name, part.shape) for name, part in parts.items()] == named
    assert [number for part in parts.values() for number in part.ravel()] == floats.tolist()
