"""Frames/s of the whole of mot-track against its bare networks, and against what a user would otherwise write.

    python tools/bench/end_to_end.py --video vtest.avi --cfg deepsort.yml bytetrack.yml --rounds 5 --json FILE

Every contestant is a process of its own (`contestants.py`, `frame_by_frame.py`), with the threads that it takes by
itself, alone on the machine; they take turns, round after round, each round beginning one further, because machines
change their speed. The ratio of two of one round is what counts; loading and first passes are left out. Before the
rounds everything runs once, so that files are in the page cache and compiled kernels on the disk.

    bare         forward passes alone (detector, and embedder on the crops of the same frames), prepared beforehand:
                 as mot calls them at the config's batch, one pass a batch, frame by frame
    whole        mot-track --no-video, until its files are closed
    video        mot-track with the annotated H.264 video
    fast         whole, with --fast (default runtime.precision=auto), against `bare fast`
    four, many   four copies of the video as four sources of one run, by mot-track and by `Tracker.track_many`;
                 their texts must be those of the single run
    peer         frame_by_frame.py, for DeepSORT, if $PEERS_SRC is set

A run during which other processes had more than a tenth of a core is marked as disturbed: do not quote it.
--frames shortens it, --only leaves out contestants. --cfg takes any config that has a detector.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import frame_by_frame
import torch
from contestants import AS_MOT, SINGLY, TOGETHER, Spec

from mot.cli.entry import spin_for_a_moment
from mot.engine.config import read_config
from mot.video import open_source

HERE = Path(__file__).resolve().parent
COPIES = 4
DISTURBED = (
    0.1  # cores that others may have before it is said: a busy core can cost two threads a factor of ten
)
Result = dict[str, Any]
# What is divided by what, and what is asked of it; of `bare` by the way of calling.
RATIOS: tuple[tuple[str, str, str | None, float | None], ...] = (
    ("whole", "bare", AS_MOT, 0.92),
    ("whole", "bare", TOGETHER, None),
    ("whole", "bare", SINGLY, None),
    ("video", "bare", AS_MOT, 0.8),
    ("fast", "bare fast", AS_MOT, 0.75),
    ("fast", "bare fast", TOGETHER, None),
    ("fast", "bare fast", SINGLY, None),
    ("four", "whole", None, 1.0),
    ("many", "whole", None, 1.0),
    ("whole", "peer", None, 1.3),
)


class FailedError(Exception):
    """A contestant ended with an error; the text is the end of what it said."""


@dataclass(frozen=True)
class Job:
    """The flags, and where things lie that are made once."""

    video: str
    frames: int
    fast: tuple[str, ...]
    folder: Path


def busy_seconds() -> float:
    """CPU seconds of this machine's other processes so far: all of them, less our children's (of Linux)."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    everybody = sum(fields[:3]) + sum(fields[5:8])  # user, nice, system; interrupts and what the host took
    return everybody / os.sysconf("SC_CLK_TCK") - ours.ru_utime - ours.ru_stime


def child(script: str, *words: str) -> Result:
    """Runs one of the scripts beside this; the JSON of its last line, and how much others had of the machine."""
    command = [sys.executable, str(HERE / script), *words]
    before, started = busy_seconds(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cores = (busy_seconds() - before) / (time.perf_counter() - started)
    if done.returncode != 0:
        raise FailedError("; ".join((done.stderr or done.stdout).strip().splitlines()[-2:]))
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found | {"others": round(cores, 3)}


def contestant(spec: Spec) -> Result:
    return child("contestants.py", spec.text())


def field_of(job: Job, cfg: str) -> dict[str, Callable[[], Result]]:
    """Everybody who can take part, by name, those that are compared beside each other."""
    base = Spec("whole", cfg, (job.video,), job.frames, flags=("--no-video",))
    bare = replace(base, kind="bare", flags=(), boxes=str(job.folder / f"{Path(cfg).stem}.npz"))
    copies = tuple(str(job.folder / f"copy{i}{Path(job.video).suffix}") for i in range(COPIES))
    specs = {
        "bare": bare,
        "whole": base,
        "video": replace(base, flags=()),
        "bare fast": replace(bare, overrides=job.fast),
        "fast": replace(base, overrides=job.fast),
        "four": replace(base, videos=copies),
        "many": replace(base, kind="many", videos=copies, flags=()),
    }
    field: dict[str, Callable[[], Result]] = {name: partial(contestant, spec) for name, spec in specs.items()}
    if read_config(cfg).architecture == "DeepSORT" and os.environ.get("PEERS_SRC"):
        networks = ["--networks", str(job.folder / Path(cfg).stem), "--frames", str(job.frames)]
        field["peer"] = partial(child, "frame_by_frame.py", "--video", job.video, *networks)
    return field


def prepare(job: Job, cfg: str) -> None:
    """The detections, the peer's networks and the copies."""
    spec = Spec("boxes", cfg, (job.video,), job.frames, boxes=str(job.folder / f"{Path(cfg).stem}.npz"))
    found = contestant(spec)
    print(f"{cfg}: {found['frames']} frames, {found['detections']} detections", flush=True)
    if read_config(cfg).architecture == "DeepSORT" and os.environ.get("PEERS_SRC"):
        frame_by_frame.export(job.folder / Path(cfg).stem, cfg, job.video)
    for i in range(COPIES):
        copy = job.folder / f"copy{i}{Path(job.video).suffix}"
        if not copy.exists():
            copy.symlink_to(Path(job.video).resolve())


def rate(result: Result, way: str | None = None) -> float:
    """Frames/s; of a bare result by the way of calling."""
    seconds = result["seconds"]
    return float(result["frames"] / (seconds[way] if isinstance(seconds, dict) else seconds))


def said(name: str, result: Result) -> str:
    """One line about one run."""
    if isinstance(result["seconds"], dict):
        rates = ", ".join(f"{rate(result, way):.1f} {way}" for way in result["seconds"])
        return f"{name}: {rates} ({' and '.join(result['precision'].values())})"
    more = [f"{result['rows']} rows"] if "rows" in result else []
    if "cpu_seconds" in result:
        more.append(f"{1000 * result['cpu_seconds'] / result['frames']:.1f} CPU ms a frame")
    if "detections" in result:
        more.append(f"{result['detections']} detections, {result['tracks']} tracks")
    return f"{name}: {rate(result):.1f} ({', '.join(more)})"


def run_rounds(field: dict[str, Callable[[], Result]], rounds: int) -> list[dict[str, Result]]:
    """All contestants once without counting, then in turns; who fails the first time is left out, and said."""
    results: list[dict[str, Result]] = []
    for number in range(rounds + 1):
        names = list(field)
        first = number % max(1, len(names))
        row: dict[str, Result] = {}
        for name in names[first:] + names[:first]:
            try:
                row[name] = field[name]()
            except FailedError as error:
                if number:
                    raise SystemExit(f"{name}, round {number}: {error}") from None
                print(f"LEFT OUT {name}: {error}", flush=True)
                del field[name]
                continue
            busy = (
                f", DISTURBED by {row[name]['others']:.2f} cores" if row[name]["others"] > DISTURBED else ""
            )
            print(f"  {number or 'not counted'}: {said(name, row[name])}{busy}", flush=True)
        if number:
            results.append(row)
    return results


def ratio_table(results: list[dict[str, Result]]) -> list[str]:
    """Markdown: the median ratio of the rounds, lowest and highest."""
    lines = ["| frames/s of | to those of | median | lowest | highest | goal |", "|---|---|---|---|---|---|"]
    for over, under, way, goal in RATIOS:
        pairs = [(row[over], row[under]) for row in results if over in row and under in row]
        if not pairs or (way is not None and way not in pairs[0][1]["seconds"]):
            continue
        values = [rate(a) / rate(b, way) for a, b in pairs]
        title = under if way is None else f"{under}, {way}"
        middle = " | ".join(f"{v:.3f}" for v in (statistics.median(values), min(values), max(values)))
        lines.append(f"| {over} | {title} | {middle} | {goal or ''} |")
    return lines


def profile_table(results: list[dict[str, Result]]) -> list[str]:
    """Markdown: ms a frame of each stage, medians; stages side by side add up to more than a frame takes."""
    names = [name for name in results[0] if "stages" in results[0][name]]
    if not names:
        return []
    stages = list(results[0][names[0]]["stages"])
    lines = [f"| ms a frame | {' | '.join(stages)} | frame |", "|" + "---|" * (len(stages) + 2)]
    for name in names:
        runs = [row[name] for row in results]
        cells = [
            1000 * statistics.median(run["stages"][one] / run["frames"] for run in runs) for one in stages
        ]
        cells.append(1000 * statistics.median(1 / rate(run) for run in runs))
        lines.append(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return lines


def same_texts(row: Mapping[str, Result], name: str) -> str:
    """Whether every one of the copies got the text that the video alone got."""
    if name not in row or "whole" not in row:
        return f"{name}: not compared with the single run"
    alike = row[name]["texts"] == row["whole"]["texts"] * COPIES
    return f"{name}: texts {'identical' if alike else 'NOT IDENTICAL'} to the single run's"


def measure(job: Job, cfg: str, rounds: int, only: list[str]) -> list[dict[str, Result]]:
    """One config, and its tables."""
    prepare(job, cfg)
    field = {name: run for name, run in field_of(job, cfg).items() if not only or name in only}
    results = run_rounds(field, rounds)
    texts = [same_texts(results[0], name) for name in ("four", "many")]
    print(
        "\n".join([f"\n{cfg}\n", *ratio_table(results), "", *profile_table(results), "", *texts, ""]),
        flush=True,
    )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--video", required=True)
    parser.add_argument("--cfg", nargs="+", default=["deepsort.yml", "bytetrack.yml"])
    parser.add_argument("--frames", type=int, help="the first so many (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fast", nargs="+", default=["runtime.precision=auto"], metavar="KEY=VALUE")
    parser.add_argument("--only", nargs="+", default=[], help="contestants by name")
    parser.add_argument("--json", type=Path, help="write every run here")
    args = parser.parse_args()
    spin_for_a_moment()  # as mot's programs do, and here for all
    frames = args.frames or open_source(args.video).frame_count
    if frames is None:
        parser.error("--frames: the video does not say how many it has")
    with tempfile.TemporaryDirectory() as folder:
        job = Job(args.video, frames, tuple(args.fast), Path(folder))
        rounds = {cfg: measure(job, cfg, args.rounds, args.only) for cfg in args.cfg}
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": machine, "frames": frames, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
