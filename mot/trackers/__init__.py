"""The trackers: detections of a frame in, tracks out. They see boxes, scores and embeddings, never pixels.

tracks = SORT(SORTConfig(max_age=3)).update(detections)
"""

from __future__ import annotations

from typing import Any, Protocol

from mot.structures import Detections, Tracks
from mot.trackers.deepsort import DeepSORT, DeepSORTConfig
from mot.trackers.sort import SORT, SORTConfig


class Associator(Protocol):
    """What every tracker is: one method, called once a frame."""

    def update(self, detections: Detections) -> Tracks:
        """The tracks of the next frame."""
        ...


# name -> (config, class)
TRACKERS: dict[str, tuple[type[Any], type[Any]]] = {
    "SORT": (SORTConfig, SORT),
    "DeepSORT": (DeepSORTConfig, DeepSORT),
}

__all__ = ["SORT", "TRACKERS", "Associator", "DeepSORT", "DeepSORTConfig", "SORTConfig"]
