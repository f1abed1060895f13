"""`Tracker`: the heavy part (networks, loaded once) and the loop. The light part is `Session`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mot import __version__
from mot.engine import pipeline
from mot.engine.config import ARCHITECTURES, Config, read_config
from mot.engine.lanes import USUAL_RATE, Lane, Pace, rate_of
from mot.engine.pipeline import Seen
from mot.engine.session import Follow, Following, Observer, Session
from mot.engine.span import Span
from mot.errors import ConfigError, InputError, MotError, nearest
from mot.perception.settings import label_indices
from mot.structures import Detections, Frame, Tracks
from mot.timing import StageTimes

MODES = ("test", "eval")
SourceLike = str | int | Path | Iterable[Frame]


class Tracker:
    """Tracks objects in videos, cameras, folders of pictures, or detection files.

        for frame, tracks in Tracker.from_config("deepsort.yml").track("in.mp4"):
            print(frame.index, tracks.ids, tracks.xyxy)

    Args:
        cfg: a `Config`, or the path or bare name of a YAML config.
        mode: `test` or `eval`; both do the same. It is checked and kept for people who come from PaddleDetection.
        detector: any callable that turns a sequence of frames into one `Detections` for each, in place of
            the config's detector. Its label names, if it has any, are read from `detector.label_names`.
        offline: never download weights.
        trace: remember every piece of work, for `times.trace_events()`.
    """

    def __init__(
        self,
        cfg: Config | str | Path,
        mode: str = "test",
        *,
        detector: Observer | None = None,
        offline: bool = False,
        trace: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ConfigError(f"mode: unknown {mode!r}; {nearest(str(mode), MODES)}")
        self.config = cfg if isinstance(cfg, Config) else read_config(cfg)
        self.mode = mode
        self.times = StageTimes(trace)
        self._offline = offline
        self._own = detector
        self._detector: Any = detector
        self._embedder: Any = None
        self._record: dict[str, Any] = {}
        self._chosen: Pace | None = None  # of the last run
        self._at_work = threading.Lock()  # the networks serve one run at a time

    @classmethod
    def from_config(
        cls,
        cfg: Config | str | Path,
        *,
        overrides: Iterable[str] = (),
        detector: Observer | None = None,
        offline: bool = False,
        trace: bool = False,
    ) -> Tracker:
        """A tracker with the weights that its config names.

        Args:
            cfg: as in `Tracker`.
            overrides: `a.b=c` texts that change keys of the config.
            detector: as in `Tracker`; `det_weights` are then not loaded.
            offline: as in `Tracker`.
            trace: as in `Tracker`.
        """
        if isinstance(cfg, Config) and list(overrides):
            raise ConfigError("overrides: need the name of a config, not one that was read already")
        config = cfg if isinstance(cfg, Config) else read_config(cfg, overrides)
        tracker = cls(config, detector=detector, offline=offline, trace=trace)
        if config.row.kind == "jde":
            tracker.load_weights_jde(None if detector else config.weights)
        else:
            tracker.load_weights_sde(None if detector else config.det_weights, config.reid_weights)
        return tracker

    def load_weights_sde(
        self, det_weights: str | Path | None, reid_weights: str | Path | None = None
    ) -> None:
        """Load a detector and, where the architecture needs embeddings, a ReID network.

        Args:
            det_weights: manifest name or path; None: detections come from a file or a callable.
            reid_weights: manifest name or path; None: detections bring their own embeddings.

        Raises:
            ConfigError: this is a joint architecture, or the weights would not be used.
            WeightsError: they cannot be found, are damaged or unsafe, or belong to another network.
        """
        config = self.config
        self._expect_kind("sde", "load_weights_jde(weights)")
        if det_weights is not None and self._own is not None:
            raise ConfigError(
                f"det_weights: {str(det_weights)!r} would not be used beside a detector of your own"
            )
        if reid_weights is not None and not config.needs_embeddings:
            raise ConfigError(f"reid_weights: {config.architecture} would not use {str(reid_weights)!r}")
        if det_weights is not None and reid_weights is None and config.needs_embeddings:
            raise ConfigError(f"reid_weights: {config.architecture} needs embeddings, and nothing makes them")
        self._detector, self._embedder, self._record = self._own, None, {}
        if det_weights is None and reid_weights is None:
            return
        # torch is imported here and not above: tracking a detection file works without it
        from mot.engine.networks import Networks

        networks = Networks(config.runtime, self.times, self._offline)
        if det_weights is not None:
            self._detector = networks.detector(config.detector, det_weights)
        if reid_weights is not None:
            self._embedder = networks.embedder(config.reid, reid_weights)
        self._record = networks.record

    def load_weights_jde(self, weights: str | Path | None) -> None:
        """Load one network that detects and embeds at once.

        Args:
            weights: manifest name or path; None: detections and their embeddings come from a callable.

        Raises:
            ConfigError: this architecture has two networks, or nothing makes detections.
            WeightsError: they cannot be found, are damaged or unsafe, or belong to another network.
        """
        config = self.config
        self._expect_kind("jde", "load_weights_sde(det_weights, reid_weights)")
        if weights is not None and self._own is not None:
            raise ConfigError(f"weights: {str(weights)!r} would not be used beside a detector of your own")
        self._detector, self._embedder, self._record = self._own, None, {}
        if weights is None and self._own is None:
            raise ConfigError(f"weights: {config.architecture} needs the weights of a joint network")
        if weights is not None:
            from mot.engine.networks import Networks

            networks = Networks(config.runtime, self.times, self._offline)
            self._detector = networks.detector(config.detector, weights, "joint")
            self._record = networks.record

    def _expect_kind(self, kind: str, instead: str) -> None:
        names = ", ".join(name for name, row in ARCHITECTURES.items() if row.kind == kind) or "none yet"
        if self.config.row.kind != kind:
            raise ConfigError(f"{self.config.architecture}: use {instead}; this method serves {names}")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels in `Tracks.labels`: the model's, or the config's `detector.labels`."""
        return tuple(getattr(self._detector, "label_names", self.config.detector.labels))

    @property
    def tracked_labels(self) -> list[int]:
        """The labels that are tracked, by `detector.classes`."""
        return label_indices(self.config.detector.classes, self.label_names)

    def session(self, rate: float | None = None, follow: Follow | None = None) -> Session:
        """A fresh session, for one source; ids start at 1 in each.

        Args:
            rate: the source's frames per second, for trackers whose buffer is counted in time; None: 30.
            follow: what tells the camera's motion, in place of `self.follow()`.
        """
        config = self.config
        every = config.detector.classes is None
        labels = None if every else np.array(self.tracked_labels, np.int64)
        facts = (labels, self.times, config.report.keep, follow or self.follow())
        return Session(config.make_tracker(rate), self.observe, *facts)

    def follow(self) -> Follow | None:
        """What tells the camera's motion over one source, as the config says; None: nothing does."""
        camera = self.config.camera
        return None if camera is None else Following(camera, self.times)

    def observe(self, frames: Sequence[Frame]) -> list[Detections]:
        """The detections of each frame, with embeddings where the architecture needs them."""
        return self.embed(frames, self.detect(frames))

    def detect(self, frames: Sequence[Frame], threshold: float | None = None) -> list[Detections]:
        """The detections of each frame; of a joint network with embeddings.

        Args:
            frames: of one size.
            threshold: in place of the config's score threshold; for the config's own network.
        """
        if self._detector is None:
            raise MotError(
                "no detector: use Tracker.from_config(cfg), load_weights_sde(…) or Tracker(cfg, detector=…)"
            )
        detections = list(self._detector(frames, *([] if threshold is None else [threshold])))
        if len(detections) != len(frames):
            raise InputError(
                f"detector: expected {len(frames)} Detections, one a frame, got {len(detections)}"
            )
        for found in detections:
            if not isinstance(found, Detections):
                raise InputError(f"detector: expected Detections for each frame, got {type(found).__name__}")
        return detections

    def embed(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> list[Detections]:
        """The same detections with embeddings, where the architecture needs them and they have none."""
        return list(detections if self._embedder is None else self._embedder(frames, detections))

    def track(
        self,
        source: SourceLike,
        *,
        start: int | str | None = None,
        end: int | str | None = None,
        stride: int = 1,
        observe: Observer | None = None,
        follow: Follow | None = None,
    ) -> Iterator[tuple[Frame, Tracks]]:
        """Every frame of a source with its tracks, in a session of its own.

        Decoding and the networks run ahead in threads of their own, a few batches at most; they end when the
        iteration ends, raises or is closed.

        Args:
            source: a video file, a folder or glob of pictures, a camera index, a URL, or frames.
            start: first frame, from 1, or a time as in `"10s"`.
            end: last frame or time, included.
            stride: only every so many frames; tracks move and age by the frames between.
            observe: what turns frames into detections in place of `self.observe`: that with a memory, for example.
            follow: what tells the camera's motion in place of `self.follow()`, likewise.

        Raises:
            SourceError: the source cannot be read.
        """
        lane = self._lane(source, Span.parse(start, end, stride), follow)
        return ((frame, tracks) for _, frame, tracks in self._track([lane], observe or self.observe))

    def track_many(
        self,
        sources: Sequence[SourceLike],
        *,
        start: int | str | None = None,
        end: int | str | None = None,
        stride: int = 1,
        ended: Callable[[int, Exception | None], None] | None = None,
    ) -> Generator[tuple[int, Frame, Tracks]]:
        """Every frame of several sources, and its tracks; each source has a session, all share the networks.

        The frames of a source come in their order, the sources as fast as they are. One that fails leaves the
        others running.

        Args:
            sources: as in `track`; the first number of what is given is the place of the frame's source in here.
            start: as in `track`, of each.
            end: likewise.
            stride: likewise.
            ended: told the place of each source that ends, and its error if it failed; without it, the first error
                is raised once all have ended.

        Raises:
            SourceError: a source cannot be opened, before any work.
        """
        lanes: list[Lane] = []
        with ExitStack() as opened:
            for source in sources:
                lanes.append(self._lane(source, Span.parse(start, end, stride)))
                opened.callback(lanes[-1].feed.close)
            opened.pop_all()  # all could be opened: what follows closes them
        return self._track(lanes, self.observe, ended)

    def _lane(self, source: SourceLike, span: Span, follow: Follow | None = None) -> Lane:
        """The source, opened and checked, with a session of its own."""
        if isinstance(source, str | int | Path):
            from mot.video import open_source

            source = open_source(source)
        self._check_length(getattr(source, "frame_count", None), span)
        return Lane(source, span, self.session(rate_of(source), follow))

    def _track(
        self,
        lanes: Sequence[Lane],
        observe: Observer,
        ended: Callable[[int, Exception | None], None] | None = None,
    ) -> Generator[tuple[int, Frame, Tracks]]:
        """The loop: frames to detections to tracks."""
        pace = self._pace(lanes)
        place = {lane.feed: number for number, lane in enumerate(lanes)}
        failed: list[Exception] = []
        with closing(self._run(lanes, pace.timed(observe), pace)) as run:
            for (feed, frame, error), detections in run:
                number = place[feed]
                lane = lanes[number]
                if frame is not None:
                    yield number, frame, lane.step(frame, detections)
                    continue
                if error is None:
                    self._check_length(lane.last_number, lane.span)
                if ended is not None:
                    ended(number, error)
                elif error is not None:
                    failed.append(error)
        if failed:
            raise failed[0]

    def _run(self, lanes: Sequence[Lane], observe: Observer, pace: Pace) -> Generator[Seen]:
        """Frames and their detections, by threads where there is anything to decode."""
        batch = self.config.runtime.batch
        if batch == "auto":
            batch = 16 if str(self._record.get("device")).startswith("cuda") else 4
        feeds = [lane.feed for lane in lanes]

        def alone(frames: Sequence[Frame]) -> Sequence[Detections]:
            with self._at_work:
                return observe(frames)

        run = pipeline.run if any(feed.decodes for feed in feeds) else pipeline.run_inline
        return run(feeds, pipeline.Work(alone, batch * pace.every, self.times, pace.wants))

    def _pace(self, lanes: Sequence[Lane]) -> Pace:
        """Which frames the networks see."""
        rates = (lane.feed.rate or USUAL_RATE for lane in lanes)
        self._chosen = Pace(
            self.config.runtime.detect_every, max(lane.span.stride for lane in lanes), sum(rates)
        )
        return self._chosen

    def _check_length(self, frame_count: int | None, span: Span) -> None:
        """Detections that belong to another video show by reaching beyond the end of this one."""
        check = getattr(self._detector, "check_length", None)
        if check and frame_count is not None and span.open_ended:
            check(frame_count)

    def record(self) -> dict[str, Any]:
        """What was resolved: config, networks, weights' hashes, device, precision, threads, versions.

        Where the pace was chosen, `detect_every` is what it came to; where the camera is followed,
        `camera_failures` says in how many pictures so far that could not be done.
        """
        plain: dict[str, Any] = {
            "version": __version__,
            "config": asdict(self.config),
            "cpus": os.cpu_count(),
        }
        none: dict[str, Any] = {
            "networks": {},
            "device": None,
            "precision": None,
            "threads": None,
            "weights": {},
        }
        if self._chosen is not None and self.config.runtime.detect_every == "auto":
            plain["detect_every"] = self._chosen.every
        if self.config.camera is not None:
            plain["camera_failures"] = self.times.failures["camera"]
        return plain | none | self._record
