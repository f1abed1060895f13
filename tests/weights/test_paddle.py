"""PaddleDetection's files, and what a crafted one might try."""

import functools
import importlib.util
import json
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mot.errors import WeightsError
from mot.weights import pickles
from mot.weights.containers import TensorFile, fit, read

ARRAYS: dict[str, Any] = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn._mean": np.array([1.5, -2.0], np.float32),
    "big_endian": np.arange(3, dtype=">f8"),
    "flags": np.array([True, False, True]),
    "half": np.array([0.5, 65504.0], np.float16),
    "double": np.array([1e300]),
    "counter": np.array(7, np.int64),
    "by_columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "axes": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
}
TABLE = {"StructuredToParameterName@@": {name: f"{name}_0" for name in ARRAYS}}


class Parameter:
    """Pickles as a parameter of Paddle 2.1 does: a call of `tuple`."""

    def __init__(self, name: str, array: Any) -> None:
        self.content = name, array

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (self.content,)


class Call:
    """Pickles into a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def _saved(content: Any, path: Path, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def _tensors(path: Path) -> dict[str, Any]:
    content = read(path)
    assert isinstance(content, TensorFile)
    assert content.format == "paddle"
    return content.tensors


def _same(tensors: dict[str, Any]) -> None:
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].flags.writeable
        assert tensors[name].flags.c_contiguous
        assert tensors[name].dtype.isnative
    kinds = {name: tensor.dtype.name for name, tensor in tensors.items()}
    assert kinds["half"] == "float32"
    assert (kinds["big_endian"], kinds["flags"], kinds["counter"]) == ("float64", "bool", "int64")


@pytest.mark.parametrize("core", [b"numpy._core", b"numpy.core"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_kind_in_every_protocol(protocol: int, core: bytes, tmp_path: Path) -> None:
    path = _saved({**ARRAYS, **TABLE}, tmp_path / "w.pdparams", protocol)
    path.write_bytes(_renamed(path.read_bytes(), core))
    _same(_tensors(path))


def _renamed(data: bytes, core: bytes) -> bytes:
    """The pickle with numpy's core under its other name; a text of protocol 4 and 5 tells its length."""
    for written in (b"numpy._core", b"numpy.core"):
        for module in (b"multiarray", b"numeric"):
            old, new = written + b"." + module, core + b"." + module
            data = data.replace(b"c" + old + b"\n", b"c" + new + b"\n")
            data = data.replace(bytes([0x8C, len(old)]) + old, bytes([0x8C, len(new)]) + new)
    frame = data.find(b"\x95", 0, 3)
    # the frame's length would be off: leave the frame out, as it is no more than a hint
    return data if frame < 0 else data[:frame] + data[frame + 9 :]


def test_the_suffix_does_not_matter_and_what_follows_is_not_read(tmp_path: Path) -> None:
    path = _saved(ARRAYS, tmp_path / "w.pth")
    path.write_bytes(path.read_bytes() + b"more")
    _same(_tensors(path))


def test_a_python_2_file_with_texts_of_bytes(tmp_path: Path) -> None:
    numbers = struct.pack("<2f", 1.0, -3.5)
    code = b"".join(
        (
            b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85",
            b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08",
            numbers + b"tbs.",
        )
    )
    (tmp_path / "w.pdparams").write_bytes(code)
    np.testing.assert_array_equal(_tensors(tmp_path / "w.pdparams")["a"], [1.0, -3.5])


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrap", [None, "model", "state_dict"])
def test_named_pairs_beside_plain_values(wrap: str | None, protocol: int, tmp_path: Path) -> None:
    pairs: dict[str, Any] = {name: Parameter(f"{name}_0", array) for name, array in ARRAYS.items()}
    content = {**pairs, "epoch": 3, "note": ("a", [1.5, None, {"b": True}])}
    path = _saved(content if wrap is None else {"epoch": 3, wrap: content}, tmp_path / "w", protocol)
    _same(_tensors(path))


def test_slices_are_joined(tmp_path: Path) -> None:
    whole = np.arange(24, dtype=np.float32)
    parts = {"w@@.0": whole[:10], "w@@.1": whole[10:20], "w@@.2": whole[20:]}
    facts = {"w": {"OriginShape": (2, 3, 4), "slices": list(parts)}}
    path = _saved({"b": whole, **parts, "UnpackBigParamInfor@@": facts}, tmp_path / "w.pdparams", 2)
    tensors = _tensors(path)
    assert list(tensors) == ["b", "w"]
    np.testing.assert_array_equal(tensors["w"], whole.reshape(2, 3, 4))


def test_slices_that_are_listed_twice_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    for shape, slices in [((2,), ["p", "p"]), ((3,), ["p"]), ((2,), [("p",)]), ((2,), ["q"]), ((), [])]:
        facts = {"w": {"OriginShape": shape, "slices": slices}}
        path = _saved({"p": np.zeros(2, np.float32), "UnpackBigParamInfor@@": facts}, tmp_path / "w")
        with pytest.raises(WeightsError, match=r"cannot be read as paddle's"):
            read(path)


def test_two_names_of_one_array(tmp_path: Path) -> None:
    array = np.zeros(1000, np.float32)
    tensors = _tensors(_saved({"a": array, "b": array}, tmp_path / "w"))
    assert tensors["a"].shape == tensors["b"].shape == (1000,)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (lambda mark: Call(eval, f"open({mark!r}, 'w')"), r"builtins\.eval"),
        (lambda mark: Call(os.system, f"touch {mark}"), r"(posix|nt)\.system"),
        (lambda mark: Call(getattr, "x", "upper"), r"builtins\.getattr"),
        (lambda mark: functools.partial(os.system, f"touch {mark}"), r"functools\.partial"),
        (lambda mark: np.float64(1.0), r"numpy\._?core\.multiarray\.scalar"),
    ],
)
def test_any_other_name_is_refused_and_nothing_runs(
    evil: Any, name: str, protocol: int, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    path = _saved({**ARRAYS, "x": evil(str(mark))}, tmp_path / "w.pdparams", protocol)
    with pytest.raises(WeightsError, match=rf"w\.pdparams is refused: its pickle calls '{name}'") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.002, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_truncated_file_is_refused(share: float, protocol: int, tmp_path: Path) -> None:
    path = _saved(ARRAYS, tmp_path / "w.pdparams", protocol)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match=r"w\.pdparams cannot be read as paddle's, damaged or cut short"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no tensors"),
        ({"epoch": 3}, "holds no tensors"),
        ([np.zeros(1)], "it holds a list"),
        ({"a": np.array(["text"])}, "array of 'U4', expected numbers: b1, f2"),
        ({"a": np.array([None])}, "array of 'O8', expected numbers"),
        ({"a": np.array([1j])}, "array of 'c16', expected numbers"),
        ({"a": np.zeros(2, [("x", "f4")])}, "array of 'V4', expected numbers"),
        ({"a": {1: 2}}, "text for keys"),
        ({"a": {1, 2}}, "instruction EMPTY_SET"),
    ],
)
def test_what_holds_no_arrays_of_numbers_is_refused(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=said):
        read(_saved(content, tmp_path / "w.pdparams"))


def test_wrong_magic_is_refused(tmp_path: Path) -> None:
    path = _saved(ARRAYS, tmp_path / "w.pdparams")
    path.write_bytes(b"\x81" + path.read_bytes()[1:])
    with pytest.raises(WeightsError, match="is no weights file"):
        read(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conv.weight": None}, r"1 missing \(conv\.weight\)"),
        ({"other": np.zeros(1)}, r"1 unexpected \(other\)"),
        ({"bn._mean": np.zeros(3, np.float32)}, r"1 of another shape"),
        ({"bn._mean": np.array([1.0, np.nan], np.float32)}, r"1 not finite \(bn\._mean\)"),
    ],
)
def test_another_network_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    content = {name: array for name, array in {**ARRAYS, **change}.items() if array is not None}
    tensors = _tensors(_saved(content, tmp_path / "w.pdparams"))
    with pytest.raises(WeightsError, match=said):
        fit(tensors, {name: array.shape for name, array in ARRAYS.items()}, "w.pdparams")


# What a crafted file may try. Every row is one pickle; the reader must refuse it at once and in little memory.
TEXT = b"X\xa0\x86\x01\x00" + b"a" * 100_000  # BINUNICODE of 100,000 characters
ENCODE = b"c_codecs\nencode\n"
DTYPE = b"cnumpy\ndtype\n\x8c\x02f4\x85R"
BUFFER = b"cnumpy._core.numeric\n_frombuffer\n"


def _shared_buffer() -> bytes:
    """400 arrays of 400 kB over the same bytes."""
    start = b"\x80\x04\x8e" + struct.pack("<Q", 400_000) + bytes(400_000) + b"q\x00" + DTYPE + b"q\x01}("
    shape = b"J" + struct.pack("<i", 100_000) + b"\x85"
    arrays = (b"\x8c\x03%03d" % i + BUFFER + b"(h\x00h\x01" + shape + b"\x8c\x01CtR" for i in range(400))
    return start + b"".join(arrays) + b"u."


DOUBLED = b")" + b"q\x00h\x00\x86" * 60  # (t, t) of (t, t) of …: its hash and its repr never end
CRAFTED = {
    "a text said to be of 4 GB": b"\x80\x04X\xff\xff\xff\xff.",
    "bytes said to be of 2**62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
    "a bytearray said to be of 2**62": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    "a frame of 2**62": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",
    "a memo index of 2**32": b"\x80\x02}r\xff\xff\xff\xff.",
    "a hundred thousand lists in each other": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "tuples doubled sixty times as a key": b"\x80\x02}" + DOUBLED + b"Ns.",
    "an array of tuples doubled": b"\x80\x02cnumpy\ndtype\n" + DOUBLED + b"\x85R.",
    "tuples doubled sixty times": b"\x80\x02" + DOUBLED + b".",
    "as many lists as bytes": b"\x80\x02" + b"]" * 700_000 + b".",
    "one text encoded often": b"\x80\x02"
    + TEXT
    + b"q\x00"
    + (ENCODE + b"h\x00X\x06\x00\x00\x00latin1\x86R") * 5000
    + b".",
    "another encoding": b"\x80\x02" + ENCODE + b"X\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    "one buffer for many arrays": _shared_buffer(),
    "attributes of a stand-in": b"\x80\x02" + ENCODE + b"}X\x0c\x00\x00\x00__defaults__)sb.",
    "attributes of a class": b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00xNsb.",
    "a call of an array": b"\x80\x02" + DTYPE + b")R.",
    "arguments that are no tuple": b"\x80\x02" + ENCODE + b"}R.",
    "an array of a negative length": b"\x80\x04"
    + BUFFER
    + b"(C\x00"
    + DTYPE
    + b"J\xff\xff\xff\xff\x85\x8c\x01CtR.",
    "an array longer than its bytes": b"\x80\x04" + BUFFER + b"(C\x04abcd" + DTYPE + b"K\x02\x85\x8c\x01CtR.",
    "an array that is never filled": b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\nNNN\x87Rs.",
    "a name that is no text": b"\x80\x04K\x01K\x02\x93.",
    "an extension of copyreg": b"\x80\x02\x82\x01.",
    "a persistent id": b"\x80\x02K\x01Q.",
    "a new instance": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "a stack that runs out": b"\x80\x02\x86.",
    "an append to a tuple": b"\x80\x02)Na.",
}


@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_file_is_refused_in_little_memory(what: str, tmp_path: Path) -> None:
    (tmp_path / "w.pdparams").write_bytes(CRAFTED[what])
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=r"w\.pdparams") as caught:
            read(tmp_path / "w.pdparams")
        assert tracemalloc.get_traced_memory()[1] < 64e6
    finally:
        tracemalloc.stop()
    assert not isinstance(caught.value.__cause__, MemoryError)
    assert pickles._reconstruct.__defaults__ is None


def test_doubled_tuples_beside_arrays_are_left_alone(tmp_path: Path) -> None:
    nested: Any = ()
    for _ in range(60):
        nested = (nested, nested)
    _same(_tensors(_saved({**ARRAYS, "note": nested}, tmp_path / "w")))


@pytest.mark.data
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_public_checkpoint_rebuilt(protocol: int, shared_data: Path, tmp_path: Path) -> None:
    parity = shared_data.parent / "parity"
    spec = importlib.util.spec_from_file_location("rebuild", parity / "rebuild.py")
    assert spec is not None
    assert spec.loader is not None
    rebuild = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rebuild)
    golden = np.load(parity / "golden" / "paddle_deepsort_pplcnet_reid.npz")
    state = rebuild.rebuild(json.loads(str(golden["recipe"])))
    table = {"StructuredToParameterName@@": {name: f"p_{i}" for i, name in enumerate(state)}}
    tensors = _tensors(_saved({**state, **table}, tmp_path / "w.pdparams", protocol))
    assert list(tensors) == list(state)
    assert sum(tensor.size for tensor in tensors.values()) == 8_419_792
    assert all(np.array_equal(tensors[name], array) for name, array in state.items())
