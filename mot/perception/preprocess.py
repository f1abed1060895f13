"""Pictures into the networks' input, and boxes back: one object knows the way there and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mot.models.inputs import Preprocess
from mot.opencv import cv2
from mot.perception.device import one_size, send

Image = NDArray[np.uint8]
_CV2 = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}
_PIXELS = 2**20  # of cut-outs that are resized at a time: what bounds the memory


@dataclass(frozen=True)
class Letterbox:
    """A picture resized and laid on a canvas.

    Attributes:
        canvas: height and width of the network's input.
        resized: height and width of the picture on it.
        offset: x and y of the picture's top left corner on it.
        source: height and width of the picture itself.
        how: the model's way.
        back: factor of x and y, then shift of x and y, from the canvas to the picture.
    """

    canvas: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    source: tuple[int, int]
    how: Preprocess
    back: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)

    @classmethod
    def fit(cls, source: tuple[int, int], input_size: Sequence[int], how: Preprocess) -> Letterbox:
        """The letterbox of pictures of `source` height and width.

        Args:
            source: height and width of the picture.
            input_size: one number, the length of the longer side, the canvas then being as small as the
                stride allows; or height and width of the canvas.
            how: the model's way.
        """
        bounds = (input_size[0],) * 2 if len(input_size) == 1 else (input_size[0], input_size[1])
        scale = min(bounds[0] / source[0], bounds[1] / source[1])
        whole = round if how.rounding == "nearest" else int
        resized = max(1, whole(source[0] * scale)), max(1, whole(source[1] * scale))
        smallest = resized if len(input_size) == 1 else bounds
        canvas = -(-smallest[0] // how.stride) * how.stride, -(-smallest[1] // how.stride) * how.stride
        if how.fit == "stretch":
            resized = canvas
        gaps = (canvas[1] - resized[1], canvas[0] - resized[0])
        offset = (gaps[0] // 2, gaps[1] // 2) if how.fit == "centre" else (0, 0)
        box = cls(canvas, resized, offset, source, how)
        return replace(box, back=box._ideal(scale) if how.inverse == "ideal" else box._placed())

    def _placed(self) -> tuple[float, float, float, float]:
        """Undoes what was done: picture = (canvas - offset) * source / resized."""
        x, y = self.source[1] / self.resized[1], self.source[0] / self.resized[0]
        return x, y, -self.offset[0] * x, -self.offset[1] * y

    def _ideal(self, scale: float) -> tuple[float, float, float, float]:
        """Undoes what was meant: about the two centres picture = canvas / scale; from the corner likewise."""
        if self.how.fit != "centre":
            return 1 / scale, 1 / scale, 0.0, 0.0
        x, y = self.source[1] - self.canvas[1] / scale, self.source[0] - self.canvas[0] / scale
        return 1 / scale, 1 / scale, x / 2, y / 2

    def place(self, image: Image, canvas: Image) -> None:
        """Draw `image` (source size) on `canvas` (H, W, 3)."""
        x, y = self.offset
        height, width = self.resized
        target = canvas[y : y + height, x : x + width]
        if self.resized == self.source:
            target[...] = image
        else:
            target[...] = cv2.resize(image, (width, height), interpolation=_CV2[self.how.interpolation])

    def to_source(self, xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) boxes on the canvas, as boxes in the picture."""
        boxes: NDArray[np.float64] = xyxy * (self.back[:2] * 2) + self.back[2:] * 2
        return np.maximum(boxes, 0.0) if self.how.clip else boxes


def letterbox(
    images: Sequence[Image], input_size: Sequence[int], how: Preprocess
) -> tuple[Letterbox, Tensor]:
    """Pictures of one size, as (B, 3, H, W) uint8 in the model's colour order and channels-last memory."""
    box = Letterbox.fit(one_size(images), input_size, how)
    canvases = np.full((len(images), *box.canvas, 3), how.pad, np.uint8)
    for image, canvas in zip(images, canvases, strict=True):
        box.place(image, canvas)
        if how.colour == "rgb":  # in place, and ten times as fast as a copy with the colours reversed
            cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB, dst=canvas)
    return box, torch.from_numpy(canvases).permute(0, 3, 1, 2)


def letterbox_there(pixels: Tensor, box: Letterbox) -> Tensor:
    """What `letterbox` gives, made where the pictures are.

    Grey values may be one off: cv2's linear resize rounds down on its way, and an eighth of them ends one lower.

    Args:
        pixels: (B, H, W, 3) uint8, of the size `box.source`.
        box: one that `resizes_there`.
    """
    x, y = box.offset
    height, width = box.resized
    if box.resized != box.source:
        area = box.how.interpolation == "area"
        # what is added makes whole numbers of it on the way to uint8
        pixels = _resized(_resized(pixels, 1, height, area), 2, width, area) + 0.5
    canvas = torch.full((len(pixels), *box.canvas, 3), box.how.pad, dtype=torch.uint8, device=pixels.device)
    canvas[:, y : y + height, x : x + width] = pixels
    return (canvas.flip(3) if box.how.colour == "rgb" else canvas).permute(0, 3, 1, 2)


def resizes_there(box: Letterbox) -> bool:
    """Whether `letterbox_there` knows the way: not cubic, nor cv2's area where the picture grows."""
    shrinks = all(new <= old for new, old in zip(box.resized, box.source, strict=True))
    return box.how.interpolation == "linear" or (box.how.interpolation == "area" and shrinks)


def _resized(pixels: Tensor, dim: int, count: int, area: bool) -> Tensor:
    """(B, H, W, 3) float32 in 0..255 with `count` pixels along `dim`."""
    taps, weights = _stencil(pixels.shape[dim], count, area, pixels.device)
    shape = [-1 if i == dim else 1 for i in range(4)]
    total = torch.zeros((), device=pixels.device)
    for tap, weight in zip(taps, weights, strict=True):
        total = total + pixels.index_select(dim, tap) * weight.view(shape)
    return total


@lru_cache(maxsize=32)  # else every batch would send them to the device again
def _stencil(length: int, count: int, area: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of `count` pixels out of `length` the p it is made of, (p, count) int64, and their weights, float32.

    step = length / count;  linear:  c_i = (i + 1/2) step - 1/2, between the two pixels around it
    area:  w_ij = how much of pixel j = [j, j + 1] lies in [i step, (i + 1) step], over step
    """
    step = length / count
    i = np.arange(count)
    if area:
        low, high = i * step, (i + 1) * step
        taps = np.floor(low) + np.arange(int(np.ceil(step)) + 1)[:, None]
        weights = (np.minimum(high, taps + 1) - np.maximum(low, taps)).clip(0) / step
    else:
        centre = ((i + 0.5) * step - 0.5).clip(0, length - 1)
        taps = np.floor(centre) + np.arange(2)[:, None]
        weights = 1 - np.abs(centre - taps)
    taps = taps.clip(0, length - 1).astype(np.int64)
    return torch.from_numpy(taps).to(device), torch.from_numpy(weights.astype(np.float32)).to(device)


def normalise(pixels: Tensor, how: Preprocess) -> Tensor:
    """(B, 3, H, W) 0..255 as the float32 numbers the model was trained on."""
    x = pixels.to(torch.float32)  # a copy, unless it is float32 already: crops, which nobody keeps
    if how.scale != 1.0:
        x = x.div_(how.scale)
    if how.mean != (0.0, 0.0, 0.0):
        x -= _channels(how.mean, x.device)
    if how.std != (1.0, 1.0, 1.0):
        x /= _channels(how.std, x.device)
    return x


@lru_cache(maxsize=32)
def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A number for each channel, as (3, 1, 1)."""
    return torch.tensor(values, device=device)[:, None, None]


def crops(
    pixels: Tensor,
    owner: Tensor,
    xyxy: Tensor,
    size: Sequence[int],
    interpolation: str = "linear",
    transposed: bool = False,
) -> Tensor:
    """Boxes cut out of pictures and resized, all at once, on whatever device the pictures are.

    The boxes come from the host: what has to be known of them one by one is known without waiting for a device.

    Bilinear with half-pixel centres. A box is cut at the picture's edge; of one without area in the picture,
    the nearest pixels are taken, so that every box has a crop.

    Args:
        pixels: (B, H, W, 3) uint8.
        owner: (N,) int64, the picture of each box; on the host.
        xyxy: (N, 4) float32, pixels; on the host.
        size: height and width of a crop.
        interpolation: `linear` or `antialias`, as in `Preprocess` (`area` is for whole pictures).
        transposed: the picture's x runs down the crop.

    Returns:
        (N, 3, height, width) float32 in 0..255, whole numbers if antialiased; channels-last memory.
    """
    if transposed:
        pixels, xyxy = pixels.transpose(1, 2), xyxy[:, [1, 0, 3, 2]]
    rows = _cut(xyxy[:, 1], xyxy[:, 3], pixels.shape[1])
    columns = _cut(xyxy[:, 0], xyxy[:, 2], pixels.shape[2])
    return RESIZE[interpolation](pixels, torch.cat([rows, columns, owner[None]]), size).permute(0, 3, 1, 2)


def _cut(low: Tensor, high: Tensor, limit: int) -> Tensor:
    """(4, N): the cuts from `low` to `high` (N,), inside the picture, and their first and last pixel."""
    low, high = low.clamp(0, limit), high.clamp(0, limit)
    first = low.floor().clamp(max=limit - 1)
    return torch.stack([low, high, first, torch.maximum(high.ceil() - 1, first)])


def _linear(pixels: Tensor, cuts: Tensor, size: Sequence[int]) -> Tensor:
    """(N, height, width, 3): every pixel from the four around its centre."""
    together = pixels.device.type != "cpu"
    return _linear_together(pixels, cuts, size) if together else _linear_singly(pixels, cuts, size)


def _linear_singly(pixels: Tensor, cuts: Tensor, size: Sequence[int]) -> Tensor:
    """Box by box, first across, on the rows that are in the box, then down: twenty times as fast on a CPU."""
    y0, y1, wy = _taps(cuts[:4], size[0])
    x0, x1, wx = _taps(cuts[4:8], size[1])
    crop = torch.empty((cuts.shape[1], *size, 3))
    bounds = torch.stack([cuts[8].long(), y0[:, 0], y1[:, -1] + 1, x0[:, 0], x1[:, -1] + 1], dim=1)
    for i, (owner, top, bottom, left, right) in enumerate(bounds.tolist()):
        cut = pixels[owner, top:bottom, left:right].to(torch.float32)
        west, east = (cut.index_select(1, x[i] - left) for x in (x0, x1))
        across = torch.lerp(west, east, wx[i, :, None])
        north, south = (across.index_select(0, y[i] - top) for y in (y0, y1))
        torch.lerp(north, south, wy[i, :, None, None], out=crop[i])
    return crop


def _linear_together(pixels: Tensor, cuts: Tensor, size: Sequence[int]) -> Tensor:
    """All boxes at once, without a loop, with the same bits."""
    cuts = send(cuts, pixels.device)
    y0, y1, wy = _taps(cuts[:4], size[0])
    x0, x1, wx = _taps(cuts[4:8], size[1])
    row = cuts[8].long()[:, None, None]

    def at(y: Tensor, x: Tensor) -> Tensor:
        return pixels[row, y[:, :, None], x[:, None, :]].to(torch.float32)

    wx, wy = wx[:, None, :, None], wy[:, :, None, None]
    top = torch.lerp(at(y0, x0), at(y0, x1), wx)
    bottom = torch.lerp(at(y1, x0), at(y1, x1), wx)
    return torch.lerp(top, bottom, wy)


def _taps(cut: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """For `count` samples of a cut: the two pixels beside each, and the weight of the second."""
    low, high, first, last = cut[..., None]
    centre = torch.arange(count, device=cut.device, dtype=cut.dtype) + 0.5
    position = low + centre * ((high - low) / count) - 0.5
    # the crop ends at its own edge: beyond it the pixel at the edge is repeated, as a resize of the cut-out does
    position = torch.minimum(torch.maximum(position, first), last)
    before = position.floor()
    return before.long(), torch.minimum(before + 1, last).long(), position - before


def _antialiased(pixels: Tensor, cuts: Tensor, size: Sequence[int]) -> Tensor:
    """(N, height, width, 3), as Pillow's bilinear resize: across, then down, each rounded to whole grey values."""
    height, width = size
    crop = torch.empty((cuts.shape[1], height, width, 3), device=pixels.device)
    for some, tallest, widest in _alike(cuts):
        here = send(torch.cat([cuts[:, some], torch.tensor([some])]), pixels.device)
        owner, place = here[8:].long()
        across, x = _triangles(here[4:8], width, widest)
        down, y = _triangles(here[:4], height, tallest)
        cut = pixels[owner[:, None, None], y[:, None, :], x[:, :, None]].to(torch.float32)
        narrow = _rounded(across @ cut.flatten(2)).view(len(some), width, -1, 3)
        made = _rounded(down @ narrow.transpose(1, 2).flatten(2)).view(len(some), height, width, 3)
        crop[place] = made
    return crop


def _triangles(cut: Tensor, count: int, longest: int) -> tuple[Tensor, Tensor]:
    """For `count` samples of each of n cuts, the weight of every pixel (n, count, p), and the pixels (n, p).

    w_ij ~ max(0, 1 - |j + 1/2 - c_i| / max(1, step)),  c_i = (i + 1/2) step,  counted from the cut's first pixel

    A weight is a multiple of 2^-16, and a grey value a whole number, so that sums of their products are exact in
    float32: no crop depends on the order of the sum, nor on the longer cuts beside it. p is `longest`.
    """
    low, high, first, last = cut[..., None, None]
    step = (high - low) / count
    centre = low - first + (torch.arange(count, device=cut.device)[:, None] + 0.5) * step
    pixel = torch.arange(longest, device=cut.device)
    weight = (1 - (pixel + 0.5 - centre).abs() / step.clamp(min=1)).clamp(min=0) * (pixel <= last - first)
    # of multiples of 2^-24, as these are, a sum in float64 is exact as well
    share = weight / weight.sum(2, keepdim=True, dtype=torch.float64)
    return (share * 2**16).round().to(torch.float32) / 2**16, torch.minimum(first + pixel, last)[:, 0].long()


def _alike(cuts: Tensor) -> Iterator[tuple[list[int], int, int]]:
    """The boxes by size, in groups that take at most `_PIXELS`, each filled up to the largest of its group.

    With each group how tall and how wide that is, in pixels.
    """
    sizes = torch.stack([cuts[3] - cuts[2], cuts[7] - cuts[6]], dim=1).add(1).long().tolist()
    group: list[int] = []
    tallest = widest = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i][0] * sizes[i][1]):
        taller, wider = max(tallest, sizes[i][0]), max(widest, sizes[i][1])
        if group and (len(group) + 1) * taller * wider > _PIXELS:
            yield group, tallest, widest
            group, (taller, wider) = [], sizes[i]
        group.append(i)
        tallest, widest = taller, wider
    if group:
        yield group, tallest, widest


def _rounded(grey: Tensor) -> Tensor:
    return grey.add_(0.5).floor_()


RESIZE = {"linear": _linear, "antialias": _antialiased}
