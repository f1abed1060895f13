"""YOLOv3-tiny against the public weights' golden output, and its three traps one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mot.errors import WeightsError
from mot.models.yolov3 import CLASSES, YOLOv3Tiny, decode, load_tiny


@pytest.fixture(scope="module")
def network(shared_data: Path) -> YOLOv3Tiny:
    return load_tiny(shared_data / "weights" / "yolov3-tiny.weights")


@pytest.mark.data
def test_equal_to_the_golden_output(network: YOLOv3Tiny, shared_data: Path) -> None:
    golden = np.load(shared_data.parent / "parity" / "golden" / "yolov3-tiny_real.npz")
    with torch.inference_mode():
        boxes, scores = network(torch.from_numpy(golden["image"]).float() / 255)
    xyxy, rows = boxes[0].numpy(), golden["boxes"]  # rows: cx, cy, w, h, objectness
    np.testing.assert_allclose((xyxy[:, :2] + xyxy[:, 2:]) / 2, rows[:, :2], atol=1e-3)
    np.testing.assert_allclose(xyxy[:, 2:] - xyxy[:, :2], rows[:, 2:4], atol=1e-3)
    objectness = np.repeat(rows[:, 4], CLASSES)[::37]
    np.testing.assert_allclose(
        scores[0].numpy().ravel()[::37], golden["classes_every_37th"] * objectness, atol=1e-5
    )


def test_decode_by_hand() -> None:
    head = torch.full((1, 3 * 85, 1, 2), -20.0)
    head[0, 85 + 0 : 85 + 4, 0, 1] = torch.tensor([0.0, 0.0, 0.0, np.log(2.0)])  # anchor 1 of 3, cell x = 1
    head[0, 85 + 4, 0, 1], head[0, 85 + 5 + 7, 0, 1] = 20.0, 0.0
    boxes, scores = decode(head, 32)
    row = 1 * 2 + 1
    width, height = 135, 169 * 2
    assert boxes[0, row].tolist() == pytest.approx(
        [48 - width / 2, 16 - height / 2, 48 + width / 2, 16 + height / 2]
    )
    assert scores[0, row, 7].item() == pytest.approx(0.5)
    assert scores.sum().item() == pytest.approx(0.5, abs=1e-3)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "full.weights"
    header = np.array([0, 2, 5, 0, 0], np.int32).tobytes()
    path.write_bytes(header + np.zeros(1000, np.float32).tobytes())
    with pytest.raises(WeightsError, match=r"yolov3_tiny.*1,?000.*8,?858,?734|8,?858,?734.*1,?000"):
        load_tiny(path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="holds a torch state dict, expected darknet weights"):
        load_tiny(tmp_path / "a.pt")
