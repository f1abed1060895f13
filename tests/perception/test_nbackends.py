"""Exported networks: files made here, for every layout and fault, and the real ones on real pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mot.errors import ConfigError, WeightsError
from mot.perception.backends import onnx as onnx_backend
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


@needs_onnx
@needs_openvino
@pytest.mark.data
def test_openvino_runs_onnx_files_at_any_size_that_they_allow(shared_data: Path) -> None:
    weights = shared_data / "weights"
    x = pictures(1, 416, 416) * 25
    path = weights / "yolox_nano.onnx"
    detector = OpenVinoNetwork(path, CPU, 1)
    torch.testing.assert_close(detector(x)[0], OnnxNetwork(path, CPU, 1)(x)[0], atol=1e-3, rtol=1e-4)
    assert detector(pictures(1, 96, 160))[0].shape == (1, 12 * 20 + 6 * 10 + 3 * 5, 85)
    with pytest.raises(ConfigError, match=r"osnet_x0_25_msmt17\.onnx: cannot run 1 pictures of 8x6: "):
        OpenVinoNetwork(weights / "osnet_x0_25_msmt17.onnx", CPU, 1)(pictures(1))


def test_networks_for_something_else_are_refused(make: Make) -> None:
    with pytest.raises(WeightsError, match=r"inputs x \(1, 1, 8, 6\) float32; expected one for pictures, "):
        make((1, 1, 8, 6))


@needs_onnx
def test_an_output_that_is_no_row_a_picture_is_refused(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "m.onnx", (1, 3, 8, 6), rows=False), CPU)
    with pytest.raises(
        WeightsError, match=r"output y has the shape \(3,\) for 1 .* without non-maximum suppression"
    ):
        network(pictures(2))


@needs_onnx
def test_the_size_that_some_detectors_ask_for(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "m.onnx", (None, 3, 8, 6), side="orig_target_sizes")
    assert OnnxNetwork(path, CPU)(pictures(2))[2].tolist() == [[6, 8], [6, 8]]
    with pytest.raises(WeightsError, match=r"inputs x .*, other \(\?, 2\) int64; expected one for pictures"):
        OnnxNetwork(write_onnx(path, (None, 3, 8, 6), side="other"), CPU)


@needs_onnx
def test_external_data_only_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    places = [tmp_path / "k.bin", folder / "k.bin", folder / "below" / "k.bin"]
    for place in places:
        place.write_bytes(FACTOR.numpy().tobytes())
    (folder / "link.bin").symlink_to(places[0])
    (folder / "short.bin").write_bytes(b"1234")
    x = pictures(1)
    for inside in ("k.bin", "below/k.bin"):
        network = OnnxNetwork(write_onnx(folder / "m.onnx", (1, 3, 8, 6), inside), CPU)
        torch.testing.assert_close(network(x)[0], x.mean(dim=(2, 3)) * FACTOR)
    for outside in ("../k.bin", "below/../../k.bin", str(places[0]), str(places[1]), "link.bin"):
        with pytest.raises(WeightsError, match="not a usable ONNX file: External data path"):
            OnnxNetwork(write_onnx(folder / "m.onnx", (1, 3, 8, 6), outside), CPU)
    for broken in ("short.bin", "absent.bin", "*/_ORT_MEM_ADDR_/*"):
        with pytest.raises(WeightsError, match="not a usable ONNX file"):
            OnnxNetwork(write_onnx(folder / "m.onnx", (1, 3, 8, 6), broken), CPU)


@needs_onnx
def test_an_onnxruntime_that_reads_external_data_from_anywhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.__version__", "1.23.2")
    with pytest.raises(ConfigError, match=r"onnxruntime 1\.23\.2: expected 1\.24 or later"):
        OnnxNetwork(tmp_path / "m.onnx", CPU)


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


# The real files.


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> dict[int, Tensor]:
    """Every 40th of the first 200 frames of vtest.avi: index -> (1, 3, H, W) float32 BGR."""
    pytest.importorskip("av")
    from mot.video import open_source

    source = islice(open_source(shared_data / "video" / "vtest.avi"), 0, 200, 40)
    return {
        frame.index: torch.from_numpy(frame.image).permute(2, 0, 1)[None].float()
        for frame in source
        if frame.image is not None
    }


@pytest.fixture(scope="module")
def people(shared_data: Path) -> dict[int, dict[int, list[float]]]:
    """The ground truth: frame -> person -> xyxy."""
    truth = np.loadtxt(shared_data / "mot15" / "train" / "PETS09-S2L1" / "gt" / "gt.txt", delimiter=",")
    found: dict[int, dict[int, list[float]]] = {}
    for frame, person, x, y, w, h, *_ in truth[truth[:, 6] == 1].tolist():
        found.setdefault(int(frame), {})[int(person)] = [x, y, x + w, y + h]
    return found


def resize(picture: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(picture, (height, width), mode="bilinear")


def hits(xyxy: Tensor, people: dict[int, list[float]]) -> tuple[int, int]:
    """How many of the people have a box with IoU 0.5 or more, and how many of the boxes a person."""
    from mot.boxes import iou

    overlap = iou(xyxy.numpy().astype(np.float64), np.array(list(people.values()))) >= 0.5
    return int(overlap.any(axis=0).sum()), int(overlap.any(axis=1).sum())


Detect = Callable[[Tensor], Tensor]


def yolox_nano(weights: Path) -> Detect:
    """Boxes above 0.3 by the raw rows of the public export, whose canvas is filled from its top left corner."""
    network = OnnxNetwork(weights / "yolox_nano.onnx", CPU, 1)
    assert (network.inputs, network.batch) == ((416, 416), 1)
    grids = [torch.cartesian_prod(torch.arange(416 // s), torch.arange(416 // s)) for s in (8, 16, 32)]
    cells = torch.cat(grids).flip(1)
    strides = torch.cat([torch.full((len(grid), 1), s) for grid, s in zip(grids, (8, 16, 32), strict=True)])

    def detect(picture: Tensor) -> Tensor:
        canvas = torch.full((1, 3, 416, 416), 114.0)
        canvas[:, :, :312] = resize(picture, 312, 416)
        (rows,) = network(canvas)
        scores = rows[0, :, 4] * rows[0, :, 5]
        centre, half = (rows[0, :, :2] + cells) * strides, rows[0, :, 2:4].exp() * strides / 2
        return (torch.hstack([centre - half, centre + half]) * (768 / 416))[scores > 0.3]

    return detect


def retail(weights: Path) -> Detect:
    """Boxes above 0.5 of the SSD, whose rows are image, label, score and corners from 0 to 1."""
    network = OpenVinoNetwork(weights / "openvino" / "person-detection-retail-0013.xml", CPU, 1)
    assert (network.inputs, network.batch) == ((320, 544), 1)

    def detect(picture: Tensor) -> Tensor:
        rows = network(resize(picture, 320, 544))[0].reshape(-1, 7)
        return rows[rows[:, 2] > 0.5][:, 3:] * torch.tensor([768, 576, 768, 576])

    return detect


@pytest.mark.data
@pytest.mark.parametrize(
    ("load", "least"),
    [pytest.param(yolox_nano, 0.85, marks=needs_onnx), pytest.param(retail, 0.75, marks=needs_openvino)],
)
def test_real_detectors_find_people(
    load: Callable[[Path], Detect],
    least: float,
    shared_data: Path,
    frames: dict[int, Tensor],
    people: dict[int, dict[int, list[float]]],
) -> None:
    detect = load(shared_data / "weights")
    seen = right = total = made = 0
    for index, picture in frames.items():
        boxes = detect(picture)
        a, b = hits(boxes, people[index])
        seen, right, total, made = seen + a, right + b, total + len(people[index]), made + len(boxes)
    print(f"recall {seen / total:.2f}, boxes on people {right / made:.2f}")
    assert seen / total > least
    assert right / made > 0.7


def osnet(weights: Path) -> Detect:
    """Vectors of RGB crops, normalised as ImageNet is."""
    network = OnnxNetwork(weights / "osnet_x0_25_msmt17.onnx", CPU, 1, chunk=8)
    assert (network.inputs, network.batch) == ((256, 128), None)
    mean, std = (torch.tensor(part)[:, None, None] for part in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return lambda x: network((x.flip(1) / 255 - mean) / std)[0]


def retail_reid(weights: Path) -> Detect:
    """Vectors of BGR crops, 0..255."""
    network = OpenVinoNetwork(weights / "openvino" / "person-reidentification-retail-0288.xml", CPU, 1)
    assert (network.inputs, network.batch) == ((256, 128), 1)
    return lambda x: network(x)[0]


@pytest.mark.data
@pytest.mark.parametrize(
    ("load", "least"),
    [pytest.param(osnet, 0.9, marks=needs_onnx), pytest.param(retail_reid, 0.93, marks=needs_openvino)],
)
def test_real_reid_networks_tell_people_apart(
    load: Callable[[Path], Detect],
    least: float,
    shared_data: Path,
    frames: dict[int, Tensor],
    people: dict[int, dict[int, list[float]]],
) -> None:
    cuts, names = [], []
    for index, picture in frames.items():
        for person, corners in people[index].items():
            x0, y0, x1, y1 = (max(0, round(corner)) for corner in corners)
            cuts.append(resize(picture[:, :, y0:y1, x0:x1], 256, 128))
            names.append(person)
    embed = load(shared_data / "weights")
    x = torch.cat(cuts)
    vectors = embed(x)
    assert torch.equal(
        embed(x.flip(0)).flip(0), vectors
    )  # the same picture, the same bytes, beside any others
    assert torch.equal(embed(x[:3]), vectors[:3])
    unit = torch.nn.functional.normalize(vectors)
    alike, same = unit @ unit.T, torch.tensor(names)[:, None] == torch.tensor(names)
    upper = torch.ones_like(same).triu(1)
    better = alike[same & upper][:, None] > alike[~same & upper]
    print(f"AUC {better.float().mean():.3f}")
    assert better.float().mean() > least


@pytest.mark.data
@needs_onnx
@needs_openvino
def test_files_describe_themselves(shared_data: Path, tmp_path: Path) -> None:
    weights = shared_data / "weights"
    assert onnx_backend.describe(weights / "yolox_nano.onnx") == {
        "inputs": ["images (1, 3, 416, 416) float32"],
        "outputs": ["output (1, 3549, 85) float32"],
        "producer": "pytorch",
    }
    found = openvino_backend.describe(weights / "openvino" / "person-detection-retail-0013.xml")
    assert found["inputs"] == ["data (1, 3, 320, 544) float32"]
    assert found["outputs"] == ["detection_out (1, 1, 200, 7) float32"]
    assert found["producer"].startswith("OpenVINO 2021.2")


@pytest.mark.data
@needs_openvino
def test_precision_is_what_was_asked_for(shared_data: Path, frames: dict[int, Tensor]) -> None:
    path = shared_data / "weights" / "openvino" / "person-reidentification-retail-0288.xml"
    x = resize(frames[1][:, :, :400, :200], 256, 128)
    exact = OpenVinoNetwork(path, CPU, 1)(x)[0]
    try:
        rough = OpenVinoNetwork(path, CPU, 1, "bf16")(x)[0]
    except ConfigError as error:
        pytest.skip(str(error))
    assert not torch.equal(rough, exact)
    assert torch.nn.functional.cosine_similarity(rough, exact).item() > 0.99


@pytest.mark.data
@needs_openvino
def test_another_networks_numbers_are_refused(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "weights" / "openvino"
    shutil.copy(folder / "person-detection-retail-0013.xml", tmp_path / "m.xml")
    shutil.copy(folder / "person-reidentification-retail-0288.bin", tmp_path / "m.bin")
    with pytest.raises(WeightsError, match="Incorrect weights in bin file"):
        OpenVinoNetwork(tmp_path / "m.xml", CPU)
