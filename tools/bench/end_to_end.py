"""How much of the time is the network's: frames/s of the whole of mot-track against the bare forward pass.

    python tools/bench/end_to_end.py --video vtest.avi --cfg sort.yml --frames 200 --rounds 5

Both are measured in one process, in turn, round after round, because machines change their speed; the ratio of
each round is what to quote. Loading is left out of both. The bare pass is the detector's network alone, on input
tensors made beforehand: in one forward of `runtime.batch` frames, and frame by frame, which is what `mot` does on a
CPU and the faster of the two there. Both ratios are printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from mot.cli.track import main as mot_track
from mot.engine.config import read_config
from mot.engine.tracker import Tracker
from mot.models.loading import load
from mot.perception.opening import Network, Place, open_detector
from mot.perception.preprocess import letterbox, normalise
from mot.structures import Frame
from mot.video import open_source
from mot.weights import fetch


def whole(cfg: str, video: str, frames: int, batch: int, extra: list[str]) -> float:
    """frames/s of one run of mot-track, as it reports itself."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--cfg", cfg, "--video", video, "--out", folder, "--end", str(frames), "--no-video", *extra]
        if mot_track([*flags, "-o", f"runtime.batch={batch}"]) != 0:
            raise SystemExit("mot-track failed")
        (record,) = Path(folder).glob("*.json")
        rate: float = json.loads(record.read_text())["frames_per_second"]
        return rate


def bare(network: torch.nn.Module, inputs: list[torch.Tensor]) -> float:
    """frames/s of the network alone."""
    started = time.perf_counter()
    with torch.inference_mode():
        for x in inputs:
            network(x)
    return sum(len(x) for x in inputs) / (time.perf_counter() - started)


def make_inputs(frames: list[Frame], batch: int, network: Network) -> list[torch.Tensor]:
    """The frames as the detector's input, `batch` at a time."""
    images = [frame.image for frame in frames if frame.image is not None]
    groups = [images[i : i + batch] for i in range(0, len(images), batch)]
    return [normalise(letterbox(group, network.size, network.how)[1], network.how) for group in groups]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True)
    parser.add_argument("--cfg", default="sort.yml")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()
    config = read_config(args.cfg)
    assert config.det_weights is not None
    path, place = fetch.locate(config.det_weights), Place(torch.device("cpu"))
    network = open_detector(config.detector, path, place)
    bare_network = load(path).network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = list(itertools.islice(open_source(args.video), min(args.frames, 32)))
    inputs = make_inputs(some, args.batch, network)
    Tracker.from_config(config)  # weights in the page cache before the clock runs
    singles = [one[None] for x in inputs for one in x]
    ratios: dict[str, list[float]] = {"one forward of a batch": [], "frame by frame": []}
    print(f"{args.cfg}, {args.frames} frames, batch {args.batch}, {torch.get_num_threads()} threads")
    for number in range(args.rounds):
        last = number == args.rounds - 1
        together, alone = bare(bare_network, inputs), bare(bare_network, singles)
        rate = whole(args.cfg, args.video, args.frames, args.batch, ["--profile"] if last else ["--quiet"])
        together, alone = (
            (together + bare(bare_network, inputs)) / 2,
            (alone + bare(bare_network, singles)) / 2,
        )
        print(
            f"{number + 1}: mot-track {rate:.1f}, bare {together:.1f} together, {alone:.1f} one by one (frames/s)"
        )
        for kind, speed in zip(ratios, (together, alone), strict=True):
            ratios[kind].append(rate / speed)
    for kind, values in ratios.items():
        median = statistics.median(values)
        print(f"ratio to {kind}: median {median:.3f} (lowest {min(values):.3f}, highest {max(values):.3f})")


if __name__ == "__main__":
    main()
