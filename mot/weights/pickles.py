"""Pickles read as data: an interpreter of the few instructions that weights files need, and nothing else.

Python's own unpicklers are not used: the compiled one sizes a table by a number from the file, and either
would do far more than is wanted here (make any instance, set any attribute, hash any key). This one

- knows plain containers, strings, numbers and bytes, of protocols 2 to 5;
- answers a name only from the caller's table, with a stand-in from this module; any other name is refused;
- allocates nothing while it reads that the file does not hold: a stand-in `Array` keeps its bytes and checks
  that they are as many as shape and type say; `Array.numpy` copies them at the end;
- takes text only as a key, since the hash of nested tuples can take for ever;
- stops after `MOST_STEPS` instructions: a list is 56 bytes of memory for one byte of file.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from mot.errors import WeightsError

MOST_STEPS = 500_000  # the largest public file takes 25,000
_MOST_AXES = 32  # numpy 1.26's own limit

NUMBERS = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset(
    "BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINSTRING BINSTRING SHORT_BINUNICODE BINUNICODE BINUNICODE8"
    " SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split()
)


class DType:
    """Stand-in for `numpy.dtype`: numbers and booleans only."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or code not in NUMBERS:
            kind = repr(code[:20]) if isinstance(code, str) else type(code).__name__
            raise ValueError(f"an array of {kind}, expected numbers: {', '.join(sorted(NUMBERS))}")
        self.code = code
        self.order = "="

    def __setstate__(self, state: object) -> None:
        match state:
            case (3, "<" | ">" | "|" as order, None, None, None, -1, -1, 0):
                self.order = str(order)
            case _:
                raise ValueError("an array of records, expected numbers")

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return int(self.code[1])


class Array:
    """Stand-in for `numpy.ndarray`: a description, checked against the bytes that are really there."""

    def __init__(
        self, dtype: object, shape: object, data: object, order: object = "C", axes: object = ()
    ) -> None:
        if (
            type(dtype) is not DType
            or not (_are_lengths(shape) and _are_lengths(axes))
            or not isinstance(data, bytes | bytearray | str)
            or (order != "C" and order != "F")
        ):
            raise ValueError("an array is not described in numpy's way")
        self.dtype, self.shape, self.data, self.order, self.axes = dtype, shape, data, order, axes
        if self.nbytes != len(data):
            raise ValueError(f"an array of {shape} {dtype.code} has {len(data)} bytes")

    def __setstate__(self, state: object) -> None:
        match state:
            case (1, shape, dtype, bool(by_columns), data):
                self.__init__(dtype, shape, data, "F" if by_columns else "C")  # type: ignore[misc]
            case _:
                raise ValueError("an array is not described in numpy's way")

    @property
    def nbytes(self) -> int:
        """Bytes that shape and type ask for."""
        return math.prod(self.shape) * self.dtype.size

    def numpy(self) -> NDArray[Any]:
        """A copy in C order and the machine's byte order; half precision as float32."""
        # protocol 2 writes bytes as text, one character a byte
        raw = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        flat = np.frombuffer(raw, np.dtype(self.dtype.order + self.dtype.code))
        array = flat.reshape(self.shape, order="F" if self.order == "F" else "C")
        array = array.transpose(self.axes) if self.axes else array
        return np.array(array, "f4" if self.dtype.code == "f2" else self.dtype.code, order="C")


def _are_lengths(value: object) -> TypeGuard[tuple[int, ...]]:
    return (
        type(value) is tuple
        and len(value) <= _MOST_AXES
        and all(type(number) is int and number >= 0 for number in value)
    )


def _reconstruct(_kind: object, _shape: object, _code: object) -> Array:
    """An array whose content comes next, by `__setstate__`."""
    return Array.__new__(Array)


def _from_buffer(data: object, dtype: object, shape: object, order: object, axes: object = ()) -> Array:
    """Protocol 5: order K is C, then the axes put in another order."""
    return Array(dtype, shape, data, "C" if order == "K" else order, axes if order == "K" else ())


def scalar(dtype: object, data: object) -> Array:
    """One number."""
    return Array(dtype, (), data)


def under_both_names(name: str, stand_in: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """`name` in numpy's core, which numpy 2 calls `numpy._core` and numpy 1 `numpy.core`."""
    return {f"numpy.{core}.{name}": stand_in for core in ("core", "_core")}


ARRAYS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": DType,
    "numpy.ndarray": Array,
    **under_both_names("multiarray._reconstruct", _reconstruct),
    **under_both_names("numeric._frombuffer", _from_buffer),
}


class _Machine:
    """The stack machine that a pickle is a program for."""

    def __init__(self, names: Mapping[str, Callable[..., Any]], source: str) -> None:
        self.names = names
        self.source = source
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "TUPLE":
                stack.append(tuple(self._cut(self.marks.pop())))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._cut(len(stack) - int(opcode[-1]))))
            case "APPEND":
                self._extend(self._cut(len(stack) - 1))
            case "APPENDS":
                self._extend(self._cut(self.marks.pop()))
            case "SETITEM":
                self._set(self._cut(len(stack) - 2))
            case "SETITEMS":
                self._set(self._cut(self.marks.pop()))
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self._named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(self._named(*self._cut(len(stack) - 2)))
            case "REDUCE":
                self._call(*self._cut(len(stack) - 2))
            case "BUILD":
                self._build(*self._cut(len(stack) - 1))
            case _ if opcode in _CONSTANTS:
                stack.append(_CONSTANTS[opcode])
            case _ if opcode in _LITERALS:
                stack.append(argument)
            case _:
                raise ValueError(f"its pickle has the instruction {opcode}, which no weights file needs")

    def _cut(self, start: int) -> list[Any]:
        """Takes everything from `start` on off the stack."""
        if start < 0:
            raise ValueError("its pickle takes more than it has")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("its pickle appends to what is no list")
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or not all(type(key) is str for key in items[::2]):
            raise ValueError("its pickle holds something else than a dict with text for keys")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _named(self, module: object, name: object) -> Callable[..., Any]:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("its pickle imports what is no name")
        full = full_name(module, name)
        if full not in self.names:
            raise refusal(self.source, [full])
        return self.names[full]

    def _call(self, function: object, arguments: object) -> None:
        # the only callables on the stack are the stand-ins
        if not callable(function) or type(arguments) is not tuple:
            raise ValueError("its pickle calls what is no function")
        self.stack.append(function(*arguments))

    def _build(self, state: object) -> None:
        if type(self.stack[-1]) not in (Array, DType):
            raise ValueError("its pickle sets attributes of what is no array")
        self.stack[-1].__setstate__(state)


def load(data: bytes, names: Mapping[str, Callable[..., Any]], source: str) -> Any:
    """The object that a pickle describes.

    Args:
        data: the pickle; what follows it is not looked at.
        names: the stand-ins for the names that it may import.
        source: the file, for the error text.

    Raises:
        WeightsError: it imports another name.
        Exception: of any kind, where it is damaged or does what no weights file does.
    """
    machine = _Machine(names, source)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count == MOST_STEPS:
            raise ValueError(f"its pickle has more than {MOST_STEPS} instructions")
        machine.step(opcode.name, argument)
    return machine.stack.pop()


def full_name(module: str, name: str) -> str:
    """`module.name` as of Python 3; protocol 2 writes `builtins` in Python 2's way."""
    return f"{'builtins' if module == '__builtin__' else module}.{name}"


def refusal(source: str, names: Iterable[str]) -> WeightsError:
    """The error about a pickle that imports `names`."""
    listed = ", ".join(repr(name[:80]) for name in list(names)[:3])
    return WeightsError(
        f"{source} is refused: its pickle calls {listed}, which could run code; "
        "only tensors in plain containers are read"
    )


def imported(stream: IO[bytes], pickles: int = 1) -> list[str]:
    """Every `module.name` that so many pickles, one after the other, would import."""
    names: list[str] = []
    try:
        for _ in range(pickles):
            names += _imported_by_one(stream)
    except Exception:  # what is no pickle, or ends early, raises anything; the whole ones before it count
        return names
    return names


def _imported_by_one(stream: IO[bytes]) -> list[str]:
    """The names in one whole pickle, found by keeping track of the texts that it pushes."""
    names: list[str] = []
    texts: list[str] = []  # in order: STACK_GLOBAL takes the last two
    memo: dict[int, str] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        match opcode.name:
            case "GLOBAL" | "INST":
                names.append(full_name(*str(argument).split(" ", 1)))
            case "STACK_GLOBAL":
                names.append(full_name(*texts[-2:]))
            case "MEMOIZE":
                memo[len(memo)] = texts[-1] if texts else ""
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[int(argument)] = texts[-1] if texts else ""
            case "BINGET" | "LONG_BINGET" | "GET":
                texts.append(memo.get(int(argument), ""))
            case _ if isinstance(argument, str):
                texts.append(argument)
    return names
