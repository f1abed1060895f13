"""PCB-Pyramid against the official network's answers, its parts against a plain loop."""

import pytest
import torch
from embedders import floats
from torch.nn.functional import avg_pool2d, max_pool2d

from mot.errors import InputError
from mot.models.pcb_pyramid_r101 import PARTS, PCB_PYRAMID_R101, PCBPyramid, parts

SPEC = PCB_PYRAMID_R101["pcb_pyramid_r101"]


def test_size() -> None:
    """The file's 21 classifiers of 751 people are not ours."""
    assert floats(SPEC) + 21 * 129 * 751 == 50_158_427
    assert SPEC.embedding_size == 2688


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_parts_are_one_to_six_stripes_that_touch(rows: int) -> None:
    x = torch.randn(2, 4, 6 * rows, 3)
    expected = []
    for size in (1, 2, 3, 4, 5, 6):
        for start in range(7 - size):
            cut = x[:, :, start * rows : (start + size) * rows]
            kernel = (size * rows, 3)
            expected.append(avg_pool2d(cut, kernel) + max_pool2d(cut, kernel))
    found = parts(x)
    assert len(expected) == len(PARTS) == 21
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(parts(x.contiguous(memory_format=torch.channels_last)), found)


def test_a_height_that_is_no_six_stripes_is_refused() -> None:
    with torch.device("meta"):
        network, x = PCBPyramid().eval(), torch.zeros(1, 3, 128, 64)
        assert network(torch.zeros(1, 3, 192, 64)).shape == (1, 2688)
        with pytest.raises(InputError, match="128 px high, not a multiple of 96"):
            network(x)


def test_the_last_stage_does_not_shrink() -> None:
    with torch.device("meta"):
        (last,) = PCBPyramid().eval().maps(torch.zeros(4, 3, 192, 64))
    assert last.shape == (4, 2048, 12, 4)


def test_paddle_names() -> None:
    with torch.device("meta"):
        names = set(PCBPyramid().state_dict())
    blocks = {name.split(".")[1] for name in names if name.startswith("base.res")}
    assert len(blocks) == 33
    assert {"res2c", "res3d", "res4a", "res4b1", "res4b22", "res5c"} <= blocks
    assert {"base.res4b14.conv1._batch_norm.running_mean", "pyramid_conv_list0.20.0.bias"} <= names
