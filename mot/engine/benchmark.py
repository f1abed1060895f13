"""A whole benchmark folder through a tracker: a process a sequence, so that one that dies takes nothing along.

Every process has the same number of threads, whatever the number of workers: a network's last bits differ between
one thread and two. A finished sequence is a text and a record beside it, by which a later run knows it again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from mot.engine.cache import Remembering
from mot.engine.config import read_config
from mot.engine.outputs import Outputs, TextSink
from mot.engine.tracker import Tracker
from mot.errors import MotError, OutputError, SourceError
from mot.formats import mot_text
from mot.formats.sequences import Sequence as Folder
from mot.formats.sequences import check_images
from mot.perception.files import DetectionFile
from mot.structures import Frame, Tracks

THREADS = 1  # of every worker, where the config does not say


@dataclass(frozen=True)
class Job:
    """One sequence to track; it crosses to another process as it is.

    Attributes:
        folder: the sequence.
        out: where its results go.
        cfg: a config's path or bare name.
        overrides: `a.b=c` texts.
        frames: those to track; None: all.
        det_file: its detections, relative to the sequence; None: by the networks.
        cache: folder of what networks saw; None: nothing is kept.
        offline: never download weights.
    """

    folder: Folder
    out: Path
    cfg: str
    overrides: tuple[str, ...] = ()
    frames: range | None = None
    det_file: str | None = None
    cache: Path | None = None
    offline: bool = False

    @property
    def length(self) -> int:
        """Number of frames to track."""
        return self.folder.length if self.frames is None else len(self.frames)

    @property
    def text(self) -> Path:
        """The result."""
        return self.out / f"{self.folder.name}.txt"

    @property
    def record(self) -> Path:
        """What it was made with."""
        return self.out / f"{self.folder.name}.json"


@dataclass
class Running:
    """A worker: its process, its end of the pipe, and how many frames it has done."""

    job: Job
    process: SpawnProcess
    pipe: Connection
    done: int = 0
    said: Mapping[str, Any] | None = None


def finished(job: Job) -> Mapping[str, Any] | None:
    """The record of a sequence that is whole and was made with the same config, None where it is not there.

    Raises:
        OutputError: there is a result, but made otherwise.
    """
    if not (job.text.is_file() and job.record.is_file()):
        return None
    try:
        record: dict[str, Any] = json.loads(job.record.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if record.get("job") != _identity(job):
        raise OutputError(f"{job.text}: was made with another config; use another --out, or --overwrite")
    return record


def run_all(
    jobs: Sequence[Job], workers: int, progress: Callable[[Mapping[str, int]], None] = lambda frames: None
) -> dict[str, Mapping[str, Any]]:
    """Track every sequence, the longest first, in `workers` processes; the records by name.

    Args:
        jobs: one a sequence.
        workers: processes at once.
        progress: is told the frames that sequences have done, of those running and of those just finished.

    Raises:
        MotError: a worker failed or died; names its sequence. The others are finished first.
    """
    waiting = sorted(jobs, key=lambda job: -job.length)
    running: list[Running] = []
    records: dict[str, Mapping[str, Any]] = {}
    failures: list[str] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(waiting.pop(0)))
            ended = list(_ended(running))
            progress({one.job.folder.name: one.done for one in running})
            for one in ended:
                running.remove(one)
                _settle(one, records, failures)
    finally:
        for one in running:
            one.process.terminate()
            one.process.join()
    if failures:
        raise MotError("; ".join(failures))
    return {job.folder.name: records[job.folder.name] for job in jobs}


def _start(job: Job) -> Running:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, theirs), name=job.folder.name, daemon=True)
    process.start()
    theirs.close()
    return Running(job, process, ours)


def _ended(running: Sequence[Running]) -> Iterator[Running]:
    """Those whose pipe is closed, after a moment; what the others say is taken down."""
    ready = wait([one.pipe for one in running], timeout=0.5)
    for one in list(running):
        if one.pipe in ready:
            try:
                said = one.pipe.recv()
            except (EOFError, OSError):
                one.process.join()
                yield one
                continue
            if isinstance(said, int):
                one.done = said
            else:
                one.said = said
                one.done = said.get("frames", one.done)


def _settle(one: Running, records: dict[str, Mapping[str, Any]], failures: list[str]) -> None:
    name, code = one.job.folder.name, one.process.exitcode
    if one.said is not None and "error" not in one.said:
        records[name] = one.said
    elif one.said is not None:
        error = one.said["error"]
        failures.append(error if error.startswith(f"{name}: ") else f"{name}: {error}")
    elif code is not None and code < 0:
        failures.append(f"{name}: its worker was killed ({signal.Signals(-code).name}); go on with --resume")
    else:
        failures.append(f"{name}: its worker ended with status {code}")


def _work(job: Job, pipe: Connection) -> None:
    """The whole of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipe.send(track(job, lambda done: pipe.send(done)))
    except MotError as error:
        pipe.send({"error": str(error)})


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers, and would leave them at work."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def track(job: Job, progress: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Track one sequence and write its text and record; gives the record."""
    config = read_config(job.cfg, job.overrides)
    config = replace(config, runtime=replace(config.runtime, threads=config.runtime.threads or THREADS))
    detections = _detections(job, config.detector.labels, config.detector.score_map)
    tracker = Tracker.from_config(config, detector=detections, offline=job.offline)
    paths, det_file = inputs(job), [] if job.det_file is None else [job.folder.folder / job.det_file]
    seen = Remembering(tracker, job.cache, [*paths, *det_file]) if job.cache and paths else None
    several = len(tracker.tracked_labels) > 1
    span = {} if job.frames is None else {"start": job.frames.start, "end": job.frames[-1]}

    def rows(frame: Frame, tracks: Tracks) -> str:
        return mot_text.format_tracks(frame.index, tracks, several)

    started, count = time.perf_counter(), 0
    with Outputs(overwrite=True) as outputs:
        outputs.add(job.text, lambda part: TextSink(part, rows))
        for frame, tracks in tracker.track(_frames(job, bool(paths)), observe=seen, **span):
            outputs.write(frame, tracks)
            count += 1
            if count % 25 == 0:
                progress(count)
        seconds = time.perf_counter() - started
        if seen is not None:
            seen.keep()
        record = _record(job, tracker, count, seconds)
        outputs.add_json(job.record, record)
    return record


def _detections(job: Job, labels: Sequence[str], score_map: Any) -> DetectionFile | None:
    if job.det_file is None:
        return None
    path = job.folder.folder / job.det_file
    try:
        return DetectionFile(path, labels, score_map)
    except MotError as error:
        raise type(error)(f"{job.folder.name}: {error}") from None


def inputs(job: Job) -> list[Path]:
    """The pictures of a sequence, none where its detections are enough.

    Raises:
        SourceError: pictures or detections are missing; names the sequence.
    """
    if job.det_file is not None and not (job.folder.folder / job.det_file).is_file():
        raise SourceError(f"{job.folder.name}: no {job.det_file} in {str(job.folder.folder)!r}")
    needed = job.det_file is None or read_config(job.cfg, job.overrides).needs_embeddings
    return check_images(job.folder) if needed else []


def _frames(job: Job, pictures: bool) -> Any:
    """The source."""
    folder = job.folder
    if not pictures:
        return _Blank(folder.length, folder.frame_rate or 30.0)
    from mot.video import open_source

    return open_source(folder.image_dir, fps=folder.frame_rate)


@dataclass(frozen=True)
class _Blank:
    """Frames without pictures, as a source."""

    frame_count: int
    rate: float

    def __iter__(self) -> Iterator[Frame]:
        return (
            Frame(image=None, index=i, time_s=(i - 1) / self.rate) for i in range(1, self.frame_count + 1)
        )


def _identity(job: Job) -> dict[str, Any]:
    """What makes two runs of a sequence the same."""
    config = read_config(job.cfg, job.overrides)
    frames = [1, job.folder.length] if job.frames is None else [job.frames.start, job.frames[-1]]
    return {"config": repr(config), "det_file": job.det_file, "frames": frames}


def _record(job: Job, tracker: Tracker, frames: int, seconds: float) -> dict[str, Any]:
    times = {stage: round(spent, 3) for stage, spent in tracker.times.seconds.items()}
    if frames != job.length:
        raise SourceError(f"{job.folder.name}: {frames} frames were read, seqinfo.ini says {job.length}")
    return {
        "sequence": job.folder.name,
        "job": _identity(job),
        "frames": frames,
        "frames_per_second": round(frames / max(seconds, 1e-9), 2),
        "seconds": times,
    } | tracker.record()
