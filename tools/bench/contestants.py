"""One contestant of end_to_end.py, in a process of its own: `contestants.py SPEC`, SPEC and the last line JSON.

    whole   mot-track itself: the clock runs from when the weights are loaded until all files are closed
    many    the same of several videos by `Tracker.track_many`
    bare    the networks' forward passes alone, over the same frames and the crops of the same detections, prepared
            beforehand, 64 frames at a time
    boxes   the detections that `bare` cuts its crops from, into a file

Each runs a few frames before its clock starts, because first passes choose kernels and compile.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mot.cli.track import main as mot_track
from mot.engine.config import Config, read_config
from mot.engine.networks import resolve_device
from mot.engine.tracker import Tracker
from mot.formats.mot_text import format_tracks
from mot.models.loading import load
from mot.perception.device import pictures
from mot.perception.opening import DTYPES, Network, Place, open_detector, open_embedder
from mot.perception.preprocess import crops, letterbox, normalise
from mot.structures import Frame
from mot.timing import StageTimes
from mot.video import open_source
from mot.weights import fetch

Item = TypeVar("Item")
WARM = 8  # frames
HELD = 64  # frames prepared at a time: 0.5 GB at 608x480
# How the forward passes can be called.
AS_MOT, TOGETHER, SINGLY = "as mot calls them", "one pass a batch", "frame by frame"


@dataclass(frozen=True)
class Spec:
    """What to run.

    Attributes:
        kind: key of `KINDS`.
        cfg: a config.
        overrides: of it, `a.b=c`.
        videos: sources.
        frames: of each, from the first.
        flags: more of mot-track's.
        boxes: a file, for `bare` and `boxes`.
    """

    kind: str
    cfg: str
    videos: tuple[str, ...]
    frames: int
    overrides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    boxes: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self))


def whole(spec: Spec) -> dict[str, Any]:
    """mot-track: its frames and seconds, and a digest of every text that it wrote."""
    started: list[tuple[float, float, StageTimes]] = []
    load_tracker = Tracker.from_config

    def noted(*args: Any, **facts: Any) -> Tracker:
        tracker = load_tracker(*args, **facts)
        started.append((time.perf_counter(), time.process_time(), tracker.times))
        return tracker

    Tracker.from_config = noted  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        _mot_track(spec, Path(folder) / "warm", WARM)
        out = Path(folder) / "out"
        _mot_track(spec, out, spec.frames)
        wall, busy = time.perf_counter(), time.process_time()
        records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.rglob("*.json"))]
        texts = [path.read_bytes() for path in sorted(out.rglob("*.txt"))]
    begun, begun_busy, times = started[-1]
    return {
        "frames": sum(record["frames"] for record in records),
        "seconds": wall - begun,
        "cpu_seconds": busy - begun_busy,
        "stages": times.seconds,
        "rows": sum(text.count(b"\n") for text in texts),
        "texts": [hashlib.sha256(text).hexdigest() for text in texts],
        "own_rate": [record.get("frames_per_second") for record in records],
    }


def many(spec: Spec) -> dict[str, Any]:
    """All videos at once by `Tracker.track_many`, as mot-track gives them to it; their MOT texts as digests."""
    tracker = Tracker.from_config(spec.cfg, overrides=spec.overrides)
    for _ in tracker.track_many(spec.videos, end=WARM):
        pass
    texts: list[list[str]] = [[] for _ in spec.videos]
    tracker.times.seconds.update(dict.fromkeys(tracker.times.seconds, 0.0))
    started, busy = time.perf_counter(), time.process_time()
    for place, frame, tracks in tracker.track_many(spec.videos, end=spec.frames):
        texts[place].append(format_tracks(frame.index, tracks))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
    whole_texts = ["".join(text).encode() for text in texts]
    return {
        "frames": sum(map(len, texts)),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "stages": tracker.times.seconds,
        "rows": sum(text.count(b"\n") for text in whole_texts),
        "texts": [hashlib.sha256(text).hexdigest() for text in whole_texts],
    }


def _mot_track(spec: Spec, out: Path, frames: int) -> None:
    overrides = [word for each in spec.overrides for word in ("-o", each)]
    flags = ["--cfg", spec.cfg, "--video", *spec.videos, "--out", str(out), "--end", str(frames), "--quiet"]
    if (status := mot_track([*flags, *spec.flags, *overrides])) != 0:
        raise SystemExit(f"mot-track: exit status {status}")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def frames_of(spec: Spec) -> Iterator[Frame]:
    return islice(open_source(spec.videos[0]), spec.frames)


def boxes(spec: Spec) -> dict[str, Any]:
    """Writes (N, 4) boxes of all frames, and how many each frame has."""
    tracker = Tracker.from_config(spec.cfg, overrides=spec.overrides)
    found = [each.xyxy for group in batched(frames_of(spec), 4) for each in tracker.detect(group)]
    np.savez(spec.boxes, xyxy=np.concatenate(found), counts=[len(each) for each in found])
    return {"frames": len(found), "detections": sum(map(len, found))}


@dataclass(frozen=True)
class Prepared:
    """The networks' inputs of one batch: frames (B, 3, H, W), and of each frame its crops (N, 3, h, w)."""

    x: Tensor
    cut: list[Tensor]


class Networks:
    """A config's networks, and the ways to call them.

    Args:
        config: of a detector, with or without a ReID network.
    """

    def __init__(self, config: Config) -> None:
        if config.det_weights is None:
            raise SystemExit("bare: expected a config with a detector; joint networks are gpu.py's")
        runtime = config.runtime
        place = Place(resolve_device(runtime.device), runtime.precision, runtime.threads)
        path = fetch.locate(config.det_weights)
        self.detector = open_detector(config.detector, path, place)
        self.embedder: Network | None = None
        if config.reid_weights is not None:
            self.embedder = open_embedder(config.reid, fetch.locate(config.reid_weights), place)
        self._chunk = config.reid.chunk
        self.ways: dict[str, Callable[[Prepared], None]] = {AS_MOT: self.as_mot, SINGLY: self.singly}
        if self.detector.record["backend"] == "torch":
            model = None if config.detector.model == "auto" else config.detector.model
            self._dtype = DTYPES[self.detector.record["precision"]]
            module = load(path, model).network
            self._module = module.to(place.device, self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.ways[TOGETHER] = self.together

    def prepare(self, frames: Sequence[Frame], xyxy: Sequence[np.ndarray[Any, Any]]) -> Prepared:
        images, how = pictures(frames), self.detector.how
        x = normalise(letterbox(images, self.detector.size, how)[1].to(self.detector.device), how)
        return Prepared(x, [self._cut(*each) for each in zip(images, xyxy, strict=True)])

    def _cut(self, image: np.ndarray[Any, Any], xyxy: np.ndarray[Any, Any]) -> Tensor:
        if self.embedder is None:
            return torch.empty(0)
        how, device = self.embedder.how, self.embedder.device
        owner, where = torch.zeros(len(xyxy), dtype=torch.int64), torch.from_numpy(xyxy.astype(np.float32))
        pixels = torch.from_numpy(image[None]).to(device)
        looks = how.interpolation, how.transposed
        cut = crops(pixels, owner.to(device), where.to(device), self.embedder.size, *looks)
        return normalise(cut.flip(1) if how.colour == "rgb" else cut, how)

    def as_mot(self, one: Prepared) -> None:
        """Crops in chunks of one size, the last one filled up; the detector as it likes."""
        self.detector.run(one.x)
        cut = torch.cat(one.cut)
        if len(cut):
            filled = cut[np.minimum(np.arange(-(-len(cut) // self._chunk) * self._chunk), len(cut) - 1)]
            for start in range(0, len(filled), self._chunk):
                self._embed(filled[start : start + self._chunk])

    def together(self, one: Prepared) -> None:
        """The whole batch in one pass, and all its crops in another."""
        self._module(one.x.to(self._dtype))
        self._embed(torch.cat(one.cut))

    def singly(self, one: Prepared) -> None:
        """A pass for each frame, and one for its crops."""
        for x, cut in zip(one.x[:, None], one.cut, strict=True):
            self.detector.run(x)
            self._embed(cut)

    def _embed(self, cut: Tensor) -> None:
        if self.embedder is not None and len(cut):
            self.embedder.run(cut)


@torch.inference_mode()
def bare(spec: Spec) -> dict[str, Any]:
    """The seconds of the forward passes, by each way of calling them, in turns of `HELD` frames."""
    config = read_config(spec.cfg, spec.overrides)
    networks, file = Networks(config), np.load(spec.boxes)
    batch = config.runtime.batch
    if batch == "auto":  # as in the engine
        batch = 16 if networks.detector.device.type == "cuda" else 4
    xyxy = np.split(file["xyxy"], np.cumsum(file["counts"])[:-1])
    seconds = dict.fromkeys(networks.ways, 0.0)
    pairs = zip(frames_of(spec), xyxy, strict=True)
    for number, held in enumerate(batched(pairs, HELD)):
        groups = [networks.prepare(*zip(*some, strict=True)) for some in batched(held, batch)]
        for way, call in networks.ways.items():
            if number == 0:
                for group in groups[: -(-WARM // batch)]:
                    call(group)
                _finish(networks.detector)
            started = time.perf_counter()
            for group in groups:
                call(group)
            _finish(networks.detector)
            seconds[way] += time.perf_counter() - started
    precision = {"detector": networks.detector.record["precision"]}
    if networks.embedder is not None:
        precision["reid"] = networks.embedder.record["precision"]
    return {"frames": len(xyxy), "seconds": seconds, "precision": precision}


def _finish(network: Network) -> None:
    if network.device.type == "cuda":
        torch.cuda.synchronize(network.device)


KINDS = {"whole": whole, "many": many, "bare": bare, "boxes": boxes}


def main() -> None:
    raw: dict[str, Any] = json.loads(sys.argv[1])
    raw |= {key: tuple(value) for key, value in raw.items() if isinstance(value, list)}
    spec = Spec(**raw)
    found = KINDS[spec.kind](spec)
    print(json.dumps({**found, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
