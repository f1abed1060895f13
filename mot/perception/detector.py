"""A detector as an observer: frames in, `Detections` in pixels of the original picture out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mot.errors import ConfigError
from mot.perception import nms
from mot.perception.device import fetch, one_size, pictures
from mot.perception.opening import Network
from mot.perception.preprocess import Letterbox, letterbox, letterbox_there, normalise, resizes_there
from mot.perception.settings import DetectorConfig, label_indices
from mot.structures import MAX_PIXELS, Detections, Frame
from mot.timing import StageTimes


class Detector:
    """A detector, or a joint network, whose detections bring their embeddings along.

    On CUDA nothing is waited for before the end: the time of all the work then counts for nms, not for its stage.

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
        self._cuda = network.device.type == "cuda"
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
            box, pixels = on_canvas(frames, self._network, self._cuda)
            x = normalise(pixels, self._network.how)
        with self._times.stage("detect"):
            boxes, scores, *joint = self._network.run(x)
        with self._times.stage("nms"):
            config, labels = self._config, self._labels
            least = config.score_threshold if threshold is None else threshold
            # on CUDA a wait costs more than the boxes that could be left out after it
            found = nms.candidates(
                boxes, scores[..., labels], labels, least, config.max_candidates, fixed=self._cuda
            )
            kept = nms.suppress(found, config.nms_threshold, rounds=8 if self._cuda else 1)
            kept = kept if self._cuda else nms.compact(kept)
            columns = [kept.xyxy, *(part[..., None] for part in (kept.scores, kept.labels, kept.valid))]
            columns += [gather(joint[0], joint[1], kept.rows)] if joint else []
            return [_detections(rows, box, bool(joint)) for rows in fetch(torch.cat(columns, dim=2))]


def on_canvas(frames: Sequence[Frame], network: Network, there: bool) -> tuple[Letterbox, Tensor]:
    """The pictures of `frames` on the network's canvas and device: (B, 3, H, W) uint8.

    Args:
        frames: of one size.
        network: says how.
        there: on the device, if it knows how; the pictures stay there for the embedder. On a CPU cv2 is faster.
    """
    images = pictures(frames)
    box = Letterbox.fit(one_size(images), network.size, network.how)
    if there and resizes_there(box):
        return box, letterbox_there(network.uploads.put(frames), box)
    box, pixels = letterbox(images, network.size, network.how)
    return box, pixels.to(network.device)


def _detections(rows: NDArray[np.float32], box: Letterbox, embedded: bool) -> Detections:
    """The valid ones of a frame's rows (K, 7 + E): xyxy, score, label, valid, embedding; all exact in float32."""
    rows = rows[rows[:, 6] > 0]
    found = np.nan_to_num(box.to_source(rows[:, :4].astype(np.float64))).clip(-MAX_PIXELS, MAX_PIXELS)
    # nothing keeps a network from sides below 0 or beyond all numbers; a box without area trackers speak of
    found[:, 2:] = np.maximum(found[:, :2], found[:, 2:])
    return Detections(
        xyxy=found,
        scores=rows[:, 4].astype(np.float64),
        labels=rows[:, 5].astype(np.int64),
        embeddings=np.ascontiguousarray(rows[:, 7:]) if embedded else None,
    )


def gather(maps: Sequence[Tensor], cells: Tensor, rows: Tensor) -> Tensor:
    """(B, K, E) float32 unit vectors of a joint network's boxes, out of its maps.

    Args:
        maps: see `mot.models.spec.Joint`.
        cells: likewise.
        rows: (B, K) int64, which boxes.
    """
    cell = cells.gather(1, rows)
    frame = torch.arange(len(cell), device=cell.device)[:, None]
    vectors, start = torch.zeros((), device=cell.device), 0
    for one in maps:
        size = one.shape[2] * one.shape[3]
        values = one.flatten(2)[frame, :, (cell - start).clamp(0, size - 1)].float()
        vectors = torch.where((cell >= start)[..., None], values, vectors)
        start += size
    return normalize(vectors, dim=2)
