"""A camera before a still scene: pictures of known motions."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot.opencv import cv2

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

MARGIN = 0.15  # of the width, on all sides: how far the scene goes on beyond the first picture
GRAINS = (2, 4, 8, 16, 32, 64)  # pixels between the random values that are laid over each other


class Motion(NamedTuple):
    """From one picture to the next, about the picture's middle."""

    right: float = 0.0  # share of the width
    down: float = 0.0  # share of the width
    zoom: float = 1.0
    degrees: float = 0.0

    def warp(self, width: int, height: int) -> Array:
        """(2, 3) from the pixels of one picture to those of the next."""
        angle, middle = math.radians(self.degrees), np.array([width - 1, height - 1]) / 2
        a, b = self.zoom * math.cos(angle), self.zoom * math.sin(angle)
        linear = np.array([[a, -b], [b, a]])
        return np.column_stack([linear, middle - linear @ middle + width * np.array([self.right, self.down])])


@cache
def scene(width: int, height: int, seed: int = 0) -> Image:
    """A textured scene, larger by the margin than the picture: noise of all sizes, and things with edges."""
    rng, margin = np.random.default_rng(seed), _margin(width)
    size = width + 2 * margin, height + 2 * margin
    layers = [rng.standard_normal((size[1] // grain + 2, size[0] // grain + 2)) for grain in GRAINS]
    total = np.zeros(size[::-1], np.float32)
    for grain, layer in zip(GRAINS, layers, strict=True):
        total += math.sqrt(grain) * cv2.resize(layer.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    total = 120 + 40 * total / total.std()
    for _ in range(40):
        (x, y), side = rng.integers(0, size), int(rng.integers(width // 40, width // 10))
        total[y : y + side, x : x + side] += rng.choice([-60, 60])
    return np.repeat(np.clip(total, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def shot(width: int, height: int, warp: ArrayLike = ((1, 0, 0), (0, 1, 0)), seed: int = 0) -> Image:
    """The picture (height, width, 3) after the camera moved by `warp` from where it stood first."""
    back = np.eye(3)
    back[:2, 2] = -_margin(width)
    whole = np.asarray(warp) @ back
    return np.asarray(
        cv2.warpAffine(scene(width, height, seed), whole, (width, height), flags=cv2.INTER_CUBIC), np.uint8
    )


def corner_error(warp: Array, truth: Array, width: int, height: int) -> float:
    """Pixels by which the worst corner of the picture is put wrong."""
    corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
    return float(np.hypot(*((warp - truth) @ corners)).max())


def _margin(width: int) -> int:
    return round(MARGIN * width)
