"""Does a tracker stay as small and as fast as it was, however long it runs?

    python tools/bench/soak.py --tracker DeepSORT --frames 100000
    python tools/bench/soak.py --video vtest.avi [--cfg deepsort.yml] [--frames 20000] [--write-video]

The first looks at a tracker, the second at the whole pipeline.

Synthetic frames with births and deaths: a fixed number of targets, each replaced by a new one somewhere else when
its time is over, some of them hidden now and then, and false boxes. Two limits, exit status 1 beyond either:

    memory   resident memory (of Linux), looked at every 100 frames, is never 10 MB above that after the first 1,000
    time     the last 1,000 frames take at most 1.1 times what the first 1,000 take

Only `update` is timed, by the processor time of this process. A machine's speed drifts over minutes by more than a
tenth. So the first 1,000 frames are run once more at the end, through a fresh tracker, in turns of 100 frames with
the last 1,000: the ratio that counts is the median of these ten pairs' ratios. The ratio to the medians of the time
when the first frames really were the first is printed beside it.

The whole pipeline: the video again and again, as one file, through decoder, detector and ReID network, tracker and
text file (with --write-video also the annotated H.264 video). The networks' input is so small (`TINY`) that a loop
takes seconds, and that people are found now and then: tracks are born and lost.
One limit: resident memory, looked at every 100 frames, is never 20 MB above that after the first loop.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from mot.engine.outputs import Outputs, TextSink
from mot.formats.mot_text import format_tracks
from mot.structures import Detections, Tracks
from mot.trackers import TRACKERS, Associator

if TYPE_CHECKING:
    from av.video.stream import VideoStream

WINDOW, CHUNK = 1000, 100  # frames at either end, and in one timing
MAX_GROWTH_MB, MAX_RATIO = 10.0, 1.1
MAX_PIPELINE_MB = 20.0
TINY = ("detector.input_size=160", "detector.score_threshold=0.1")
TARGETS, LIFE, LOOK = 20, 150.0, 32  # targets at a time, frames they live on average, width of an embedding
WIDTH, HEIGHT = 1920.0, 1080.0


@dataclass
class Counts:
    """What went through, and what came out."""

    frames: int = 0
    born: int = 0
    detections: int = 0
    rows: int = 0
    ids: int = 0
    most: int = 0

    def add(self, detections: int, tracks: Tracks) -> None:
        """One frame more, of so many detections."""
        self.frames += 1
        self.detections += detections
        self.rows += len(tracks)
        self.ids = max(self.ids, int(tracks.assigned.max(initial=0)))
        self.most = max(self.most, len(tracks))


def scene(seed: int, counts: Counts | None = None) -> Iterator[Detections]:
    """Detections of one frame after the other, without end and always the same for a `seed`."""
    rng = np.random.default_rng(seed)
    place, size = rng.uniform(0, [WIDTH, HEIGHT], (TARGETS, 2)), rng.uniform(30, 120, (TARGETS, 2))
    velocity, look = rng.normal(0, 3, (TARGETS, 2)), rng.normal(size=(TARGETS, LOOK))
    while True:
        over = rng.random(TARGETS) < 1 / LIFE
        born = int(over.sum())
        place[over], size[over] = rng.uniform(0, [WIDTH, HEIGHT], (born, 2)), rng.uniform(30, 120, (born, 2))
        velocity[over], look[over] = rng.normal(0, 3, (born, 2)), rng.normal(size=(born, LOOK))
        if counts is not None:
            counts.born += born
        place += velocity
        velocity[(place < 0) | (place > [WIDTH, HEIGHT])] *= -1
        seen, false = rng.random(TARGETS) < 0.9, int(rng.poisson(1.0))
        centre = np.vstack(
            [place[seen] + rng.normal(0, 1.5, (int(seen.sum()), 2)), rng.uniform(0, HEIGHT, (false, 2))]
        )
        half = np.vstack([size[seen], rng.uniform(30, 120, (false, 2))]) / 2
        looks = np.vstack([look[seen], rng.normal(size=(false, LOOK))])
        yield Detections(
            xyxy=np.hstack([centre - half, centre + half]),
            scores=rng.uniform(0.3, 1.0, len(centre)),
            embeddings=(looks + rng.normal(0, 0.3, looks.shape)).astype(np.float32),
        )


def timed(tracker: Associator, frames: list[Detections], counts: Counts | None = None) -> float:
    """Processor seconds that `tracker` takes for `frames`."""
    total = 0.0
    for found in frames:
        start = time.process_time()
        tracks = tracker.update(found)
        total += time.process_time() - start
        if counts is not None:
            counts.add(len(found), tracks)
    return total


def resident_mb() -> float:
    """Memory of this process that is in RAM, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(name: str, frames: int, seed: int) -> tuple[Counts, float, float, float]:
    """Run it: the counts, growth in MB, ratio of the times in turns, ratio to the first frames' own time."""
    config, build = TRACKERS[name]
    counts = Counts()
    tracker, source = build(config()), scene(seed, counts)
    chunks = [timed(tracker, list(islice(source, CHUNK)), counts) for _ in range(WINDOW // CHUNK)]
    first, base = statistics.median(chunks), resident_mb()
    most = base
    for _ in range((frames - 2 * WINDOW) // CHUNK):
        timed(tracker, list(islice(source, CHUNK)), counts)
        most = max(most, resident_mb())
    fresh, again = build(config()), scene(seed)
    last, pairs = [], []
    for _ in range(WINDOW // CHUNK):
        anew = timed(fresh, list(islice(again, CHUNK)))
        last.append(timed(tracker, list(islice(source, CHUNK)), counts))
        pairs.append(last[-1] / anew)
        most = max(most, resident_mb())
    return counts, most - base, statistics.median(pairs), statistics.median(last) / first


def repeated(video: str, frames: int, folder: Path) -> tuple[Path, int]:
    """A file of so many frames or more, the packets of the video repeated; and how many the video itself has."""
    import av

    path, offset, count, length = folder / f"long{Path(video).suffix}", 0, 0, 0
    with av.open(str(path), "w") as out:
        stream: VideoStream | None = None
        while count < frames:
            with av.open(video) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                end = 0
                for packet in container.demux(source):
                    if packet.dts is None:  # the last, which is empty
                        continue
                    end = max(end, packet.dts + (packet.duration or 1))
                    packet.dts, packet.stream = packet.dts + offset, stream
                    packet.pts = None if packet.pts is None else packet.pts + offset
                    out.mux(packet)
                    count += 1
            offset, length = offset + end, length or count
    return path, length


def soak_video(video: str, cfg: str, frames: int, write_video: bool, overrides: list[str]) -> int:
    """The whole pipeline; prints the counts and resident memory, and returns the exit status."""
    from mot.engine.tracker import Tracker
    from mot.video import open_source

    counts, tracker = Counts(), Tracker.from_config(cfg, overrides=[*TINY, *overrides])
    memory: dict[int, float] = {}  # after so many frames
    started = time.perf_counter()
    with TemporaryDirectory() as folder, Outputs() as outputs:
        path, length = repeated(video, frames, Path(folder))
        add_sinks(outputs, Path(folder), open_source(path).rate if write_video else None)
        for frame, tracks in tracker.track(path, end=frames):
            outputs.write(frame, tracks)
            counts.add(len(tracks.assigned), tracks)
            if counts.frames == length or (counts.frames > length and counts.frames % CHUNK == 0):
                memory[counts.frames] = resident_mb()
    rate = counts.frames / (time.perf_counter() - started)
    if len(memory) < 2:
        print(f"--frames {frames}: expected at least two loops of {length} frames")
        return 2
    base, most = memory[length], max(memory.values())
    print(
        f"{cfg}: {counts.frames} frames, {counts.frames / length:.1f} loops, {counts.detections} detections, "
        f"{counts.ids} ids, {counts.rows} rows, {rate:.0f} frames/s"
    )
    print(
        f"memory: {base:.1f} MB after the first loop, {memory[max(memory)]:.1f} MB at the end, "
        f"{most - base:+.2f} MB at most (limit {MAX_PIPELINE_MB:g})"
    )
    return int(most - base > MAX_PIPELINE_MB)


def add_sinks(outputs: Outputs, folder: Path, rate: Fraction | None) -> None:
    """MOT text, and where there is a rate an annotated video."""
    outputs.add(
        folder / "all.txt",
        partial(TextSink, render=lambda frame, tracks: format_tracks(frame.index, tracks)),
    )
    if rate is not None:
        from mot.engine.pictures import PictureSink

        outputs.add(folder / "all.mp4", partial(PictureSink, rate=rate, label_names=(), show=False))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracker", choices=sorted(TRACKERS), default="SORT")
    parser.add_argument("--frames", type=int, help=f"100000, at least {3 * WINDOW}; of --video 20000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--video", help="the whole pipeline over this video")
    parser.add_argument("--cfg", default="deepsort.yml", help="with --video")
    parser.add_argument("--write-video", action="store_true", help="with --video")
    parser.add_argument(
        "-o", dest="overrides", action="append", default=[], help="config key=value, likewise"
    )
    arguments = parser.parse_args()
    if arguments.video is not None:
        facts = arguments.cfg, arguments.frames or 20_000, arguments.write_video, arguments.overrides
        return soak_video(arguments.video, *facts)
    arguments.frames = arguments.frames or 100_000
    if arguments.frames < 3 * WINDOW:
        parser.error(f"--frames: expected at least {3 * WINDOW}, got {arguments.frames}")
    frames = arguments.frames - arguments.frames % CHUNK
    counts, growth, ratio, own = soak(arguments.tracker, frames, arguments.seed)
    print(
        f"{arguments.tracker}: {counts.frames} frames, {counts.born} targets born after the first {TARGETS}, "
        f"{counts.detections} detections, {counts.ids} ids, {counts.rows} rows, at most {counts.most} in a frame"
    )
    print(f"memory: {growth:+.2f} MB at most after frame {WINDOW} (limit {MAX_GROWTH_MB:g})")
    print(
        f"time: last {WINDOW} frames {ratio:.3f} times the first (limit {MAX_RATIO:g}); not in turns {own:.3f}"
    )
    return int(growth > MAX_GROWTH_MB or ratio > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())
