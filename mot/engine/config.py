"""The whole config of a tracker: `architecture` picks a row of one table, which says what the rest means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from mot import config
from mot.config import AtLeast
from mot.errors import ConfigError, nearest
from mot.perception.settings import CameraConfig, DetectorConfig, EmbedderConfig, RuntimeConfig
from mot.structures import Tracks
from mot.trackers import TRACKERS, Associator

# frames per second where nobody says; it is also the one at which ByteTrack and its kind count their buffer
DEFAULT_RATE = 30.0


@dataclass(frozen=True)
class Architecture:
    """How frames become tracks.

    Attributes:
        kind: `sde` (a detector, and a ReID network where embeddings are needed) or `jde` (one joint network).
        tracker: a key of `mot.trackers.TRACKERS`.
        embeddings: whether the tracker always needs appearance vectors.
        warps: whether it can follow the camera, by `warp=`.
    """

    kind: Literal["sde", "jde"]
    tracker: str
    embeddings: bool = False
    warps: bool = False

    def make(self, tracker_config: Any) -> Associator:
        """A fresh association tracker, as every source needs one of its own."""
        _, build = TRACKERS[self.tracker]
        made: Associator = build(tracker_config)
        return made


ARCHITECTURES = {
    "SORT": Architecture("sde", "SORT"),
    "DeepSORT": Architecture("sde", "DeepSORT", embeddings=True),
    "ByteTrack": Architecture("sde", "ByteTrack"),
    "OCSORT": Architecture("sde", "OCSORT"),
    "BoTSORT": Architecture("sde", "BoTSORT", warps=True),
    "StrongSORT": Architecture("sde", "StrongSORT", embeddings=True, warps=True),
    "DeepOCSORT": Architecture("sde", "DeepOCSORT", embeddings=True, warps=True),
    "HybridSORT": Architecture("sde", "HybridSORT"),
    "JDE": Architecture("jde", "JDETracker", embeddings=True),
    "FairMOT": Architecture("jde", "JDETracker", embeddings=True),
}


@dataclass(frozen=True)
class ReportConfig:
    """The `report` block: which of the tracker's boxes are told to others; the tracker itself goes on with all.

    Attributes:
        min_area: boxes of this area in pixels or less are kept back.
        max_aspect: so are boxes whose width is more than this many times their height; None: none.
    """

    min_area: Annotated[float, AtLeast(0)] = 0.0
    max_aspect: Annotated[float, AtLeast(0)] | None = None

    def keep(self, tracks: Tracks) -> Tracks:
        """The rows of `tracks` that are told."""
        if self.min_area == 0 and self.max_aspect is None:
            return tracks
        width, height = (tracks.xyxy[:, 2:] - tracks.xyxy[:, :2]).T
        slim = True if self.max_aspect is None else width <= self.max_aspect * height
        return tracks[(width * height > self.min_area) & slim]


@dataclass(frozen=True)
class Config:
    """A YAML config, read and checked. See configs/*.yml for what each key does.

    Attributes:
        architecture: a key of `ARCHITECTURES`.
        tracker: the tracker's own config dataclass; ages may be texts of seconds, see `make_tracker`.
        det_weights: manifest name or path of the detector's weights; None: detections come from elsewhere.
        reid_weights: the same for the ReID network.
        weights: the same for a joint network.
        camera: how the camera's motion is found; None: it is taken to stand still.
        report: which boxes are told.
    """

    architecture: str
    tracker: Any
    det_weights: str | None = None
    reid_weights: str | None = None
    weights: str | None = None
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    reid: EmbedderConfig = field(default_factory=EmbedderConfig)
    camera: CameraConfig | None = None
    report: ReportConfig = field(default_factory=ReportConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    @property
    def row(self) -> Architecture:
        """The architecture's row of the table."""
        return ARCHITECTURES[self.architecture]

    @property
    def needs_embeddings(self) -> bool:
        """Whether detections must have appearance vectors, always or by the tracker's `with_reid`."""
        return self.row.embeddings or getattr(self.tracker, "with_reid", False)

    def make_tracker(self, rate: float | None) -> Associator:
        """A fresh tracker for a source of `rate` frames per second.

        Args:
            rate: by which ages in seconds become frames, and which scales a buffer, where the config's `frame_rate`
                leaves that open; None: 30.
        """
        settings = self.tracker
        scaled = hasattr(settings, "frame_rate")
        rate = getattr(settings, "frame_rate", None) or rate or DEFAULT_RATE
        timed = config.in_frames(settings, rate)
        if scaled:  # what was seconds is frames of the source already
            timed = replace(timed, frame_rate=rate if timed is settings else DEFAULT_RATE)
        return self.row.make(timed)

    def __post_init__(self) -> None:
        """What nothing would use is a mistake, not a detail."""
        row = self.row
        unused = {
            "weights": row.kind == "sde" and self.weights,
            "det_weights": row.kind == "jde" and self.det_weights,
            "reid_weights": (row.kind == "jde" or not self.needs_embeddings) and self.reid_weights,
        }
        for key, value in unused.items():
            if value:
                raise ConfigError(f"{key}: {self.architecture} would not use {value!r}; leave it null")
        if self.camera is not None and not row.warps:
            takers = ", ".join(name for name, each in ARCHITECTURES.items() if each.warps)
            raise ConfigError(f"camera: {self.architecture} cannot follow it, {takers} can; leave it null")


def read_config(name: str | Path, overrides: Iterable[str] = ()) -> Config:
    """A config by path or bare name, `a.b=c` overrides applied.

    Raises:
        ConfigError: no such file, unknown key or architecture, wrong type, value out of range.
    """
    path = config.find(name)
    raw = config.override(config.load(path), overrides)
    architecture = raw.get("architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise ConfigError(
            f"{path.name}: unknown architecture {architecture!r}; {nearest(str(architecture), ARCHITECTURES)}"
        )
    tracker_config, _ = TRACKERS[ARCHITECTURES[architecture].tracker]
    raw["tracker"] = config.build(tracker_config, raw.get("tracker"), "tracker")
    return config.build(Config, raw)
