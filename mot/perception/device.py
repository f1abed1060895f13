"""The way to a device and back: a batch's pictures go up once, its results come down once.

On a CUDA device both go through pinned memory. It comes from a cache of torch's, which gives it out again for the
next batch, and never while a copy out of it is under way. Elsewhere nothing is copied that need not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mot.errors import InputError
from mot.structures import Frame


class Uploads:
    """Remembers the last batch of pictures that went up, so that detector and embedder share it.

    It knows frames, not arrays: a camera may fill the same array again and again. It keeps no frame alive, and the
    pictures go with their frames. Two threads may use it; the worst they do to each other is a second upload.

    Args:
        device: where the pictures go.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._held: WeakKeyDictionary[Frame, tuple[Tensor, int]] = WeakKeyDictionary()
        self._side: torch.cuda.Stream | None = None

    def put(self, frames: Sequence[Frame]) -> Tensor:
        """The pictures of `frames`, all of one size, as (B, H, W, 3) uint8 BGR on the device, for `get` to find."""
        pixels = self._upload(pictures(frames))
        # a new dictionary in one step, so that no thread sees half of a batch
        self._held = WeakKeyDictionary({frame: (pixels, row) for row, frame in enumerate(frames)})
        return pixels

    def get(self, frames: Sequence[Frame]) -> tuple[Tensor, NDArray[np.int64]]:
        """Pictures on the device, and which of them each frame's is: those put last, if all `frames` are there."""
        held = self._held
        found = [held.get(frame) for frame in frames]
        known = [entry for entry in found if entry is not None]
        if known and len(known) == len(frames):
            return known[0][0], np.array([row for _, row in known])
        return self._upload(pictures(frames)), np.arange(len(frames))

    def _upload(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """On CUDA in a stream of its own: the copy need not wait for what is still being computed."""
        shape = (len(images), *one_size(images), 3)
        if self._device.type != "cuda":
            return torch.from_numpy(np.stack(images)).to(self._device)
        pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        np.stack(images, out=pinned.numpy())
        side = self._side = self._side or torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(side):
            pixels = pinned.to(self._device, non_blocking=True)
        main = torch.cuda.current_stream(self._device)
        main.wait_stream(side)
        pixels.record_stream(main)  # else its memory could serve the next upload while it is still read
        return pixels


def pictures(frames: Sequence[Frame]) -> list[NDArray[np.uint8]]:
    """The images of `frames`, which a network cannot do without."""
    images = [frame.image for frame in frames if frame.image is not None]
    if len(images) < len(frames):
        raise InputError("image: a network needs pictures, and this source has none (a detection file alone)")
    return images


def one_size(images: Sequence[NDArray[np.uint8]]) -> tuple[int, int]:
    """Height and width of every one of `images`."""
    height, width, _ = images[0].shape
    if any(image.shape != images[0].shape for image in images):
        raise InputError("image: the pictures of a batch must have one size")
    return height, width


def send(values: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the host on the device, without waiting for it to arrive."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def fetch(values: Tensor) -> NDArray[np.float32]:
    """A float32 tensor as an array: of a CUDA device one copy and one wait, for all that was asked of it so far.

    The array may lie in pinned memory, of which there is little: what is kept longer than a batch is to be copied.
    """
    if values.is_cuda:
        pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        pinned.copy_(values, non_blocking=True)
        torch.cuda.current_stream(values.device).synchronize()
        values = pinned
    array: NDArray[np.float32] = values.cpu().numpy()
    return array
