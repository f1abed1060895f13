"""What loading says where a file is damaged, of another kind, or could be several things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from embedders import random
from test_yolox import in_mmdetection
from torch import Tensor

from mot.errors import WeightsError
from mot.models import loading
from mot.models.loading import darknet_order, load, shapes_of
from mot.models.registry import MODELS
from mot.weights.containers import DarknetFile, TensorFile

State = dict[str, Tensor]
Read = Callable[[TensorFile | DarknetFile], None]
BIAS = "head.obj_preds.2.bias"


def state_of(name: str) -> State:
    state: State = random(MODELS[name].build(1)).state_dict()
    return state


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Makes every file hold this."""
    return lambda file: monkeypatch.setattr(loading, "read", lambda path: file)


def zeros(name: str) -> TensorFile:
    """A large file that takes next to no memory."""
    shapes = shapes_of(name, 1)
    return TensorFile(format="torch", tensors={key: np.zeros(shapes[key], np.float32) for key in shapes})


# The network, how the file names its tensors, and one of them by the file's name and by ours.
FILES: dict[str, tuple[str, Callable[[str], str], str, str]] = {
    "osnet": ("osnet_x0_25", str, "conv4.1.gate.fc2.bias", "conv4.1.gate.fc2.bias"),
    "yolox": ("yolox_nano", str, BIAS, BIAS),
    "openmmlab": ("yolox_nano", in_mmdetection, "bbox_head.multi_level_conv_obj.2.bias", BIAS),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("asked", [False, True])
def test_the_tensor_that_is_wrong_is_named(kind: str, asked: bool, tmp_path: Path) -> None:
    name, renamed, theirs, ours = FILES[kind]
    state = {renamed(key): value for key, value in state_of(name).items()}
    short = {key: value for key, value in state.items() if key != theirs}
    cases = {
        f"1 missing ({ours})": short,
        f"1 of another shape ({ours} (3, 7) instead of": {**state, theirs: torch.zeros(3, 7)},
        "1 unexpected (stranger)": {**state, "stranger": torch.zeros(1)},
        f"1 not finite ({ours})": {**state, theirs: torch.full_like(state[theirs], torch.nan)},
        f"1 of another type ({ours} int8)": {**state, theirs: state[theirs].to(torch.int8)},
        f"1 of another type ({ours} complex64)": {**state, theirs: state[theirs].to(torch.complex64)},
    }
    for said, content in cases.items():
        torch.save(content, tmp_path / "net.pt")
        with pytest.raises(WeightsError) as caught:
            load(tmp_path / "net.pt", name if asked else None)
        assert str(caught.value).startswith(f"net.pt for {name} does not fit")
        assert said in str(caught.value)
        assert "it fits" not in str(caught.value)


def test_another_network_of_the_same_names_is_named(tmp_path: Path) -> None:
    torch.save(state_of("osnet_x0_5"), tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"net\.pt for osnet_x0_25 does not fit .*; it fits osnet_x0_5$"):
        load(tmp_path / "net.pt", "osnet_x0_25")


@pytest.mark.parametrize("asked", [None, "yolox_nano"])
def test_a_tensor_under_two_names_is_an_error_of_the_file(asked: str | None, tmp_path: Path) -> None:
    state = {in_mmdetection(key): value for key, value in state_of("yolox_nano").items()}
    torch.save({**state, BIAS: torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=rf"^net\.pt holds the tensor '{BIAS}' twice"):
        load(tmp_path / "net.pt", asked)


def test_the_list_of_all_networks_is_not_in_the_error(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="not the weights of any known network") as caught:
        load(tmp_path / "net.pt")
    assert len(str(caught.value)) < 150


def test_a_size_that_nobody_tells_is_warned_of(reads: Read, caplog: pytest.LogCaptureFixture) -> None:
    reads(zeros("jde_1088x608"))
    assert load(Path("latest.pt"), folded=False).name == "jde_1088x608"
    assert caplog.messages == [
        "latest.pt: taken as jde_1088x608; the file does not say which of jde_1088x608, jde_864x480, "
        "jde_576x320 it is: set detector.model"
    ]


def test_a_size_that_the_name_tells_is_believed(reads: Read, caplog: pytest.LogCaptureFixture) -> None:
    reads(zeros("jde_1088x608"))
    path = Path("jde.576x320.uncertainty.pt")
    assert load(path, folded=False).name == load(path, "jde_576x320", folded=False).name == "jde_576x320"
    said = r"^jde\.576x320\.uncertainty\.pt is by its name the weights of jde_576x320, not of jde_1088x608$"
    with pytest.raises(WeightsError, match=said):
        load(path, "jde_1088x608")
    assert load(Path("latest_640x480.pt"), "jde_1088x608", folded=False).name == "jde_1088x608"
    assert not caplog.messages


def test_two_readings_of_the_same_weights_are_no_question(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(state_of("mobilenetv2"), tmp_path / "net.pt")
    assert load(tmp_path / "net.pt").name == "mobilenetv2_stripes"
    assert not caplog.messages


def test_yolov3_of_three_classes_could_be_jdes_detector() -> None:
    """And so it is warned of as JDE's sizes are."""
    names = [name for name in MODELS if "PaddleDetection" in {d.name for d in MODELS[name].dialects}]
    same = [name for name in names if shapes_of(name, 3) == shapes_of("jde_detector_1088x608", 3)]
    assert same == ["yolov3_paddle", "jde_detector_1088x608"]


@pytest.mark.parametrize("classes", [1, 79, 80])
def test_an_odd_number_of_classes_is_warned_of(
    classes: int, reads: Read, caplog: pytest.LogCaptureFixture
) -> None:
    count = sum(int(np.prod(shape)) for _, shape in darknet_order("yolov3_tiny", classes))
    reads(DarknetFile(major=0, minor=2, revision=0, seen=0, floats=np.zeros(count, np.float32)))
    assert load(Path("t1.weights")).classes == classes
    said = "t1.weights: taken as 79 classes, by its length; damaged, if it should have 80"
    assert caplog.messages == ([said] if classes == 79 else [])


@pytest.mark.data
def test_a_darknet_file_short_of_a_class_is_refused(
    shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last layers then read what belongs to others: variances below zero."""
    data = (shared_data / "weights" / "yolov3-tiny.weights").read_bytes()
    (tmp_path / "t1.weights").write_bytes(data[:-9240])
    with pytest.raises(WeightsError, match=r"t1\.weights for yolov3_tiny: .* not finite once folded"):
        load(tmp_path / "t1.weights")
    assert "taken as 79 classes" in caplog.text


@pytest.mark.parametrize("layer", ["conv1.bn", "fc.1"])
def test_a_negative_variance_is_an_error_of_its_layer(layer: str, tmp_path: Path) -> None:
    state = state_of("osnet_x0_25")
    state[f"{layer}.running_var"][3] = -1
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=rf"^net\.pt for osnet_x0_25: {layer} .*negative variance"):
        load(tmp_path / "net.pt")


def test_numbers_that_float32_cannot_hold_are_not_finite(tmp_path: Path) -> None:
    state = state_of("osnet_x0_25")
    state["fc.0.bias"] = torch.full((512,), 1e39, dtype=torch.float64)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"1 not finite \(fc\.0\.bias\)"):
        load(tmp_path / "net.pt")
