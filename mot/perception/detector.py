"""A detector network as an observer: frames in, `Detections` in pixels of the original picture out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mot.errors import InputError
from mot.models.registry import model
from mot.perception import nms
from mot.perception.preprocess import letterbox, normalise
from mot.perception.settings import DetectorConfig, label_indices
from mot.structures import Detections, Frame
from mot.timing import StageTimes


class Detector:
    """One forward pass for a batch of frames.

    Args:
        config: the `detector` block.
        weights: a file for `config.model`.
        device: where the network runs.
        times: where the time of preprocess, detect and nms is counted.

    Raises:
        ConfigError: unknown model or class.
        WeightsError: the file is not for this model.
    """

    def __init__(
        self, config: DetectorConfig, weights: Path, device: torch.device, times: StageTimes | None = None
    ) -> None:
        spec = model(config.model, "detector")
        self.label_names = spec.labels
        self._config, self._how = config, spec.preprocess
        self._device, self._times = device, times or StageTimes()
        self._labels = torch.tensor(label_indices(config.classes, spec.labels), device=device)
        network = spec.load(weights)
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The detections of each frame, best first; all frames must have one size."""
        with self._times.stage("preprocess"):
            box, pixels = letterbox(pictures(frames), self._config.input_size, self._how)
            x = normalise(pixels.to(self._device), self._how)
        with self._times.stage("detect"):
            boxes, scores = self._forward(x)
        with self._times.stage("nms"):
            config = self._config
            found = nms.candidates(
                boxes, scores[..., self._labels], self._labels, config.score_threshold, config.max_candidates
            )
            kept = nms.suppress(found, config.nms_threshold)
            columns = (part.cpu().numpy() for part in kept)
            return [
                Detections(
                    xyxy=box.to_source(xyxy[valid].astype(np.float64)),
                    scores=scores[valid].astype(np.float64),
                    labels=labels[valid],
                )
                for xyxy, scores, labels, valid in zip(*columns, strict=True)
            ]

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's answer to a batch.

        On a CPU the frames go through one by one: the last bits of a forward pass change with the number of
        frames in it, so this is what makes a result independent of `runtime.batch`; and it is the fastest
        way there (YOLOv3-tiny at 608x480 on two cores: 49 ms a frame alone, 56 by four, 64 by sixteen).
        """
        if x.device.type != "cpu":
            boxes, scores = self._network(x)
            return boxes, scores
        parts = [self._network(one) for one in x[:, None]]
        return torch.cat([boxes for boxes, _ in parts]), torch.cat([scores for _, scores in parts])


def pictures(frames: Sequence[Frame]) -> list[NDArray[np.uint8]]:
    """The images of `frames`, which a network cannot do without."""
    images = [frame.image for frame in frames if frame.image is not None]
    if len(images) < len(frames):
        raise InputError("image: a network needs pictures, and this source has none (a detection file alone)")
    return images
