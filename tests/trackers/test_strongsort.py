"""What is particular to StrongSORT: its four switches, its camera step, its kinship with DeepSORT."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mot.errors import InputError, MotError
from mot.structures import Detections, Reason, TrackState
from mot.trackers.deepsort import DeepSORT, DeepSORTConfig
from mot.trackers.strongsort import StrongSORT, StrongSORTConfig

PLAIN = StrongSORTConfig(ema=False, nsa=False, mc=False, cascade=True)
IDENTITY = np.eye(2, 3)


def one(
    x: float = 100.0, score: float = 0.9, look: NDArray[np.float32] | None = None, label: int = 0
) -> Detections:
    vector = np.eye(1, 8, dtype=np.float32) if look is None else look.reshape(1, -1)
    return Detections(
        xyxy=np.array([[x, 50.0, x + 40, 150.0]]),
        scores=np.array([score]),
        labels=np.array([label]),
        embeddings=vector,
    )


def axis(number: int) -> NDArray[np.float32]:
    vector = np.zeros(8, np.float32)
    vector[number] = 1
    return vector


def scene(seed: int, frames: int = 60, targets: int = 8) -> list[Detections]:
    rng = np.random.default_rng(seed)
    look = rng.normal(size=(targets, 8)).astype(np.float32)
    place, velocity = rng.uniform(0, 400, (targets, 2)), rng.normal(0, 5, (targets, 2))
    out = []
    for _ in range(frames):
        place = place + velocity
        seen = rng.random(targets) < 0.8
        corner = place[seen] + rng.normal(0, 1, (int(seen.sum()), 2))
        noise = rng.normal(0, 0.2, (len(corner), 8)).astype(np.float32)
        out.append(
            Detections(
                xyxy=np.hstack([corner, corner + [30.0, 70.0]]),
                scores=rng.uniform(0.2, 1, len(corner)),
                labels=rng.integers(0, 2, len(corner)),
                embeddings=look[seen] + noise,
            )
        )
    return out


@pytest.mark.parametrize("class_aware", [False, True])
def test_without_its_switches_it_is_deepsort(class_aware: bool) -> None:
    shared = {field.name for field in fields(DeepSORTConfig)} - {"nn_nearest"}
    config = replace(PLAIN, class_aware=class_aware, max_age=4, nms_max_overlap=0.8)
    same = DeepSORTConfig(**{name: value for name, value in asdict(config).items() if name in shared})
    ours, theirs = StrongSORT(config), DeepSORT(same)
    for found in scene(3):
        a, b = ours.update(found), theirs.update(found)
        assert a.ids.tolist() == b.ids.tolist()
        assert a.xyxy.tolist() == b.xyxy.tolist()
        assert a.assigned.tolist() == b.assigned.tolist()


@pytest.mark.parametrize(("nsa", "score", "share"), [(True, 1.0, 0), (True, 0.7, 0.3), (False, 0.7, 1)])
def test_nsa_scales_the_noise_by_one_minus_score(nsa: bool, score: float, share: float) -> None:
    tracker = StrongSORT(StrongSORTConfig(nsa=nsa))
    for x in (100, 100, 100):
        tracker.update(one(x, score))
    _, _, pxx, pxv, pvv = tracker.state_dict()["filter"][0, :, 0]
    variance = pxx + 2 * pxv + pvv + (100 / 20) ** 2  # predicted; the box is 100 high
    gain = variance / (variance + (share * 100 / 20) ** 2)
    assert tracker.update(one(112, score)).xyxy[0, 0] == pytest.approx(100 + 12 * gain, abs=1e-9)


def test_ema_is_the_recursion_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    looks = (axis(0) + rng.normal(0, 0.05, (6, 8))).astype(np.float32)
    tracker = StrongSORT(StrongSORTConfig(ema_alpha=0.8))
    expected = looks[0] / np.linalg.norm(looks[0])
    tracker.update(one(look=looks[0]))
    for look in looks[1:]:
        tracker.update(one(look=look))
        expected = 0.8 * expected + 0.2 * look / np.linalg.norm(look)
        expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(tracker.state_dict()["gallery"][0, 0], expected, atol=1e-6)
    assert tracker.state_dict()["gallery"].shape == (1, 1, 8)


@pytest.mark.parametrize(("ema", "again"), [(True, 2), (False, 1)])
def test_a_gallery_remembers_a_single_look_and_a_smoothed_one_forgets_it(ema: bool, again: int) -> None:
    tracker = StrongSORT(StrongSORTConfig(ema=ema, ema_alpha=0.5, mc=False, max_cosine_distance=0.3))
    blend = (axis(0) + axis(1)) / np.sqrt(2)
    for look in [axis(0)] * 3 + [blend] + [axis(1)] * 8:
        tracker.update(one(look=look))
    for _ in range(5):
        tracker.update(Detections.empty())
    assert tracker.update(one(130, look=axis(0))).assigned.tolist() == [again]


@pytest.mark.parametrize(("mc", "given"), [(True, [1, 2]), (False, [2, 1])])
def test_mc_lets_the_motion_decide_between_two_alike(mc: bool, given: list[int]) -> None:
    def pair(first: NDArray[np.float32], second: NDArray[np.float32]) -> Detections:
        return Detections.concat([one(100, look=first), one(114, look=second)])

    tracker = StrongSORT(StrongSORTConfig(mc=mc, ema=False))
    tilted = (axis(0) + 0.02 * axis(1)).astype(np.float32)
    for _ in range(4):
        tracker.update(pair(axis(0), tilted))
    swapped = tracker.update(pair(tilted, axis(0)))
    assert swapped.assigned.tolist() == given


@pytest.mark.parametrize(("cascade", "given"), [(False, 1), (True, 2)])
def test_without_cascade_the_likeliest_wins_with_it_the_youngest(cascade: bool, given: int) -> None:
    tracker = StrongSORT(replace(PLAIN, cascade=cascade))
    near = (axis(0) + 0.5 * axis(1)).astype(np.float32)
    both = Detections.concat([one(100, look=axis(0)), one(110, look=near)])
    for _ in range(4):
        tracker.update(both)
    tracker.update(both[1:])  # the first is missed once
    assert tracker.update(one(100, look=axis(0))).assigned.tolist() == [given]


@pytest.mark.parametrize(("cascade", "gap", "given"), [(False, 30, 1), (True, 29, 1), (True, 30, 2)])
def test_without_cascade_a_track_is_reached_one_frame_longer(cascade: bool, gap: int, given: int) -> None:
    tracker = StrongSORT(StrongSORTConfig(cascade=cascade))
    for found in [one()] * 4 + [Detections.empty()] * gap:
        tracker.update(found)
    assert tracker.update(one()).assigned.tolist() == [given]


def test_the_warp_comes_before_the_prediction_and_leaves_velocities_alone() -> None:
    tracker, still = StrongSORT(), StrongSORT()
    for x in (100, 105, 110, 115):
        tracker.update(one(x))
        still.update(one(x))
    zoom = np.array([[2.0, 0, 30], [0, 2.0, -10]])
    warped, plain = tracker.update(Detections.empty(), warp=zoom), still.update(Detections.empty())
    before = np.array([[115, 50, 155, 150.0]])
    moved = (before.reshape(-1, 2) @ zoom[:, :2].T + zoom[:, 2]).reshape(1, 4)
    # 2 x + 30, then + v; predicting first would double the velocity too
    np.testing.assert_allclose(warped.xyxy - moved, plain.xyxy - before, atol=0.6)
    velocity = tracker.state_dict()["filter"][0, 1]
    np.testing.assert_array_equal(velocity, still.state_dict()["filter"][0, 1])
    assert velocity[0] > 2


def test_a_warp_keeps_a_track_that_overlap_would_lose() -> None:
    lost, kept = StrongSORT(), StrongSORT()
    pan = np.array([[1.0, 0, 80], [0, 1.0, 0]])
    for tracker in (lost, kept):
        for _ in range(4):
            tracker.update(one())
    assert lost.update(one(180)).assigned.tolist() == [2]
    assert kept.update(one(180), warp=pan).assigned.tolist() == [1]


def test_a_warp_too_far_from_the_identity_is_not_believed() -> None:
    tracker = StrongSORT()
    for _ in range(4):
        tracker.update(one())
    assert tracker.update(one(), warp=IDENTITY + [[0, 0, 100.0], [0, 0, 0]]).assigned.tolist() == [1]
    bold = StrongSORT(StrongSORTConfig(max_warp=1000))
    for _ in range(4):
        bold.update(one())
    assert bold.update(one(), warp=IDENTITY + [[0, 0, 100.0], [0, 0, 0]]).assigned.tolist() == [2]


def test_a_turn_that_would_fold_a_box_moves_its_centre() -> None:
    tracker = StrongSORT(StrongSORTConfig(max_warp=1000))
    for _ in range(4):
        tracker.update(one(score=1.0))
    half_turn = np.array([[-1.0, 0, 300], [0, -1.0, 300]])
    tracks = tracker.update(Detections.empty(), warp=half_turn)
    np.testing.assert_allclose(tracks.xyxy, [[160, 150, 200, 250]], atol=1e-6)


@pytest.mark.parametrize(
    ("warp", "message"),
    [
        (np.eye(3), r"expected shape \(2, 3\), got \(3, 3\)"),
        ([[1, 0, np.nan], [0, 1, 0]], r"expected finite.*shape \(2, 3\)"),
        ([[1, 2, 0], [2, 4, 0]], r"inverse.*shape \(2, 3\)"),
        ("left", r"expected \(2, 3\) numbers, got str"),
        ([[1, 0], [0]], r"expected \(2, 3\) numbers, got list"),
    ],
)
def test_a_refused_call_changes_nothing(warp: object, message: str) -> None:
    tracker = StrongSORT()
    for found in scene(1, 5):
        tracker.update(found)
    before = tracker.state_dict()
    with pytest.raises(InputError, match=message) as caught:
        tracker.update(one(), warp=warp)  # type: ignore[arg-type]
    assert isinstance(caught.value, MotError | ValueError)
    for bad, dt in ((one(), 0.0), (one(look=np.ones(5, np.float32)), 1.0), (one(), np.nan)):
        with pytest.raises(InputError):
            tracker.update(bad, dt=dt, warp=IDENTITY)
    with pytest.raises(InputError, match=r"StrongSORT needs \(1, E\) float32, got None"):
        tracker.update(Detections(xyxy=one().xyxy, scores=one().scores))
    after = tracker.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("config", [StrongSORTConfig(), PLAIN])
def test_saved_at_any_frame_it_goes_on_the_same(config: StrongSORTConfig) -> None:
    found, pan = scene(5), IDENTITY + [[0.001, 0, 1], [0, 0, -1]]
    whole = StrongSORT(config)
    for stop in range(0, 60, 7):
        other = StrongSORT(config)
        other.load_state_dict(whole.state_dict())
        for k in range(stop, stop + 7):
            a, b = (each.update(found[k % 60], warp=pan) for each in (whole, other))
            assert a.ids.tolist() == b.ids.tolist()
            assert a.xyxy.tolist() == b.xyxy.tolist()


def test_whole_steps_are_single_predictions_and_age_counts_them() -> None:
    long, short = StrongSORT(), StrongSORT()
    for tracker in (long, short):
        for x in (100, 104, 108, 112):
            tracker.update(one(x))
    jumped = long.update(one(124), dt=3.0)
    for _ in range(2):
        short.update(Detections.empty())
    assert jumped.xyxy.tolist() == short.update(one(124)).xyxy.tolist()
    assert long.update(Detections.empty(), dt=30.5).state.tolist() == []
    assert long.update(one(124)).assigned.tolist() == [2]


def test_after_a_jump_overlap_is_tried_for_those_seen_before_it() -> None:
    tracker = StrongSORT()
    for _ in range(4):
        tracker.update(one())
    assert tracker.update(one(look=axis(1)), dt=2.0).assigned.tolist() == [1]
    tracker.update(Detections.empty())
    assert tracker.update(one(look=axis(2))).assigned.tolist() == [2]


@pytest.mark.parametrize("shown", [0, 1, 3])
def test_a_missed_track_is_shown_as_often_as_said(shown: int) -> None:
    tracker = StrongSORT(StrongSORTConfig(max_predicted=shown))
    for _ in range(4):
        tracker.update(one())
    assert [len(tracker.update(Detections.empty())) for _ in range(4)] == [1] * shown + [0] * (4 - shown)


def test_class_aware_keeps_labels_apart() -> None:
    for aware, given in ((False, 1), (True, 2)):
        tracker = StrongSORT(StrongSORTConfig(class_aware=aware))
        for _ in range(4):
            tracker.update(one(label=0))
        assert tracker.update(one(label=1)).assigned.tolist() == [given]


def test_reasons_and_states() -> None:
    found = Detections.concat([one(100, 0.9), one(101, 0.95), one(300, 0.59), one(500, 0.6)])
    tracker = StrongSORT(StrongSORTConfig(nms_max_overlap=0.5, n_init=2))
    assert tracker.update(found).assigned.tolist() == [Reason.SUPPRESSED, 1, Reason.BELOW_THRESHOLD, 2]
    tracks = tracker.update(found)
    assert tracks.state.tolist() == [TrackState.CONFIRMED] * 2
    assert tracks.det_index.tolist() == [1, 3]
