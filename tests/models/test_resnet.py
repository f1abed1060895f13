"""ResNet50 as an embedder: names, sizes, and the BatchNorm that does not shift."""

import pytest
import torch
from embedders import fitted, floats, random

from mot.models.resnet import RESNET, Bottleneck, ResNet50Embedding

SPEC = RESNET["resnet50_reid"]


def test_size_and_names() -> None:
    with torch.device("meta"):
        state = ResNet50Embedding().state_dict()
    named = {name for name in state if "num_batches" not in name}
    assert (len(named), floats(SPEC)) == (268, 23_567_296)
    assert "base.res4f.conv2._conv.weight" in named
    assert "bn.bias" not in named


def test_the_stride_is_the_middle_convolutions() -> None:
    block = Bottleneck(8, 4, 2, first=True)
    strides = [conv.stride for name, conv in block.named_modules() if isinstance(conv, torch.nn.Conv2d)]
    assert strides == [(1, 1), (2, 2), (1, 1), (2, 2)]


@pytest.mark.parametrize("older", [False, True])
def test_an_own_file_fits(older: bool) -> None:
    """Older Paddle saved the shift of the last BatchNorm, which stays zero."""
    network = random(ResNet50Embedding())
    state = {
        key.replace("running_mean", "_mean").replace("running_var", "_variance"): value.numpy()
        for key, value in network.state_dict().items()
        if "num_batches" not in key
    }
    again = fitted(SPEC, state | ({"bn.bias": state["bn._mean"] * 0} if older else {}))
    x = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        (last,) = again.maps(x)  # type: ignore[operator]
        found = again(x)
        assert torch.equal(found, network(x))
    scale, mean, var = (torch.from_numpy(state[f"bn.{key}"]) for key in ("weight", "_mean", "_variance"))
    expected = scale * (last.mean((2, 3)) - mean) / torch.sqrt(var + 1e-5)
    assert last.shape == (1, 2048, 4, 2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
