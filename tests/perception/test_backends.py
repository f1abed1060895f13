"""Exported networks made here: every layout and every fault. The real ones: test_backends_real.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mot.errors import ConfigError, WeightsError
from mot.perception.backends import openvino as openvino_backend
from mot.perception.backends.onnx import OnnxNetwork
from mot.perception.backends.openvino import OpenVinoNetwork

CPU = torch.device("cpu")
FACTOR = torch.tensor([1.0, 2.0, 3.0])
Sizes = tuple[int | None, ...]
Network = OnnxNetwork | OpenVinoNetwork
Make = Callable[..., Network]


def needs(*modules: str) -> pytest.MarkDecorator:
    # by name, because importing openvino is what has to be done with care
    absent = [name for name in modules if find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"needs {', '.join(absent)}, absent here")


needs_onnx, needs_openvino = needs("onnxruntime", "onnx"), needs("openvino")


def write_onnx(path: Path, shape: Sizes, external: str = "", side: str = "", rows: bool = True) -> Path:
    """A network that gives the mean of every channel times `FACTOR`, as floats and as int32.

    Args:
        path: of the file.
        shape: of the input x.
        external: where the factors lie instead of in the file.
        side: name of a second input, (batch, 2), which is an output as well.
        rows: False sums over the batch, as a network with its own suppression loses it.
    """
    from onnx import TensorProto, helper

    factor = helper.make_tensor("k", TensorProto.FLOAT, [3], FACTOR.tolist())
    if external:
        factor.ClearField("float_data")
        factor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("length", "12")):
            entry = factor.external_data.add()
            entry.key, entry.value = key, value
    axes = ([] if rows else [0]) + ([1, 2] if shape[3] == 3 else [2, 3])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["m", "k"], ["y"]),
        helper.make_node("Cast", ["y"], ["i"], to=TensorProto.INT32),
    ]
    sizes = [size or f"open{i}" for i, size in enumerate(shape)]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("i", TensorProto.INT32, None),
    ]
    if side:
        inputs.append(helper.make_tensor_value_info(side, TensorProto.INT64, [sizes[0], 2]))
        nodes.append(helper.make_node("Identity", [side], ["s"]))
        outputs.append(helper.make_tensor_value_info("s", TensorProto.INT64, [sizes[0], 2]))
    graph = helper.make_graph(nodes, "g", inputs, outputs, [factor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="test")
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def write_openvino(path: Path, shape: Sizes) -> Path:
    """The first two outputs of `write_onnx`, as IR."""
    library: Any = openvino_backend._library()
    ops = library.opset13
    x = ops.parameter(library.PartialShape([size or -1 for size in shape]), np.float32, name="x")
    mean = ops.reduce_mean(x, np.array([1, 2] if shape[3] == 3 else [2, 3]), False)
    y = ops.multiply(mean, FACTOR.numpy())
    model = library.Model([y, ops.convert(y, np.int32)], [x], "test")
    library.save_model(model, str(path), compress_to_fp16=False)
    return path


@pytest.fixture(
    params=[pytest.param("onnx", marks=needs_onnx), pytest.param("openvino", marks=needs_openvino)]
)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Shape of the input -> the network, by each backend."""
    if request.param == "onnx":
        return lambda shape, **how: OnnxNetwork(write_onnx(tmp_path / "m.onnx", shape), CPU, 1, **how)
    return lambda shape, **how: OpenVinoNetwork(write_openvino(tmp_path / "m.xml", shape), CPU, 1, **how)


def pictures(count: int, height: int = 8, width: int = 6) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 10


@pytest.mark.parametrize(
    "shape",
    [(1, 3, 8, 6), (2, 3, 8, 6), (None, 3, 8, 6), (None, 3, None, None), (1, 8, 6, 3), (None, None, None, 3)],
)
@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_batch_through_any_layout(make: Make, shape: Sizes, count: int) -> None:
    network, x = make(shape), pictures(count).contiguous(memory_format=torch.channels_last)
    means, whole = network(x)
    torch.testing.assert_close(means, x.mean(dim=(2, 3)) * FACTOR)
    assert torch.equal(whole, means.long())
    assert (means.dtype, whole.dtype) == (torch.float32, torch.int64)
    assert network.batch == shape[0]
    assert network.inputs == (None if None in shape[1:] else (8, 6))


def test_open_sizes_change_while_running(make: Make) -> None:
    network = make((None, 3, None, None))
    for x in (pictures(1), pictures(2, 4, 4), pictures(1)):
        torch.testing.assert_close(network(x)[0], x.mean(dim=(2, 3)) * FACTOR)


def test_chunks_fill_up_the_last_one(make: Make) -> None:
    x = pictures(5)
    by_three = make((None, 3, 8, 6), chunk=3)(x)[0]
    assert by_three.shape == (5, 3)
    torch.testing.assert_close(by_three, x.mean(dim=(2, 3)) * FACTOR)


@needs_onnx
def test_onnxruntime_refuses_pictures_of_another_size(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "m.onnx", (1, 3, 8, None)), CPU)
    with pytest.raises(ConfigError, match=r"m\.onnx: takes pictures of 8xany \(height x width\), got 4x6$"):
        network(pictures(1, 4))


@needs_openvino
def test_openvino_changes_the_size_where_the_network_allows_it(tmp_path: Path) -> None:
    network, x = OpenVinoNetwork(write_openvino(tmp_path / "m.xml", (1, 3, 8, 6)), CPU), pictures(2, 4, 10)
    torch.testing.assert_close(network(x)[0], x.mean(dim=(2, 3)) * FACTOR)


def test_networks_for_something_else_are_refused(make: Make) -> None:
    with pytest.raises(WeightsError, match=r"inputs x \(1, 1, 8, 6\) float32; expected one for pictures, "):
        make((1, 1, 8, 6))


@needs_onnx
def test_an_output_that_is_no_row_a_picture_is_refused(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "m.onnx", (2, 3, 8, 6), rows=False), CPU)
    with pytest.raises(
        WeightsError, match=r"output y has the shape \(3,\) for 2 .* without non-maximum suppression"
    ):
        network(pictures(2))


@needs_onnx
def test_outputs_for_one_picture_may_lack_the_batch_axis(tmp_path: Path) -> None:
    network, x = OnnxNetwork(write_onnx(tmp_path / "m.onnx", (1, 3, 8, 6), rows=False), CPU), pictures(2)
    torch.testing.assert_close(network(x)[0], x.mean(dim=(2, 3)) * FACTOR)


@needs_onnx
def test_the_size_that_some_detectors_ask_for(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", (None, 3, 8, 6), side="orig_target_sizes")
    assert OnnxNetwork(path, CPU)(pictures(2))[2].tolist() == [[6, 8], [6, 8]]
    with pytest.raises(WeightsError, match=r"inputs x .*, other \(\?, 2\) int64; expected one for pictures"):
        OnnxNetwork(write_onnx(path, (None, 3, 8, 6), side="other"), CPU)


@needs_onnx
@needs_openvino
@pytest.mark.parametrize("load", [OnnxNetwork, OpenVinoNetwork])
def test_external_data_only_beside_the_file(load: type[Network], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    places = [tmp_path / "k.bin", folder / "k.bin", folder / "below" / "k.bin"]
    for place in places:
        place.write_bytes(FACTOR.numpy().tobytes())
    (folder / "link.bin").symlink_to(places[0])
    (folder / "short.bin").write_bytes(b"1234")

    def network(external: str) -> Network:
        return load(write_onnx(folder / "m.onnx", (1, 3, 8, 6), external), CPU)

    x = pictures(1)
    for inside in ("k.bin", "below/k.bin"):
        torch.testing.assert_close(network(inside)(x)[0], x.mean(dim=(2, 3)) * FACTOR)
    for outside in ("../k.bin", "below/../../k.bin", str(places[0]), "link.bin"):
        with pytest.raises(
            WeightsError, match="not a usable .*(escapes model directory|outside the base|Absolute)"
        ):
            network(outside)
    for broken in ("short.bin", "absent.bin", "*/_ORT_MEM_ADDR_/*"):
        with pytest.raises(WeightsError, match="not a usable "):
            network(broken)


@needs_onnx
def test_an_onnxruntime_that_reads_external_data_from_anywhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.__version__", "1.23.2")
    with pytest.raises(ConfigError, match=r"onnxruntime 1\.23\.2: expected 1\.24 or later"):
        OnnxNetwork(tmp_path / "m.onnx", CPU)


@needs_onnx
@needs_openvino
def test_an_openvino_that_does_so_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_onnx(tmp_path / "m.onnx", (1, 3, 8, 6))
    monkeypatch.setattr(openvino_backend._library(), "__version__", "2026.0.0-1-releases")
    with pytest.raises(ConfigError, match=r"openvino 2026\.0\.0.*: expected 2026\.4 or later for ONNX files"):
        OpenVinoNetwork(path, CPU)


@needs_onnx
def test_damaged_onnx_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    whole = write_onnx(path, (1, 3, 8, 6)).read_bytes()
    with pytest.raises(WeightsError, match=r"none\.onnx: cannot be read: No such file"):
        OnnxNetwork(tmp_path / "none.onnx", CPU)
    for content in (b"", whole[:-7], whole[:40], b"PK\x03\x04" + bytes(100), b"<net>" * 20):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"m\.onnx: (not a usable ONNX file: |is empty)") as caught:
            OnnxNetwork(path, CPU)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert capfd.readouterr().err == ""


@needs_openvino
def test_damaged_openvino_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, weights = tmp_path / "m.xml", tmp_path / "m.bin"
    text, numbers = write_openvino(path, (1, 3, 8, 6)).read_bytes(), weights.read_bytes()
    capfd.readouterr()

    def refused(content: bytes, floats: bytes | None, why: str) -> None:
        path.write_bytes(content)
        weights.unlink(missing_ok=True)
        if floats is not None:
            weights.write_bytes(floats)
        with pytest.raises(WeightsError, match=why) as caught:
            OpenVinoNetwork(path, CPU)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400

    refused(text, None, r"m\.bin: cannot be read: No such file")
    refused(text, b"", r"m\.bin: is empty")
    refused(text, numbers[:-4], r"m\.xml with m\.bin: not a usable network: Incorrect weights in bin file")
    refused(text[:-30], numbers, "not a usable network: ")
    refused(
        text.replace(b'type="Multiply"', b'type="Foo"'),
        numbers,
        "doesn't contain the operation with type: Foo",
    )
    refused(
        b"hello " * 100,
        numbers,
        r"m\.xml: not an OpenVINO IR file; expected the \.xml of a network, or \.onnx",
    )
    refused(b'<?xml version="1.0"?><net name="a" version="11"></net>', numbers, "inputs none; expected one")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("network", "library", "extra"),
    [(OnnxNetwork, "onnxruntime", "onnx"), (OpenVinoNetwork, "openvino", "openvino")],
)
def test_a_missing_library_is_named_with_its_extra(
    network: type[Network], library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ConfigError, match=rf"needs? .*{library}.*: pip install \S+\[{extra}\]$|{library} is needed"
    ):
        network(Path("m"), CPU)


@needs_onnx
def test_what_onnxruntime_cannot_do(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", (1, 3, 8, 6))
    with pytest.raises(ConfigError, match="precision 'bf16': the onnx backend computes as the file says"):
        OnnxNetwork(path, CPU, precision="bf16")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ConfigError, match="device cuda:0: this onnxruntime has no CUDA"):
            OnnxNetwork(path, torch.device("cuda:0"))


@needs_openvino
def test_what_openvino_cannot_do(tmp_path: Path) -> None:
    path = write_openvino(tmp_path / "m.xml", (1, 3, 8, 6))
    with pytest.raises(ConfigError, match="precision: unknown 'int8'; known: bf16, fp16, fp32"):
        OpenVinoNetwork(path, CPU, precision="int8")
    with pytest.raises(ConfigError, match="device cuda: the openvino backend runs on the CPU"):
        OpenVinoNetwork(path, torch.device("cuda"))


@needs_openvino
def test_openvino_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    code = (
        "import sys; from mot.perception.backends import openvino; openvino._library().Core();"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    # none of a CI service's variables, which would switch it off anyway
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    assert not list(tmp_path.iterdir())
