"""JDE against the golden outputs of its two makers, and its traps one by one."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import Arrays, golden, rebuilt
from torch import nn
from torch.nn.functional import normalize

from mot.models.folding import fold_batchnorm
from mot.models.jde_darknet53 import (
    ANCHORS_576,
    ANCHORS_864,
    ANCHORS_1088,
    JDE,
    PADDLE_ANCHORS_576,
    JDEDarknet53,
    cells,
    decode,
    decode_boxes,
)
from mot.models.loading import darknet_order, load, recognise, shapes_of
from mot.models.spec import Joint
from mot.perception.nms import candidates, suppress
from mot.weights.containers import TensorFile

PADDLE = "paddle_jde_darknet53_30e_1088x608"
NOISE = 3 * 3e-6  # of the maps, relative to the largest value
BOXES_PX = 0.05


def assert_near(ours: torch.Tensor, expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=NOISE * np.abs(expected).max())


def embeddings(out: Joint) -> torch.Tensor:
    """(B, A, 512) unit vectors."""
    columns = torch.cat([one.flatten(2) for one in out.maps], dim=2).transpose(1, 2)
    return normalize(columns.gather(1, out.cells[:, :, None].expand(-1, -1, 512)), dim=2)


def assert_official(network: JDEDarknet53, expected: Arrays) -> None:
    """Alone, and in a batch of four."""
    image, rows = torch.from_numpy(expected["image"]).float() / 255, expected["boxes"]
    for x in (image[:1], torch.cat([image, image.flip(3)])):
        n = min(len(x), 2)
        with torch.inference_mode():
            maps = network.maps(x)
            out = decode(maps, network.anchors)
        xyxy = out.boxes[:n].numpy()
        np.testing.assert_allclose(
            (xyxy[..., :2] + xyxy[..., 2:]) / 2, rows[:n, :, :2], rtol=0, atol=BOXES_PX
        )
        np.testing.assert_allclose(xyxy[..., 2:] - xyxy[..., :2], rows[:n, :, 2:4], rtol=0, atol=BOXES_PX)
        assert_near(out.scores[:n, :, 0], rows[:n, :, 4])
        assert_near(embeddings(out)[:n, ::120], expected["embedding_every_120th_row"][:n])
        if n == 2:  # the official network joins a head and its embeddings
            assert_near(torch.cat(maps[:2], dim=1)[:n].flatten()[::61], expected["raw0_every_61st"])


def test_equal_to_the_official_network(tmp_path: Path) -> None:
    expected, path = golden("jde"), tmp_path / "jde.1088x608.uncertainty.pt"
    state = {name: torch.from_numpy(array) for name, array in rebuilt("jde").items()}
    assert sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point()) == 73_132_840
    torch.save({"epoch": 29, "model": state, "optimizer": []}, path)
    loaded = load(path, folded=False)
    assert (loaded.name, loaded.report.dialect, loaded.report.floats) == (
        "jde_1088x608",
        "Towards-Realtime-MOT",
        65_717_416,
    )
    assert isinstance(loaded.network, JDEDarknet53)
    assert_official(loaded.network, expected)
    fold_batchnorm(loaded.network)
    assert_official(loaded.network, expected)


def assert_paddle(network: JDEDarknet53, expected: Arrays) -> None:
    image = torch.from_numpy(expected["image"]).float() / 255
    for x in (image, torch.cat([image, image.flip(3), image / 2, image.flip(2)])):
        with torch.inference_mode():
            maps = tuple(one[:1] for one in network.maps(x))
            out = decode(maps, network.anchors)
        for k in range(3):
            head = expected[f"detector_yolo_head_yolo_output_{k}_every_61st"]
            assert_near(maps[2 * k].flatten()[::61], head)
            assert_near(maps[2 * k + 1].flatten()[::61], expected[f"reid_identify_output_{k}_every_61st"])
        assert_paddle_detections(out, expected)


def assert_paddle_detections(out: Joint, expected: Arrays) -> None:
    """Paddle's ending: score > .5, NMS .4, back to a 480x270 frame, clipped at 0, rounded."""
    best = suppress(candidates(out.boxes, out.scores, torch.tensor([0]), 0.5, 2000), 0.4)
    kept = best.valid[0]
    dets = expected["dets"]  # label, score, x1, y1, x2, y2
    assert_near(best.scores[0, kept], dets[:, 1])
    frame = (best.xyxy[0, kept].numpy() - [0, 12, 0, 12]) * (480 / 128)
    np.testing.assert_allclose(frame.clip(0), dets[:, 2:], rtol=0, atol=0.5 + BOXES_PX)
    # which rows they were, for their embeddings
    order = out.scores[0, :, 0].argsort(descending=True, stable=True)[: len(kept)][kept]
    assert_near(embeddings(out)[0, order][::20], expected["embeddings_every_20th_row"])


def test_equal_to_paddle_detection(tmp_path: Path) -> None:
    expected, state = golden(PADDLE), rebuilt(PADDLE)
    path = tmp_path / f"{PADDLE.removeprefix('paddle_')}.pdparams"
    path.write_bytes(pickle.dumps({**state, "StructuredToParameterName@@": {}}, protocol=4))
    loaded = load(path, folded=False)
    assert (loaded.name, loaded.report.dialect) == ("jde_1088x608", "PaddleDetection")
    assert isinstance(loaded.network, JDEDarknet53)
    assert_paddle(loaded.network, expected)
    fold_batchnorm(loaded.network)
    assert_paddle(loaded.network, expected)

    # its DeepSORT has the detector alone, under the same names without a prefix
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
