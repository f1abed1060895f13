"""Exported networks in the place of torch's, with files made here and those of ../shared/data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mot.errors import ConfigError, MotError, WeightsError
from mot.perception.exported import describe, open_detector, open_embedder
from mot.perception.opening import Place
from mot.perception.settings import DetectorConfig, EmbedderConfig

CPU = Place(torch.device("cpu"))
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino, absent here")


def needs_onnx() -> None:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name)


def write_lister(path: Path, batch: bool = True) -> Path:
    """An ONNX file that finds as many people as its picture's first pixel says, each at (1, 2, 3, 4) with 0.5.

    With `batch` it gives (1, N, 6) as ultralytics does, else boxes (N, 5) and labels (N,) as the Open Model Zoo.
    """
    from onnx import TensorProto, helper

    wide = 6 if batch else 5
    row = helper.make_tensor("row", TensorProto.FLOAT, [1, wide], [1, 2, 3, 4, 0.5, 0][:wide])
    numbers = {"start": [0, 0, 0, 0], "end": [1, 1, 1, 1], "one": [1], "wide": [wide], "first": [0]}
    constants = [helper.make_tensor(k, TensorProto.INT64, [len(v)], v) for k, v in numbers.items()]
    nodes = [
        helper.make_node("Slice", ["x", "start", "end"], ["pixel"]),
        helper.make_node("Cast", ["pixel"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["n"]),
        helper.make_node("Concat", ["n", "one"], ["shape"], axis=0),
        helper.make_node("Tile", ["row", "shape"], ["rows"]),
    ]
    if batch:
        nodes.append(helper.make_node("Unsqueeze", ["rows", "first"], ["y"]))
        outputs = [("y", TensorProto.FLOAT)]
    else:
        nodes.append(helper.make_node("ConstantOfShape", ["n"], ["zeros"]))
        nodes.append(helper.make_node("Cast", ["zeros"], ["labels"], to=TensorProto.INT64))
        outputs = [("rows", TensorProto.FLOAT), ("labels", TensorProto.INT64)]
    graph = helper.make_graph(
        nodes,
        "lister",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [row, *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("batch", [True, False])
def test_pictures_with_lists_of_different_lengths(batch: bool, tmp_path: Path) -> None:
    needs_onnx()
    path = write_lister(tmp_path / "m.onnx", batch)
    config = DetectorConfig(head="yolov8" if batch else "ssd", decoded=True, preprocess="darknet")
    network = open_detector(config, path, CPU, "onnx", None)
    x = torch.zeros(3, 3, 64, 64)
    x[:, 0, 0, 0] = torch.tensor([3.0, 2.0, 0.0])
    boxes, scores = network.run(x)
    assert (boxes.shape, scores.shape) == ((3, 3, 4), (3, 3, 1))
    assert scores[..., 0].tolist() == [[0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 0]]
    assert boxes[1].tolist() == [[1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0]]
    alone = [network.run(one) for one in x[:, None]]
    assert [boxes.shape[1] for boxes, _ in alone] == [3, 2, 0]
    assert network.record["library"].startswith("onnxruntime 1.")


@needs_openvino
@pytest.mark.data
@pytest.mark.parametrize("size", [(600,), (500, 700)])
def test_a_size_that_the_stride_rounds(size: tuple[int, ...], shared_data: Path) -> None:
    config = DetectorConfig(head="yolox", input_size=size, preprocess="yolox")
    path = shared_data / "weights" / "yolox_nano.onnx"
    network = open_detector(config, path, CPU, "openvino", None)
    assert (network.size, len(network.labels)) == (size, 80)
    assert network.record["library"].startswith("openvino 20")


@pytest.mark.data
def test_a_detector_is_no_reid_network(shared_data: Path) -> None:
    needs_onnx()
    path = shared_data / "weights" / "yolox_nano.onnx"
    why = r"^yolox_nano\.onnx gives output \(1, 3549, 85\), not one vector a picture$"
    with pytest.raises(WeightsError, match=why):
        open_embedder(EmbedderConfig(preprocess="imagenet"), path, CPU, "onnx", None)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["m.pt", "m.bin", "m"])
def test_files_that_are_no_exported_networks(name: str, backend: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK")
    with pytest.raises(MotError, match=rf"^{name} is no exported network \(\.onnx or \.xml\)$"):
        open_detector(DetectorConfig(), path, CPU, backend, None)


def test_half_of_an_ir_names_the_other(tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_bytes(b"?")
    for opened in (describe, lambda path: open_embedder(EmbedderConfig(), path, CPU, "openvino", None)):
        with pytest.raises(WeightsError, match=r"^m\.bin holds the numbers of a network alone: name m\.xml$"):
            opened(tmp_path / "m.bin")
    with pytest.raises(ConfigError, match=r"m\.xml is no ONNX file: set model: openvino"):
        open_detector(DetectorConfig(), tmp_path / "m.xml", CPU, "onnx", None)
