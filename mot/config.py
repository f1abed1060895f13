"""YAML files and `a.b=c` overrides into frozen dataclasses, strictly.

An unknown key, a wrong type or a value out of range is a `ConfigError` that names the key by its whole path
and the nearest valid one. Ranges are written where the field is: `Annotated[int, AtLeast(0)]`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, Sized
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from mot.errors import ConfigError, nearest
from mot.resources import shipped

Built = TypeVar("Built")


@dataclass(frozen=True)
class AtLeast:
    """A number not below `low`."""

    low: float

    def __str__(self) -> str:
        return f"a number >= {self.low:g}"

    def allows(self, value: float) -> bool:
        """Whether `value` is in range."""
        return value >= self.low


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both included."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"a number in {self.low:g}..{self.high:g}"

    def allows(self, value: float) -> bool:
        """Whether `value` is in range."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Length:
    """A list of `low` to `high` values."""

    low: int
    high: float = math.inf

    def __str__(self) -> str:
        return (
            f"{self.low} or more values" if self.high == math.inf else f"{self.low} to {self.high:g} values"
        )

    def allows(self, value: Sized) -> bool:
        """Whether `value` has such a length."""
        return self.low <= len(value) <= self.high


def find(name: str | Path) -> Path:
    """A config file by its path, or by its bare name among those that ship with the package."""
    path = Path(name)
    if path.is_file():
        return path
    ours = shipped("configs")
    if path.parent == Path() and (ours / path).is_file():
        return ours / path
    raise ConfigError(
        f"no config file {str(name)!r}; {nearest(path.name, (p.name for p in ours.glob('*.yml')))}"
    )


def load(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, values as they stand."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Strict)
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw):
        raise ConfigError(f"{path}: expected `key: value` lines at the top")
    return raw


def override(raw: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `raw` with each `a.b=c` set; the value is read as YAML."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in raw.items()}
    for text in overrides:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"override {text!r}: expected key=value, as in tracker.max_age=60")
        *parents, last = name.split(".")
        block = result
        for parent in parents:
            if block.get(parent) is None:
                block[parent] = {}
            block = block[parent]
            if not isinstance(block, dict):
                raise ConfigError(f"override {text!r}: {parent} is a value, not a block")
        try:
            block[last] = yaml.load(value, _Strict)
        except (yaml.YAMLError, ValueError, RecursionError):
            block[last] = value
    return result


def build(cls: type[Built], raw: Any, where: str = "") -> Built:
    """`raw` as the dataclass `cls`; `where` is the path of the block, for messages."""
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where or 'config'}: expected a block of keys, got {raw!r}")
    hints = get_type_hints(cls, include_extras=True)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in raw.items():
        path = f"{where}.{key}" if where else str(key)
        if key not in known:
            raise ConfigError(f"unknown key {path!r}; {nearest(str(key), known)}")
        values[key] = _convert(hints[key], value, path)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{f'{where}.{name}' if where else name!r} is missing")
    return cls(**values)


def _convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as the type `hint` says, or a ConfigError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value  # a block that was built before, with a type known only then
    if origin is Annotated:
        return _within(arguments[1:], _convert(arguments[0], value, path), path)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, path)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{path}: got {value!r}; {nearest(str(value), map(str, arguments))}")
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(items))
    if is_dataclass(hint):
        return build(hint, value, path)  # type: ignore[arg-type]
    return _plain(hint, value, path)


def _convert_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    """The first type of a union that takes `value`; the text None means none.

    Where none does, a text is told what words are known, if any are, and all else what the last type expects.
    """
    if type(None) in arguments and (value is None or value == "None"):
        return None
    kinds = [argument for argument in arguments if argument is not type(None)]
    for kind in kinds[:-1]:
        try:
            return _convert(kind, value, path)
        except ConfigError:
            if isinstance(value, str) and get_origin(kind) is Literal:
                raise
    return _convert(kinds[-1], value, path)


def _plain(hint: type, value: Any, path: str) -> Any:
    """bool, int, float or str; a whole number is a float too, nothing else is converted."""
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError:
            pass
    elif hint is type(None) and value in (None, "None"):
        return None
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    expected = "null" if hint is type(None) else hint.__name__
    raise ConfigError(f"{path}: expected {expected}, got {value!r}")


def _within(ranges: tuple[Any, ...], value: Any, path: str) -> Any:
    """`value`, if every range allows it."""
    for limit in ranges:
        if value is not None and not limit.allows(value):
            raise ConfigError(f"{path}: expected {limit}, got {value!r}")
    return value


class _Strict(yaml.SafeLoader):
    """YAML's safe loader, refusing a key that stands twice in a block."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are unique."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            keys = [key.value for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice!r} stands twice", node.start_mark
            )
        return mapping
