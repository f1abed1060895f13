"""FairMOT on DLA-34 against the official outputs, its files' names, and its decode by hand.

What all FairMOT networks must pass stands in functions, which the tests of the one on YOLOv5s use too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mot.errors import WeightsError
from mot.models.centres import TOP, decode
from mot.models.loading import load, shapes_of
from mot.models.registry import MODELS
from mot.models.spec import Joint

NAME = "fairmot_dla34"
PADDLE_GOLDEN = "paddle_fairmot_dla34_30e_1088x608"
FLOATS = 20_369_295  # of the official file, unused tensors included
FC = 1000 * 512 + 1000
PROJECTS = (64 * 128 + 4 * 128) + (128 * 256 + 4 * 256)
BOX_PX, EMBEDDING = 0.05, 1e-4


def worst(ours: Tensor, theirs: NDArray[Any], step: int = 1) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.abs(ours.numpy().ravel()[::step] - theirs.ravel()).max() / np.abs(theirs).max())


def random_state(name: str, classes: int) -> dict[str, Tensor]:
    """Every tensor of our network, drawn so that activations stay in range."""
    generator = torch.Generator().manual_seed(7)
    state = {}
    for key, shape in shapes_of(name, classes).items():
        noise = torch.randn(shape, generator=generator)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
        elif key.endswith("running_var"):
            state[key] = 1 + noise.abs()
        else:
            state[key] = noise / max(1, noise[0].numel()) ** 0.5
    return state


def same_when_folded(path: Path, name: str, classes: int, embedding: int) -> None:
    """Folding changes nothing but the rounding, at another size and with more classes."""
    plain, folded = load(path, name, folded=False).network, load(path, name).network
    assert any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours, theirs = plain.maps(x), folded.maps(x)  # type: ignore[operator]
        joint: Joint = folded(x)
    for one, other, channels in zip(ours, theirs, (classes, 4, 2, embedding), strict=True):
        assert one.shape == (2, channels, 16, 24)
        assert worst(other, one.numpy()) < 1e-3
    rows = min(TOP, classes * 16 * 24)
    assert joint.boxes.shape == (2, rows, 4)
    assert joint.scores.shape == (2, rows, classes)
    assert joint.cells.max() < 16 * 24


def same_for_any_picture(name: str, embedding: int) -> None:
    """No step depends on the numbers: it runs where there are none (so a graph can be made), at full size."""
    with torch.device("meta"):
        joint: Joint = MODELS[name].build(1)(torch.empty(1, 3, 608, 1088))
    assert (joint.boxes.shape, joint.scores.shape, joint.cells.shape) == ((1, 500, 4), (1, 500, 1), (1, 500))
    assert [each.shape for each in joint.maps] == [(1, embedding, 152, 272)]


def runs_in_bfloat16(network: nn.Module) -> None:
    """The maps are narrow, and what is read from them is not."""
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(4)).bfloat16()
    with torch.inference_mode():
        assert {each.dtype for each in network.bfloat16().maps(x)} == {torch.bfloat16}  # type: ignore[operator]
        joint: Joint = network(x)
    assert {joint.boxes.dtype, joint.scores.dtype, joint.maps[0].dtype} == {torch.float32}
    assert joint.boxes.isfinite().all()


def official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names to those of the official file, which calls the parts of a deformable convolution otherwise."""
    return {
        key.replace(".conv_offset_mask.", ".conv.conv_offset_mask.").replace(".norm.", ".actf.0."): value
        for key, value in state.items()
    }


def leftovers() -> dict[str, Tensor]:
    """What the official file holds besides."""
    return {
        "base.fc.weight": torch.zeros(1000, 512, 1, 1),
        "base.fc.bias": torch.zeros(1000),
        "base.level3.project.0.weight": torch.zeros(128, 64, 1, 1),
        "base.level4.project.1.running_mean": torch.zeros(256),
    }


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random numbers for two classes, under the official names."""
    path = tmp_path_factory.mktemp("fairmot") / "own.pth"
    torch.save({"epoch": 1, "state_dict": official(random_state(NAME, 2)) | leftovers()}, path)
    return path


def test_as_many_numbers_as_the_official_files() -> None:
    shapes = {key: shape for key, shape in shapes_of(NAME, 1).items() if not key.endswith("tracked")}
    used = sum(int(np.prod(shape)) for shape in shapes.values())
    assert used + FC + PROJECTS == FLOATS
    assert used + PROJECTS + 129 * 14455 + 2 == 21_720_992  # PaddleDetection's, with its classifier and loss
    assert sum("conv_offset_mask.weight" in key for key in shapes) == 16


def test_the_official_names_fit_strictly(own: Path, tmp_path: Path) -> None:
    loaded = load(own)
    assert (loaded.name, loaded.classes) == (NAME, 2)
    state = official(random_state(NAME, 1))
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").classes == 1
    del state["dla_up.ida_2.node_3.actf.0.running_var"]
    torch.save({"state_dict": state}, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(dla_up\.ida_2\.node_3\.norm\.running_var\)"):
        load(tmp_path / "b.pth", NAME)


def test_two_channel_sizes_are_refused_by_shape(tmp_path: Path) -> None:
    state = official(random_state(NAME, 1))
    state["wh.2.weight"], state["wh.2.bias"] = state["wh.2.weight"][:2], state["wh.2.bias"][:2]
    torch.save({"state_dict": state}, tmp_path / "old.pth")
    with pytest.raises(WeightsError, match=r"wh\.2\.weight \(2, 256, 1, 1\) instead of \(4, 256, 1, 1\)"):
        load(tmp_path / "old.pth", NAME)


def test_folded_at_another_size(own: Path) -> None:
    same_when_folded(own, NAME, 2, 128)


def test_any_picture() -> None:
    same_for_any_picture(NAME, 128)


def test_bfloat16(own: Path) -> None:
    runs_in_bfloat16(load(own).network)


def flat(classes: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maps without a peak: the score rises to the right, so that only the last column has any."""
    hm = torch.linspace(-9, -8, width).expand(1, classes, height, width).clone()
    wh, reg = torch.zeros(1, 4, height, width), torch.zeros(1, 2, height, width)
    return hm, wh, reg, torch.zeros(1, 3, height, width)


def test_decode_by_hand() -> None:
    hm, wh, reg, vectors = flat(2, 20, 40)
    hm[0, 1, 7, 5], hm[0, 0, 12, 30] = 3.0, 1.0
    wh[0, :, 7, 5] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    reg[0, :, 7, 5] = torch.tensor([0.25, 0.75])
    joint = decode((hm, wh, reg, vectors))
    assert joint.boxes[0, 0].tolist() == [4 * 4.25, 4 * 5.75, 4 * 8.25, 4 * 11.75]
    assert joint.boxes[0, 1].tolist() == [120, 48, 120, 48]
    assert joint.cells[0, :2].tolist() == [7 * 40 + 5, 12 * 40 + 30]
    assert joint.scores[0, 0].tolist() == [0, pytest.approx(1 / (1 + np.exp(-3)))]
    assert joint.scores[0, 1].tolist() == [pytest.approx(1 / (1 + np.exp(-1))), 0]
    assert joint.maps[0] is vectors


def test_equal_neighbours_are_both_peaks_and_cells_beside_a_peak_are_none() -> None:
    hm, *others = flat(1, 20, 40)
    hm[0, 0, 3, 3:5], hm[0, 0, 4, 5] = 2.0, 1.9
    joint = decode((hm, *others))  # type: ignore[arg-type]
    assert sorted(joint.cells[0, :2].tolist()) == [3 * 40 + 3, 3 * 40 + 4]
    kept = joint.scores[0, :, 0] > 0
    assert joint.cells[0][kept].shape == (2 + 20,)  # and the last column, all of it equal
    assert joint.boxes.shape == (1, TOP, 4)
    assert (joint.scores[0, ~kept] == 0).all()


def test_decode_in_bfloat16_reckons_in_float32() -> None:
    hm, wh, reg, vectors = flat(1, 3, 400)
    hm[0, 0, 1, 301], reg[0, 0, 1, 301] = 3.0, 0.25
    joint = decode(tuple(each.bfloat16() for each in (hm, wh, reg, vectors)))  # type: ignore[arg-type]
    assert joint.boxes[0, 0].tolist() == [1205, 4, 1205, 4]
