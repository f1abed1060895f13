"""The trackers: detections of a frame in, tracks out. They see boxes, scores and embeddings, never pixels.

tracks = ByteTrack(ByteTrackConfig(track_buffer=60)).update(detections)
"""

from __future__ import annotations

from typing import Any, Protocol

from mot.structures import Detections, Tracks
from mot.trackers.botsort import BoTSORT, BoTSORTConfig
from mot.trackers.bytetrack import ByteTrack, ByteTrackConfig
from mot.trackers.deepocsort import DeepOCSORT, DeepOCSORTConfig
from mot.trackers.deepsort import DeepSORT, DeepSORTConfig
from mot.trackers.hybridsort import HybridSORT, HybridSORTConfig
from mot.trackers.jde import FAIRMOT, JDEConfig, JDETracker
from mot.trackers.ocsort import OCSORT, OCSORTConfig
from mot.trackers.sort import SORT, SORTConfig
from mot.trackers.strongsort import StrongSORT, StrongSORTConfig
from mot.trackers.table import State


class Associator(Protocol):
    """What every tracker is. Those that know the camera's motion take `warp=`, a 2x3 affine, as well."""

    def update(self, detections: Detections, *, dt: float = 1.0) -> Tracks:
        """The tracks of the next frame, `dt` frames after the last."""
        ...

    def state_dict(self) -> State:
        """All that changes while tracking, as plain arrays: for `numpy.savez`, without pickle."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` gave, with the same config."""
        ...


# name -> (config, class)
TRACKERS: dict[str, tuple[type[Any], type[Any]]] = {
    "SORT": (SORTConfig, SORT),
    "DeepSORT": (DeepSORTConfig, DeepSORT),
    "ByteTrack": (ByteTrackConfig, ByteTrack),
    "OCSORT": (OCSORTConfig, OCSORT),
    "BoTSORT": (BoTSORTConfig, BoTSORT),
    "JDETracker": (JDEConfig, JDETracker),
    "StrongSORT": (StrongSORTConfig, StrongSORT),
    "DeepOCSORT": (DeepOCSORTConfig, DeepOCSORT),
    "HybridSORT": (HybridSORTConfig, HybridSORT),
}

__all__ = [
    "FAIRMOT",
    "OCSORT",
    "SORT",
    "TRACKERS",
    "Associator",
    "BoTSORT",
    "BoTSORTConfig",
    "ByteTrack",
    "ByteTrackConfig",
    "DeepOCSORT",
    "DeepOCSORTConfig",
    "DeepSORT",
    "DeepSORTConfig",
    "HybridSORT",
    "HybridSORTConfig",
    "JDEConfig",
    "JDETracker",
    "OCSORTConfig",
    "SORTConfig",
    "StrongSORT",
    "StrongSORTConfig",
]
