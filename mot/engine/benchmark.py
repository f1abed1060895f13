"""A whole benchmark folder through a tracker: a process a sequence, so that one that dies takes nothing along.

Every process has the same number of threads, whatever the number of workers: a network's last bits differ between
one thread and two. A finished sequence is a text and a record beside it, by which a later run knows it again.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from mot import __version__
from mot.engine.cache import Remembering, key_of
from mot.engine.config import read_config
from mot.engine.outputs import Outputs, TextSink
from mot.engine.tracker import Tracker
from mot.errors import MotError, OutputError, SourceError
from mot.formats import mot_text
from mot.formats.sequences import Sequence as Folder
from mot.formats.sequences import check_images
from mot.perception.files import DetectionFile
from mot.structures import Frame, Tracks
from mot.weights import fetch

CONTENT = "content of its inputs"  # in a record, and an error
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
    if record.get("text") != fetch.sha256(job.text):
        return None
    made, wanted = record.get("job", {}), _identity(job, inputs(job))
    changed = [key for key in wanted if made.get(key) != wanted[key]]
    if changed:
        raise OutputError(
            f"{job.text}: was made with another {' and '.join(changed)}; use another --out, or --overwrite"
        )
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
    logging.getLogger("mot.engine.session").setLevel(logging.ERROR)  # see `blind`: it is said once for all
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
    for part in job.out.glob(f".{job.folder.name}.*.part"):  # of a run that was killed
        part.unlink(missing_ok=True)
    config = read_config(job.cfg, job.overrides)
    config = replace(config, runtime=replace(config.runtime, threads=config.runtime.threads or THREADS))
    detections = _detections(job, config.detector.labels, config.detector.score_map)
    tracker = Tracker.from_config(config, detector=detections, offline=job.offline)
    paths = inputs(job)
    identity = _identity(job, paths)
    seen = Remembering(tracker, job.cache, identity[CONTENT]) if job.cache and paths else None
    several = len(tracker.tracked_labels) > 1

    def rows(frame: Frame, tracks: Tracks) -> str:
        return mot_text.format_tracks(frame.index, tracks, several)

    started, count = time.perf_counter(), 0
    with Outputs(overwrite=True) as outputs:
        outputs.add(job.text, lambda part: TextSink(part, rows))
        follow = None if seen is None else seen.follow
        for frame, tracks in tracker.track(_Source(job, paths), observe=seen, follow=follow):
            outputs.write(frame, tracks)
            count += 1
            if count % 25 == 0:
                progress(count)
        seconds = time.perf_counter() - started
        if seen is not None:
            seen.keep()
        record = {"sequence": job.folder.name, "job": identity, "frames": count}
        record["frames_per_second"] = round(count / max(seconds, 1e-9), 2)
        record["seconds"] = {stage: round(spent, 3) for stage, spent in tracker.times.seconds.items()}
        record |= tracker.record()
    record["text"] = fetch.sha256(job.text)
    with Outputs(overwrite=True) as outputs:
        outputs.add_json(job.record, record)
    return record


def _detections(job: Job, labels: Sequence[str], score_map: Any) -> DetectionFile | None:
    if job.det_file is None:
        return None
    path = job.folder.folder / job.det_file
    try:
        found = DetectionFile(path, labels, score_map)
        found.check_length(job.folder.length)
        return found
    except MotError as error:
        raise type(error)(f"{job.folder.name}: {error}") from None


def inputs(job: Job) -> list[Path]:
    """The pictures of a sequence, none where its detections are enough.

    A camera is followed where all pictures are there, and else taken to stand still.

    Raises:
        SourceError: pictures or detections are missing; names the sequence.
    """
    if job.det_file is not None and not (job.folder.folder / job.det_file).is_file():
        raise SourceError(f"{job.folder.name}: no {job.det_file} in {str(job.folder.folder)!r}")
    config = read_config(job.cfg, job.overrides)
    needed = job.det_file is None or config.needs_embeddings
    if not needed and config.camera is None:
        return []
    try:
        return check_images(job.folder, job.frames)
    except SourceError:
        if needed:
            raise
        return []


def blind(job: Job) -> bool:
    """Whether the camera of a sequence should be followed, but there are no pictures to see its motion in."""
    return read_config(job.cfg, job.overrides).camera is not None and not inputs(job)


@dataclass(frozen=True)
class _Source:
    """The frames to track, numbered as in the sequence; without `paths` they have no pictures."""

    job: Job
    paths: list[Path]

    @property
    def pictures(self) -> bool:
        """Whether the frames have any."""
        return bool(self.paths)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.job.folder.frame_rate or 30.0

    def __iter__(self) -> Iterator[Frame]:
        job = self.job
        numbers = range(1, job.folder.length + 1) if job.frames is None else job.frames
        for number, image in zip(numbers, self._images() if self.paths else repeat(None), strict=False):
            yield Frame(image=image, index=number, time_s=(number - 1) / self.rate)

    def _images(self) -> Iterator[Any]:
        from mot.video import ImageSource

        source = ImageSource(self.paths, self.job.folder.name, None, self.job.folder.image_dir)
        return (frame.image for frame in source)


def _identity(job: Job, paths: list[Path]) -> dict[str, Any]:
    """What makes two runs of a sequence the same, by a name for each part; `paths` are its pictures."""
    config = read_config(job.cfg, job.overrides)
    frames = [1, job.folder.length] if job.frames is None else [job.frames.start, job.frames[-1]]
    named = (config.weights, None if job.det_file else config.det_weights, config.reid_weights)
    weights = [fetch.sha256(fetch.locate(name, offline=job.offline)) for name in named if name is not None]
    files = [*paths, *([] if job.det_file is None else [job.folder.folder / job.det_file])]
    facts = {"config": repr(config), "det-file": job.det_file, "range of frames": frames}
    return facts | {CONTENT: key_of(files), "weights": weights, "version of mot": __version__}
