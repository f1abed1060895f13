"""YOLOv3 against golden outputs and darknet's own weights, and its traps one by one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from goldens import golden
from torch import nn

from mot.errors import WeightsError
from mot.models.loading import load, shapes_of, translate
from mot.models.yolov3 import (
    ANCHORS,
    TINY_ANCHORS,
    YOLOV3,
    YOLOv3,
    decode,
    full_layers,
    tiny_layers,
)
from mot.weights.containers import TensorFile

BOXES_PX = 0.05
RELATIVE = 1e-4  # no noise floor is given for YOLOv3


def test_full_has_the_official_names_and_shapes() -> None:
    keys = {name: tuple(shape) for name, shape in json.loads(str(golden("yolov3")["recipe"]))["keys"]}
    assert shapes_of("yolov3", 80) == keys


def test_paddle_names_and_shapes_of_one_class() -> None:
    keys = json.loads(str(golden("paddle_jde_darknet53_30e_1088x608")["recipe"]))["keys"]
    state = {
        name.removeprefix("detector."): np.broadcast_to(
            np.float32(0), [18 if dim == 24 else dim for dim in shape]
        )
        for name, shape in keys
        if name.startswith("detector.")
    }
    assert len(state) == 366
    assert sum(array.size for array in state.values()) == 61_576_342
    content = translate("yolov3_paddle", TensorFile(format="paddle", tensors=state))
    assert content is not None
    assert content.classes == 1
    wanted = shapes_of("yolov3_paddle", 1)
    assert {name: array.shape for name, array in content.arrays.items()} == {
        name: shape for name, shape in wanted.items() if not name.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize(("name", "eps"), [("yolov3", 1e-6), ("yolov3_tiny", 1e-6), ("yolov3_paddle", 1e-5)])
def test_batchnorm_divides_as_its_maker_does(name: str, eps: float) -> None:
    with torch.device("meta"):
        network = YOLOV3[name].build(80)
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {eps}


def test_decode_by_hand() -> None:
    coarse, fine = torch.full((1, 3 * 85, 1, 2), -20.0), torch.full((1, 3 * 85, 2, 4), -20.0)
    # anchor 1 of 3, cell x = 1, twice as high as the anchor
    coarse[0, 85 : 85 + 4, 0, 1] = torch.tensor([0.0, 0.0, 0.0, np.log(2.0)])
    coarse[0, 85 + 4, 0, 1], coarse[0, 85 + 5 + 7, 0, 1] = 20.0, 0.0
    # the fine head starts with the anchor numbered 1 in the cfg, 23 x 27; cell x = 3, y = 1
    fine[0, :4, 1, 3] = torch.tensor([20.0, -20.0, 0.0, 0.0])
    boxes, scores = decode((coarse, fine), TINY_ANCHORS)
    row, width, height = 1 * 2 + 1, 135, 169 * 2
    assert boxes[0, row].tolist() == pytest.approx(
        [48 - width / 2, 16 - height / 2, 48 + width / 2, 16 + height / 2]
    )
    assert boxes[0, 6 + 4 + 3].tolist() == pytest.approx([64 - 11.5, 16 - 13.5, 64 + 11.5, 16 + 13.5])
    assert scores[0, row, 7].item() == pytest.approx(0.5)
    assert scores.sum().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("heads", "anchors"), [(3, ANCHORS), (2, TINY_ANCHORS)])
def test_heads_use_the_anchors_of_their_stride(heads: int, anchors: tuple[tuple[int, int], ...]) -> None:
    """Zeros decode to the anchors themselves: large ones in the coarse map."""
    maps = tuple(torch.zeros(1, 18, 1, 1) for _ in range(heads))
    boxes, _ = decode(maps, anchors)
    sizes = (boxes[0, :, 2:] - boxes[0, :, :2]).tolist()
    assert sizes == [list(pair) for pair in anchors]
    assert min(w * h for w, h in sizes[:3]) >= max(w * h for w, h in sizes[3:6])


@pytest.mark.parametrize("name", ["yolov3", "yolov3_tiny"])
def test_other_sizes_and_classes(name: str) -> None:
    with torch.device("meta"):
        network = YOLOV3[name].build(3).eval()
        boxes, scores = network(torch.empty(2, 3, 64, 96))
    cells = 2 * 3 + 4 * 6 + (8 * 12 if name == "yolov3" else 0)
    assert boxes.shape == (2, 3 * cells, 4)
    assert scores.shape == (2, 3 * cells, 3)


def small() -> YOLOv3:
    torch.manual_seed(0)
    return YOLOv3(tiny_layers(2), TINY_ANCHORS).eval()


def test_decodes_in_float32_whatever_the_precision() -> None:
    network, x = small(), torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        boxes, scores = network(x)
        narrow_boxes, narrow_scores = network.bfloat16()(x.bfloat16())
    assert narrow_boxes.dtype == narrow_scores.dtype == torch.float32
    torch.testing.assert_close(narrow_boxes, boxes, atol=3, rtol=0)
    torch.testing.assert_close(narrow_scores, scores, atol=0.03, rtol=0)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_trace_holds_at_other_sizes() -> None:
    network, x = small(), torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        traced = torch.jit.trace(network, torch.rand(2, 3, 64, 64))  # type: ignore[no-untyped-call]
        torch.testing.assert_close(traced(x), network(x))


def test_reads_its_own_state_dict_and_no_other(tmp_path: Path) -> None:
    state, path = small().state_dict(), tmp_path / "tiny.pth"
    anchors = {"module_list.16.yolo_16.anchors": torch.zeros(3, 2)}  # PyTorch-YOLOv3's newer files have them
    torch.save({f"module.{name}": tensor for name, tensor in (state | anchors).items()}, path)
    loaded = load(path)
    assert (loaded.name, loaded.classes, loaded.report.ignored) == ("yolov3_tiny", 2, (*anchors,))
    with pytest.raises(WeightsError, match="holds the weights of yolov3_tiny"):
        load(path, "yolov3")
    del state["module_list.8.conv_8.weight"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"1 missing \(module_list\.8\.conv_8\.weight\)"):
        load(path, "yolov3_tiny")


def test_the_cfg_gives_full_its_number_of_layers() -> None:
    assert (len(full_layers(80)), len(tiny_layers(80))) == (107, 24)
