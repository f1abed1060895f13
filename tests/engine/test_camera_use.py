"""The camera's motion on its way from the pictures to the trackers: films that pan, by known amounts."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
from scenery import Array, Motion, corner_error, shot

from mot import Detections, Frame, MotError, Tracker, Tracks
from mot.engine import benchmark
from mot.engine.benchmark import Job, blind
from mot.engine.cache import Warps, key_of, read_warps
from mot.engine.config import ARCHITECTURES, read_config
from mot.errors import ConfigError
from mot.formats.sequences import find_sequences
from mot.opencv import cv2
from mot.perception.files import DetectionFile
from mot.timing import StageTimes
from mot.trackers import TRACKERS

SIZE = (480, 360)
LIMIT = 0.5  # pixels at a corner
IDENTITY = np.eye(2, 3)
TAKERS = {"botsort.yml": "BoTSORT", "strongsort.yml": "StrongSORT", "deepocsort.yml": "DeepOCSORT"}
NO_NETWORKS = ["det_weights=null", "reid_weights=null"]
PEOPLE = np.array([[200, 120, 215, 160], [280, 150, 295, 190], [240, 60, 255, 100]], np.float64)
# Where the camera looks in each picture, from where it stood first: it is shaken by more than people are wide.
WAY = [
    Motion(x / 480, y / 480) for x, y in [(0, 0), (30, 9), (-12, 2), (24, -20), (-20, 10), (9, 28), (-30, 0)]
] * 2

every = pytest.mark.parametrize("name", TAKERS)


def moved(xyxy: Array, warp: Array) -> Array:
    """Boxes (N, 4) after the camera moved without turning."""
    return np.asarray(xyxy * np.tile(np.diag(warp[:, :2]), 2) + np.tile(warp[:, 2], 2))


def film(way: Sequence[Motion] = WAY, seed: int = 0) -> list[Frame]:
    return [
        Frame(image=shot(*SIZE, move.warp(*SIZE), seed), index=i, time_s=i / 10, source="film")
        for i, move in enumerate(way, start=1)
    ]


def truth(way: Sequence[Motion] = WAY) -> list[Array]:
    """The motion up to each picture of the film."""
    whole = [np.vstack([move.warp(*SIZE), [0, 0, 1]]) for move in way]
    return [IDENTITY, *((b @ np.linalg.inv(a))[:2] for a, b in pairwise(whole))]


def detector(frames: Sequence[Frame]) -> list[Detections]:
    """Sees people who stand still before the camera of the film."""
    looks = np.eye(len(PEOPLE), dtype=np.float32)
    return [
        Detections(xyxy=moved(PEOPLE, WAY[f.index - 1].warp(*SIZE)), scores=np.full(3, 0.9), embeddings=looks)
        for f in frames
    ]


def make(name: str = "botsort.yml", *overrides: str, detector: Any = detector) -> Tracker:
    return Tracker(read_config(name, [*NO_NETWORKS, *overrides]), detector=detector)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the trackers are given besides detections, call by call."""
    calls: list[dict[str, Any]] = []

    def spied(update: Callable[..., Tracks]) -> Callable[..., Tracks]:
        def spy(self: object, detections: Detections, **more: Any) -> Tracks:
            calls.append(more)
            return update(self, detections, **more)

        return spy

    for kind in TAKERS.values():
        _, build = TRACKERS[kind]
        monkeypatch.setattr(build, "update", spied(build.update))
    return calls


def assert_right(warps: Sequence[Array], right: Sequence[Array]) -> None:
    assert len(warps) == len(right)
    assert np.array_equal(warps[0], IDENTITY)
    assert max(corner_error(a, b, *SIZE) for a, b in zip(warps, right, strict=True)) <= LIMIT


# -- what is passed -----------------------------------------------------------------------------------------


@every
def test_the_tracker_is_given_the_film_s_motion(name: str, given: list[dict[str, Any]]) -> None:
    tracker = make(name)
    assert len(list(tracker.track(film()))) == len(WAY)
    assert_right([call["warp"] for call in given], truth())
    assert tracker.record()["camera_failures"] == 0
    assert tracker.times.seconds["camera"] > 0


@every
def test_off_nothing_is_passed(name: str, given: list[dict[str, Any]]) -> None:
    tracker = make(name, "camera=null")
    list(tracker.track(film()))
    assert [set(call) for call in given] == [{"dt"}] * len(WAY)
    assert tracker.times.seconds["camera"] == 0
    assert "camera_failures" not in tracker.record()


@pytest.mark.parametrize("name", ["botsort.yml", "deepocsort.yml"])
def test_identities_survive_a_shaken_camera_only_where_it_is_followed(name: str) -> None:
    def seen(*overrides: str) -> tuple[set[int], int]:
        tracks = [tracks for _, tracks in make(name, *overrides).track(film())]
        return {int(i) for each in tracks for i in each.ids}, sum(map(len, tracks))

    assert seen() == ({1, 2, 3}, 3 * len(WAY))
    assert seen("camera=null") != seen()


def test_skipped_frames_are_one_motion(given: list[dict[str, Any]]) -> None:
    list(make().track(film(), start=2, stride=3))
    assert_right([call["warp"] for call in given], truth(WAY[1::3]))
    assert [call["dt"] for call in given] == [1, 3, 3, 3, 3]


def test_a_loop_of_one_s_own_follows_too(given: list[dict[str, Any]]) -> None:
    session = make().session()
    for frame in film():
        assert frame.image is not None
        session.update(frame.image)
    assert_right([call["warp"] for call in given], truth())


def test_known_detections_need_their_frame(
    given: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    session, frames = make().session(), film()
    for found, frame in zip(detector(frames), frames, strict=True):
        session.step(found, frame=frame)
    assert_right([call["warp"] for call in given], truth())
    assert not caplog.messages
    session.step(detector(frames)[-1])
    assert np.array_equal(given[-1]["warp"], IDENTITY)
    assert len(caplog.messages) == 1


def test_the_boxes_that_go_in_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Array] = []

    def spy(frame: Frame, boxes: Array) -> None:
        asked.append(boxes)

    def crowd(frames: Sequence[Frame]) -> list[Detections]:
        return [
            Detections(xyxy=PEOPLE + f.index, scores=[0.9, 0.05, 0.4], labels=[0, 1, 0])  # type: ignore[arg-type]
            for f in frames
        ]

    tracker = make("botsort.yml", "detector.labels=[person, car]", detector=crowd)
    list(tracker.track(film(WAY[:3]), follow=spy))
    assert [boxes.tolist() for boxes in asked] == [(PEOPLE[[0, 2]] + i).tolist() for i in (1, 2, 3)]
    assert tracker.record()["camera_failures"] == 3  # the spy tells nothing


def test_a_crowd_that_goes_its_own_way_is_not_the_camera(given: list[dict[str, Any]]) -> None:
    """Its boxes are most of the picture."""
    boxes, slow = np.array([[30, 30, 225, 330], [255, 30, 450, 330]]), [Motion(0.012 * i) for i in range(4)]
    frames = film(slow)
    for frame, other in zip(frames, film([Motion(0, 0.015 * i) for i in range(4)], seed=7), strict=True):
        assert frame.image is not None
        assert other.image is not None
        for left, top, right, bottom in boxes:
            frame.image[top:bottom, left:right] = other.image[top:bottom, left:right]

    def crowd(frames: Sequence[Frame]) -> list[Detections]:
        return [Detections(xyxy=boxes, scores=np.full(2, 0.9)) for _ in frames]

    list(make(detector=crowd).track(frames))
    assert_right([call["warp"] for call in given], truth(slow))
    list(make(detector=lambda frames: [Detections.empty() for _ in frames]).track(frames))
    assert corner_error(given[-1]["warp"], truth(slow)[-1], *SIZE) > LIMIT


# -- the same bytes -----------------------------------------------------------------------------------------


def bytes_of(tracks: Sequence[Tracks]) -> list[bytes]:
    return [each.ids.tobytes() + each.xyxy.tobytes() for each in tracks]


@every
def test_batches_sessions_and_another_run_change_no_byte(name: str) -> None:
    frames, other = film(), film(seed=1)
    runs = [
        [tracks for _, tracks in make(name, f"runtime.batch={batch}").track(frames)]
        for batch in (1, 4, 16, 4)
    ]
    tracker = make(name)
    one, two = tracker.session(), tracker.session()
    beside: list[Tracks] = []
    for a, b, found in zip(frames, other, detector(frames), strict=True):
        beside.append(one.step(found, frame=a))
        two.step(found, frame=b)
    texts = [bytes_of(tracks) for tracks in (*runs, beside)]
    assert all(text == texts[0] for text in texts)


# -- where there is nothing to see --------------------------------------------------------------------------


def test_a_cut_is_the_identity_and_is_counted(given: list[dict[str, Any]]) -> None:
    first, second = film(WAY[:4]), film(WAY[:8], seed=1)[4:]
    tracker = make()
    list(tracker.track([*first, *second]))
    assert np.array_equal(given[4]["warp"], IDENTITY)
    assert_right([call["warp"] for call in given[4:]], [IDENTITY, *truth(WAY[4:8])[1:]])
    assert tracker.record()["camera_failures"] == 1


@pytest.fixture
def det_file(tmp_path: Path) -> DetectionFile:
    path = tmp_path / "det.txt"
    path.write_text("".join(f"{i},-1,{5 + i},10,12,20,0.9\n" for i in range(1, 9)))
    return DetectionFile(path)


def test_a_detection_file_alone_is_a_camera_that_stands_still(
    det_file: DetectionFile, given: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    alone = [tracks for _, tracks in make(detector=det_file).track(det_file.frames())]
    assert len(given) == 8
    assert all(np.array_equal(call["warp"], IDENTITY) for call in given)
    assert caplog.messages == [
        "camera: there are no pictures to see its motion in; it is taken to stand still"
    ]
    off = [
        tracks for _, tracks in make("botsort.yml", "camera=null", detector=det_file).track(det_file.frames())
    ]
    assert bytes_of(alone) == bytes_of(off)
    assert len(caplog.messages) == 1


@pytest.fixture
def no_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mot.camera", "mot.opencv"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cv2", None)


@pytest.mark.usefixtures("no_opencv")
def test_pictures_without_opencv_name_what_to_install(det_file: DetectionFile) -> None:
    black = Frame(image=np.zeros((48, 64, 3), np.uint8), index=1, time_s=0)
    with pytest.raises(MotError, match="pip install .*opencv-python-headless"):
        list(make().track([black]))
    assert len(list(make("botsort.yml", "camera=null").track([black]))) == 1
    assert len(list(make(detector=det_file).track(det_file.frames()))) == 8


# -- the config ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sort.yml", "bytetrack.yml", "jde.yml"])
def test_a_tracker_that_cannot_follow_names_those_that_can(name: str) -> None:
    architecture = read_config(name).architecture
    with pytest.raises(ConfigError) as caught:
        read_config(name, ["camera.method=ecc"])
    for part in (f"camera: {architecture} cannot", *TAKERS.values()):
        assert part in str(caught.value)


def test_the_table_says_who_takes_a_warp() -> None:
    for row in ARCHITECTURES.values():
        _, build = TRACKERS[row.tracker]
        assert row.warps == ("warp" in inspect.signature(build.update).parameters)
    assert {name for name, row in ARCHITECTURES.items() if row.warps} == set(TAKERS.values())


def test_the_block_is_read_strictly_and_used(given: list[dict[str, Any]]) -> None:
    for wrong, said in [
        ("method=orb", "'orb'.*known: ecc, flow"),
        ("max_side=8", "camera.max_side"),
        ("x=1", "x"),
    ]:
        with pytest.raises(ConfigError, match=said):
            read_config("botsort.yml", [f"camera.{wrong}"])
    warps = []
    for method in ("flow", "ecc"):
        given.clear()
        list(make("botsort.yml", f"camera.method={method}").track(film(WAY[:2])))
        warps.append(given[-1]["warp"])
    assert corner_error(warps[0], warps[1], *SIZE) > 0


# -- kept in the cache --------------------------------------------------------------------------------------


class Remembered:
    """Runs a film with warps kept in a folder; `times` are of the last run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.times = StageTimes()

    def __call__(self, frames: Sequence[Frame], apart: Sequence[int] = (), **how: Any) -> list[bytes]:
        """As plain tracking; in the frames `apart` the boxes lie a pixel further."""

        def shifted(frames: Sequence[Frame]) -> list[Detections]:
            return [
                Detections(xyxy=found.xyxy + (frame.index in apart), scores=found.scores)
                for frame, found in zip(frames, detector(frames), strict=True)
            ]

        tracker = make(detector=shifted)
        follow = Warps(tracker.follow, self._folder, key_of([], {}))
        tracks = [tracks for _, tracks in tracker.track(frames, follow=follow, **how)]
        follow.keep()
        self.times = tracker.times
        plain = [tracks for _, tracks in make(detector=shifted).track(frames, **how)]
        assert bytes_of(tracks) == bytes_of(plain)
        return bytes_of(tracks)

    @property
    def asked(self) -> bool:
        """Whether a picture was looked at."""
        return self.times.seconds["camera"] > 0


@pytest.fixture
def remembered(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path / "cache")


def test_a_second_run_looks_at_no_picture(remembered: Remembered) -> None:
    first = remembered(film())
    assert remembered.asked
    assert remembered(film()) == first
    assert not remembered.asked


def test_what_could_not_be_told_is_kept_too(remembered: Remembered, tmp_path: Path) -> None:
    cut = [*film(WAY[:4]), *film(WAY[:8], seed=1)[4:]]
    for _ in range(2):
        remembered(cut)
        assert remembered.times.failures["camera"] == 1
    assert not remembered.asked
    (path,) = (tmp_path / "cache").iterdir()
    assert [warp is None for warp in read_warps(path).values()] == [i == 4 for i in range(8)]


def test_other_boxes_and_other_neighbours_are_looked_at_again(remembered: Remembered) -> None:
    remembered(film())
    for how in ({"apart": (4, 9)}, {"stride": 2}, {"start": 3}):
        remembered(film(), **how)
        assert remembered.asked, how
        remembered(film(), **how)
        assert not remembered.asked, how
    remembered(film())
    assert not remembered.asked  # what was kept first is still there


def test_a_run_may_go_on_where_an_earlier_one_ended(remembered: Remembered) -> None:
    remembered(film(), end=5)
    remembered(film())
    assert remembered.asked
    remembered(film())
    assert not remembered.asked


@pytest.mark.parametrize("length", [0, 100, -5])
def test_a_torn_entry_is_found_again(remembered: Remembered, tmp_path: Path, length: int) -> None:
    remembered(film())
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:length])
    remembered(film())
    assert remembered.asked
    remembered(film())
    assert not remembered.asked


# -- whole folders ------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A sequence with pictures and detections."""
    folder = folders.sequence(tmp_path / "MOT17-02-FRCNN", "MOT17", len(WAY))
    frames = film()
    for frame in frames:
        assert frame.image is not None
        cv2.imwrite(str(folder / "img1" / f"{frame.index:06d}.jpg"), frame.image)
    rows = [
        f"{frame.index},-1,{left},{top},{right - left},{bottom - top},0.9\n"
        for frame, found in zip(frames, detector(frames), strict=True)
        for left, top, right, bottom in found.xyxy.tolist()
    ]
    (folder / "det" / "det.txt").write_text("".join(rows))
    (sequence,) = find_sequences(folder)
    return Job(sequence, tmp_path / "out", "botsort.yml", det_file="det/det.txt", cache=tmp_path / "cache")


def test_a_benchmark_s_camera_is_followed_once(job: Job) -> None:
    spent, ids = [], []
    for overrides in ((), (), ("camera.method=ecc",), ("camera.max_side=240",), (), ("camera=null",)):
        record = benchmark.track(replace(job, overrides=overrides))
        spent.append(record["seconds"]["camera"] > 0)
        assert ("camera_failures" in record) == (overrides != ("camera=null",))
        ids.append(len({row.split(",")[1] for row in job.text.read_text().splitlines()}))
    assert spent == [True, False, True, True, False, False]
    assert ids[0] == ids[1] == ids[4] == 3 < ids[5]


def test_a_benchmark_without_pictures_is_blind(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    still = replace(job, overrides=("camera=null",))
    assert (blind(job), blind(still)) == (False, False)
    next(job.folder.image_dir.iterdir()).unlink()
    assert (blind(job), blind(still)) == (True, False)
    texts = []
    for each in (job, still):
        assert benchmark.track(each)["seconds"]["camera"] == 0
        texts.append(job.text.read_bytes())
    assert texts[0] == texts[1]
    assert len(caplog.messages) == 1
