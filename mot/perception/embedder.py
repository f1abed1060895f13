"""A ReID network: one appearance vector for every detection of a batch of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from mot.errors import ConfigError
from mot.perception.opening import Network
from mot.perception.preprocess import RESIZE, crops, normalise
from mot.perception.settings import EmbedderConfig
from mot.structures import Detections, Frame
from mot.timing import StageTimes


class Embedder:
    """Cuts all boxes of a batch out of their frames on the device and embeds them in chunks of one size.

    Args:
        config: the `reid` block.
        network: what `open_embedder` gave.
        times: where the time of embed is counted.

    Raises:
        ConfigError: a way of pictures that is not for cut-out boxes.
    """

    def __init__(self, config: EmbedderConfig, network: Network, times: StageTimes | None = None) -> None:
        if network.how.interpolation not in RESIZE:
            raise ConfigError(
                f"reid.preprocess: {network.how.interpolation} is for whole pictures; known: {', '.join(RESIZE)}"
            )
        self._chunk, self._network = config.chunk, network
        self._times = times or StageTimes()

    def __call__(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> list[Detections]:
        """The same detections, each with its embedding; those that have one already are left alone."""
        todo = [i for i, found in enumerate(detections) if found.embeddings is None]
        out = list(detections)
        with self._times.stage("embed"):
            counts = [len(out[i]) for i in todo]
            vectors = np.empty((0, self._network.embedding_size), np.float32)
            if sum(counts):
                vectors = self._embed([frames[i] for i in todo], [out[i] for i in todo])
            for i, part in zip(todo, np.split(vectors, np.cumsum(counts)[:-1]), strict=False):
                out[i] = replace(out[i], embeddings=part)
        return out

    @torch.inference_mode()
    def _embed(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> NDArray[np.float32]:
        """(N, E) unit vectors of all detections, frame after frame."""
        chunk, how = self._chunk, self._network.how
        pixels, place = self._network.uploads.get(frames)
        owner = np.repeat(place, [len(found) for found in detections])
        xyxy = np.concatenate([found.xyxy for found in detections]).astype(np.float32)
        # The last chunk is filled up with copies of the last box: always one size, always the same bits.
        rows = np.minimum(np.arange(-(-len(owner) // chunk) * chunk), len(owner) - 1)
        owners, boxes = torch.from_numpy(owner[rows]), torch.from_numpy(xyxy[rows])
        vectors = []
        for start in range(0, len(rows), chunk):
            some = slice(start, start + chunk)
            cut = crops(
                pixels, owners[some], boxes[some], self._network.size, how.interpolation, how.transposed
            )
            if how.colour == "rgb":
                cut = cut.flip(1)
            vectors.append(normalize(self._network.run(normalise(cut, how)).float()))
        whole: NDArray[np.float32] = torch.cat(vectors)[: len(owner)].cpu().numpy()
        return whole
