"""Frames/s of large networks on a GPU: alone, with pre- and post-processing, and in the whole pipeline.

    python tools/bench/gpu.py [--json FILE]                # one CUDA device, less than ten minutes
    python tools/bench/gpu.py --device cpu --tiny          # tries the script itself, in seconds

YOLOX-s and YOLOX-x at 800x1440 with ByteTrack, JDE and FairMOT at 608x1088 with theirs, float32 (no TF32) and fp16,
batches of 1, 8 and 32. Weights are random: speed does not depend on them. So that no number overflows and scores
differ as a trained network's do, each BatchNorm is set by one pass over the pictures; the score threshold is the
one that leaves some `FOUND` boxes a picture before suppression, and the tracker's thresholds are set to it.

    alone      forward passes on a tensor on the device, no waiting in between
    detector   pictures in memory (1920x1080, BGR) to detections in memory: letterbox, upload, network, suppression
    pipeline   the same pictures through `Tracker.track`, its threads and the tracker

FLOP (two for a multiplication and an addition) are those of convolutions and matrix products, counted by
torch.utils.flop_counter. The peak is measured, not taken from a data sheet: the best of several products of two
large square matrices in the same precision on the same device.

For orientation, as published, whole trackers: ByteTrack 29.6 frames/s (YOLOX-x, V100), FairMOT 25.9, JDE 22-38.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mot.engine.config import Config, read_config
from mot.engine.tracker import Tracker
from mot.errors import ConfigError
from mot.models.folding import fold_batchnorm
from mot.models.inputs import PREPROCESS
from mot.models.labels import label_names
from mot.models.registry import MODELS
from mot.perception.detector import Detector
from mot.perception.device import pictures
from mot.perception.opening import DTYPES, Network, Place, TorchNetwork
from mot.perception.preprocess import letterbox, normalise
from mot.structures import Frame

FOUND = 50  # boxes a picture
NOISE = 2  # grey values at most
PICTURES = 32


@dataclass(frozen=True)
class Case:
    """A network in the config that it is used in."""

    title: str
    model: str
    cfg: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Extent:
    """How much is measured: `tiny` is for a test of this script."""

    cases: tuple[Case, ...]
    picture: tuple[int, int]
    batches: tuple[int, ...]
    square: int
    seconds: float


FULL = Extent(
    (
        Case("YOLOX-s", "yolox_s", "bytetrack.yml", (800, 1440)),
        Case("YOLOX-x", "yolox_x", "bytetrack.yml", (800, 1440)),
        Case("JDE", "jde_1088x608", "jde.yml", (608, 1088)),
        Case("FairMOT", "fairmot_dla34", "fairmot.yml", (608, 1088)),
    ),
    picture=(1080, 1920),
    batches=(1, 8, 32),
    square=8192,
    seconds=2.0,
)
TINY = Extent(
    (
        Case("YOLOX-nano", "yolox_nano", "bytetrack.yml", (64, 96)),
        Case("FairMOT-YOLOv5s", "fairmot_yolov5s", "fairmot.yml", (64, 96)),
    ),
    picture=(128, 192),
    batches=(1, 2),
    square=256,
    seconds=0.02,
)
# The thresholds of each config's tracker, and what makes random scores do.
TRACKER = {
    "bytetrack.yml": ("high_threshold", "low_threshold", "new_threshold"),
    "jde.yml": ("score_threshold",),
    "fairmot.yml": ("score_threshold",),
}


@dataclass
class Row:
    """A line of the table; frames/s. What is None was not measured, and `why` says why."""

    network: str
    precision: str
    batch: int
    gflop: float
    alone: float | None = None
    detector: float | None = None
    pipeline: float | None = None
    peak_share: float | None = None
    detections: float | None = None
    rows: float | None = None
    why: str = ""


def make_frames(size: tuple[int, int]) -> list[Frame]:
    """A picture of blobs of all colours with a little noise of its own, the same each time.

    It stands still: to networks that were never trained a moving picture shows other boxes in each frame, and the
    trackers would have nothing to follow.
    """
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (size[0] // 24, size[1] // 24, 3), np.uint8)
    picture = np.asarray(cv2.resize(small, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.uint8)
    noise = rng.integers(0, NOISE + 1, (PICTURES, *picture.shape), np.uint8)
    noisy = [cv2.add(picture, each) for each in noise]
    return [
        Frame(image=np.asarray(each, np.uint8), index=i, time_s=i / 30, source="memory")
        for i, each in enumerate(noisy, start=1)
    ]


def endless(frames: Sequence[Frame]) -> Iterator[Frame]:
    """The frames there and back without end, their numbers rising."""
    there_and_back = [*frames, *frames[-2:0:-1]]
    for number, frame in enumerate(cycle(there_and_back), start=1):
        yield replace(frame, index=number, time_s=number / 30)


def build(case: Case, frames: Sequence[Frame], device: torch.device) -> nn.Module:
    """The network with random weights, every BatchNorm set so that its output has mean 0 and variance 1."""
    torch.manual_seed(0)
    spec = MODELS[case.model]
    network = spec.build(1).to(device).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(make_input(case, frames[:2], device))
    network.eval()
    fold_batchnorm(network)
    return network


def make_input(case: Case, frames: Sequence[Frame], device: torch.device) -> Tensor:
    how = PREPROCESS[MODELS[case.model].preprocess]
    return normalise(letterbox(pictures(frames), case.size, how)[1].to(device), how)


@torch.inference_mode()
def threshold(case: Case, network: nn.Module, frames: Sequence[Frame], device: torch.device) -> float:
    """The score that leaves `FOUND` boxes of a picture."""
    _, scores, *_ = network(make_input(case, frames[:1], device))
    best = scores.flatten().sort(descending=True).values
    return float(best[min(FOUND, len(best) - 1)].clamp(0, 0.999))


def make_config(case: Case, least: float, batch: int) -> Config:
    overrides = [f"tracker.{key}={least}" for key in TRACKER[case.cfg]]
    overrides += ["report.min_area=0", "report.max_aspect=null"]  # random boxes have any shape
    if case.cfg == "bytetrack.yml":
        overrides.append("tracker.fuse_score=false")  # random scores are low
    return read_config(case.cfg, [*overrides, f"detector.score_threshold={least}", f"runtime.batch={batch}"])


def open_network(case: Case, module: nn.Module, place: Place) -> Network:
    spec = MODELS[case.model]
    run = TorchNetwork(copy.deepcopy(module), place, spec.kind)
    how, record = PREPROCESS[spec.preprocess], {"precision": run.precision}
    return Network(
        run, how, case.size, label_names(1), spec.embedding_size, place.device, record, place.uploads
    )


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def calls_per_second(call: Callable[[], object], seconds: float, device: torch.device) -> float:
    """After two passes to warm up and one to see how many fill the `seconds`."""
    call()
    call()
    wait(device)
    started = time.perf_counter()
    call()
    wait(device)
    count = max(3, math.ceil(seconds / (time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count):
        call()
    wait(device)
    return count / (time.perf_counter() - started)


@torch.inference_mode()
def peak(precision: str, device: torch.device, extent: Extent) -> float:
    """FLOP/s of a matrix product, the best of five measurements."""
    torch.backends.cuda.matmul.allow_tf32 = False
    a, b = torch.randn(2, extent.square, extent.square, device=device).to(DTYPES[precision])
    best = max(calls_per_second(lambda: a @ b, extent.seconds / 5, device) for _ in range(5))
    return float(best * 2 * extent.square**3)


@torch.inference_mode()
def flop(module: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        module(x)
    return int(counter.get_total_flops())


def measure(
    row: Row, case: Case, network: Network, least: float, frames: Sequence[Frame], seconds: float
) -> None:
    """Fills the row's rates."""
    config = make_config(case, least, row.batch)
    device, detector = network.device, Detector(config.detector, network)
    some = list(islice(endless(frames), row.batch))
    x = make_input(case, some, device)
    with torch.inference_mode():
        row.alone = row.batch * calls_per_second(lambda: network.run(x), seconds, device)
    row.detector = row.batch * calls_per_second(lambda: detector(some), seconds, device)
    row.detections = sum(map(len, detector(some))) / row.batch
    tracker = Tracker.from_config(config, detector=detector)
    count = max(4, math.ceil(row.detector * seconds / row.batch)) * row.batch
    for _ in tracker.track(islice(endless(frames), 2 * row.batch)):  # warm
        pass
    started = time.perf_counter()
    rows = sum(len(tracks) for _, tracks in tracker.track(islice(endless(frames), count)))
    row.pipeline = count / (time.perf_counter() - started)
    row.rows = rows / count


def table(case: Case, extent: Extent, device: torch.device, peaks: dict[str, float]) -> Iterator[Row]:
    """The rows of one network."""
    frames = make_frames(extent.picture)
    module = build(case, frames, device)
    gflop = flop(module, make_input(case, frames[:1], device)) / 1e9
    least = threshold(case, module, frames, device)
    for precision in ("fp32", "fp16"):
        try:
            network = open_network(case, module, Place(device, precision))
        except ConfigError as error:
            yield Row(case.title, precision, 0, gflop, why=str(error))
            continue
        for batch in extent.batches:
            row = Row(case.title, precision, batch, gflop)
            try:
                measure(row, case, network, least, frames, extent.seconds)
            except torch.OutOfMemoryError:
                row.why = "out of memory"
            if row.alone is not None:
                row.peak_share = row.alone * gflop * 1e9 / peaks[precision]
            yield row


def line(row: Row) -> str:
    """One row as Markdown; not measured is empty."""

    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    ratio = None if row.pipeline is None or row.alone is None else row.pipeline / row.alone
    cells = [
        *(row.network, row.precision, str(row.batch or ""), f"{row.gflop:.1f}"),
        *(cell(row.alone, ".1f"), cell(row.detector, ".1f"), cell(row.pipeline, ".1f")),
        *(cell(ratio, ".2f"), cell(row.peak_share, ".1%")),
        *(cell(row.detections, ".0f"), cell(row.rows, ".0f"), row.why),
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "network",
    "precision",
    "batch",
    "GFLOP a frame",
    "alone",
    "detector",
    "pipeline",
    "pipeline / alone",
    "alone, of peak",
    "detections a frame",
    "rows a frame",
    "",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tiny", action="store_true", help="small networks and pictures, no figures to quote"
    )
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    args = parser.parse_args(argv)
    device, extent = torch.device(args.device), TINY if args.tiny else FULL
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device on this machine: nothing was measured")
        return 1
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()}"
    peaks = {"fp32": peak("fp32", device, extent), "fp16": peak("fp16", device, extent)}
    shown = ", ".join(f"{precision} {value / 1e12:.3g}" for precision, value in peaks.items())
    facts: dict[str, Any] = {"device": name, "torch": torch.__version__, "peaks": peaks, "rows": []}
    print(
        f"{name}; torch {torch.__version__}; TFLOP/s of a {extent.square}^2 matrix product: {shown}; frames/s\n"
    )
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for case in extent.cases:
        if args.only not in case.title:
            continue
        for row in table(case, extent, device, peaks):
            print(line(row), flush=True)
            facts["rows"].append(asdict(row))
    if args.json is not None:
        args.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
