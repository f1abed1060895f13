"""PyPI's trackeval on arrays instead of files: what `mot.metrics` is held against."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import trackeval
from numpy.typing import NDArray

from mot.metrics import FIELDS
from mot.structures import Rows

Results = dict[str, dict[str, Any]]  # family -> field -> value


@cache
def dataset(benchmark: str) -> Any:
    """trackeval's rules for `benchmark`; the files it asks for are there, but empty."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("gt/any/gt/gt.txt", "trackers/any/data/any.txt"):
            path = Path(folder, name)
            path.parent.mkdir(parents=True)
            path.touch()
        settings = {
            "GT_FOLDER": f"{folder}/gt",
            "TRACKERS_FOLDER": f"{folder}/trackers",
            "BENCHMARK": benchmark,
            "SEQ_INFO": {"any": 1},
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
        return trackeval.datasets.MotChallenge2DBox(settings)


@cache
def families(iou: float = 0.5) -> dict[str, Any]:
    """Name of a metric -> trackeval's."""
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": iou}
    metrics = trackeval.metrics
    return {
        "HOTA": metrics.HOTA(quiet),
        "CLEAR": metrics.CLEAR(quiet),
        "Identity": metrics.Identity(quiet),
        "Count": metrics.Count(quiet),
    }


def by_frame(boxes: Rows, length: int) -> dict[str, list[NDArray[Any]]]:
    """Column -> its values in every frame, in file order."""
    rows = [np.flatnonzero(boxes.frames == frame) for frame in range(1, length + 1)]
    return {
        name: [getattr(boxes, name)[chosen] for chosen in rows]
        for name in ("ids", "tlwh", "scores", "classes")
    }


def prepared(truth: Rows, result: Rows, length: int, benchmark: str) -> dict[str, Any]:
    """trackeval's preprocessing."""
    rules, gt, found = dataset(benchmark), by_frame(truth, length), by_frame(result, length)
    raw = {
        "gt_ids": gt["ids"],
        "gt_dets": gt["tlwh"],
        "gt_classes": gt["classes"],
        "gt_extras": [{"zero_marked": scores.astype(int)} for scores in gt["scores"]],
        "tracker_ids": found["ids"],
        "tracker_dets": found["tlwh"],
        "tracker_classes": found["classes"],
        "tracker_confidences": found["scores"],
        "similarity_scores": [
            rules._calculate_similarities(a, b) for a, b in zip(gt["tlwh"], found["tlwh"], strict=True)
        ],
        "num_timesteps": length,
        "seq": "any",
    }
    data: dict[str, Any] = rules.get_preprocessed_seq_data(raw, "pedestrian")
    return data


def evaluate(data: Mapping[str, Any], iou: float = 0.5) -> Results:
    """Every family's fields of preprocessed `data`."""
    return {name: metric.eval_sequence(data) for name, metric in families(iou).items()}


def combined(results: Sequence[Results]) -> Results:
    """Its combined row."""
    return {
        name: metric.combine_sequences({str(i): result[name] for i, result in enumerate(results)})
        for name, metric in families().items()
    }


def differences(ours: Mapping[str, Any], theirs: Results, atol: float = 1e-9) -> list[str]:
    """The fields of `FIELDS` in which `mot.metrics.scores` differs, each with both values; counts exactly."""
    return [
        f"{field}: {ours[field]} is not {theirs[family][field]}"
        for family, names in FIELDS.items()
        for field in names
        if not np.allclose(ours[field], theirs[family][field], rtol=0, atol=atol)
        or (np.asarray(ours[field]).dtype.kind == "i" and np.any(ours[field] != theirs[family][field]))
    ]
