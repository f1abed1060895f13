"""Multi-object tracking: detections in, tracks out.

`import mot` is light: the names below are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mot.engine.evaluate import evaluate
    from mot.engine.tracker import Tracker
    from mot.errors import MotError
    from mot.structures import Detections, Frame, Reason, Tracks, TrackState

__version__ = "0.1.0"

__all__ = [
    "Detections",
    "Frame",
    "MotError",
    "Reason",
    "TrackState",
    "Tracker",
    "Tracks",
    "__version__",
    "evaluate",
]

_HOME = {
    "Detections": "mot.structures",
    "Frame": "mot.structures",
    "MotError": "mot.errors",
    "Reason": "mot.structures",
    "TrackState": "mot.structures",
    "Tracker": "mot.engine.tracker",
    "Tracks": "mot.structures",
    "evaluate": "mot.engine.evaluate",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'mot' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
