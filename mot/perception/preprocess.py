"""Pictures into the networks' input, and boxes back: one object knows the way there and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mot.models.spec import Preprocess
from mot.opencv import cv2

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Letterbox:
    """A picture scaled with its aspect kept, and laid on a canvas.

    Attributes:
        canvas: height and width of the network's input.
        resized: height and width of the picture on it.
        offset: x and y of the picture's top left corner on it.
        source: height and width of the picture itself.
    """

    canvas: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    source: tuple[int, int]

    @classmethod
    def fit(cls, source: tuple[int, int], input_size: Sequence[int], how: Preprocess) -> Letterbox:
        """The letterbox of pictures of `source` height and width.

        Args:
            source: height and width of the picture.
            input_size: one number, the length of the longer side, the canvas then being as small as the
                stride allows; or height and width of the canvas.
            how: anchor and stride of the model.
        """
        height, width = source
        bounds = (input_size[0],) * 2 if len(input_size) == 1 else (input_size[0], input_size[1])
        scale = min(bounds[0] / height, bounds[1] / width)
        resized = max(1, round(height * scale)), max(1, round(width * scale))
        smallest = resized if len(input_size) == 1 else bounds
        canvas = tuple(-(-side // how.stride) * how.stride for side in smallest)
        gap = (canvas[1] - resized[1], canvas[0] - resized[0])
        offset = (gap[0] // 2, gap[1] // 2) if how.centred else (0, 0)
        return cls((canvas[0], canvas[1]), resized, offset, (height, width))

    def place(self, image: Image, canvas: Image) -> None:
        """Draw `image` (source size) on `canvas` (H, W, 3)."""
        x, y = self.offset
        height, width = self.resized
        target = canvas[y : y + height, x : x + width]
        if self.resized == self.source:
            target[...] = image
        else:
            target[...] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)

    def to_source(self, xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) boxes on the canvas, as boxes in the picture."""
        offset = np.array(self.offset * 2)
        scale = np.array([self.source[1] / self.resized[1], self.source[0] / self.resized[0]] * 2)
        boxes: NDArray[np.float64] = (xyxy - offset) * scale
        return boxes


def letterbox(
    images: Sequence[Image], input_size: Sequence[int], how: Preprocess
) -> tuple[Letterbox, Tensor]:
    """Pictures of one size, as (B, 3, H, W) uint8 in the model's colour order and channels-last memory."""
    first = images[0].shape
    box = Letterbox.fit((first[0], first[1]), input_size, how)
    canvases = np.full((len(images), *box.canvas, 3), how.pad, np.uint8)
    for image, canvas in zip(images, canvases, strict=True):
        box.place(image, canvas)
    if how.colour == "rgb":
        canvases = np.ascontiguousarray(canvases[..., ::-1])
    return box, torch.from_numpy(canvases).permute(0, 3, 1, 2)


def normalise(pixels: Tensor, how: Preprocess) -> Tensor:
    """(B, 3, H, W) 0..255 as the float32 numbers the model was trained on."""
    x = pixels.to(torch.float32).div_(255.0)
    if how.mean != (0.0, 0.0, 0.0):
        x -= torch.tensor(how.mean, device=x.device)[:, None, None]
    if how.std != (1.0, 1.0, 1.0):
        x /= torch.tensor(how.std, device=x.device)[:, None, None]
    return x


def crops(pixels: Tensor, owner: Tensor, xyxy: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes cut out of pictures and resized, all at once, on whatever device the pictures are.

    Bilinear with half-pixel centres. A box is cut at the picture's edge; of one without area in the picture,
    the nearest pixels are taken, so that every box has a crop.

    Args:
        pixels: (B, H, W, 3) uint8.
        owner: (N,) int64, the picture of each box.
        xyxy: (N, 4) float32, pixels.
        size: height and width of a crop.

    Returns:
        (N, 3, height, width) float32 in 0..255, channels-last memory.
    """
    y0, y1, wy = _taps(xyxy[:, 1], xyxy[:, 3], size[0], pixels.shape[1])
    x0, x1, wx = _taps(xyxy[:, 0], xyxy[:, 2], size[1], pixels.shape[2])
    row = owner[:, None, None]

    def at(y: Tensor, x: Tensor) -> Tensor:
        return pixels[row, y[:, :, None], x[:, None, :]].to(torch.float32)

    wx, wy = wx[:, None, :, None], wy[:, :, None, None]
    top = torch.lerp(at(y0, x0), at(y0, x1), wx)
    bottom = torch.lerp(at(y1, x0), at(y1, x1), wx)
    return torch.lerp(top, bottom, wy).permute(0, 3, 1, 2)


def _taps(low: Tensor, high: Tensor, count: int, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """For `count` samples from `low` to `high` (N,): the two pixels beside each, and the weight of the second."""
    low, high = low.clamp(0, limit), high.clamp(0, limit)
    step = (high - low)[:, None] / count
    centre = torch.arange(count, device=low.device, dtype=low.dtype) + 0.5
    position = low[:, None] + centre * step - 0.5
    # the crop ends at its own edge: beyond it the pixel at the edge is repeated, as a resize of the cut-out does
    first = low.floor()[:, None]
    last = torch.maximum(high.ceil()[:, None] - 1, first)
    position = torch.minimum(torch.maximum(position, first), last).clamp(0, limit - 1)
    before = position.floor()
    after = torch.minimum(before + 1, last).clamp(0, limit - 1)
    return before.long(), after.long(), position - before
