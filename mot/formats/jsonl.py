"""JSON lines: one object a track and frame, for those who would rather not count columns."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mot.structures import Frame, Tracks


def format_tracks(frame: Frame, tracks: Tracks, label_names: Sequence[str]) -> str:
    """Lines of one frame: source, frame, time_s, id, box (xyxy, pixels), score, label, det_index.

    `det_index` is the row of the detection behind this box, counted in what the detector (or the detection
    file) gave for the frame; -1 where the box is predicted only.
    """
    rows = zip(
        tracks.ids.tolist(),
        tracks.xyxy.round(3).tolist(),
        tracks.scores.round(4).tolist(),
        tracks.labels.tolist(),
        tracks.det_index.tolist(),
        strict=True,
    )
    return "".join(
        json.dumps(
            {
                "source": frame.source,
                "frame": frame.index,
                "time_s": round(frame.time_s, 6),
                "id": track,
                "box": box,
                "score": score,
                "label": label_names[label] if label < len(label_names) else str(label),
                "det_index": index,
            },
            ensure_ascii=False,
        )
        + "\n"
        for track, box, score, label, index in rows
    )
