"""Every layout of an exported detector's outputs that is understood, and the ones that are not."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mot.errors import ConfigError
from mot.models.yolox import YOLOX, Network
from mot.perception.heads import HEADS, fitting

CANVAS = (64, 96)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
# of one box: x1 y1 x2 y2 in pixels, cx cy w h in pixels, and both in 0..1
XYXY, CXCYWH = [10.0, 20.0, 40.0, 60.0], [25.0, 40.0, 30.0, 40.0]
EXTENT = torch.tensor([96.0, 64.0, 96.0, 64.0])


def head(
    name: str, outputs: Sequence[Tensor], decoded: bool = True, classes: int = 3
) -> tuple[Tensor, Tensor]:
    boxes, scores = HEADS[name](outputs, CANVAS, decoded, classes)
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.shape[:2] == scores.shape[:2]
    return boxes, scores


def fails(name: str, outputs: Sequence[Tensor], text: str, decoded: bool = True, classes: int = 3) -> None:
    with pytest.raises(ConfigError, match=text) as error:
        HEADS[name](outputs, CANVAS, decoded, classes)
    assert "\n" not in str(error.value)


def test_yolox_raw_gives_what_the_network_gives() -> None:
    """The official export applies the sigmoids and leaves the boxes."""
    torch.manual_seed(1)
    network = YOLOX["yolox_nano"].build(3).eval()
    x = torch.rand(2, 3, *CANVAS) * 255
    assert isinstance(network, Network)
    with torch.inference_mode():
        rows = torch.cat([each.flatten(2) for each in network.maps(x)], dim=2).transpose(1, 2)
        rows[..., 4:] = rows[..., 4:].sigmoid()
        for ours, theirs in zip(head("yolox", [rows], decoded=False), network(x), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_yolox_decoded() -> None:
    rows = torch.zeros(1, CELLS, 8)
    rows[0, 7] = torch.tensor([*CXCYWH, 0.5, 0.2, 0.8, 0.0])
    boxes, scores = head("yolox", [rows])
    assert boxes[0, 7].tolist() == XYXY
    assert scores[0, 7].tolist() == pytest.approx([0.1, 0.4, 0.0])


def test_yolox_of_four_strides() -> None:
    boxes, _ = HEADS["yolox"]([torch.zeros(1, 64 + 16 + 4 + 1, 6)], (64, 64), False, 1)
    assert boxes[0, -1].tolist() == [-32, -32, 32, 32]


def test_yolox_of_other_shapes() -> None:
    fails(
        "yolox", [torch.zeros(1, 84, CELLS)], f"gives 1x84x{CELLS}; expected .*{CELLS} or .* cells of 64x96"
    )
    fails("yolox", [torch.zeros(1, CELLS - 1, 8)], "expected", decoded=False)
    fails("yolox", [torch.zeros(1, CELLS, 5)], r"\(5 \+ classes\)")
    fails("yolox", [torch.zeros(1, CELLS, 8), torch.zeros(1)], rf"1x{CELLS}x8, 1")
    fails("yolox", [torch.zeros(8)], "gives 8;")


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_yolov8_decoded(classes: int, transposed: bool) -> None:
    """Two classes make rows as long as those of suppressed boxes."""
    rows = torch.zeros(2, CELLS, 4 + classes)
    rows[1, 5] = torch.tensor([*CXCYWH, *([0.25] * classes)])
    boxes, scores = head("yolov8", [rows if transposed else rows.transpose(1, 2)], classes=classes)
    assert boxes[1, 5].tolist() == XYXY
    assert scores[1, 5].tolist() == [0.25] * classes
    assert scores.sum() == 0.25 * classes


def test_yolov8_suppressed() -> None:
    rows = torch.zeros(1, 300, 6)
    rows[0, 0] = torch.tensor([*XYXY, 0.75, 2.0])
    boxes, scores = head("yolov8", [rows])
    assert boxes[0, 0].tolist() == XYXY
    assert scores[0, 0].tolist() == [0, 0, 0.75]
    fails("yolov8", [rows], "labels: the network found class 2, but 1 label is named; name all", classes=1)


def test_yolov8_raw_by_hand() -> None:
    maps = [torch.full((1, 4 * 16 + 3, 64 // s, 96 // s), -20.0) for s in (8, 16, 32)]
    bins = maps[1][0, :64, 2, 4].view(4, 16)  # left, top, right, bottom
    for side, (first, second) in enumerate([(0, 2), (3, 3), (1, 2), (15, 15)]):
        bins[side, [first, second]] = 20.0
    maps[1][0, 64:, 2, 4] = torch.tensor([0.0, math.log(3), -math.log(3)])
    boxes, scores = head("yolov8", [maps[2], maps[0], maps[1]], decoded=False)
    centre, row = (4.5, 2.5), 8 * 12 + 2 * 6 + 4
    sides = ((0 + 2) / 2, 3, (1 + 2) / 2, 15)  # both bins have half of the probability
    corners = (centre[0] - sides[0], centre[1] - sides[1], centre[0] + sides[2], centre[1] + sides[3])
    assert boxes[0, row].tolist() == pytest.approx([16 * each for each in corners])
    assert scores[0, row].tolist() == pytest.approx([0.5, 0.75, 0.25])


def test_yolov8_of_other_shapes() -> None:
    maps = [torch.zeros(1, 67, 64 // s, 96 // s) for s in (8, 16, 32)]
    fails("yolov8", maps, "1x67x8x12, .*expected 1 x .4 . classes. x cells")
    fails("yolov8", maps[:2], "expected .* x 8 x 12, .* x 2 x 3, not decoded", decoded=False)
    fails("yolov8", [each[:, :64] for each in maps], "64 . classes", decoded=False)
    fails("yolov8", [torch.zeros(1, 7, CELLS)], "not decoded", decoded=False)
    fails("yolov8", [torch.zeros(1, 7, CELLS - 1)], "decoded")


@pytest.mark.parametrize("swapped", [False, True])
def test_detr_raw(swapped: bool) -> None:
    boxes = torch.zeros(1, 2, 4)
    boxes[0, 1] = torch.tensor(CXCYWH) / EXTENT
    with_nothing = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0, math.log(4)]]])
    for logits, expected in (
        (with_nothing, [2 / 8, 1 / 8, 1 / 8]),  # DETR: as wide as the boxes
        (with_nothing[..., :3], [2 / 3, 1 / 2, 1 / 2]),  # Deformable DETR, RT-DETR, RF-DETR
    ):
        outputs = [boxes, logits] if swapped else [logits, boxes]
        found, scores = head("detr", outputs, decoded=False)
        assert found[0, 1].tolist() == pytest.approx(XYXY)
        assert scores[0, 1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.float32])
def test_detr_decoded(order: tuple[int, ...], kind: torch.dtype) -> None:
    outputs = (
        torch.tensor([[2, 0]], dtype=kind),
        torch.tensor([[XYXY, [0.0] * 4]]),
        torch.tensor([[0.75, 0.25]]),
    )
    boxes, scores = head("detr", [outputs[i] for i in order])
    assert boxes[0, 0].tolist() == XYXY
    assert scores[0].tolist() == [[0, 0, 0.75], [0.25, 0, 0]]


def test_detr_of_ultralytics() -> None:
    rows = torch.zeros(1, 300, 7)
    rows[0, 3] = torch.tensor([*(torch.tensor(CXCYWH) / EXTENT).tolist(), 0.1, 0.2, 0.7])
    boxes, scores = head("detr", [rows])
    assert boxes[0, 3].tolist() == pytest.approx(XYXY)
    assert scores[0, 3].tolist() == pytest.approx([0.1, 0.2, 0.7])


def test_detr_of_other_shapes() -> None:
    boxes = torch.zeros(1, 100, 4)
    fails(
        "detr",
        [torch.zeros(1, 100, 92), boxes],
        "logits 1 x Q x 3 or 4 for 3 labels are named",
        decoded=False,
    )
    fails("detr", [torch.zeros(1, 99, 3), boxes], "gives 1x99x3, 1x100x4", decoded=False)
    fails("detr", [boxes], "expected boxes 1 x Q x 4 and logits", decoded=False)
    fails("detr", [torch.zeros(1, 100, 3), boxes], "scores 1 x Q, decoded")


def test_ssd_detection_output() -> None:
    """The list ends at the first row of image -1; what lies behind it is left over from before."""
    box = (torch.tensor(XYXY) / EXTENT).tolist()
    rows = torch.tensor([[0, 1, 0.9, *box], [0, 2, 0.3, *box], [-1, 0, 0, 0, 0, 0, 0], [0, 1, 0.8, *box]])
    boxes, scores = head("ssd", [rows[None, None]])
    assert boxes[0, 0].tolist() == pytest.approx(XYXY)
    assert scores[0].flatten().tolist() == pytest.approx([0, 0.9, 0, 0, 0, 0.3, 0, 0, 0, 0, 0, 0])
    fails("ssd", [rows[None, None]], "found class 2, but 2 labels are named", classes=2)
    rows[1, 0] = 1
    fails("ssd", [rows[None, None]], "several pictures; set runtime.batch: 1")


@pytest.mark.parametrize("batched", [False, True])
def test_ssd_boxes_with_their_score(batched: bool) -> None:
    """The Open Model Zoo's and, with a batch, MMDeploy's."""
    rows, labels = torch.tensor([[*XYXY, 0.75]]), torch.tensor([2])
    outputs = [rows[None], labels[None]] if batched else [rows, labels]
    for each in (outputs, outputs[::-1]):
        boxes, scores = head("ssd", each)
        assert boxes.tolist() == [[XYXY]]
        assert scores.tolist() == [[[0, 0, 0.75]]]
    assert head("ssd", outputs[:1])[1].tolist() == [[[0.75, 0, 0]]]


@pytest.mark.parametrize("scale", [torch.ones(4), EXTENT])
def test_ssd_boxes_scores_labels(scale: Tensor) -> None:
    """In pixels (torchvision's, without a batch) and in 0..1."""
    outputs = [torch.tensor([XYXY, XYXY]) / scale, torch.tensor([0, 2]), torch.tensor([0.5, 0.25])]
    for each in (outputs, outputs[::-1]):
        boxes, scores = head("ssd", each)
        torch.testing.assert_close(boxes, torch.tensor([[XYXY, XYXY]]))
        assert scores.tolist() == [[[0.5, 0, 0], [0, 0, 0.25]]]


def test_ssd_scores_of_every_class() -> None:
    outputs = [torch.tensor([[[0.1, 0.2, 0.7]]]), (torch.tensor(XYXY) / EXTENT)[None, None]]
    boxes, scores = head("ssd", outputs)
    assert boxes[0, 0].tolist() == pytest.approx(XYXY)
    assert torch.equal(scores, outputs[0])


def test_ssd_finds_nothing() -> None:
    boxes, scores = head("ssd", [torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)])
    assert (boxes.shape, scores.shape) == ((1, 0, 4), (1, 0, 3))
    boxes, scores = head("ssd", [torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)])
    assert (boxes.shape, scores.shape) == ((1, 0, 4), (1, 0, 3))


def test_ssd_of_other_shapes() -> None:
    fails("ssd", [torch.zeros(1, 1, 200, 7)], "raw outputs need the network's priors", decoded=False)
    fails("ssd", [torch.zeros(1, 10, 4), torch.zeros(1, 9, 3)], "gives 1x10x4, 1x9x3; expected 1 x 1 x N x 7")
    fails("ssd", [torch.zeros(1, 10, 4)], "expected")
    fails("ssd", [torch.zeros(7, 4), torch.zeros(7), torch.zeros(6)], "expected")


def yolox_rows(classes: int) -> Tensor:
    """What the official export gives: sides as logarithms."""
    rows = torch.zeros(1, CELLS, 5 + classes)
    rows[..., 4:] = 0.5
    return rows


def decoded_rows() -> Tensor:
    rows = yolox_rows(3)
    rows[..., :4] = torch.tensor(CXCYWH)
    return rows


NORMED = (torch.tensor(XYXY) / EXTENT)[None, None].repeat(1, 9, 1)
MAPS = [torch.zeros(1, 67, 64 // s, 96 // s) for s in (8, 16, 32)]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([yolox_rows(80)], [("yolox", False, 80)]),
        ([decoded_rows()], [("yolox", True, 3)]),
        ([decoded_rows()[..., :-1].transpose(1, 2)], [("yolov8", True, 3)]),
        (MAPS, [("yolov8", False, 3)]),
        ([torch.zeros(1, 300, 6)], [("yolov8", True, None), ("detr", True, 2)]),
        ([torch.zeros(1, 300, 84)], [("detr", True, 80)]),
        ([torch.zeros(1, 1, 200, 7)], [("ssd", True, None)]),
        ([NORMED, torch.full((1, 9, 91), -4.0)], [("detr", False, 91)]),
        ([NORMED, torch.full((1, 9, 21), 0.1)], [("ssd", True, 21), ("detr", False, 21)]),
        ([torch.zeros(1, 3, 5), torch.zeros(1, 3, dtype=torch.int64)], [("ssd", True, None)]),
        ([torch.zeros(1, 512)], []),
        ([torch.zeros(1, 256, 1, 1)], []),
    ],
)
def test_what_outputs_may_be(outputs: list[Tensor], expected: list[tuple[str, bool, int | None]]) -> None:
    assert fitting(outputs, CANVAS) == expected
