"""The peer of end_to_end.py: what a user would otherwise write, one frame after the other, without `mot`.

    python tools/bench/frame_by_frame.py --export FOLDER --cfg deepsort.yml --video vtest.avi
    PEERS_SRC=… python tools/bench/frame_by_frame.py --networks FOLDER --video vtest.avi [--frames N] [--text TXT]

cv2.VideoCapture, detector and ReID network by onnxruntime (all cores, every graph optimisation),
cv2.dnn.NMSBoxes, all crops of a frame in one forward pass, and the official nwojke/deep_sort, which `assoc/peers`
puts under $PEERS_SRC. The first call writes both networks of a config as ONNX, from the weights that the config
names, with their thresholds beside them; the second needs onnxruntime, cv2, numpy and scipy alone. Seconds are from
the first read to the last row, loading and a pass of each network left out. The last line is JSON.

Not alike to `deepsort.yml`, because the official code has no such thing: the distance is that to the nearest look,
not to the mean of five. Crops are cut at whole pixels. So boxes agree with ours, and identities nearly.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
SETTINGS, DETECTOR, REID = "settings.json", "detector.onnx", "reid.onnx"
PERSON = 0  # COCO's first class


@dataclass(frozen=True)
class Way:
    """How pictures go into a network: RGB / scale, less mean, by std; around a picture lies grey `pad`."""

    scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    pad: int = 128


@dataclass(frozen=True)
class Settings:
    """The config's numbers; `tracker` holds those of DeepSORT by their names there."""

    detector: Way
    reid: Way
    score_threshold: float
    nms_threshold: float
    tracker: dict[str, float] = field(default_factory=dict)


@dataclass
class Counts:
    """What came out, to show that the same work was done."""

    frames: int = 0
    detections: int = 0
    rows: int = 0
    ids: set[int] = field(default_factory=set)


def export(folder: Path, cfg: str, video: str) -> None:
    """Write the networks of a config as ONNX, the detector's input of the size that this video's pictures need.

    Raises:
        SystemExit: the config's networks want something that this script does not do.
    """
    import torch

    from mot.engine.config import read_config
    from mot.models.inputs import PREPROCESS
    from mot.models.loading import Loaded, load
    from mot.perception.preprocess import Letterbox
    from mot.weights import fetch

    config = read_config(cfg)
    if config.architecture != "DeepSORT" or not (config.det_weights and config.reid_weights):
        raise SystemExit(f"{cfg}: expected DeepSORT with a detector and a ReID network")

    def way(loaded: Loaded, fit: str) -> Way:
        how = PREPROCESS[loaded.preprocess]
        if (how.colour, how.interpolation) != ("rgb", "linear") or how.fit != fit:
            raise SystemExit(
                f"{loaded.name}: pictures as {how}; expected RGB, resized linearly, in the centre"
            )
        return Way(how.scale, how.mean, how.std, how.pad)

    def write(loaded: Loaded, name: str, x: torch.Tensor, outputs: list[str], free: bool) -> None:
        axes = {key: {0: "n"} for key in ("x", *outputs)} if free else None
        facts: dict[str, Any] = {"input_names": ["x"], "output_names": outputs, "dynamic_axes": axes}
        torch.onnx.export(loaded.network, (x,), folder / name, dynamo=False, **facts)

    named = None if config.reid.model == "auto" else config.reid.model
    detector, reid = load(fetch.locate(config.det_weights)), load(fetch.locate(config.reid_weights), named)
    ways = way(detector, "centre"), way(reid, "centre")
    picture = next(pictures(video, 1))
    size = config.detector.input_size or detector.spec.input_size
    canvas = Letterbox.fit((picture.shape[0], picture.shape[1]), size, PREPROCESS[detector.preprocess]).canvas
    folder.mkdir(parents=True, exist_ok=True)
    write(detector, DETECTOR, torch.zeros(1, 3, *canvas), ["boxes", "scores"], free=False)
    crop = config.reid.crop_size or reid.spec.input_size
    write(reid, REID, torch.zeros(2, 3, *crop), ["vectors"], free=True)
    keys = ("max_cosine_distance", "nn_budget", "max_iou_distance", "max_age", "n_init")
    tracker = {key: getattr(config.tracker, key) for key in keys}
    thresholds = config.detector.score_threshold, config.detector.nms_threshold
    text = json.dumps(asdict(Settings(*ways, *thresholds, tracker)), indent=2)
    (folder / SETTINGS).write_text(text, encoding="utf-8")


def read_settings(folder: Path) -> Settings:
    raw = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    return Settings(**{**raw, "detector": Way(**raw["detector"]), "reid": Way(**raw["reid"])})


def pictures(video: str, count: int | None) -> Iterator[Picture]:
    """The first `count` pictures of a video; None: all."""
    capture = cv2.VideoCapture(video)
    if not capture.isOpened():
        raise SystemExit(f"{video}: cannot be opened")
    done = 0
    while count is None or done < count:
        good, picture = capture.read()
        if not good:
            break
        done += 1
        yield np.asarray(picture, np.uint8)
    capture.release()


def blob(batch: Picture, way: Way) -> Floats:
    """(N, H, W, 3) BGR to the network's (N, 3, H, W)."""
    x: Floats = np.asarray(cv2.dnn.blobFromImages(list(batch), 1 / way.scale, swapRB=True), np.float32)
    if any(way.mean):
        x -= np.array(way.mean, np.float32)[:, None, None]
    if way.std != (1.0, 1.0, 1.0):
        x /= np.array(way.std, np.float32)[:, None, None]
    return x


class Detector:
    """Persons of a picture by an ONNX network that gives boxes (1, A, 4) xyxy and scores (1, A, C)."""

    def __init__(self, session: Any, settings: Settings) -> None:
        self._session, self._settings = session, settings
        _, _, self._height, self._width = session.get_inputs()[0].shape

    def __call__(self, picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, 4) tlwh in the picture's pixels, and (N,) scores."""
        height, width = picture.shape[:2]
        scale = min(self._height / height, self._width / width)
        inner = round(width * scale), round(height * scale)
        left, top = (self._width - inner[0]) // 2, (self._height - inner[1]) // 2
        canvas = np.full((self._height, self._width, 3), self._settings.detector.pad, np.uint8)
        canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(picture, inner)
        boxes, scores = self._session.run(None, {"x": blob(canvas[None], self._settings.detector)})
        person = scores[0, :, PERSON]
        likely = np.flatnonzero(person > self._settings.score_threshold)
        tlwh = boxes[0, likely].astype(np.float64)
        tlwh[:, 2:] -= tlwh[:, :2]
        tlwh = (tlwh - [left, top, 0, 0]) * np.tile([width / inner[0], height / inner[1]], 2)
        limits = self._settings.score_threshold, self._settings.nms_threshold
        kept = np.array(cv2.dnn.NMSBoxes(tlwh.tolist(), person[likely].tolist(), *limits), np.int64).ravel()
        return tlwh[kept], person[likely][kept].astype(np.float64)


class Embedder:
    """One vector for every box, all of a picture in one forward pass."""

    def __init__(self, session: Any, way: Way) -> None:
        self._session, self._way = session, way
        _, _, self._height, self._width = session.get_inputs()[0].shape

    def __call__(self, picture: Picture, tlwh: NDArray[np.float64]) -> Floats:
        """(N, E) of (N, 4) boxes."""
        limit = picture.shape[1], picture.shape[0]
        crops = np.empty((len(tlwh), self._height, self._width, 3), np.uint8)
        for crop, (x, y, w, h) in zip(crops, tlwh, strict=True):
            x1, y1 = (int(np.clip(v, 0, most - 1)) for v, most in zip((x, y), limit, strict=True))
            x2, y2 = int(np.clip(x + w, x1 + 1, limit[0])), int(np.clip(y + h, y1 + 1, limit[1]))
            cv2.resize(picture[y1:y2, x1:x2], (self._width, self._height), dst=crop)
        vectors: Floats = self._session.run(None, {"x": blob(crops, self._way)})[0]
        return vectors


class DeepSort:
    """The official tracker, fed as its own demo does it."""

    def __init__(self, tracker: dict[str, float]) -> None:
        sys.path.insert(0, str(Path(os.environ.get("PEERS_SRC", "")) / "deep_sort"))
        try:
            detection, matching, tracking = (
                import_module(f"deep_sort.{name}") for name in ("detection", "nn_matching", "tracker")
            )
        except ImportError as error:
            raise SystemExit(f"$PEERS_SRC/deep_sort: {error}; tools/bench/assoc/peers makes it") from None
        rest = dict(tracker)
        gate, budget = rest.pop("max_cosine_distance"), int(rest.pop("nn_budget"))
        self._make = detection.Detection
        metric = matching.NearestNeighborDistanceMetric("cosine", gate, budget)
        self._tracker = tracking.Tracker(metric, **rest)

    def __call__(
        self, tlwh: NDArray[np.float64], scores: NDArray[np.float64], vectors: Floats
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """The id and tlwh of every track that the official script would write."""
        self._tracker.predict()
        self._tracker.update([self._make(*each) for each in zip(tlwh, scores, vectors, strict=True)])
        shown = (t for t in self._tracker.tracks if t.is_confirmed() and t.time_since_update <= 1)
        return [(t.track_id, t.to_tlwh()) for t in shown]


def open_network(path: Path, threads: int | None) -> Any:
    """An onnxruntime session; threads None: as many as there are cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(
    networks: Path, video: str, frames: int | None, threads: int | None, text: Path | None
) -> tuple[Counts, float]:
    """The whole script: what came out, and the seconds from the first read to the last row."""
    settings, counts = read_settings(networks), Counts()
    detect = Detector(open_network(networks / DETECTOR, threads), settings)
    embed = Embedder(open_network(networks / REID, threads), settings.reid)
    associate, lines = DeepSort(settings.tracker), []
    for picture in pictures(video, 3):  # warm
        detect(picture)
        embed(picture, np.array([[0.0, 0.0, 40.0, 80.0]]))
    started = time.perf_counter()
    for picture in pictures(video, frames):
        tlwh, scores = detect(picture)
        vectors = embed(picture, tlwh) if len(tlwh) else np.empty((0, 1), np.float32)
        rows = associate(tlwh, scores, vectors)
        counts.frames += 1
        counts.detections += len(tlwh)
        counts.rows += len(rows)
        counts.ids.update(number for number, _ in rows)
        for number, (x, y, w, h) in rows:
            lines.append(f"{counts.frames},{number},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,-1,-1,-1\n")
    if text is not None:
        text.write_text("".join(lines), encoding="utf-8")
    return counts, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True)
    parser.add_argument("--cfg", default="deepsort.yml", help="for --export")
    parser.add_argument("--export", type=Path, help="write the networks into this folder, and nothing else")
    parser.add_argument("--networks", type=Path, help="the folder that --export wrote")
    parser.add_argument("--frames", type=int, help="only the first so many")
    parser.add_argument("--threads", type=int, help="of onnxruntime; default: one a core")
    parser.add_argument("--text", type=Path, help="write MOT text here")
    args = parser.parse_args()
    if (args.export is None) == (args.networks is None):
        parser.error("expected one of --export and --networks")
    if args.export is not None:
        export(args.export, args.cfg, args.video)
        return
    counts, seconds = run(args.networks, args.video, args.frames, args.threads, args.text)
    facts = {"frames": counts.frames, "detections": counts.detections, "rows": counts.rows}
    print(json.dumps({**facts, "tracks": len(counts.ids), "seconds": seconds, "backend": "onnxruntime"}))


if __name__ == "__main__":
    main()
