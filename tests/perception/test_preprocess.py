"""The letterbox and its inverse, and crops against a plain resize."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mot.models.spec import IMAGENET, Preprocess
from mot.opencv import cv2
from mot.perception.preprocess import Letterbox, crops, letterbox, normalise


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([(608,), (416,), (608, 1088)]), st.booleans()
)
def test_geometry(height: int, width: int, size: tuple[int, ...], centred: bool) -> None:
    box = Letterbox.fit((height, width), size, Preprocess(centred=centred))
    assert all(side % 32 == 0 for side in box.canvas)
    assert all(0 < inner <= outer for inner, outer in zip(box.resized, box.canvas, strict=True))
    if len(size) == 1:
        assert max(box.resized) == size[0]
        assert all(outer - inner < 32 for inner, outer in zip(box.resized, box.canvas, strict=True))
    x, y = box.offset
    corners = np.array([[x, y, x + box.resized[1], y + box.resized[0]]], np.float64)
    np.testing.assert_allclose(box.to_source(corners), [[0, 0, width, height]], atol=1e-9)


def test_pixels_land_where_the_boxes_say() -> None:
    image = np.zeros((90, 200, 3), np.uint8)
    image[30:60, 100:150] = (10, 20, 200)  # BGR
    box, pixels = letterbox([image, image], (100,), Preprocess(pad=7))
    assert pixels.shape == (2, 3, 64, 128)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    red = pixels[1, 0].numpy()  # RGB
    ys, xs = np.nonzero(red > 100)
    found = box.to_source(np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float64))
    np.testing.assert_allclose(found, [[100, 30, 150, 60]], atol=1.5)
    assert red[0, 0] == 7


def test_normalise_is_scale_mean_and_deviation() -> None:
    grey = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    expected = [(1 - mean) / std for mean, std in zip(IMAGENET.mean, IMAGENET.std, strict=True)]
    assert normalise(grey, IMAGENET)[0, :, 0, 0].tolist() == pytest.approx(expected)
    assert normalise(grey, Preprocess()).max().item() == 1


def test_crops_equal_a_resize_of_the_cut_out() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (2, 60, 80, 3), np.uint8)
    xyxy = np.array([[10, 5, 30, 45], [0, 0, 80, 60], [50, 20, 62, 31]], np.float32)
    owner = np.array([0, 1, 1])
    found = crops(torch.from_numpy(frames), torch.from_numpy(owner), torch.from_numpy(xyxy), (48, 24))
    assert found.shape == (3, 3, 48, 24)
    for picture, i, (x1, y1, x2, y2) in zip(found, owner, xyxy.astype(int), strict=True):
        cut = frames[i, y1:y2, x1:x2].astype(np.float32)
        plain = cv2.resize(cut, (24, 48), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(picture.permute(1, 2, 0).numpy(), plain, atol=0.02)


@pytest.mark.parametrize(
    "box",
    [[-50, -50, -10, -10], [200, 200, 300, 300], [20, 20, 20, 20], [-5, 10, 30, 1000], [79.9, 59.9, 80, 60]],
)
def test_every_box_has_a_crop(box: list[float]) -> None:
    frames = torch.full((1, 60, 80, 3), 9, dtype=torch.uint8)
    found = crops(frames, torch.tensor([0]), torch.tensor([box], dtype=torch.float32), (8, 4))
    assert torch.equal(found, torch.full((1, 3, 8, 4), 9.0))
