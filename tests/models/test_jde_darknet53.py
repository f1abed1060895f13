"""JDE against the golden outputs of its two makers, and its traps one by one."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import golden, rebuilt
from torch import nn

from mot.models.jde_darknet53 import (
    ANCHORS_576,
    ANCHORS_864,
    ANCHORS_1088,
    JDE,
    PADDLE_ANCHORS_576,
    JDEDarknet53,
    cells,
    decode_boxes,
)
from mot.models.loading import darknet_order, load, recognise, shapes_of
from mot.weights.containers import TensorFile

PADDLE = "paddle_jde_darknet53_30e_1088x608"
NOISE = 3 * 3e-6  # of the maps, relative to the largest value
BOXES_PX = 0.05


def test_paddles_deepsort_has_the_detector_alone(tmp_path: Path) -> None:
    """Under the same names, without a prefix."""
    expected, state = golden(PADDLE), rebuilt(PADDLE)
    path = tmp_path / f"{PADDLE.removeprefix('paddle_')}.pdparams"
    path.write_bytes(pickle.dumps({**state, "StructuredToParameterName@@": {}}, protocol=4))
    loaded = load(path, folded=False)
    assert (loaded.name, loaded.report.dialect) == ("jde_1088x608", "PaddleDetection")
    prefix = "detector."
    part = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
    assert sum(array.size for array in part.values()) == 61_587_112
    name = "jde_yolov3_darknet53_30e_1088x608_mix.pdparams"
    content = recognise(TensorFile(format="paddle", tensors=part), name)
    assert content is not None
    assert content.name == "jde_detector_1088x608"
    detector = JDE[content.name].build(1).eval()
    tensors = {key: torch.from_numpy(array) for key, array in content.arrays.items()}
    counters = {
        key: value for key, value in detector.state_dict().items() if key.endswith("num_batches_tracked")
    }
    detector.load_state_dict(tensors | counters)
    x = torch.from_numpy(expected["image"]).float() / 255
    with torch.inference_mode():
        torch.testing.assert_close(detector(x), loaded.network(x)[:2], rtol=NOISE, atol=BOXES_PX)


def test_official_names_and_shapes() -> None:
    keys = {name: tuple(shape) for name, shape in json.loads(str(golden("jde")["recipe"]))["keys"]}
    unused = {name for name in keys if "classifier" in name or ".yolo_" in name}
    assert len(keys) == 455
    assert shapes_of("jde_1088x608", 1) == {name: keys[name] for name in keys.keys() - unused}


def test_darknet_order_is_that_of_the_cfg() -> None:
    order = darknet_order("jde_1088x608", 1)
    layers = [int(name.split(".")[1]) for name, _ in order]
    assert layers == sorted(layers)
    assert sum(math.prod(shape) for _, shape in order) == 65_717_416


def test_decode_by_hand() -> None:
    """No sigmoid, no half cell: zeros put the centre on the cell's corner, offsets count in anchor sizes."""
    head = torch.zeros(1, 24, 2, 3)
    head[0, 6:12, 1, 2] = torch.tensor([0.5, -0.25, 0.0, np.log(2.0), 1.0, 3.0])  # anchor 1 of 4: 180 x 540
    boxes, scores = decode_boxes((head,), ANCHORS_1088)
    row = 1 * 6 + 1 * 3 + 2
    cx, cy = 2 * 32 + 90, 1 * 32 - 135
    assert boxes[0, row].tolist() == pytest.approx([cx - 90, cy - 540, cx + 90, cy + 540])
    assert boxes[0, 0].tolist() == [-64, -192, 64, 192]
    assert scores[0, row, 0].item() == pytest.approx(1 / (1 + np.exp(-2)))
    assert scores[0, 0, 0].item() == 0.5


def test_the_four_anchors_of_a_cell_share_its_embedding() -> None:
    heads = (torch.zeros(2, 24, 1, 2), torch.zeros(2, 24, 2, 4), torch.zeros(2, 24, 4, 8))
    expected = [*([0, 1] * 4), *([*range(2, 10)] * 4), *([*range(10, 42)] * 4)]
    assert cells(heads).tolist() == [expected, expected]


def test_anchors_of_each_size() -> None:
    assert ANCHORS_576[1:4] == ((120, 360), (170, 420), (340, 320))  # the copy of the coarse head
    assert PADDLE_ANCHORS_576[:4] == ((85, 255), (120, 360), (170, 420), (340, 420))
    for row, anchors, (height, width) in (
        ("jde_1088x608", ANCHORS_1088, (608, 1088)),
        ("jde_864x480", ANCHORS_864, (480, 864)),
        ("jde_576x320", ANCHORS_576, (320, 576)),
        ("jde_paddle_576x320", PADDLE_ANCHORS_576, (320, 576)),
    ):
        with torch.device("meta"):
            network = JDE[row].build(1).eval()
            out = network(torch.empty(1, 3, *JDE[row].input_size))
        assert isinstance(network, JDEDarknet53)
        assert network.anchors == anchors
        assert len(anchors) == 12
        assert JDE[row].input_size == (height, width)
        assert out.boxes.shape == (1, 4 * 21 * (height // 32) * (width // 32), 4)
    assert 4 * 21 * 19 * 34 == 54_264


def test_batchnorm_divides_as_torch_does() -> None:
    with torch.device("meta"):
        network = JDEDarknet53(ANCHORS_1088)
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-5}


def test_boxes_are_float32_whatever_the_precision() -> None:
    heads = (torch.randn(1, 24, 1, 2).bfloat16(),)
    boxes, scores = decode_boxes(heads, ANCHORS_1088[:4])
    assert boxes.dtype == scores.dtype == torch.float32
