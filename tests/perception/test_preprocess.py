"""The letterbox and its inverse, and crops against a plain resize."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mot.models.inputs import PREPROCESS, Preprocess
from mot.opencv import cv2
from mot.perception import preprocess
from mot.perception.preprocess import (
    Letterbox,
    _cut,
    _linear_singly,
    _linear_together,
    crops,
    letterbox,
    letterbox_there,
    normalise,
    resizes_there,
)


@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.sampled_from([(608,), (416,), (608, 1088)]),
    st.sampled_from(["centre", "corner"]),
)
def test_geometry(height: int, width: int, size: tuple[int, ...], fit: Literal["centre", "corner"]) -> None:
    box = Letterbox.fit((height, width), size, Preprocess(fit=fit))
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


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.sampled_from(["linear", "area"]),
    st.sampled_from(["centre", "corner", "stretch"]),
    st.sampled_from(["rgb", "bgr"]),
)
def test_a_canvas_made_in_torch_is_the_one_made_by_cv2(
    source: tuple[int, int],
    size: tuple[int, int],
    interpolation: Literal["linear", "area"],
    fit: Literal["centre", "corner", "stretch"],
    colour: Literal["rgb", "bgr"],
) -> None:
    how = Preprocess(fit=fit, interpolation=interpolation, colour=colour, stride=4, pad=7)
    images = np.random.default_rng(0).integers(0, 256, (2, *source, 3), np.uint8)
    box, expected = letterbox(list(images), size, how)
    shrinks = box.resized[0] <= source[0] and box.resized[1] <= source[1]
    assert resizes_there(box) == (interpolation == "linear" or shrinks)
    assume(resizes_there(box))
    found = letterbox_there(torch.from_numpy(images), box)
    assert (found.shape, found.dtype) == (expected.shape, torch.uint8)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert (found.int() - expected.int()).abs().max() <= 1


def test_cubic_canvases_are_made_by_cv2_alone() -> None:
    assert not resizes_there(Letterbox.fit((90, 160), (64, 64), PREPROCESS["paddle_yolov3"]))


def test_normalise_is_scale_mean_and_deviation() -> None:
    grey = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    expected = [
        (1 - mean) / std
        for mean, std in zip(PREPROCESS["imagenet"].mean, PREPROCESS["imagenet"].std, strict=True)
    ]
    assert normalise(grey, PREPROCESS["imagenet"])[0, :, 0, 0].tolist() == pytest.approx(expected)
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
@pytest.mark.parametrize("interpolation", ["linear", "antialias"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_box_has_a_crop(box: list[float], interpolation: str, transposed: bool) -> None:
    frames = torch.full((1, 60, 80, 3), 9, dtype=torch.uint8)
    boxes = torch.tensor([box], dtype=torch.float32)
    found = crops(frames, torch.tensor([0]), boxes, (8, 4), interpolation, transposed)
    assert torch.equal(found, torch.full((1, 3, 8, 4), 9.0))


@pytest.mark.parametrize("name", sorted(PREPROCESS))
@given(st.integers(20, 1200), st.integers(20, 1200))
def test_every_way_in_has_its_way_back(name: str, height: int, width: int) -> None:
    how = PREPROCESS[name]
    box = Letterbox.fit((height, width), (320, 576), how)
    x, y = box.offset
    on_canvas = np.array([[x, y, x + box.resized[1], y + box.resized[0]]], np.float64)
    # what was rounded to whole pixels on the way in is not known to the ideal way back
    scale = min(320 / height, 576 / width)
    slack = 0 if how.inverse == "placed" else (1 if how.rounding == "down" else 0.75) / scale
    np.testing.assert_allclose(box.to_source(on_canvas), [[0, 0, width, height]], atol=slack + 1e-6)


def test_joint_boxes_come_back_as_the_official_loader_has_them() -> None:
    """Towards-Realtime-MOT: gain = min(ratios), unrounded pads, clipped at 0 only."""
    box = Letterbox.fit((576, 768), (608, 1088), PREPROCESS["jde"])
    gain = min(608 / 576, 1088 / 768)
    pad_x, pad_y = (1088 - 768 * gain) / 2, (608 - 576 * gain) / 2
    found = box.to_source(np.array([[300.0, 20, 400, 700], [0, 0, 10, 10]]))
    assert found[0].tolist() == pytest.approx(
        [(300 - pad_x) / gain, (20 - pad_y) / gain, (400 - pad_x) / gain, 700 / gain]
    )
    assert found[1].min() == 0


def test_stretched_pictures_fill_the_canvas() -> None:
    box = Letterbox.fit((100, 50), (64, 96), Preprocess(fit="stretch", stride=1))
    assert box.resized == box.canvas == (64, 96)
    np.testing.assert_allclose(box.to_source(np.array([[0.0, 0, 96, 64]])), [[0, 0, 50, 100]])


def triangles(length: int, count: int) -> NDArray[np.float64]:
    """The weights (count, length) of a resize, linear where it widens, its triangle widened where it shrinks."""
    step = length / count
    rows = []
    for i in range(count):
        weights = [max(0.0, 1 - abs(j + 0.5 - (i + 0.5) * step) / max(1.0, step)) for j in range(length)]
        rows.append(np.array(weights) / sum(weights))
    return np.stack(rows)


def test_antialiased_crops_equal_a_dense_resize_of_each_cut_out() -> None:
    """First across, then down, each rounded to whole grey values, as Pillow does."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 300, 400, 3), np.uint8)
    low = np.stack([rng.integers(0, 390, 20), rng.integers(0, 290, 20)], 1)
    xyxy = np.concatenate([low, np.minimum(low + rng.integers(1, 300, (20, 2)), [400, 300])], 1)
    owner = rng.integers(0, 2, 20)
    boxes = torch.from_numpy(xyxy.astype(np.float32))
    found = crops(torch.from_numpy(frames), torch.from_numpy(owner), boxes, (64, 32), "antialias")
    assert found.is_contiguous(memory_format=torch.channels_last)
    for picture, i, (x1, y1, x2, y2) in zip(found, owner, xyxy, strict=True):
        across = np.einsum("wx,yxc->ywc", triangles(x2 - x1, 32), frames[i, y1:y2, x1:x2].astype(float))
        down = np.einsum("hy,ywc->hwc", triangles(y2 - y1, 64), np.floor(across + 0.5))
        off = np.abs(picture.permute(1, 2, 0).numpy() - np.floor(down + 0.5))
        assert off.max() <= 1
        assert (off > 0).mean() < 0.02  # near ties only


@pytest.mark.parametrize("interpolation", ["linear", "antialias"])
def test_a_crop_does_not_depend_on_the_boxes_beside_it(
    interpolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "_PIXELS", 5000)
    rng = np.random.default_rng(1)
    frames = torch.from_numpy(rng.integers(0, 256, (1, 300, 400, 3), np.uint8))
    low = rng.uniform(-20, 380, (30, 2))
    xyxy = torch.from_numpy(np.concatenate([low, low + rng.exponential(60, (30, 2))], 1).astype(np.float32))
    owner = torch.zeros(30, dtype=torch.int64)
    together = crops(frames, owner, xyxy, (64, 32), interpolation)
    alone = [crops(frames, owner[:1], box[None], (64, 32), interpolation) for box in xyxy]
    assert torch.equal(together, torch.cat(alone))
    assert crops(frames, owner[:0], xyxy[:0], (64, 32), interpolation).shape == (0, 3, 64, 32)


def test_transposed_crops_are_those_of_paddledetection() -> None:
    """The picture becomes (W, H, 3), is cut [x1:x2, y1:y2] and resized to 64 wide, 192 high."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (100, 140, 3), np.uint8)
    xyxy = np.array([[10, 5, 30, 65], [0, 0, 140, 100]], np.float32)
    pixels, owner = torch.from_numpy(frame[None]), torch.tensor([0, 0])
    found = crops(pixels, owner, torch.from_numpy(xyxy), (192, 64), transposed=True)
    for picture, (x1, y1, x2, y2) in zip(found, xyxy.astype(int), strict=True):
        plain = cv2.resize(frame.transpose(1, 0, 2)[x1:x2, y1:y2].astype(np.float32), (64, 192))
        np.testing.assert_allclose(picture.permute(1, 2, 0).numpy(), plain, atol=0.02)


@pytest.mark.parametrize("transposed", [False, True])
def test_box_by_box_and_all_at_once_are_the_same_bits(transposed: bool) -> None:
    """What a CPU does, and what a GPU does: boxes inside, across every edge, outside, and without area."""
    rng = np.random.default_rng(3)
    pixels = torch.from_numpy(rng.integers(0, 256, (3, 70, 90, 3), np.uint8))
    corner = rng.uniform(-40, 110, (300, 2))
    side = rng.choice([0.0, 0.3, 5.0, 60.0, 200.0], (300, 2)) * rng.uniform(0.5, 1, (300, 2))
    xyxy = torch.from_numpy(np.concatenate([corner, corner + side], axis=1).astype(np.float32))
    if transposed:
        pixels = pixels.transpose(1, 2)
    owner = torch.from_numpy(rng.integers(0, 3, 300))
    rows, columns = (_cut(xyxy[:, i], xyxy[:, i + 2], pixels.shape[2 - i]) for i in (1, 0))
    cuts = torch.cat([rows, columns, owner[None]])
    singly = _linear_singly(pixels, cuts, (24, 12))
    assert torch.equal(singly, _linear_together(pixels, cuts, (24, 12)))
    assert singly.std() > 10
