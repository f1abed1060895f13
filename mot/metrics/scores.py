"""Every ratio, made from counts; names and formulas as in trackeval 1.3.0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mot.metrics.clear import clear
from mot.metrics.counts import BoxCounts, ClearCounts, Counts, HotaCounts, IdentityCounts
from mot.metrics.hota import hota
from mot.metrics.identity import identity
from mot.metrics.scene import Prepared

Score = int | float | NDArray[np.float64] | NDArray[np.int64]

# family -> its fields; those of HOTA up to HOTA_FP are arrays, one number a threshold
FIELDS: dict[str, tuple[str, ...]] = {
    "HOTA": tuple(
        "HOTA DetA AssA DetRe DetPr AssRe AssPr LocA OWTA HOTA_TP HOTA_FN HOTA_FP "
        "HOTA(0) LocA(0) HOTALocA(0)".split()
    ),
    "CLEAR": tuple(
        "MOTA MOTP MODA CLR_Re CLR_Pr MTR PTR MLR sMOTA CLR_F1 FP_per_frame MOTAL MOTP_sum "
        "CLR_TP CLR_FN CLR_FP IDSW MT PT ML Frag CLR_Frames".split()
    ),
    "Identity": ("IDF1", "IDR", "IDP", "IDTP", "IDFN", "IDFP"),
    "Count": ("Dets", "GT_Dets", "IDs", "GT_IDs"),
}


def count(prepared: Prepared, iou: float = 0.5) -> Counts:
    """All counts of one sequence; `iou` is the overlap that CLEAR and Identity ask for."""
    return Counts(
        boxes=BoxCounts(
            result_boxes=len(prepared.result_ids),
            truth_boxes=len(prepared.truth_ids),
            result_ids=len(prepared.result_names),
            truth_ids=len(prepared.truth_names),
        ),
        hota=hota(prepared),
        clear=clear(prepared, iou),
        identity=identity(prepared, iou),
    )


def scores(counts: Counts) -> dict[str, Score]:
    """The fields of `FIELDS`, as fractions; a ratio without anything to divide is 0, LocA then 1.

    A sequence by itself that has no truth scores 0 in every ratio of CLEAR and 1 in MLR, whatever the result, as
    trackeval has it. Combined, even alone, its false boxes count.
    """
    found = {
        **_hota(counts.hota),
        **_clear(counts.clear),
        **_identity(counts.identity),
        "Dets": counts.boxes.result_boxes,
        "GT_Dets": counts.boxes.truth_boxes,
        "IDs": counts.boxes.result_ids,
        "GT_IDs": counts.boxes.truth_ids,
    }
    if not counts.sequences and not counts.boxes.truth_boxes:
        found |= dict.fromkeys(FIELDS["CLEAR"][: FIELDS["CLEAR"].index("MOTP_sum")], 0.0) | {"MLR": 1.0}
    return found


def _hota(c: HotaCounts) -> dict[str, Score]:
    matches = np.maximum(1, c.tp)
    detection = c.tp / np.maximum(1, c.tp + c.fn + c.fp)
    recall = c.tp / np.maximum(1, c.tp + c.fn)
    association = c.association / matches
    location = np.where(c.tp, c.similarity / matches, 1.0)
    total = np.sqrt(detection * association)
    return {
        "HOTA": total,
        "DetA": detection,
        "AssA": association,
        "DetRe": recall,
        "DetPr": c.tp / np.maximum(1, c.tp + c.fp),
        "AssRe": c.association_recall / matches,
        "AssPr": c.association_precision / matches,
        "LocA": location,
        "OWTA": np.sqrt(recall * association),
        "HOTA_TP": c.tp,
        "HOTA_FN": c.fn,
        "HOTA_FP": c.fp,
        "HOTA(0)": float(total[0]),
        "LocA(0)": float(location[0]),
        "HOTALocA(0)": float(total[0] * location[0]),
    }


def _clear(c: ClearCounts) -> dict[str, Score]:
    truth = max(1, c.tp + c.fn)
    ids = max(1, c.mostly_tracked + c.partly_tracked + c.mostly_lost)
    return {
        "MOTA": (c.tp - c.fp - c.switches) / truth,
        "MOTP": c.similarity / max(1, c.tp),
        "MODA": (c.tp - c.fp) / truth,
        "CLR_Re": c.tp / truth,
        "CLR_Pr": c.tp / max(1, c.tp + c.fp),
        "MTR": c.mostly_tracked / ids,
        "PTR": c.partly_tracked / ids,
        "MLR": c.mostly_lost / ids,
        "sMOTA": (c.similarity - c.fp - c.switches) / truth,
        "CLR_F1": c.tp / max(1, c.tp + (c.fn + c.fp) / 2),
        "FP_per_frame": c.fp / max(1, c.frames),
        "MOTAL": (c.tp - c.fp - float(np.log10(max(1, c.switches)))) / truth,
        "MOTP_sum": c.similarity,
        "CLR_TP": c.tp,
        "CLR_FN": c.fn,
        "CLR_FP": c.fp,
        "IDSW": c.switches,
        "MT": c.mostly_tracked,
        "PT": c.partly_tracked,
        "ML": c.mostly_lost,
        "Frag": c.fragments,
        "CLR_Frames": c.frames,
    }


def _identity(c: IdentityCounts) -> dict[str, Score]:
    return {
        "IDF1": c.tp / max(1, c.tp + (c.fn + c.fp) / 2),
        "IDR": c.tp / max(1, c.tp + c.fn),
        "IDP": c.tp / max(1, c.tp + c.fp),
        "IDTP": c.tp,
        "IDFN": c.fn,
        "IDFP": c.fp,
    }
