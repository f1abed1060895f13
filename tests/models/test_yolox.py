"""YOLOX against the official network's goldens, its traps one by one, and the names that others gave it."""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mot.errors import WeightsError
from mot.models import yolox
from mot.models.loading import load
from mot.models.yolox import YOLOX, Network, decode, place

FLOOR = 2e-5  # noise of float32, relative to the largest value of an output
State = dict[str, Tensor]


def empty(name: str, classes: int) -> nn.Module:
    with torch.device("meta"):
        return YOLOX[name].build(classes)


def random_state(name: str, classes: int) -> State:
    """Weights of any values, and statistics away from those that a BatchNorm starts with."""
    torch.manual_seed(1)
    state: State = YOLOX[name].build(classes).state_dict()
    for key, value in state.items():
        if value.is_floating_point() and value.dim() == 1:
            value.uniform_(0.5, 1.5) if "bn" in key else value.uniform_(-1, 1)
    return state


def network_of(name: str, state: State) -> Network:
    network = empty(name, len(state["head.cls_preds.0.bias"]))
    network.load_state_dict(state, assign=True)
    assert isinstance(network, Network)
    return network.eval().requires_grad_(False)


def near(ours: Tensor, theirs: np.ndarray[Any, Any]) -> bool:
    return bool(np.abs(ours.numpy() - theirs).max() <= 3 * FLOOR * np.abs(theirs).max())


# Tensors, those that count batches, and floats: as measured of the official networks.
MEASURED = [
    ("yolox_nano", 80, 642, 104, 927_551),
    ("yolox_s", 1, 462, 74, 8_960_786),
    ("yolox_x", 1, 894, 146, 99_096_338),
    ("yolox_x_paddle", 1, 742 + 146, 146, 99_096_338),
]


@pytest.mark.parametrize(("name", "classes", "tensors", "counters", "floats"), MEASURED)
def test_tensors_as_many_as_the_official_ones(
    name: str, classes: int, tensors: int, counters: int, floats: int
) -> None:
    state = empty(name, classes).state_dict()
    values = [value for value in state.values() if value.is_floating_point()]
    assert (len(state), len(state) - len(values)) == (tensors, counters)
    assert sum(value.numel() for value in values) == floats


# Million parameters with 80 classes, from the official README.
@pytest.mark.parametrize(
    ("name", "millions"),
    [("nano", 0.91), ("tiny", 5.06), ("s", 9.0), ("m", 25.3), ("l", 54.2), ("x", 99.1)],
)
def test_parameters_as_published(name: str, millions: float) -> None:
    count = sum(value.numel() for value in empty(f"yolox_{name}", 80).parameters()) / 1e6
    assert round(count, 2 if millions < 9 else 1) == millions


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_classes_are_counted(classes: int) -> None:
    state = empty("yolox_tiny", classes).state_dict()
    assert YOLOX["yolox_tiny"].classes({key: tuple(v.shape) for key, v in state.items()}) == classes


def test_decode_by_hand() -> None:
    maps = [torch.zeros(1, 7, h, w) for h, w in ((4, 8), (2, 4), (1, 2))]
    maps[1][0, :, 1, 3] = torch.tensor([0.5, -0.25, math.log(2), 0.0, math.log(3), 0.0, math.log(4)])
    boxes, scores = decode(maps)
    assert boxes.shape == (1, 32 + 8 + 2, 4)
    # stride 16: the centre counts from the corner of cell (3, 1), the size has no anchor
    centre, half = (3.5 * 16, 0.75 * 16), (16, 8)
    assert boxes[0, 32 + 1 * 4 + 3].tolist() == pytest.approx(
        [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
    )
    assert scores[0, 32 + 7].tolist() == pytest.approx([0.75 * 0.5, 0.75 * 0.8])
    assert boxes[0, 41].tolist() == pytest.approx([32 - 16, -16, 32 + 16, 16])


def test_a_fourth_map_has_stride_64() -> None:
    boxes = place(torch.zeros(1, 64 + 16 + 4 + 1, 4), [(8, 8), (4, 4), (2, 2), (1, 1)])
    assert boxes[0, -1].tolist() == [-32, -32, 32, 32]


def test_batchnorm_divides_by_its_variance_and_a_thousandth() -> None:
    conv = yolox.Conv(1, 1, 1).eval()
    with torch.no_grad():
        conv.conv.weight.fill_(1)
        conv.bn.running_var.fill_(0.003)  # type: ignore[union-attr]
        value = conv(torch.full((1, 1, 1, 1), 0.1)).item()
    x = 0.1 / math.sqrt(0.004)
    assert value == pytest.approx(x / (1 + math.exp(-x)))


def test_pixels_become_channels_column_by_column() -> None:
    network, seen = network_of("yolox_nano", random_state("yolox_nano", 1)), []
    network.backbone.backbone.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    corner = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(32, 32)
    network.maps(torch.stack([corner, corner + 10, corner + 20])[None])
    top_left, bottom_left, top_right, bottom_right = 1, 3, 2, 4
    order = [top_left, bottom_left, top_right, bottom_right]
    assert seen[0][0, :, 5, 7].tolist() == [at + 10 * c for at in order for c in range(3)]


def test_other_sizes_and_batches_and_types() -> None:
    network = network_of("yolox_nano", random_state("yolox_nano", 2))
    x = torch.rand(2, 3, 64, 96) * 255
    boxes, scores = network(x)
    assert boxes.shape == (2, 96 + 24 + 6, 4)
    assert scores.shape == (2, 126, 2)
    torch.testing.assert_close(network(x[1:])[0], boxes[1:], rtol=1e-4, atol=1e-2)
    low = network.to(torch.bfloat16)
    assert {each.dtype for each in low.maps(x.bfloat16())} == {torch.bfloat16}
    assert [each.dtype for each in low(x.bfloat16())] == [torch.float32, torch.float32]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_can_be_traced() -> None:
    network = network_of("yolox_nano", random_state("yolox_nano", 1))
    traced = torch.jit.trace(network, torch.rand(1, 3, 32, 32), check_trace=False)  # type: ignore[no-untyped-call]
    x = torch.rand(1, 3, 64, 32)
    for ours, theirs in zip(network(x), traced(x), strict=True):
        torch.testing.assert_close(ours, theirs)


# The other makers' names, from their code; each row: a module here, theirs. The longest prefix counts.
MMDETECTION = {
    "backbone.backbone.stem": "backbone.stem",
    "backbone.backbone.dark2": "backbone.stage1",
    "backbone.backbone.dark3": "backbone.stage2",
    "backbone.backbone.dark4": "backbone.stage3",
    "backbone.backbone.dark5": "backbone.stage4",
    "backbone.backbone.dark5.1": "backbone.stage4.1",
    "backbone.lateral_conv0": "neck.reduce_layers.0",
    "backbone.reduce_conv1": "neck.reduce_layers.1",
    "backbone.C3_p4": "neck.top_down_blocks.0",
    "backbone.C3_p3": "neck.top_down_blocks.1",
    "backbone.bu_conv2": "neck.downsamples.0",
    "backbone.bu_conv1": "neck.downsamples.1",
    "backbone.C3_n3": "neck.bottom_up_blocks.0",
    "backbone.C3_n4": "neck.bottom_up_blocks.1",
    "head.stems": "neck.out_convs",
    "head.cls_convs": "bbox_head.multi_level_cls_convs",
    "head.reg_convs": "bbox_head.multi_level_reg_convs",
    "head.cls_preds": "bbox_head.multi_level_conv_cls",
    "head.reg_preds": "bbox_head.multi_level_conv_reg",
    "head.obj_preds": "bbox_head.multi_level_conv_obj",
}
PADDLE = {
    "backbone.backbone.stem": "backbone.stem",
    "backbone.backbone.dark2.0": "backbone.layers1.stage1.conv_layer",
    "backbone.backbone.dark2.1": "backbone.layers2.stage1.csp_layer",
    "backbone.backbone.dark3.0": "backbone.layers3.stage2.conv_layer",
    "backbone.backbone.dark3.1": "backbone.layers4.stage2.csp_layer",
    "backbone.backbone.dark4.0": "backbone.layers5.stage3.conv_layer",
    "backbone.backbone.dark4.1": "backbone.layers6.stage3.csp_layer",
    "backbone.backbone.dark5.0": "backbone.layers7.stage4.conv_layer",
    "backbone.backbone.dark5.1": "backbone.layers8.stage4.spp_layer",
    "backbone.backbone.dark5.2": "backbone.layers9.stage4.csp_layer",
    "backbone.lateral_conv0": "neck.lateral_convs.0",
    "backbone.reduce_conv1": "neck.lateral_convs.1",
    "backbone.C3_p4": "neck.fpn_blocks.0",
    "backbone.C3_p3": "neck.fpn_blocks.1",
    "backbone.bu_conv2": "neck.downsample_convs.0",
    "backbone.bu_conv1": "neck.downsample_convs.1",
    "backbone.C3_n3": "neck.pan_blocks.0",
    "backbone.C3_n4": "neck.pan_blocks.1",
    "head.stems": "head.stem_conv",
    "head.cls_convs": "head.conv_cls",
    "head.reg_convs": "head.conv_reg",
    **{f"head.cls_preds.{i}": f"head.conv_cls.{i}.2" for i in range(3)},
    **{f"head.reg_preds.{i}": f"head.conv_reg.{i}.2" for i in range(3)},
}
CROSS_STAGE = {"conv1": "main_conv", "conv2": "short_conv", "conv3": "final_conv", "m": "blocks"}
PARTS = {"dconv": ("depthwise_conv", "dw_conv"), "pconv": ("pointwise_conv", "pw_conv")}
LEAVES = {"running_mean": "_mean", "running_var": "_variance"}


def in_mmdetection(name: str) -> str:
    prefix = max((each for each in MMDETECTION if name.startswith(each)), key=len)
    rest = name[len(prefix) :]
    if not prefix.endswith("dark5.1"):  # which is no cross-stage block, though it has a conv1 as well
        rest = re.sub(r"[.](conv[123]|m)[.]", lambda found: f".{CROSS_STAGE[found[1]]}.", rest, count=1)
    return MMDETECTION[prefix] + ".".join(PARTS.get(part, (part,))[0] for part in rest.split("."))


def in_paddle(name: str) -> str:
    prefix = max((each for each in PADDLE if name.startswith(each)), key=len)
    parts = name[len(prefix) :].split(".")
    parts = ["bottlenecks" if part == "m" else PARTS.get(part, ("", part))[1] for part in parts]
    return PADDLE[prefix] + ".".join(LEAVES.get(part, part) for part in parts)


def same_outputs(path: Path, name: str, state: State) -> Any:
    """Loads the file and compares the network with that of `state`; gives what was loaded."""
    loaded, x = load(path, folded=False), torch.rand(1, 3, 64, 64) * 255
    assert loaded.name == name
    for ours, theirs in zip(loaded.network(x), network_of(name, state)(x), strict=True):
        assert torch.equal(ours, theirs)
    return loaded


@pytest.mark.parametrize("name", ["yolox_nano", "yolox_tiny"])
@pytest.mark.parametrize("prefix", ["", "detector."])
def test_openmmlab_files(name: str, prefix: str, tmp_path: Path) -> None:
    state = random_state(name, 4)
    theirs = {prefix + in_mmdetection(key): value for key, value in state.items()}
    assert len(theirs) == len(state)
    spare = {f"ema_{key.replace('.', '_')}": value + 1 for key, value in theirs.items()}
    torch.save({"meta": {"epoch": 300}, "state_dict": {**theirs, **spare}}, tmp_path / "a.pth")
    assert same_outputs(tmp_path / "a.pth", name, state).classes == 4


def test_openmmlab_names_as_published(tmp_path: Path) -> None:
    names = {in_mmdetection(key) for key in empty("yolox_s", 80).state_dict()}
    assert {
        "backbone.stem.conv.conv.weight",
        "backbone.stage1.0.bn.running_mean",
        "backbone.stage1.1.blocks.0.conv2.conv.weight",
        "backbone.stage4.1.conv2.conv.weight",
        "backbone.stage4.2.final_conv.conv.weight",
        "neck.top_down_blocks.1.short_conv.bn.bias",
        "neck.out_convs.2.conv.weight",
        "bbox_head.multi_level_cls_convs.0.1.bn.num_batches_tracked",
        "bbox_head.multi_level_conv_obj.2.bias",
    } <= names
    assert len(names) == 462


@pytest.mark.parametrize("name", ["yolox_nano", "yolox_tiny"])
def test_paddle_files(name: str, tmp_path: Path) -> None:
    """Its one convolution for box and object gives what the official two give; its scores are the roots."""
    official = random_state(name, 1)
    joined = {key: value for key, value in official.items() if ".obj_preds." not in key}
    for key in [key for key in joined if ".reg_preds." in key]:
        joined[key] = torch.cat([official[key], official[key.replace("reg_preds", "obj_preds")]])
    path = tmp_path / "model_final.pdparams"
    arrays: dict[str, Any] = {
        in_paddle(key): value.numpy() for key, value in joined.items() if not key.endswith("_tracked")
    }
    with path.open("wb") as file:
        pickle.dump({**arrays, "StructuredToParameterName@@": {}}, file, protocol=4)
    loaded = same_outputs(path, f"{name}_paddle", joined)
    x = torch.rand(1, 3, 32, 64) * 255
    (boxes, scores), (theirs, squares) = loaded.network(x), network_of(name, official)(x)
    torch.testing.assert_close(boxes, theirs)
    torch.testing.assert_close(scores, squares.sqrt())


def test_paddle_names_are_as_many_as_in_its_file() -> None:
    names = {in_paddle(key) for key in empty("yolox_x_paddle", 1).state_dict() if "_tracked" not in key}
    assert len(names) == 742
    assert {
        "backbone.layers9.stage4.csp_layer.bottlenecks.3.conv2.bn._variance",
        "backbone.layers8.stage4.spp_layer.conv2.conv.weight",
        "head.conv_reg.2.2.bias",
        "head.conv_cls.0.1.bn._mean",
    } <= names


Change = Callable[[State], object]


LAST, MORE = "head.obj_preds.2.bias", "head.obj_preds.3.bias"
WRONG: list[tuple[Change, str]] = [
    (lambda state: state.pop(LAST), LAST),
    (lambda state: state.update({MORE: torch.zeros(1)}), MORE),
    (lambda state: state.update({LAST: torch.zeros(2)}), LAST),
    (lambda state: state.update({LAST: torch.tensor([math.nan])}), LAST),
]


@pytest.mark.parametrize(("change", "text"), WRONG)
def test_another_network_is_refused(change: Change, text: str, tmp_path: Path) -> None:
    state = random_state("yolox_nano", 1)
    change(state)
    torch.save({"model": state}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=text):
        load(tmp_path / "a.pth", "yolox_nano")
