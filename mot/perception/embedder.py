"""A ReID network: one appearance vector for every detection of a batch of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mot.models.registry import model
from mot.perception.detector import pictures
from mot.perception.preprocess import crops, normalise
from mot.perception.settings import EmbedderConfig
from mot.structures import Detections, Frame
from mot.timing import StageTimes


class Embedder:
    """Cuts all boxes of a batch out of their frames on the device and embeds them in chunks of one size.

    Args:
        config: the `reid` block.
        weights: a file for `config.model`.
        device: where the network runs.
        times: where the time of embed is counted.

    Raises:
        ConfigError: unknown model.
        WeightsError: the file is not for this model.
    """

    def __init__(
        self, config: EmbedderConfig, weights: Path, device: torch.device, times: StageTimes | None = None
    ) -> None:
        spec = model(config.model, "reid")
        self._config, self._how, self._size = config, spec.preprocess, spec.embedding_size
        self._device, self._times = device, times or StageTimes()
        network = spec.load(weights)
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> list[Detections]:
        """The same detections, each with its embedding; those that have one already are left alone."""
        if all(found.embeddings is not None for found in detections):
            return list(detections)
        with self._times.stage("embed"):
            counts = [len(found) for found in detections]
            vectors = (
                self._embed(frames, detections) if sum(counts) else np.empty((0, self._size), np.float32)
            )
            parts = np.split(vectors, np.cumsum(counts)[:-1])
            return [replace(found, embeddings=part) for found, part in zip(detections, parts, strict=True)]

    @torch.inference_mode()
    def _embed(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> NDArray[np.float32]:
        """(N, E) vectors of all detections, frame after frame."""
        device, chunk = self._device, self._config.chunk
        pixels = torch.from_numpy(np.stack(pictures(frames))).to(device)
        owner = np.repeat(np.arange(len(frames)), [len(found) for found in detections])
        xyxy = np.concatenate([found.xyxy for found in detections]).astype(np.float32)
        # The last chunk is filled up with copies of the last box: always one size, always the same bits.
        rows = np.minimum(np.arange(-(-len(owner) // chunk) * chunk), len(owner) - 1)
        owners, boxes = torch.from_numpy(owner[rows]).to(device), torch.from_numpy(xyxy[rows]).to(device)
        vectors = []
        for start in range(0, len(rows), chunk):
            some = slice(start, start + chunk)
            cut = crops(pixels, owners[some], boxes[some], self._config.crop_size)
            vectors.append(self._network(normalise(cut, self._how)))
        whole: NDArray[np.float32] = torch.cat(vectors)[: len(owner)].cpu().numpy()
        return whole
