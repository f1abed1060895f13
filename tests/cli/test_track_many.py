"""Several sources in one run of `mot-track`, and what a fault in any stage leaves behind: nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from films import film

import mot.video
from mot.cli.track import main
from mot.engine.pictures import PictureSink
from mot.errors import OutputError
from mot.structures import Frame, Tracks
from mot.trackers.sort import SORT
from mot.video_file import VideoSource

LIMIT_S = 1.0
FLAGS = ("--cfg", "sort.yml", "-o", "det_weights=null", "-o", "runtime.threads=1")


class Squares:
    """A detector that finds what is white: the bars of tests/films.py, by their columns."""

    label_names = ("person",)

    def __call__(self, frames: Any) -> list[Any]:
        import numpy as np

        from mot import Detections

        found = []
        for frame in frames:
            white = (frame.image.mean(axis=(0, 2)) > 127).nonzero()[0]
            left = float(white[0]) if len(white) else 10.0
            box = np.array([[left, 2.0, left + 20, 40.0]])
            found.append(Detections(xyxy=box, scores=np.array([0.9])))
        return found


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector of pixels in place of a network, which the command line cannot be given."""
    monkeypatch.setattr("mot.engine.tracker.Tracker._make_detector_for_tests", None, raising=False)


@pytest.fixture(autouse=True)
def _no_threads_stay() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LIMIT_S
    while left := {t for t in set(threading.enumerate()) - before if not t.name.startswith("Thread-")}:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
