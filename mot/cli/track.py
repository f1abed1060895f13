"""`mot-track`: track the objects of one source, and write what was seen."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from mot import __version__
from mot.cli.errors import parse, run
from mot.cli.progress import Interrupt, Progress, profile_table
from mot.engine.config import Config, read_config
from mot.engine.interpolate import Interpolated
from mot.engine.outputs import Outputs, Sink, TextSink
from mot.engine.span import Span
from mot.engine.tracker import Tracker
from mot.errors import ConfigError
from mot.formats import jsonl, mot_text
from mot.perception.files import DetectionFile
from mot.structures import Frame, Tracks

PROGRAM = "mot-track"


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    return run(PROGRAM, lambda: _track(parse(_parser(), argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Track objects in a video and write what was seen."
    )
    add = parser.add_argument
    add("--cfg", default="deepsort.yml", help="YAML config, by path or bare name (default: %(default)s)")
    add("--video", help="video file, folder or glob of pictures, camera index, or URL")
    add(
        "--det-file",
        type=Path,
        help="take detections from this MOT text file; without --video, track it alone",
    )
    add("--out", type=Path, default=Path("output"), help="folder for the results (default: %(default)s)")
    add("--jsonl", type=Path, help="also write JSON lines, a row a track and frame, to this file")
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
    add("--profile", action="store_true", help="print where the time went")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


@dataclass
class Summary:
    """What a run has seen so far."""

    frames: int = 0
    ids: set[int] = field(default_factory=set)
    started: float = field(default_factory=time.perf_counter)
    last: float = field(default_factory=time.perf_counter)
    interrupted: bool = False

    def add(self, tracks: Tracks) -> None:
        """Count one more frame."""
        self.frames += 1
        self.last = time.perf_counter()
        self.ids.update(tracks.ids.tolist())

    @property
    def rate(self) -> float:
        """Frames per second, up to the last frame."""
        return self.frames / max(self.last - self.started, 1e-9)


def _track(args: argparse.Namespace) -> int:
    """One run, from flags to files."""
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level="ERROR" if args.quiet else "WARNING")
    config = _config(args)
    seen = config.detector
    det_file = None if args.det_file is None else DetectionFile(args.det_file, seen.labels, seen.score_map)
    source, name = _source(args, det_file, config.needs_embeddings)
    with closing(source) if hasattr(source, "close") else nullcontext(), Interrupt() as interrupt:
        paths = _paths(args, name)
        inputs = [Path(path) for path in (args.det_file, getattr(source, "path", None)) if path is not None]
        with Outputs(args.overwrite, inputs) as outputs:
            outputs.refuse(list(paths.values()))
            tracker = Tracker.from_config(config, detector=det_file, offline=args.offline)
            _add_sinks(outputs, paths, args, tracker, source)
            summary = _loop(tracker, source, args, outputs, interrupt)
            outputs.add_json(paths["record"], _record(tracker, source, name, summary))
    _report(summary, paths, source, tracker, args)
    return 130 if summary.interrupted else 0


def _config(args: argparse.Namespace) -> Config:
    overrides = list(args.overrides)
    if args.classes is not None:
        names = [json.dumps(name.strip(), ensure_ascii=False) for name in args.classes.split(",")]
        overrides.append(
            f"detector.classes={'null' if args.classes == 'all' else '[' + ', '.join(names) + ']'}"
        )
    if args.device is not None:
        overrides.append(f"runtime.device={args.device}")
    return read_config(args.cfg, overrides)


def _source(
    args: argparse.Namespace, det_file: DetectionFile | None, needs_pictures: bool
) -> tuple[Any, str]:
    """The frames and the name of the results; a detection file alone needs neither cv2 nor a video."""
    if args.video is not None:
        from mot.video import open_source

        source = open_source(args.video, fps=args.fps)
        return source, source.name
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


def _paths(args: argparse.Namespace, name: str) -> dict[str, Path]:
    paths = {"text": args.out / f"{name}.txt", "record": args.out / f"{name}.json"}
    if (args.video is not None or args.size is not None) and not args.no_video:
        paths["video"] = args.out / f"{name}.mp4"
    if args.jsonl is not None:
        paths["jsonl"] = args.jsonl
    return paths


def _add_sinks(
    outputs: Outputs, paths: dict[str, Path], args: argparse.Namespace, tracker: Tracker, source: Any
) -> None:
    """The sinks that the flags ask for."""
    names = tracker.label_names
    several = len(tracker.tracked_labels) > 1

    def text_sink(part: Path, render: Callable[[Frame, Tracks], str]) -> Sink:
        sink = TextSink(part, render)
        return sink if args.interpolate is None else Interpolated(sink, args.interpolate)

    def mot_rows(frame: Frame, tracks: Tracks) -> str:
        return mot_text.format_tracks(frame.index, tracks, several)

    outputs.add(paths["text"], partial(text_sink, render=mot_rows))
    if "jsonl" in paths:
        outputs.add(
            paths["jsonl"],
            partial(text_sink, render=lambda frame, tracks: jsonl.format_tracks(frame, tracks, names)),
        )
    if "video" in paths or args.show:
        from mot.engine.pictures import PictureSink

        picture_sink = partial(
            PictureSink,
            rate=source.rate and source.rate / args.stride,
            label_names=names if several else (),
            show=args.show,
        )
        if "video" in paths:
            outputs.add(paths["video"], picture_sink)
        else:
            outputs.watch(picture_sink(None))


def _loop(
    tracker: Tracker, source: Any, args: argparse.Namespace, outputs: Outputs, interrupt: Interrupt
) -> Summary:
    """Every frame into every sink, until the source ends or the user has had enough."""
    span = Span.parse(args.start, args.end, args.stride)
    total = span.length(getattr(source, "frame_count", None), getattr(source, "rate", None))
    summary = Summary()
    interrupt.arm()
    with Progress(total, quiet=args.quiet) as progress:
        for frame, tracks in tracker.track(source, start=args.start, end=args.end, stride=args.stride):
            with tracker.times.stage("write"):
                outputs.write(frame, tracks)
            summary.add(tracks)
            progress.advance(summary.frames)
            if interrupt.asked or outputs.enough:
                summary.interrupted = True
                break
    return summary


def _record(tracker: Tracker, source: Any, name: str, summary: Summary) -> dict[str, Any]:
    """What stands beside a result, so that it can be made again."""
    return {
        "source": name,
        "frames": summary.frames,
        "frames_lost": getattr(source, "lost", 0),
        "interrupted": summary.interrupted,
        "tracks": len(summary.ids),
        "frames_per_second": round(summary.rate, 2),
    } | tracker.record()


def _report(
    summary: Summary, paths: dict[str, Path], source: Any, tracker: Tracker, args: argparse.Namespace
) -> None:
    lost = getattr(source, "lost", 0)
    if lost:
        print(f"{PROGRAM}: {lost} frames of the source could not be decoded and are missing", file=sys.stderr)
    if args.quiet:
        return
    labels = [tracker.label_names[label] for label in tracker.tracked_labels]
    what = f"objects ({', '.join(labels[:3])}{', …' if len(labels) > 3 else ''})"
    print(f"tracked {len(summary.ids)} {what} in {summary.frames} frames at {summary.rate:.1f} frames/s")
    if summary.interrupted:
        print("interrupted: the results hold what was tracked so far")
    for key in ("video", "text", "jsonl"):
        if key in paths and paths[key].exists():
            print(f"{key:>6}  {paths[key]}")
    if args.profile:
        profile_table(tracker.times.seconds, summary.frames)


if __name__ == "__main__":
    sys.exit(main())
