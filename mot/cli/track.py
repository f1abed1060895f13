"""`mot-track`: track the objects of one source, and write what was seen."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mot import __version__
from mot.cli.errors import ERROR, parse
from mot.cli.errors import run as run_program
from mot.cli.progress import Interrupt, Progress, profile_table
from mot.cli.tracked import Tracked
from mot.engine.config import Config, read_config
from mot.engine.outputs import Outputs
from mot.engine.span import Span
from mot.engine.tracker import Tracker
from mot.errors import ConfigError, MotError
from mot.perception.files import DetectionFile
from mot.structures import Frame

PROGRAM = "mot-track"


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run_program(PROGRAM, lambda: _track(parse(_parser(), argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Track objects in a video and write what was seen."
    )
    add = parser.add_argument
    add("--cfg", default="deepsort.yml", help="YAML config, by path or bare name (default: %(default)s)")
    add(
        "--video",
        nargs="+",
        help="video file, folder or glob of pictures, camera index, or URL; several share the networks",
    )
    add(
        "--det-file",
        type=Path,
        help="take detections from this MOT text file; without --video, track it alone",
    )
    add("--out", type=Path, default=Path("output"), help="folder for the results (default: %(default)s)")
    add("--jsonl", type=Path, help="also write JSON lines to this file; of several sources, into this folder")
    add("--no-video", action="store_true", help="write no annotated video")
    add("--show", action="store_true", help="show the annotated frames in a window; q ends")
    add("--overwrite", action="store_true", help="replace results that exist")
    add("--classes", help="names of the classes to track, as in person,car; `all` for every class")
    add("--device", help="auto, cpu, cuda or cuda:n")
    add("--start", help="first frame (250) or time (10s)")
    add("--end", help="last frame or time, included")
    add(
        "--stride",
        type=int,
        default=1,
        help="track only every so many frames; the video is written with those",
    )
    add("--fps", type=float, help="frames per second of pictures, or of a detection file without a video")
    add(
        "-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="override a config key"
    )
    add("--size", help="width x height, as in 1920x1080: draw a detection file without a video on black")
    add(
        "--interpolate",
        choices=("linear", "gsi"),
        help="fill gaps in the text and the JSON lines, straight or smoothed",
    )
    add("--offline", action="store_true", help="never download weights")
    add("--realtime", action="store_true", help="pass frames over the networks to keep up with the source")
    add(
        "--profile",
        nargs="?",
        type=Path,
        const=True,
        help="print where the time went; with a file name, write it as a trace for chrome://tracing or Perfetto",
    )
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _track(args: argparse.Namespace) -> int:
    """One run, from flags to files."""
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level="ERROR" if args.quiet else "WARNING")
    config = _config(args)
    seen = config.detector
    det_file = None if args.det_file is None else DetectionFile(args.det_file, seen.labels, seen.score_map)
    with ExitStack() as stack:
        sources = _sources(args, det_file, config.needs_embeddings, stack)
        interrupt = stack.enter_context(Interrupt([s.close for s, _ in sources if getattr(s, "live", False)]))
        runs = [Tracked(args, source, name, len(sources) > 1) for source, name in sources]
        trace = isinstance(args.profile, Path)
        inputs = [path for each in runs for path in each.inputs]
        with Outputs(args.overwrite, inputs) as extra:
            if trace:
                extra.refuse([args.profile, *(path for each in runs for path in each.paths.values())])
            tracker = Tracker.from_config(config, detector=det_file, offline=args.offline, trace=trace)
            failed = _loop(tracker, runs, args, interrupt)
            if trace:
                extra.add_json(args.profile, tracker.times.trace_events())
    _report([run for run in runs if run not in failed], tracker, args)
    if failed:
        return ERROR
    return 130 if interrupt.asked or any(run.summary.interrupted for run in runs) else 0


def _config(args: argparse.Namespace) -> Config:
    overrides = list(args.overrides)
    if args.classes is not None:
        names = [json.dumps(name.strip(), ensure_ascii=False) for name in args.classes.split(",")]
        overrides.append(
            f"detector.classes={'null' if args.classes == 'all' else '[' + ', '.join(names) + ']'}"
        )
    if args.device is not None:
        overrides.append(f"runtime.device={args.device}")
    if args.realtime:
        overrides.append("runtime.detect_every=auto")
    return read_config(args.cfg, overrides)


def _sources(
    args: argparse.Namespace, det_file: DetectionFile | None, needs_pictures: bool, stack: ExitStack
) -> list[tuple[Any, str]]:
    """The frames and the name of the results of each; a detection file alone needs neither cv2 nor a video."""
    if args.video is None:
        return [_blank(args, det_file, needs_pictures)]
    from mot.video import IMAGE_SUFFIXES, open_source

    if det_file is not None and len(args.video) > 1:
        raise ConfigError(f"--det-file: belongs to one video, but --video names {len(args.video)}")
    pictures = [spec for spec in args.video if Path(spec).suffix.lower() in IMAGE_SUFFIXES]
    if len(pictures) > 1:
        raise ConfigError(
            f"--video: {len(pictures)} single pictures; name their folder, or quote the pattern"
        )
    sources = [stack.enter_context(closing(open_source(spec, fps=args.fps))) for spec in args.video]
    names: dict[str, str] = {}
    for source, spec in zip(sources, args.video, strict=True):
        if source.name in names:
            raise ConfigError(
                f"--video: the results of {names[source.name]!r} and {spec!r} would both be called"
                f" {source.name!r}; track one of them in a run of its own, with another --out"
            )
        names[source.name] = spec
    return [(source, source.name) for source in sources]


def _blank(args: argparse.Namespace, det_file: DetectionFile | None, needs_pictures: bool) -> tuple[Any, str]:
    """A detection file without a video as a source."""
    if det_file is None:
        raise ConfigError("nothing to track: give --video, --det-file or both")
    if needs_pictures:
        raise ConfigError(
            "this config looks at appearance: give --video as well, or use a config without reid"
        )
    if args.show and args.size is None:
        raise ConfigError("--show needs --video, or --size: a detection file has no pictures")
    fps = 30.0 if args.fps is None else args.fps
    frames = det_file.frames(fps, _size(args.size))
    return Blank(frames, Fraction(fps).limit_denominator(1001), det_file.last_frame), det_file.path.stem


@dataclass
class Blank:
    """A detection file's frames as a source.

    Attributes:
        frames: what to iterate over.
        rate: frames per second.
        frame_count: how many there are.
        pictures: none that would have to be decoded.
    """

    pictures = False
    frames: Iterable[Frame]
    rate: Fraction
    frame_count: int

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once."""
        return iter(self.frames)


def _size(text: str | None) -> tuple[int, int] | None:
    """`1920x1080` as height and width."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if not found:
        raise ConfigError(f"--size {text!r}: expected width x height up to 9999, as in 1920x1080")
    return int(found[2]), int(found[1])


def _loop(
    tracker: Tracker, runs: list[Tracked], args: argparse.Namespace, interrupt: Interrupt
) -> list[Tracked]:
    """Every frame into every sink, until the sources end or the user has had enough; the runs that failed."""
    going, failed = list(runs), []
    span = Span.parse(args.start, args.end, args.stride)

    def ended(number: int, error: Exception | None) -> None:
        run = runs[number]
        if error is not None and (len(runs) == 1 or not isinstance(error, MotError | OSError)):
            raise error
        going.remove(run)
        if error is None:
            run.finish(tracker, interrupt.asked)
            return
        print(f"{PROGRAM}: error: {run.name}: {error}", file=sys.stderr)
        run.discard(error)
        failed.append(run)

    try:
        for run in runs:
            run.open(tracker)
        interrupt.arm()
        marks = {"start": args.start, "end": args.end, "stride": args.stride}
        sources = [run.source for run in runs]
        with (
            Progress(_total(runs, span), quiet=args.quiet) as progress,
            closing(tracker.track_many(sources, **marks, ended=ended)) as tracked,
        ):
            for number, frame, tracks in tracked:
                runs[number].write(frame, tracks)
                progress.advance(sum(run.summary.frames for run in runs))
                if interrupt.asked or runs[number].outputs.enough:
                    break
        with ExitStack() as stack:  # one that cannot be finished leaves the others whole
            while going:
                stack.callback(going.pop().finish, tracker, interrupted=True)
    except BaseException as error:
        for run in going:
            run.discard(error)
        raise
    return failed


def _total(runs: list[Tracked], span: Span) -> int | None:
    """About how many frames there are; None where nobody knows."""
    sources = [run.source for run in runs]
    counts = [
        span.length(getattr(source, "frame_count", None), getattr(source, "rate", None)) for source in sources
    ]
    return None if None in counts else sum(count or 0 for count in counts)


def _report(runs: list[Tracked], tracker: Tracker, args: argparse.Namespace) -> None:
    for run in runs:
        run.report(PROGRAM, tracker)
    if args.quiet:
        return
    frames = sum(run.summary.frames for run in runs)
    seconds = max((run.summary.last for run in runs), default=0) - min(
        (run.summary.started for run in runs), default=0
    )
    if len(runs) > 1:
        print(f"{len(runs)} sources, {frames} frames at {frames / max(seconds, 1e-9):.1f} frames/s together")
    if tracker.times.dropped:
        print(f"{tracker.times.dropped} frames of live sources were passed over, to stay with the newest")
    if isinstance(args.profile, Path):
        print(f" trace  {args.profile}")
    elif args.profile:
        profile_table(tracker.times, frames, seconds)


if __name__ == "__main__":
    sys.exit(main())
