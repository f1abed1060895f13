"""FairMOT on YOLOv5s against the official outputs, and its traps one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_fairmot_dla34 import (
    random_state,
    runs_in_bfloat16,
    same_for_any_picture,
    same_when_folded,
)
from torch import nn
from torch.nn.functional import max_pool2d

from mot.models.fairmot_yolov5s import SPP, FairMOTYOLOv5s, Focus
from mot.models.loading import load, shapes_of

NAME = "fairmot_yolov5s"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random numbers for three classes; our names are the official ones."""
    path = tmp_path_factory.mktemp("yolo") / "own.pth"
    torch.save({"epoch": 1, "state_dict": random_state(NAME, 3)}, path)
    return path


def test_as_many_numbers_as_the_official_file() -> None:
    shapes = {key: shape for key, shape in shapes_of(NAME, 1).items() if not key.endswith("tracked")}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 5_028_103
    assert len(shapes_of(NAME, 1)) == 334


def test_every_batchnorm_has_the_eps_that_no_file_says() -> None:
    norms = [module for module in FairMOTYOLOv5s(1).modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 53
    assert {norm.eps for norm in norms} == {1e-3}


def test_focus_takes_the_left_column_first() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    focus = Focus(1, 4)
    focus.conv = nn.Identity()  # type: ignore[assignment]
    assert focus(x).flatten().tolist() == [1, 3, 2, 4]


def test_pooling_again_and_again_is_pooling_wider() -> None:
    spp, x = SPP(4, 4), torch.randn(1, 4, 15, 11, generator=torch.Generator().manual_seed(0))
    spp.cv1, spp.cv2 = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    wide = [x, *(max_pool2d(x, size, stride=1, padding=size // 2) for size in (5, 9, 13))]
    assert torch.equal(spp(x), torch.cat(wide, dim=1))


def test_folded_at_another_size(own: Path) -> None:
    same_when_folded(own, NAME, 3, 64)


def test_any_picture() -> None:
    same_for_any_picture(NAME, 64)


def test_bfloat16(own: Path) -> None:
    runs_in_bfloat16(load(own).network)
