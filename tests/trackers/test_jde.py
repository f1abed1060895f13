"""What is particular to the association of JDE and FairMOT: looks first, motion as a gate, scores kept."""

from __future__ import annotations

import numpy as np
import pytest

from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks
from mot.trackers.bytefamily import Looks
from mot.trackers.jde import FAIRMOT, JDEConfig, JDETracker

NONE = Detections.empty()


def seen(*rows: tuple[float, int], score: float = 0.9, label: int = 0) -> Detections:
    """A box 40 x 80 for each (x, number of its look)."""
    xyxy = np.array([[x, 10.0, x + 40, 90.0] for x, _ in rows])
    embeddings = np.array([np.eye(8)[look] for _, look in rows], np.float32)
    scores, labels = np.full(len(rows), score), np.full(len(rows), label)
    return Detections(xyxy=xyxy, scores=scores, labels=labels, embeddings=embeddings)


def run(tracker: JDETracker, *frames: Detections) -> Tracks:
    for found in frames:
        tracks = tracker.update(found)
    return tracks


def test_fairmot_confirms_the_first_frame_jde_the_second() -> None:
    assert [len(run(JDETracker(), *[seen((0, 0))] * count)) for count in (1, 2)] == [0, 1]
    assert [len(run(JDETracker(FAIRMOT), *[seen((0, 0))] * count)) for count in (1, 2)] == [1, 1]
    assert len(run(JDETracker(FAIRMOT), NONE, seen((0, 0)))) == 0


def test_scores_must_be_above_the_threshold() -> None:
    assert run(JDETracker(), seen((0, 0), score=0.5)).assigned.tolist() == [Reason.BELOW_THRESHOLD]
    assert run(JDETracker(FAIRMOT), seen((0, 0), score=0.5)).assigned.tolist() == [1]


def test_looks_decide_before_overlap() -> None:
    tracker = JDETracker()
    run(tracker, *[seen((0, 0), (10, 1))] * 5)
    assert tracker.update(seen((0, 1), (10, 0))).assigned.tolist() == [2, 1]


def test_overlap_finds_a_changed_look_unless_the_track_is_lost() -> None:
    tracker = JDETracker()
    assert run(tracker, *[seen((0, 0))] * 3, seen((0, 1))).assigned.tolist() == [1]
    run(tracker, NONE)
    assert tracker.update(seen((10, 2))).assigned.tolist() == [2]


def test_no_look_reaches_through_the_gate_of_motion() -> None:
    for x, expected in ((10, 1), (60, 2)):
        tracker = JDETracker(JDEConfig(motion_weight=0))
        run(tracker, *[seen((0, 0))] * 5, NONE)  # lost: overlap does not find it
        assert tracker.update(seen((x, 0))).assigned.tolist() == [expected]


def test_motion_decides_between_equal_looks() -> None:
    for there, expected in (((0, 12), [1, 2]), ((12, 0), [2, 1])):
        tracker = JDETracker()
        run(tracker, *[seen((0, 0), (12, 0))] * 5)
        assert tracker.update(seen((there[0], 0), (there[1], 0))).assigned.tolist() == expected


def test_a_track_found_again_keeps_its_score() -> None:
    tracker = JDETracker()
    run(tracker, *[seen((0, 0))] * 3, NONE)
    assert tracker.update(seen((0, 0), score=0.7)).scores.tolist() == [0.9]
    assert tracker.update(seen((0, 0), score=0.7)).scores.tolist() == [0.7]


def test_distances_of_looks() -> None:
    looks = Looks()
    looks.append(np.eye(2, 3))
    other = np.array([[1.0, 0, 0], [0.6, 0.8, 0]])
    rows, columns = np.indices((2, 2)).reshape(2, -1)
    vectors = other[columns]
    np.testing.assert_allclose(looks.distances(rows, vectors, "cosine"), [0, 0.4, 1, 0.2], atol=1e-12)
    expected = np.linalg.norm(np.eye(2, 3)[rows] - vectors, axis=1)
    np.testing.assert_allclose(looks.distances(rows, vectors, "euclidean"), expected, atol=1e-12)


def test_embeddings_are_needed_and_the_state_kept_when_refused() -> None:
    tracker, twin = JDETracker(), JDETracker()
    for one in (tracker, twin):
        run(one, *[seen((0, 0))] * 3)
    bare = Detections(xyxy=seen((0, 0)).xyxy, scores=np.array([0.9]))
    with pytest.raises(InputError, match=r"JDETracker needs \(1, E\) float32, got None"):
        tracker.update(bare)
    wide = Detections(xyxy=bare.xyxy, scores=bare.scores, embeddings=np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match=r"width was 8 so far, got \(1, 3\)"):
        tracker.update(wide)
    assert tracker.update(seen((3, 0))).xyxy.tolist() == twin.update(seen((3, 0))).xyxy.tolist()


def test_saved_and_restored() -> None:
    tracker, twin = JDETracker(), JDETracker()
    run(tracker, *[seen((0, 0), (100, 1))] * 3, NONE)
    twin.load_state_dict(tracker.state_dict())
    for found in (seen((2, 0), (300, 2)), seen((102, 1))):
        a, b = tracker.update(found), twin.update(found)
        assert (a.xyxy.tolist(), a.assigned.tolist()) == (b.xyxy.tolist(), b.assigned.tolist())


def test_class_aware_keeps_matches_within_a_label() -> None:
    frames = [seen((0, 0))] * 2 + [seen((0, 0), label=1)]
    assert run(JDETracker(), *frames).assigned.tolist() == [1]
    assert run(JDETracker(JDEConfig(class_aware=True)), *frames).assigned.tolist() == [2]
