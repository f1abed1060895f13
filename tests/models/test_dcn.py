"""Deformable convolution against a naive loop and against what it is without offsets."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

from mot.models.dcn import DeformConv, deform_conv2d
from mot.models.folding import fold_batchnorm

Floats = NDArray[np.float64]


def bilinear(plane: Floats, y: float, x: float) -> float:
    """The four pixels around a place, weighted; those outside are zero."""
    height, width = plane.shape
    total = 0.0
    for i, j in product((int(np.floor(y)), int(np.floor(y)) + 1), (int(np.floor(x)), int(np.floor(x)) + 1)):
        if 0 <= i < height and 0 <= j < width:
            total += (1 - abs(y - i)) * (1 - abs(x - j)) * float(plane[i, j])
    return total


def naive(x: Floats, offsets: Floats, masks: Floats, weight: Floats, bias: Floats) -> Floats:
    batch, channels, height, width = x.shape
    y = np.tile(bias[None, :, None, None], (batch, 1, height, width))
    for b, i, j, k in product(range(batch), range(height), range(width), range(9)):
        row = i + k // 3 - 1 + offsets[b, 2 * k, i, j]
        column = j + k % 3 - 1 + offsets[b, 2 * k + 1, i, j]
        for c in range(channels):
            y[b, :, i, j] += weight[:, c, k // 3, k % 3] * masks[b, k, i, j] * bilinear(x[b, c], row, column)
    return y


def inputs(batch: int, channels: int, height: int, width: int, out: int, spread: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(height * width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return [
        normal(batch, channels, height, width),
        spread * normal(batch, 18, height, width),
        normal(batch, 9, height, width).sigmoid(),
        normal(out, channels, 3, 3),
        normal(out),
    ]


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 5, 7), (8, 6, 4), (4, 1, 5), (4, 5, 1)])
@pytest.mark.parametrize("spread", [0.5, 3.0, 1e6])
def test_equal_to_a_naive_loop(channels: int, height: int, width: int, spread: float) -> None:
    given = inputs(2, channels, height, width, 4, spread)
    expected = naive(*(value.double().numpy() for value in given))
    ours = deform_conv2d(*given).numpy()
    assert np.abs(ours - expected).max() / np.abs(expected).max() < 1e-5


def test_without_offsets_it_is_a_convolution() -> None:
    x, offsets, masks, weight, bias = inputs(2, 8, 9, 300, 4, 0.0)
    expected = conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(
        deform_conv2d(x, offsets, torch.ones_like(masks), weight, bias), expected, atol=1e-3, rtol=0
    )


def test_places_are_exact_in_bfloat16() -> None:
    x, offsets, masks, weight, bias = (value.bfloat16() for value in inputs(1, 4, 3, 600, 4, 0.0))
    ours = deform_conv2d(x, offsets, torch.ones_like(masks), weight, bias)
    assert ours.dtype == torch.bfloat16
    expected = conv2d(x.float(), weight.float(), bias.float(), padding=1)
    torch.testing.assert_close(ours.float(), expected, atol=0.2, rtol=0)


@pytest.mark.parametrize(("channel", "shift"), [(8, (1, 0)), (9, (0, 1))])
def test_of_an_offset_down_comes_first_then_right(channel: int, shift: tuple[int, int]) -> None:
    x, offsets, masks, weight, bias = inputs(1, 4, 6, 6, 4, 0.0)
    weight.zero_()[:, :, 1, 1] = torch.eye(4)  # the tap in the middle only: number 4, so channels 8 and 9
    offsets[:, channel] = 1.0
    ours = deform_conv2d(x, offsets, torch.ones_like(masks), weight, torch.zeros_like(bias))
    down, right = shift
    torch.testing.assert_close(ours[:, :, : 6 - down, : 6 - right], x[:, :, down:, right:], atol=1e-5, rtol=0)
    assert ours[:, :, 6 - down :].abs().sum() + ours[:, :, :, 6 - right :].abs().sum() < 1e-3


def test_masks_are_sigmoids_of_the_last_nine_channels() -> None:
    layer = DeformConv(4, 6).eval()
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        layer.conv_offset_mask.weight.zero_()
        assert layer.conv_offset_mask.bias is not None
        layer.conv_offset_mask.bias.zero_()[18:] = 1.0
        whole = conv2d(x, layer.conv.weight, padding=1)
        scaled = whole / (1 + np.exp(-1)) + layer.conv.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
        expected = torch.relu(layer.norm(scaled))
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=0)


def test_folding_reaches_the_batchnorm() -> None:
    layer = DeformConv(4, 6)
    for value in (*layer.parameters(), *layer.buffers()):
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.1, 1.0)
    layer.eval().requires_grad_(False)
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    before = layer(x)
    fold_batchnorm(layer)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in layer.modules())
    torch.testing.assert_close(layer(x), before, atol=1e-4, rtol=1e-5)
