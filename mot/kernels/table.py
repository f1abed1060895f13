"""The columns of a `TrackTable` at once. Twins: its methods `see` and `report`, and the family's `_let_go`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mot.kernels.jit import ANY_B1, ANY_F1, ANY_I1, COL_B1, COL_F1, COL_I1, FLOAT, I1, I2, kernel

TENTATIVE, CONFIRMED, LOST = 1, 2, 3  # as in mot.structures.TrackState


@kernel(COL_F1, COL_I1, COL_F1, COL_I1, I2, ANY_I1, ANY_I1, ANY_F1, ANY_I1, ANY_B1)
def see(
    misses: Any,
    det_index: Any,
    scores: Any,
    labels: Any,
    votes: Any,
    rows: Any,
    det: Any,
    det_scores: Any,
    det_labels: Any,
    renewed: Any,
) -> bool:
    """The tracks `rows` (M,) were seen as the detections `det` (M,). False: a label is new, no votes are counted.

    `renewed` (M,) says who takes the detection's score; empty: all.
    """
    counted = True
    for m in range(len(rows)):
        row, d = rows[m], det[m]
        misses[row], det_index[row] = 0.0, d
        if len(renewed) == 0 or renewed[m]:
            scores[row] = det_scores[d]
        counted = counted and det_labels[d] < votes.shape[1]
    if counted:
        for m in range(len(rows)):
            row, label = rows[m], det_labels[det[m]]
            votes[row, label] += 1
            if votes[row, label] > votes[row, labels[row]]:
                labels[row] = label
    return counted


@kernel(ANY_I1, ANY_F1, ANY_I1, ANY_I1, ANY_I1, ANY_I1, I1)
def report(
    ids: Any, scores: Any, labels: Any, det_index: Any, state: Any, rows: Any, assigned: Any
) -> tuple[Any, Any, Any, Any, Any]:
    """`ids`, `scores`, `labels`, `det_index`, `state` of the tracks `rows` (R,); ids go into `assigned` (D,)."""
    for t in range(len(ids)):
        if det_index[t] >= 0:
            assigned[det_index[t]] = ids[t]
    count = len(rows)
    of_id, of_label, of_det = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    of_score, of_state = np.empty(count), np.empty(count, np.int8)
    for r in range(count):
        t = rows[r]
        of_id[r], of_score[r], of_label[r], of_det[r] = ids[t], scores[t], labels[t], det_index[t]
        of_state[r] = state[t]
    return of_id, of_score, of_label, of_det, of_state


@kernel(COL_I1, ANY_F1, COL_B1, FLOAT)
def let_go(state: Any, misses: Any, expired: Any, limit: float) -> Any:
    """Missed tracks become lost, those missed for more than `limit` expire; (T,) which stay. Twin: `_let_go`."""
    stays = np.empty(len(state), np.bool_)
    for i in range(len(state)):
        confirmed = state[i] == CONFIRMED
        condemned = state[i] == TENTATIVE or (confirmed and expired[i]) or misses[i] >= limit + 2
        stays[i] = misses[i] <= 0 or not condemned
        expired[i] = expired[i] or misses[i] > limit
        if misses[i] > 0 and confirmed:
            state[i] = LOST
    return stays
