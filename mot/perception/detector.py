"""A detector as an observer: frames in, `Detections` in pixels of the original picture out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mot.errors import ConfigError, InputError
from mot.perception import nms
from mot.perception.opening import Network
from mot.perception.preprocess import Letterbox, letterbox, normalise
from mot.perception.settings import DetectorConfig, label_indices
from mot.structures import MAX_PIXELS, Detections, Frame
from mot.timing import StageTimes


class Detector:
    """A detector, or a joint network, whose detections bring their embeddings along.

    Args:
        config: the `detector` block.
        network: what `open_detector` gave.
        times: where the time of preprocess, detect and nms is counted.

    Raises:
        ConfigError: unknown class, or a way of pictures that is for cut-out boxes only.
    """

    def __init__(self, config: DetectorConfig, network: Network, times: StageTimes | None = None) -> None:
        if network.how.interpolation == "antialias" or network.how.transposed:
            raise ConfigError("detector.preprocess: antialias and transposed are for cut-out boxes only")
        self.label_names = network.labels
        self._config, self._network = config, network
        self._times = times or StageTimes()
        self._labels = torch.tensor(label_indices(config.classes, network.labels), device=network.device)

    @torch.inference_mode()
    def __call__(self, frames: Sequence[Frame], threshold: float | None = None) -> list[Detections]:
        """The detections of each frame, best first.

        Args:
            frames: all of one size.
            threshold: in place of the config's `score_threshold`.
        """
        if not frames:
            return []
        with self._times.stage("preprocess"):
            box, pixels = letterbox(pictures(frames), self._network.size, self._network.how)
            x = normalise(pixels.to(self._network.device), self._network.how)
        with self._times.stage("detect"):
            boxes, scores, *joint = self._network.run(x)
        with self._times.stage("nms"):
            config = self._config
            least = config.score_threshold if threshold is None else threshold
            found = nms.candidates(
                boxes, scores[..., self._labels], self._labels, least, config.max_candidates
            )
            kept = nms.suppress(found, config.nms_threshold)
            return list(_detections(kept, box, gather(joint[0], joint[1], kept) if joint else None))


def _detections(kept: nms.Candidates, box: Letterbox, vectors: Tensor | None) -> Iterator[Detections]:
    """One `Detections` for each frame."""
    columns = [part.cpu().numpy() for part in kept]
    counts = columns[-1].sum(axis=1)
    parts = [None] * len(counts) if vectors is None else np.split(vectors.cpu().numpy(), counts.cumsum()[:-1])
    for xyxy, scores, labels, _, valid, part in zip(*columns, parts, strict=True):
        found = np.nan_to_num(box.to_source(xyxy[valid].astype(np.float64))).clip(-MAX_PIXELS, MAX_PIXELS)
        # nothing keeps a network from sides below 0 or beyond all numbers; a box without area trackers speak of
        found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])
        yield Detections(
            xyxy=found,
            scores=scores[valid].astype(np.float64),
            labels=labels[valid],
            embeddings=part,
        )


def gather(maps: Sequence[Tensor], cells: Tensor, kept: nms.Candidates) -> Tensor:
    """(N, E) float32 unit vectors of the valid boxes, frame after frame, out of a joint network's maps.

    Args:
        maps: see `mot.models.spec.Joint`.
        cells: likewise.
        kept: (B, K) boxes.
    """
    frame, place = torch.nonzero(kept.valid, as_tuple=True)
    cell = cells[frame, kept.rows[frame, place]]
    vectors = torch.zeros((len(cell), maps[0].shape[1]), device=cell.device)
    start = 0
    for one in maps:
        size = one.shape[2] * one.shape[3]
        here = (cell >= start) & (cell < start + size)
        vectors[here] = one.flatten(2)[frame[here], :, cell[here] - start].float()
        start += size
    return normalize(vectors)


def pictures(frames: Sequence[Frame]) -> list[NDArray[np.uint8]]:
    """The images of `frames`, which a network cannot do without."""
    images = [frame.image for frame in frames if frame.image is not None]
    if len(images) < len(frames):
        raise InputError("image: a network needs pictures, and this source has none (a detection file alone)")
    return images
