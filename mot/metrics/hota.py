"""HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021.

Ids that overlap much and often are aligned over the whole sequence first; each frame is then matched once, by
alignment times overlap, and a match counts at every threshold alpha that its overlap reaches.
Equal to trackeval 1.3.0, ties included: tests/metrics/test_against_trackeval.py.
"""

from __future__ import annotations

import numpy as np

from mot.metrics.counts import THRESHOLDS, HotaCounts
from mot.metrics.matching import contested, match
from mot.metrics.scene import EPS, Floats, Pairs, Prepared


def hota(prepared: Prepared) -> HotaCounts:
    """The counts of HOTA at the 19 thresholds 0.05, 0.10 … 0.95."""
    pairs = prepared.pairs
    matched = pairs.where(match(pairs, _alignment(prepared) * pairs.similarity))
    reached = matched.similarity[:, None] >= THRESHOLDS - EPS  # (M, 19)
    tp = reached.sum(axis=0)
    association, recall, precision = _association(prepared, matched)
    return HotaCounts(
        tp=tp,
        fn=len(prepared.truth_ids) - tp,
        fp=len(prepared.result_ids) - tp,
        similarity=(matched.similarity[:, None] * reached).sum(axis=0),
        association=association,
        association_recall=recall,
        association_precision=precision,
    )


def _alignment(prepared: Prepared) -> Floats:
    """(P,) how well the two ids of a pair fit over the whole sequence.

    With s_ij the overlap of truth i and result j in a frame, frames share s_ij / (sum_k s_ik + sum_k s_kj - s_ij)
    of the two; C sums this up. Alignment = C / (frames of i + frames of j - C).
    """
    pairs = prepared.pairs
    total = 2 * pairs.similarity  # its row's and its column's, where no other pair contests it
    for block in contested(pairs):
        # summed as dense rows and columns: another order of adding would break ties another way
        matrix = block.dense(pairs.similarity[block.span])
        total[block.span] = (matrix.sum(axis=0) + matrix.sum(axis=1)[:, None]).reshape(-1)[block.cells]
    total -= pairs.similarity
    share = np.divide(pairs.similarity, total, out=np.zeros(len(pairs)), where=total > EPS)
    truth, result = prepared.ids(pairs)
    together = prepared.per_id_pair(pairs, share)[truth, result]
    apart = np.bincount(prepared.truth_ids)[truth] + np.bincount(prepared.result_ids)[result]
    alignment: Floats = together / (apart - together)
    return alignment


def _association(prepared: Prepared, matched: Pairs) -> tuple[Floats, Floats, Floats]:
    """(19,) sums over all matches of their ids' association score, recall and precision.

    Of n matches of truth i with result j: n / (frames of i + frames of j - n), n / frames of i, n / frames of j.
    """
    truth, result = prepared.ids(matched)
    codes, inverse = np.unique(truth * len(prepared.result_names) + result, return_inverse=True)
    i, j = np.divmod(codes, max(1, len(prepared.result_names)))
    level = np.searchsorted(THRESHOLDS - EPS, matched.similarity, side="right")  # thresholds reached
    steps = len(THRESHOLDS) + 1
    reached = np.bincount(inverse * steps + level, minlength=len(codes) * steps).reshape(-1, steps)
    n = reached[:, :0:-1].cumsum(axis=1)[:, ::-1]  # (id pairs, 19)
    of_i, of_j = (
        np.bincount(ids)[chosen, None] for ids, chosen in ((prepared.truth_ids, i), (prepared.result_ids, j))
    )
    squares = n.astype(np.float64) ** 2
    return (
        (squares / (of_i + of_j - n)).sum(axis=0),
        (squares / of_i).sum(axis=0),
        (squares / of_j).sum(axis=0),
    )
