"""Boxes in pixels of the picture, and films at their speed, whatever a video's size, rate and pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from films import film
from numpy.typing import NDArray

from mot import Tracker
from mot.engine.config import read_config
from mot.engine.pictures import PictureSink
from mot.engine.threaded import Threaded
from mot.models.inputs import PREPROCESS
from mot.perception.detector import Detector
from mot.perception.opening import Network
from mot.perception.settings import DetectorConfig
from mot.timing import StageTimes
from mot.video import open_source

TICKS = 90_000
COUNT = 8


def square(number: int, width: int, height: int) -> tuple[float, float, float, float]:
    """Where the white square is: a quarter of the shorter side, moving right and down."""
    side = min(width, height) // 4
    left, top = width // 8 + number * width // 64, height // 8 + number * height // 64
    return left, top, left + side, top + side


def drawn(number: int, width: int, height: int) -> NDArray[np.uint8]:
    picture = np.full((height, width, 3), 40, np.uint8)
    x1, y1, x2, y2 = (int(each) for each in square(number, width, height))
    picture[y1:y2, x1:x2] = 230
    return picture


def find_white(x: torch.Tensor) -> Any:
    """A network that gives the box of what is white in its input, in pixels of that."""
    boxes = []
    for picture in x.mean(dim=1):
        white = picture > 0.6
        rows, columns = white.any(dim=1).nonzero()[:, 0], white.any(dim=0).nonzero()[:, 0]
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    made = torch.tensor(boxes, dtype=torch.float32)[:, None]
    return made, torch.full((len(made), 1, 1), 0.9)


def detector() -> Detector:
    how, cpu = PREPROCESS["darknet"], torch.device("cpu")
    network = Network(find_white, how, (416, 416), ("person",), 0, cpu, {"precision": "fp32"})
    return Detector(DetectorConfig(), network)


FILMS: dict[str, dict[str, Any]] = {
    "4K": {"size": (3840, 2160)},
    "portrait": {"size": (1080, 1920)},
    "odd size": {"size": (334, 218), "pixels": "yuv444p"},
    "odder size": {"size": (333, 217), "pixels": "yuv444p"},
    "10 bits": {"size": (320, 240), "pixels": "yuv420p10le"},
    "grey": {"size": (320, 240), "pixels": "gray"},
    "smaller than the input": {"size": (64, 48)},
    "variable rate": {"size": (320, 240), "stamps": [0, 3000, 6000, 15000, 18000, 40000, 43000, 46000]},
}


@pytest.mark.parametrize("kind", FILMS)
def test_boxes_lie_on_what_was_drawn_and_the_film_keeps_its_times(kind: str, tmp_path: Path) -> None:
    made = FILMS[kind]
    path = film(tmp_path / "in.mp4", COUNT, rate=Fraction(30), draw=drawn, options={"crf": "10"}, **made)
    width, height = made["size"]
    tracker = Tracker(read_config("sort.yml", ["det_weights=null"]), detector=detector())
    source = open_source(path)
    sink = Threaded(PictureSink(tmp_path / "out.mp4", source.rate, (), False), StageTimes())
    # what was white in the input is so within two of its pixels
    slack = 2 * max(width, height) / 416 + 2
    times = []
    for number, (frame, tracks) in enumerate(tracker.track(source)):
        assert frame.image is not None
        assert frame.image.shape == (height, width, 3)
        assert len(tracks) == 1
        assert np.abs(tracks.xyxy[0] - square(number, width, height)).max() <= slack
        times.append(frame.time_s)
        sink.write(frame, tracks)
    sink.close()
    expected = np.array(made.get("stamps", [i * TICKS // 30 for i in range(COUNT)])) / TICKS
    assert times == pytest.approx(expected.tolist(), abs=1e-6)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (width + width % 2, height + height % 2)
        shown = [p.time for p in container.decode(stream)]
    assert shown == pytest.approx(expected.tolist(), abs=1e-3)
