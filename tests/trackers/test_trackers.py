"""What holds for every tracker, whatever its algorithm."""

from __future__ import annotations

import inspect
import io
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mot.errors import InputError
from mot.structures import Detections, Reason, Tracks, TrackState
from mot.trackers import (
    OCSORT,
    SORT,
    TRACKERS,
    Associator,
    BoTSORT,
    BoTSORTConfig,
    ByteTrack,
    DeepOCSORT,
    DeepSORT,
    DeepSORTConfig,
    HybridSORT,
    JDETracker,
    SORTConfig,
    StrongSORT,
)

Make = Callable[[], Associator]
EVERY = pytest.mark.parametrize("make", [build for _, build in TRACKERS.values()], ids=list(TRACKERS))


def scene(seed: int, frames: int = 30, targets: int = 6) -> list[Detections]:
    """Targets that wander, hide now and then and carry a look of their own; some frames see nothing."""
    rng = np.random.default_rng(seed)
    look = rng.normal(size=(targets, 16)).astype(np.float32)
    place, velocity = rng.uniform(0, 600, (targets, 2)), rng.normal(0, 4, (targets, 2))
    size = rng.uniform(20, 80, (targets, 2))
    out = []
    for _ in range(frames):
        place = place + velocity
        seen = (rng.random(targets) < 0.85) & (rng.random() < 0.9)
        corner = place[seen] + rng.normal(0, 1, (int(seen.sum()), 2))
        xyxy = np.hstack([corner, corner + size[seen]])
        noise = rng.normal(0, 0.1, (len(xyxy), 16)).astype(np.float32)
        order = rng.permutation(len(xyxy))
        out.append(
            Detections(xyxy=xyxy, scores=rng.uniform(0.2, 1, len(xyxy)), embeddings=look[seen] + noise)[order]
        )
    return out


def still(count: int = 1, **change: object) -> Detections:
    corner = np.arange(count)[:, None] * 100.0 + [[10.0, 10.0]]
    values: dict[str, object] = {
        "xyxy": np.hstack([corner, corner + [[20.0, 40.0]]]),
        "scores": np.full(count, 0.9),
        "embeddings": np.eye(count, 16, dtype=np.float32),
    }
    return Detections(**(values | change))  # type: ignore[arg-type]


def run(tracker: Associator, detections: list[Detections]) -> list[Tracks]:
    return [tracker.update(found) for found in detections]


@EVERY
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_are_sound_and_every_detection_is_accounted_for(make: Make, seed: int) -> None:
    tracker, greatest = make(), 0
    for found in scene(seed):
        tracks = tracker.update(found)
        assert len(set(tracks.ids.tolist())) == len(tracks)
        assert (tracks.ids >= 1).all()
        made = tracks.det_index >= 0
        assert tracks.assigned.shape == (len(found),)
        assert (tracks.assigned[tracks.det_index[made]] == tracks.ids[made]).all()
        kept = tracks.assigned[tracks.assigned > 0]
        assert len(set(kept.tolist())) == len(kept)
        assert set(tracks.assigned[tracks.assigned < 0].tolist()) <= {int(reason) for reason in Reason}
        new = kept[kept > greatest]
        assert sorted(new.tolist()) == list(range(greatest + 1, greatest + 1 + len(new)))
        greatest += len(new)


@EVERY
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_detections_changes_nothing_but_names(make: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain, shuffled = make(), make()
    names: dict[int, int] = {}
    for found in scene(seed):
        a = plain.update(found)
        b = shuffled.update(found[rng.permutation(len(found))])
        a, b = a[np.lexsort(a.xyxy.T)], b[np.lexsort(b.xyxy.T)]
        np.testing.assert_allclose(a.xyxy, b.xyxy, atol=1e-9)
        assert [
            names.setdefault(i, j) for i, j in zip(a.ids.tolist(), b.ids.tolist(), strict=True)
        ] == b.ids.tolist()


@EVERY
def test_shifting_the_picture_shifts_the_tracks(make: Make) -> None:
    shift = np.array([250.0, -125.0] * 2)
    moved = [
        Detections(xyxy=found.xyxy + shift, scores=found.scores, embeddings=found.embeddings)
        for found in scene(7)
    ]
    for a, b in zip(run(make(), scene(7)), run(make(), moved), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        np.testing.assert_allclose(a.xyxy + shift, b.xyxy, atol=1e-6)


@EVERY
def test_two_instances_in_two_threads_share_no_ids(make: Make) -> None:
    alone = run(make(), scene(1))
    results: dict[int, list[Tracks]] = {}

    def work(key: int) -> None:
        results[key] = run(make(), scene(1))

    threads = [threading.Thread(target=work, args=(key,)) for key in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results.values():
        assert [t.ids.tolist() for t in result] == [t.ids.tolist() for t in alone]


@EVERY
def test_frames_without_detections_age_tracks_until_they_go(make: Make) -> None:
    tracker = make()
    run(tracker, [still()] * 5)
    for _ in range(40):
        tracker.update(Detections.empty())
    again = run(tracker, [still()] * 4)[-1]
    assert again.ids.tolist() == [2]


@EVERY
def test_a_first_frame_without_detections(make: Make) -> None:
    tracks = run(make(), [Detections.empty(), Detections.empty(16), *[still()] * 4])[-1]
    assert tracks.ids.tolist() == [1]
    assert tracks.det_index.tolist() == [0]


@EVERY
def test_boxes_without_area_or_outside_do_no_harm(make: Make) -> None:
    odd = still(4).xyxy
    odd[1, 2:] = odd[1, :2]  # a point
    odd[2, 3] = odd[2, 1]  # no height
    odd[3] -= 5000  # far outside
    tracker = make()
    for _ in range(5):
        tracks = tracker.update(still(4, xyxy=odd))
    assert np.isfinite(tracks.xyxy).all()
    assert tracks.assigned[[1, 2]].tolist() == [Reason.UNMATCHED] * 2
    assert len(tracks) == 2


def test_sort_reports_after_min_hits_in_a_row_but_at_once_in_the_first_frames() -> None:
    early = SORT(SORTConfig(min_hits=3)).update(still())
    assert early.state.tolist() == [TrackState.TENTATIVE]
    tracker = SORT(SORTConfig(min_hits=3, max_age=2))
    lengths = [len(tracks) for tracks in run(tracker, [Detections.empty()] * 4 + [still()] * 5)]
    assert lengths == [0, 0, 0, 0, 0, 0, 0, 1, 1]
    after_gap = [len(tracks) for tracks in run(tracker, [Detections.empty(), *[still()] * 4])]
    assert after_gap == [0, 0, 0, 1, 1]


def test_sort_score_threshold_is_a_reason() -> None:
    tracks = SORT(SORTConfig(score_threshold=0.5)).update(still(2, scores=np.array([0.4, 0.5])))
    assert tracks.assigned.tolist() == [Reason.BELOW_THRESHOLD, 1]


def test_deepsort_needs_embeddings_and_keeps_its_state_when_refused() -> None:
    tracker, twin = DeepSORT(), DeepSORT()
    for one in (tracker, twin):
        run(one, [still(2)] * 4)
    with pytest.raises(InputError, match=r"DeepSORT needs \(2, E\) float32, got None"):
        tracker.update(still(2, embeddings=None))
    with pytest.raises(InputError, match=r"width was 16 so far, got \(2, 5\)"):
        tracker.update(still(2, embeddings=np.ones((2, 5), np.float32)))
    a, b = tracker.update(still(2)), twin.update(still(2))
    assert a.xyxy.tolist() == b.xyxy.tolist()


def test_deepsort_finds_a_track_again_by_its_look_where_overlap_cannot() -> None:
    tracker = DeepSORT(DeepSORTConfig(max_age=30))
    run(tracker, [still(2)] * 10 + [Detections.empty()] * 10)
    swapped = still(2, xyxy=still(2).xyxy + [[25.0, 0.0, 25.0, 0.0]])
    assert tracker.update(swapped).assigned.tolist() == [1, 2]
    # the same box with a stranger's look, too far for IoU, is somebody else
    run(tracker, [Detections.empty()] * 3)
    stranger = still(1, xyxy=still(1).xyxy + [[60.0, 0.0, 60.0, 0.0]], embeddings=np.eye(1, 16, 9))
    assert tracker.update(stranger).assigned.tolist() == [3]


def test_deepsort_searches_all_looks_where_two_tracks_want_one_detection() -> None:
    """The newest looks are both near enough, and the wrong one is nearer."""
    same, turned, other = np.array([[1, 0, 0], [0.85, 0.527, 0], [0.9, 0, 0.436]], np.float32)
    apart = np.array([[10.0, 10, 30, 50], [14, 10, 34, 50]])
    tracker = DeepSORT()
    for look in (same, same, same, turned):
        tracker.update(still(2, xyxy=apart, embeddings=np.stack([look, other])))
    between = tracker.update(still(1, xyxy=apart[:1] + [[2.0, 0, 2, 0]], embeddings=same[None]))
    assert between.assigned.tolist() == [1]


def test_deepsort_shows_a_track_missed_once_where_it_is_predicted() -> None:
    tracker = DeepSORT()
    run(tracker, [still()] * 5)
    missed, gone = tracker.update(Detections.empty()), tracker.update(Detections.empty())
    assert (missed.det_index.tolist(), len(gone)) == ([-1], 0)
    strict = DeepSORT(DeepSORTConfig(max_predicted=0))
    run(strict, [still()] * 5)
    assert len(strict.update(Detections.empty())) == 0


def test_deepsort_nms_and_confidence_are_reasons() -> None:
    found = still(
        3,
        xyxy=np.array([[0, 0, 20, 40], [1, 1, 21, 41], [100, 0, 120, 40.0]]),
        scores=np.array([0.8, 0.9, 0.1]),
    )
    tracks = DeepSORT(DeepSORTConfig(nms_max_overlap=0.5)).update(found)
    assert tracks.assigned.tolist() == [Reason.SUPPRESSED, 1, Reason.BELOW_THRESHOLD]


def state_of(tracker: Associator) -> dict[str, list[object]]:
    return {name: column.tolist() for name, column in tracker.state_dict().items()}


@EVERY
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), stop=st.integers(0, 29))
def test_saved_and_restored_at_any_frame_nothing_changes(make: Make, seed: int, stop: int) -> None:
    frames, whole, first, second = scene(seed), make(), make(), make()
    expected = run(whole, frames)
    run(first, frames[:stop])
    file = io.BytesIO()
    np.savez(file, **first.state_dict())  # type: ignore[arg-type]
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        second.load_state_dict(dict(saved))
    for a, b in zip(expected[stop:], run(second, frames[stop:]), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert a.xyxy.tolist() == b.xyxy.tolist()
        assert a.assigned.tolist() == b.assigned.tolist()


@EVERY
def test_the_state_of_another_tracker_is_refused(make: Make) -> None:
    tracker = make()
    run(tracker, [still(2)] * 3)
    state = tracker.state_dict()
    for name in state:
        twin = make()
        before = state_of(twin)
        with pytest.raises(InputError, match="state"):
            twin.load_state_dict({key: part for key, part in state.items() if key != name})
        assert state_of(twin) == before
    for _, build in TRACKERS.values():
        if build is not make:
            other = build()
            with pytest.raises(InputError, match="state"):
                other.load_state_dict(state)
            assert state_of(other) == state_of(build())


@EVERY
def test_one_frame_is_the_default_and_bit_for_bit(make: Make) -> None:
    plain, timed = make(), make()
    for found in scene(3):
        a, b = plain.update(found), timed.update(found, dt=1.0)
        assert a.ids.tolist() == b.ids.tolist()
        assert a.xyxy.tolist() == b.xyxy.tolist()


@EVERY
@pytest.mark.parametrize("dt", [2.0, 3.0, 0.5, 1.5])
def test_skipped_frames_are_bridged_by_prediction(make: Make, dt: float) -> None:
    """A target at constant speed, seen every `dt` frames only: one identity, found where it is predicted."""
    tracker, place, seen = make(), 0.0, set()
    for _ in range(8):
        tracker.update(still(xyxy=still().xyxy + [[place, 0, place, 0]]))
        place += 4
    for _ in range(8):
        place += 4 * (dt - 1)
        tracks = tracker.update(still(xyxy=still().xyxy + [[place, 0, place, 0]]), dt=dt)
        place += 4
        seen |= set(tracks.ids.tolist())
        assert len(tracks) == 1
        assert tracks.assigned.tolist() == [1]
    assert seen == {1}


@EVERY
def test_ageing_counts_the_frames_skipped(make: Make) -> None:
    tracker = make()
    run(tracker, [still()] * 5)
    tracker.update(Detections.empty(), dt=1000)
    tracker.update(Detections.empty())
    assert run(tracker, [still()] * 4)[-1].assigned.tolist() == [2]


@EVERY
@pytest.mark.parametrize("dt", [0, -1.0, float("nan"), float("inf"), 1e12, "1", None])
def test_a_refused_call_changes_nothing(make: Make, dt: float) -> None:
    tracker = make()
    run(tracker, [still(2)] * 4)
    before = state_of(tracker)
    with pytest.raises(InputError, match="dt"):
        tracker.update(still(2), dt=dt)
    assert state_of(tracker) == before


EMBEDDED = pytest.mark.parametrize(
    "make", [DeepSORT, StrongSORT, DeepOCSORT, JDETracker, lambda: BoTSORT(BoTSORTConfig(with_reid=True))]
)


@EMBEDDED
@pytest.mark.parametrize("embeddings", [np.ones((2, 5), np.float32), None])
def test_embeddings_missing_or_of_another_width(make: Make, embeddings: object) -> None:
    tracker = make()
    run(tracker, [still(2)] * 4)
    before = state_of(tracker)
    with pytest.raises(InputError, match="embeddings"):
        tracker.update(still(2, embeddings=embeddings))
    assert state_of(tracker) == before


@pytest.mark.parametrize("make", [SORT, ByteTrack, OCSORT, BoTSORT, HybridSORT])
def test_the_others_do_not_look_at_embeddings(make: Make) -> None:
    plain, blind = make(), make()
    for found in scene(4):
        bare = Detections(xyxy=found.xyxy, scores=found.scores)
        assert plain.update(found).ids.tolist() == blind.update(bare).ids.tolist()


@EVERY
def test_a_gap_is_as_many_empty_frames(make: Make) -> None:
    """`dt` = k: the filters after the gap are bit for bit those after k predictions."""
    gap, frames = make(), make()
    growing = [still(xyxy=still().xyxy + [[0, 0, i, 2 * i]]) for i in range(8)]
    for tracker in (gap, frames):
        run(tracker, growing)
    gap.update(Detections.empty(), dt=4)
    run(frames, [Detections.empty()] * 4)
    a, b = gap.state_dict(), frames.state_dict()
    if len(b["ids"]):  # SORT has given it up by then, and so has the gap
        assert a["filter"].tolist() == b["filter"].tolist()
    assert a["ids"].tolist() == b["ids"].tolist()
    assert a["misses"].tolist() == b["misses"].tolist()


@EVERY
@pytest.mark.parametrize("aware", [True, False])
def test_class_aware_matches_within_a_label(make: Make, aware: bool) -> None:
    tracker = type(make())(replace(make().config, class_aware=aware))  # type: ignore[attr-defined,call-arg]
    first = run(tracker, [still(labels=np.array([3]))] * 5)[-1]
    assert first.labels.tolist() == [3]
    other = run(tracker, [still(labels=np.array([4]))])[-1]
    assert other.assigned.tolist() == ([2] if aware else [1])
    if not aware:
        assert other.labels.tolist() == [3]  # the label it was seen with most often
        assert run(tracker, [still(labels=np.array([4]))] * 6)[-1].labels.tolist() == [4]


WARPED = pytest.mark.parametrize(
    "make",
    [build for _, build in TRACKERS.values() if "warp" in inspect.signature(build.update).parameters],
    ids=lambda build: build.__name__,
)


@WARPED
def test_a_camera_that_stands_still_changes_nothing(make: Make) -> None:
    identity, plain, warped = np.eye(2, 3), make(), make()
    for found in scene(5):
        a = plain.update(found)
        b = warped.update(found, warp=identity)  # type: ignore[call-arg]
        assert a.ids.tolist() == b.ids.tolist()
        np.testing.assert_allclose(a.xyxy, b.xyxy, atol=1e-6)


@WARPED
@pytest.mark.parametrize(
    "warp", [np.eye(3), np.zeros((2, 3)), np.full((2, 3), np.nan), [[1, 0, 0], [2, 0, 0]], "none"], ids=str
)
def test_a_warp_that_is_none_is_refused(make: Make, warp: object) -> None:
    tracker = make()
    run(tracker, [still(2)] * 4)
    before = state_of(tracker)
    with pytest.raises(InputError, match="warp"):
        tracker.update(still(2), warp=warp)  # type: ignore[call-arg]
    assert state_of(tracker) == before


@WARPED
def test_a_moving_camera_is_followed(make: Make) -> None:
    """The picture jumps by more than a box; only the warp says so."""
    tracker = make()
    run(tracker, [still(2)] * 6)
    jump = still(2, xyxy=still(2).xyxy + [[60.0, 30, 60, 30]])
    tracks = tracker.update(jump, warp=np.array([[1.0, 0, 60], [0, 1, 30]]))  # type: ignore[call-arg]
    assert tracks.assigned.tolist() == [1, 2]
