"""The exported networks that ../shared/data has, on pictures of vtest.avi."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

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
pytestmark = pytest.mark.data


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"needs {name}, absent here")


needs_onnx, needs_openvino = needs("onnxruntime"), needs("openvino")


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


@needs_openvino
def test_another_networks_numbers_are_refused(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "weights" / "openvino"
    shutil.copy(folder / "person-detection-retail-0013.xml", tmp_path / "m.xml")
    shutil.copy(folder / "person-reidentification-retail-0288.bin", tmp_path / "m.bin")
    with pytest.raises(WeightsError, match="Incorrect weights in bin file"):
        OpenVinoNetwork(tmp_path / "m.xml", CPU)


@needs_onnx
@needs_openvino
def test_openvino_runs_onnx_files_at_any_size_that_they_allow(
    shared_data: Path, frames: dict[int, Tensor]
) -> None:
    weights = shared_data / "weights"
    x = resize(frames[1], 416, 416)
    path = weights / "yolox_nano.onnx"
    detector = OpenVinoNetwork(path, CPU, 1)
    torch.testing.assert_close(detector(x)[0], OnnxNetwork(path, CPU, 1)(x)[0], atol=1e-3, rtol=1e-4)
    assert detector(resize(frames[1], 96, 160))[0].shape == (1, 12 * 20 + 6 * 10 + 3 * 5, 85)
    with pytest.raises(ConfigError, match=r"osnet_x0_25_msmt17\.onnx: cannot run 1 pictures of 8x6: "):
        OpenVinoNetwork(weights / "osnet_x0_25_msmt17.onnx", CPU, 1)(resize(frames[1], 8, 6))
