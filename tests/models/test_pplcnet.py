"""PP-LCNet against the official network's answers, its layers against plain formulas."""

import pytest
import torch
from embedders import fitted, floats, random

from mot.models.folding import fold_batchnorm
from mot.models.pplcnet import PPLCNET, PPLCNet, Squeeze

SPEC = PPLCNET["pplcnet"]


def test_size() -> None:
    assert floats(SPEC) == 8_419_792


def test_squeeze() -> None:
    squeeze, x = Squeeze(8), torch.randn(2, 8, 5, 3)
    s = squeeze.state_dict()
    narrow = x.mean((2, 3)) @ s["conv1.weight"][:, :, 0, 0].T + s["conv1.bias"]
    wide = narrow.clamp(min=0) @ s["conv2.weight"][:, :, 0, 0].T + s["conv2.bias"]
    weight = (wide / 6 + 0.5).clamp(0, 1)  # paddle's hard sigmoid
    torch.testing.assert_close(squeeze(x), x * weight[:, :, None, None])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_mean_goes_through_one_more_convolution_and_a_linear_layer() -> None:
    network = random(PPLCNet())
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        (last,) = network.maps(x)  # type: ignore[operator]
        state = network.state_dict()
        wide = last.mean((2, 3)) @ state["backbone.last_conv.weight"][:, :, 0, 0].T
        wide = wide * (wide + 3).clamp(0, 6) / 6
        expected = wide @ state["neck.fc.weight"].T + state["neck.fc.bias"]
        found = network(x)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        traced = torch.jit.trace(network, x, check_trace=False)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(traced(x[:1]), found[:1], atol=1e-6, rtol=1e-4)
        fold_batchnorm(network)
        torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-3)
        half = network.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert last.shape == (2, 1280, 3, 2)
    assert half.dtype == torch.float32
    assert (half - found).abs().max() < 0.1 * found.abs().max()


def test_paddle_names() -> None:
    """A file of the whole architecture has `reid.` before each name; a linear layer is (in, out) there."""
    network = random(PPLCNet())
    state = {}
    for key, value in network.state_dict().items():
        name = key.replace("running_mean", "_mean").replace("running_var", "_variance")
        if "num_batches" not in key:
            state[f"reid.{name}"] = (value.T if key == "neck.fc.weight" else value).numpy()
    assert state["reid.neck.fc.weight"].shape == (1280, 512)
    again = fitted(SPEC, state)
    x = torch.randn(1, 3, 64, 32)
    with torch.inference_mode():
        assert torch.equal(again(x), network(x))
    del state["reid.backbone.blocks6.1.se.conv2.bias"]
    with pytest.raises(RuntimeError, match=r"blocks6\.1\.se\.conv2\.bias"):
        fitted(SPEC, state)
