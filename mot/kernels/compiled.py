"""All kernels by name, and the verbs made of them.

A file is imported, its kernels compiled or loaded, when one of them is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

# name -> the file it is in
HOME = {
    "overlaps": "overlaps",
    "alike": "overlaps",
    "heaviest": "assignment",
    "match_iou": "assignment",
    "settle": "assignment",
    "complete": "assignment",
    "agreed": "pairs",
    "clear_cut": "pairs",
    "solve": "assignment",
    "predict": "kalman",
    "correct": "kalman",
    "update": "kalman",
    "xyxy_to_xysr": "conversions",
    "xysr_to_xyxy": "conversions",
    "xyxy_to_xyah": "conversions",
    "xyah_to_xyxy": "conversions",
    "xyxy_to_xywh": "conversions",
    "xywh_to_xyxy": "conversions",
    "sound": "detections",
    "usable": "detections",
    "split": "detections",
    "see": "table",
    "report": "table",
    "match_overlap": "assignment",
    "predict_family": "kalman",
    "correct_family": "kalman",
    "let_go": "table",
    "advance": "observations",
    "oldest": "observations",
    "directions": "observations",
    "observe": "observations",
    "pair_cosines": "observations",
    "cell_cosines": "observations",
    "predict_xysr": "observations",
    "predict_bank": "verbs",
    "update_bank": "verbs",
    "correct_bank": "verbs",
    "heaviest_of_all": "verbs",
    "match_first": "verbs",
    "see_all": "verbs",
    "report_rows": "verbs",
    "split_rows": "verbs",
    "advance_table": "verbs",
    "angles": "verbs",
    "observe_all": "verbs",
}


def __getattr__(name: str) -> Any:
    """Import a kernel on first use."""
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"mot.kernels.{HOME[name]}"), name)
    globals()[name] = found
    return found
