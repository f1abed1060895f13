"""Identity: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016.

One matching of truth ids to result ids for the whole sequence, with the most boxes that overlap enough. The paper
and trackeval minimise the boxes left over, which is the same: FN + FP = truth boxes + result boxes - 2 TP.
"""

from __future__ import annotations

from scipy.optimize import linear_sum_assignment

from mot.metrics.counts import IdentityCounts
from mot.metrics.scene import Prepared


def identity(prepared: Prepared, iou: float = 0.5) -> IdentityCounts:
    """The counts of IDF1 and its relatives; a box counts where its overlap is at least `iou`."""
    pairs = prepared.pairs
    shared = prepared.per_id_pair(pairs.where(pairs.similarity >= iou))
    tp = int(shared[linear_sum_assignment(shared, maximize=True)].sum())
    return IdentityCounts(tp=tp, fn=len(prepared.truth_ids) - tp, fp=len(prepared.result_ids) - tp)
