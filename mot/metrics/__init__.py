"""HOTA, CLEAR and Identity of a result against ground truth: counts first, ratios from counts, equal to trackeval.

counts = count(prepare(truth, result, length=600, benchmark="MOT17"))
scores(counts)["MOTA"], scores(combine([counts, …]))["HOTA"].mean()
"""

from mot.metrics.clear import EVENT, check_iou, clear, events
from mot.metrics.counts import THRESHOLDS, ClearCounts, Counts, HotaCounts, IdentityCounts, combine
from mot.metrics.hota import hota
from mot.metrics.identity import identity
from mot.metrics.prepare import DISTRACTORS, prepare
from mot.metrics.scene import Prepared
from mot.metrics.scores import FIELDS, Score, count, scores

__all__ = [
    "DISTRACTORS",
    "EVENT",
    "FIELDS",
    "THRESHOLDS",
    "ClearCounts",
    "Counts",
    "HotaCounts",
    "IdentityCounts",
    "Prepared",
    "Score",
    "check_iou",
    "clear",
    "combine",
    "count",
    "events",
    "hota",
    "identity",
    "prepare",
    "scores",
]
