"""`mot-eval`: score result files, or track whole benchmark folders and score that."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mot import __version__
from mot.cli.against import Events, differences
from mot.cli.errors import parse, run
from mot.engine.benchmark import Job, blind, finished, inputs, run_all
from mot.engine.evaluate import DEFAULT, Evaluation, check_columns, prepared
from mot.errors import ConfigError, OutputError, SourceError
from mot.formats.benchmark_text import read_truth
from mot.formats.sequences import Sequence, find_sequences, frame_range, results
from mot.metrics import FIELDS, Counts, Prepared, check_iou, count, events

PROGRAM = "mot-eval"
# What is for tracking alone.
TRACKING = (
    *("data", "det_file", "out", "workers", "cache", "resume", "overwrite", "allow_missing", "offline"),
    "overrides",
)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run(PROGRAM, lambda: _eval(parse(_parser(), argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Score MOT results, or track a benchmark folder and score that."
    )
    add = parser.add_argument
    add("--gt", type=Path, help="folder of sequences with ground truth, as in MOT17/train")
    add("--results", type=Path, help="folder of result files, NAME.txt each")
    add("--against", type=Path, help="another folder of results: print the differences")
    add("--cfg", help="track with this YAML config first")
    add("--data", type=Path, help="folder of sequences to track")
    add("--det-file", help="detections of each sequence, relative to it, as in det/det.txt")
    add("--out", type=Path, default=Path("output"), help="folder for the results (default: %(default)s)")
    add("--split", choices=("DPM", "FRCNN", "SDP"), help="of MOT17: the sequences of this detector")
    add("--seqmap", type=Path, help="file of sequence names")
    add("--sequences", help="names of sequences, as in MOT17-02-FRCNN,MOT17-04-FRCNN")
    add("--benchmark", help="whose rules count (default: as the folders say)")
    add("--frames", help="first-half, second-half or A-B alone")
    add(
        "--iou",
        type=float,
        default=0.5,
        help="overlap that CLEAR and Identity ask for (default: %(default)s)",
    )
    add("--metrics", help=f"families to show, of {','.join(FIELDS)}")
    add("--columns", help="columns to show, as in HOTA,MOTA,IDF1")
    add("--save-csv", type=Path, help="write the table to this file")
    add("--save-json", type=Path, help="write every field to this file")
    add("--workers", type=int, default=1, help="processes, a sequence each (default: %(default)s)")
    add("--cache", type=Path, help="folder that keeps what the networks saw")
    add("--resume", action="store_true", help="keep the sequences that are finished")
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--allow-missing", action="store_true", help="leave out sequences without images, and say so")
    add("--offline", action="store_true", help="never download weights")
    add(
        "-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="override a config key"
    )
    add("--quiet", action="store_true", help="no progress")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _eval(args: argparse.Namespace) -> int:
    columns = check_columns(_columns(args))
    check_iou(args.iou)
    _check_flags(args)
    rates: dict[str, float] = {}
    if args.cfg is not None:
        wanted, rates = _track(args)
        files = {one.name: args.out / f"{one.name}.txt" for one in wanted}
    else:
        wanted = find_sequences(args.gt, args.split, args.seqmap, _names(args), args.benchmark)
        files = results(args.results, wanted)
    table, differing = _score(args, wanted, files)
    table = replace(table, rates=rates)
    print(table.table(columns))
    if differing is not None:
        print("", *differences(table, *differing, columns), sep="\n")
    _save(args, table, columns)
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    """Refuse what would be ignored, and what would only fail after hours of work."""
    tracking = args.cfg is not None
    if tracking and args.data is None:
        raise ConfigError("--cfg needs --data, the folder of sequences to track")
    if not tracking and (args.gt is None or args.results is None):
        raise ConfigError("give --gt and --results to score files, or --cfg and --data to track")
    usual = _parser()
    for name in ("gt", "results") if tracking else TRACKING:
        if getattr(args, name) != usual.get_default(name):
            flag = {"overrides": "-o"}.get(name, "--" + name.replace("_", "-"))
            raise ConfigError(f"{flag} would not be used {'with' if tracking else 'without'} --cfg")
    if args.columns is not None and args.metrics is not None:
        raise ConfigError("--columns and --metrics both say what to show: give one")
    if args.workers < 1:
        raise ConfigError(f"--workers: expected 1 or more, got {args.workers}")
    for path in (args.save_json, args.save_csv):
        if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            raise OutputError(f"{path}: cannot be written")


def _columns(args: argparse.Namespace) -> list[str]:
    if args.columns is not None:
        return [name.strip() for name in args.columns.split(",")]
    if args.metrics is None:
        return list(DEFAULT)
    wanted = [name.strip() for name in args.metrics.split(",")]
    for name in wanted:
        if name not in FIELDS:
            raise ConfigError(f"--metrics: unknown {name!r}; known: {', '.join(FIELDS)}")
    return [column for name in wanted for column in FIELDS[name]]


def _names(args: argparse.Namespace) -> list[str] | None:
    return None if args.sequences is None else [name.strip() for name in args.sequences.split(",")]


def _score(
    args: argparse.Namespace, wanted: list[Sequence], files: Mapping[str, Path]
) -> tuple[Evaluation, tuple[Evaluation, Events] | None]:
    """The results' scores, and those that they are compared with beside the events of both."""
    sides = [files] if args.against is None else [files, results(args.against, wanted)]
    counts: list[dict[str, Counts]] = [{} for _ in sides]
    found: Events = {one.name: [] for one in wanted}
    for one in wanted:
        truth = read_truth(one, None if args.frames is None else frame_range(args.frames, one.length))
        for side, paths in zip(counts, sides, strict=True):
            scene = prepared(one, paths[one.name], args.frames, truth)
            side[one.name] = count(scene, args.iou)
            if not len(scene.result_ids):
                print(f"{PROGRAM}: note: {paths[one.name]} has no boxes to score", file=sys.stderr)
            if args.against is not None:
                found[one.name].append(_events(scene, one, args))
    ours, *theirs = map(Evaluation, counts)
    return ours, (theirs[0], found) if theirs else None


def _events(scene: Prepared, sequence: Sequence, args: argparse.Namespace) -> NDArray[Any]:
    """What is wrong in a sequence; frames are those of the files."""
    rows = events(scene, args.iou)
    rows["frame"] += 0 if args.frames is None else frame_range(args.frames, sequence.length).start - 1
    return rows


def _track(args: argparse.Namespace) -> tuple[list[Sequence], dict[str, float]]:
    """Every sequence that can be tracked, and its frames per second, those kept of an earlier run included."""
    jobs = list(_present(args))
    if not jobs:
        raise SourceError(f"{args.data}: no sequence is left to track")
    kept: dict[str, Mapping[str, Any]] = {}
    for job in jobs:
        read_truth(job.folder)  # whatever is wrong with it is better said now
        if args.resume and (record := finished(job)) is not None:
            kept[job.folder.name] = record
        elif job.text.exists() and not (args.overwrite or args.resume):
            raise OutputError(f"{job.text} exists: --resume keeps it, --overwrite replaces it")
    waiting = [job for job in jobs if job.folder.name not in kept]
    if unseen := sum(map(blind, jobs)):
        which = f"{unseen} of {len(jobs)} sequences"
        print(
            f"{PROGRAM}: note: no pictures of {which}: their camera is taken to stand still", file=sys.stderr
        )
    with _progress(waiting, args.quiet) as tell:
        records = {**kept, **run_all(waiting, args.workers, tell)}
    rates = {name: record["frames_per_second"] for name, record in records.items()}
    seconds = sum(job.length / max(rates[job.folder.name], 1e-9) for job in jobs)
    whole = round(sum(job.length for job in jobs) / seconds, 2)
    return [job.folder for job in jobs], rates | {"combined": whole}


def _present(args: argparse.Namespace) -> Iterator[Job]:
    """The sequences whose input is there."""
    for one in find_sequences(args.data, args.split, args.seqmap, _names(args), args.benchmark):
        frames = None if args.frames is None else frame_range(args.frames, one.length)
        facts = (tuple(args.overrides), frames, args.det_file, args.cache, args.offline)
        job = Job(one, args.out, args.cfg, *facts)
        try:
            inputs(job)
        except SourceError as error:
            if not args.allow_missing:
                raise
            print(f"{PROGRAM}: left out: {error}", file=sys.stderr)
        else:
            yield job


@contextmanager
def _progress(jobs: list[Job], quiet: bool) -> Iterator[Any]:
    """Bars of all frames and of each sequence that has begun, on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    lengths = {job.folder.name: job.length for job in jobs}
    done = dict.fromkeys(lengths, 0)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        whole = bars.add_task(f"{len(jobs)} sequences", total=sum(lengths.values()))
        tasks = {name: bars.add_task(name, total=length, visible=False) for name, length in lengths.items()}

        def tell(frames: Mapping[str, int]) -> None:
            done.update(frames)
            bars.update(whole, completed=sum(done.values()))
            for name, count in frames.items():
                bars.update(tasks[name], completed=count, visible=count < lengths[name])

        yield tell


def _save(args: argparse.Namespace, table: Evaluation, columns: list[str]) -> None:
    try:
        if args.save_json is not None:
            args.save_json.write_text(json.dumps(table.as_dict(), indent=1) + "\n", encoding="utf-8")
        if args.save_csv is not None:
            rows = table.rows(columns)
            with args.save_csv.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
                writer.writeheader()
                writer.writerows(rows)
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
