"""The virtual path of a track that was found again."""

from __future__ import annotations

import numpy as np

from mot.trackers import observations, oru

XYSR = observations.XYSR


def test_steps_are_whole_frames_from_the_lead_and_what_is_left() -> None:
    legs = oru._legs(np.array([0.5, 1.0, 1.0]), np.array([2.75, 3.0, 1.0]))
    assert [rows.tolist() for rows, _, _ in legs] == [[0, 1, 2], [0, 1], [0, 1], [0]]
    assert [step.tolist() for _, step, _ in legs] == [[0.5, 1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.25]]
    assert [passed.tolist() for _, _, passed in legs] == [[0.5, 1, 1], [1.5, 2], [2.5, 3], [2.75]]


def test_several_tracks_at_once_are_retraced_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    together, alone = (observations.new_table("OCSORT", axes=4, points=1, delta_t=3) for _ in range(2))
    frozen, anchor = rng.uniform(1, 9, (5, 5, 4)), rng.uniform(10, 90, (5, 4))
    lead, misses = np.ones(5), np.array([2.0, 7.0, 3.5, 4.0, 2.0])
    state = together.state_dict() | {
        "ids": np.arange(5),
        "frozen": frozen,
        "filter": frozen,
        "anchor": anchor,
    }
    state |= {"lead": lead, "misses": misses}
    for name, column in state.items():
        if column.ndim and len(column) != 5:
            state[name] = np.zeros((5, *column.shape[1:]), column.dtype)
    target = rng.uniform(10, 90, (5, 4))
    for table in (together, alone):
        table.load_state_dict(state)
    oru.retrace(together, np.arange(5), target, XYSR.process, XYSR.measurement)
    for row in range(5):
        oru.retrace(alone, np.array([row]), target[[row]], XYSR.process, XYSR.measurement)
    assert (together["filter"] != frozen).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(together["filter"], alone["filter"])
