"""Strict reading of configs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from mot import config
from mot.config import AtLeast, Between, OrSeconds
from mot.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    age: Annotated[int, AtLeast(0)] = 3
    share: Annotated[float, Between(0, 1)] = 0.5


@dataclass(frozen=True)
class Ages:
    age: Annotated[int, AtLeast(1), OrSeconds()] = 30
    other: int = 7
    text: str = "5s"


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    kind: Literal["a", "b"] = "a"
    weights: str | None = None
    sizes: tuple[int, ...] = (1,)
    flag: bool = False


def test_values_and_defaults() -> None:
    raw = {"name": "x", "inner": {"share": 1}, "weights": "None", "sizes": [4, 5], "flag": True}
    assert config.build(Outer, raw) == Outer("x", Inner(3, 1.0), "a", None, (4, 5), True)
    assert config.build(Outer, {"name": "x", "inner": None, "sizes": 7}).sizes == (7,)
    assert config.build(Inner, {"share": "1e-3"}).share == 0.001


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"nam": "x"}, "unknown key 'nam'; did you mean 'name'"),
        ({"name": "x", "inner": {"ages": 1}}, "unknown key 'inner.ages'; did you mean 'age'"),
        ({}, "'name' is missing"),
        ({"name": 3}, "name: expected str, got 3"),
        ({"name": "x", "inner": {"age": 2.5}}, "inner.age: expected int, got 2.5"),
        ({"name": "x", "inner": {"age": True}}, "inner.age: expected int, got True"),
        ({"name": "x", "inner": {"age": -1}}, "inner.age: expected a number >= 0, got -1"),
        ({"name": "x", "inner": {"share": 1.5}}, r"inner.share: expected a number in 0..1, got 1.5"),
        ({"name": "x", "inner": {"share": float("nan")}}, "inner.share"),
        ({"name": "x", "inner": [1]}, r"inner: expected a block of keys, got \[1\]"),
        ({"name": "x", "kind": "c"}, "kind: got 'c'"),
        ({"name": "x", "sizes": [1, "two"]}, r"sizes\[1\]: expected int, got 'two'"),
        ({"name": "x", "flag": 1}, "flag: expected bool, got 1"),
    ],
)
def test_mistakes_are_named_by_their_path(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(Outer, raw)


@pytest.mark.parametrize(
    ("age", "rate", "frames"),
    [(9, 25.0, 9), ("5s", 25.0, 125), ("0.5s", 29.97, 15), ("2s", 0.5, 1), ("0.01s", 25.0, 1)],
)
def test_seconds_become_frames_once_the_rate_is_known(age: int | str, rate: float, frames: int) -> None:
    read = config.build(Ages, {"age": age})
    assert read == Ages(age)  # type: ignore[arg-type]
    assert config.in_frames(read, rate) == Ages(frames)


@pytest.mark.parametrize(
    "age", ["old", "5", "5 s", "-5s", "0s", "0.0s", "s", "infs", "5s5s", "5ms", 2.5, True, None]
)
def test_what_is_neither_frames_nor_seconds(age: object) -> None:
    expected = "a whole number of frames, as in 30, or seconds above 0, as in 5s"
    with pytest.raises(ConfigError, match=f"block.age: expected {expected}, got {age!r}"):
        config.build(Ages, {"age": age}, "block")
    with pytest.raises(ConfigError, match=f"age: expected {expected}, got {age!r}"):
        config.in_frames(Ages(age), 25.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="age: expected a number >= 1, got 0"):
        config.build(Ages, {"age": 0})


def test_overrides_leave_the_original_alone() -> None:
    raw = {"name": "x", "inner": {"age": 1}}
    changed = config.override(raw, ["inner.age=7", "sizes=[2, 3]", "weights=null", "new.deep=1"])
    assert changed == {"name": "x", "inner": {"age": 7}, "sizes": [2, 3], "weights": None, "new": {"deep": 1}}
    assert raw == {"name": "x", "inner": {"age": 1}}


@pytest.mark.parametrize("text", ["inner.age", "=3", "name.x=3"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        config.override({"name": "x"}, [text])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(ConfigError, match="'a' stands twice"):
        config.load(path)
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match="key: value"):
        config.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        config.load(path)
    with pytest.raises(ConfigError, match=r"did you mean 'deepsort.yml'"):
        config.find("depsort.yml")
    assert config.find("sort.yml").is_file()
