"""One source of `mot-track`: the files that its results go to, and what was seen."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mot.engine.interpolate import Interpolated
from mot.engine.outputs import Outputs, Sink, TextSink
from mot.engine.threaded import Threaded, Timed
from mot.engine.tracker import Tracker
from mot.formats import jsonl, mot_text
from mot.structures import Frame, Tracks


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
    def seconds(self) -> float:
        """Up to the last frame."""
        return self.last - self.started

    @property
    def rate(self) -> float:
        """Frames per second, up to the last frame."""
        return self.frames / max(self.seconds, 1e-9)


class Tracked:
    """The results of one source.

    Args:
        args: the flags.
        source: the source.
        name: what the results are called.
        several: whether there are other sources; `--jsonl` is then a folder.
    """

    def __init__(self, args: argparse.Namespace, source: Any, name: str, several: bool) -> None:
        self.source, self.name, self.summary = source, name, Summary()
        self._args = args
        self._called = f"{name}: " if several else ""
        self.paths = _paths(args, name, several)
        self.inputs = [
            Path(path) for path in (args.det_file, getattr(source, "path", None)) if path is not None
        ]
        self.outputs = Outputs(args.overwrite, self.inputs)
        self.outputs.refuse(list(self.paths.values()))

    def open(self, tracker: Tracker) -> None:
        """The sinks that the flags ask for; from here on the clock runs."""
        add_sinks(self.outputs, self.paths, self._args, tracker, self.source)
        self.summary = Summary()

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """One more frame."""
        self.outputs.write(frame, tracks)
        self.summary.add(tracks)

    def finish(self, tracker: Tracker, interrupted: bool = False) -> None:
        """All files are whole, and get their names."""
        self.summary.interrupted = interrupted
        with self.outputs:
            self.outputs.add_json(self.paths["record"], self._record(tracker))

    def discard(self, error: BaseException) -> None:
        """Nothing stays of what was begun."""
        self.outputs.__exit__(type(error), error, error.__traceback__)

    def _record(self, tracker: Tracker) -> dict[str, Any]:
        """What stands beside a result, so that it can be made again."""
        return {
            "source": self.name,
            "frames": self.summary.frames,
            "frames_lost": getattr(self.source, "lost", 0),
            "interrupted": self.summary.interrupted,
            "tracks": len(self.summary.ids),
            "frames_per_second": round(self.summary.rate, 2),
        } | tracker.record()

    def report(self, program: str, tracker: Tracker) -> None:
        """What a person wants to know in the end."""
        lost = getattr(self.source, "lost", 0)
        if lost:
            why = "went by while it was away" if self.source.live else "could not be decoded and are missing"
            print(f"{program}: {self._called}{lost} frames of the source {why}", file=sys.stderr)
        if self._args.quiet:
            return
        summary, labels = self.summary, [tracker.label_names[label] for label in tracker.tracked_labels]
        what = f"objects ({', '.join(labels[:3])}{', …' if len(labels) > 3 else ''})"
        much = f"{len(summary.ids)} {what} in {summary.frames} frames"
        print(f"{self._called}tracked {much} at {summary.rate:.1f} frames/s")
        if summary.interrupted:
            print("interrupted: the results hold what was tracked so far")
        for key in ("video", "text", "jsonl"):
            if key in self.paths and self.paths[key].exists():
                print(f"{key:>6}  {self.paths[key]}")


def _paths(args: argparse.Namespace, name: str, several: bool) -> dict[str, Path]:
    paths = {"text": args.out / f"{name}.txt", "record": args.out / f"{name}.json"}
    if (args.video is not None or args.size is not None) and not args.no_video:
        paths["video"] = args.out / f"{name}.mp4"
    if args.jsonl is not None:
        paths["jsonl"] = args.jsonl / f"{name}.jsonl" if several else args.jsonl
    return paths


def add_sinks(
    outputs: Outputs, paths: dict[str, Path], args: argparse.Namespace, tracker: Tracker, source: Any
) -> None:
    """The sinks that the flags ask for."""
    names = tracker.label_names
    several = len(tracker.tracked_labels) > 1

    def text_sink(part: Path, render: Callable[[Frame, Tracks], str]) -> Sink:
        sink: Sink = TextSink(part, render)
        return Timed(
            sink if args.interpolate is None else Interpolated(sink, args.interpolate), tracker.times
        )

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

        def picture_sink(part: Path | None) -> Sink:
            rate = source.rate and source.rate / args.stride
            sink = PictureSink(part, rate, names if several else (), args.show)
            # a window belongs to the main thread
            return Timed(sink, tracker.times) if args.show else Threaded(sink, tracker.times)

        if "video" in paths:
            outputs.add(paths["video"], picture_sink)
        else:
            outputs.watch(picture_sink(None))
