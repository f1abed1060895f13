"""JSON lines: one object a row, readable by anybody."""

import json

import numpy as np

from mot.formats.jsonl import format_tracks
from mot.structures import Frame, Tracks, TrackState


def test_a_row_says_everything() -> None:
    tracks = Tracks(
        ids=np.array([7, 8]),
        xyxy=np.array([[1, 2, 3, 4], [5, 6, 7, 8.00049]]),
        scores=np.array([0.5, 1 / 3]),
        labels=np.array([1, 5]),
        det_index=np.array([4, -1]),
        state=np.full(2, TrackState.CONFIRMED, np.int8),
    )
    text = format_tracks(Frame(image=None, index=3, time_s=0.2, source="café"), tracks, ("cat", "dog"))
    first, second = (json.loads(line) for line in text.splitlines())
    assert first == {
        "source": "café",
        "frame": 3,
        "time_s": 0.2,
        "id": 7,
        "box": [1, 2, 3, 4],
        "score": 0.5,
        "label": "dog",
        "det_index": 4,
    }
    assert (second["label"], second["det_index"], second["box"][3]) == ("5", -1, 8.0)
    assert format_tracks(Frame(image=None, index=1, time_s=0), Tracks.empty(), ()) == ""
