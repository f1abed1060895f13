"""The Python interface: whole sources, a loop of one's own, a detector of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mot import Detections, Frame, MotError, Reason, Tracker
from mot.engine.config import ARCHITECTURES, read_config
from mot.errors import ConfigError, FormatError, InputError, SourceError, WeightsError
from mot.perception.files import DetectionFile
from mot.resources import shipped
from mot.trackers import TRACKERS


class Boxes:
    """A user's own detector: one person that walks, one car that stands."""

    label_names = ("car", "person")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls.append(len(frames))
        return [
            Detections(
                xyxy=np.array([[40, 5, 60, 15], [5 + f.index, 10, 15 + f.index, 30]], np.float64),
                scores=np.array([0.8, 0.9]),
                labels=np.array([0, 1]),
            )
            for f in frames
        ]


@pytest.fixture
def video() -> list[Frame]:
    """Ten frames of any source; tests/cli/test_track.py has the real files."""
    black = np.zeros((48, 64, 3), np.uint8)
    return [Frame(image=black, index=i, time_s=i / 10) for i in range(1, 11)]


def test_track_yields_every_frame_with_its_tracks(video: list[Frame]) -> None:
    detector = Boxes()
    seen = list(Tracker("sort.yml", detector=detector).track(video))
    assert [frame.index for frame, _ in seen] == list(range(1, 11))
    assert detector.calls == [4, 4, 2]
    tracks = seen[-1][1]
    assert tracks.ids.tolist() == [1]
    assert tracks.labels.tolist() == [1]  # classes: [person] is label 1 of this detector
    assert tracks.det_index.tolist() == [1]
    assert tracks.assigned.tolist() == [Reason.FILTERED, 1]


def test_every_source_is_a_session_of_its_own(video: list[Frame]) -> None:
    tracker = Tracker("sort.yml", detector=Boxes())
    first, second = (list(tracker.track(video)) for _ in range(2))
    assert [t.ids.tolist() for _, t in first] == [t.ids.tolist() for _, t in second]
    a, b = tracker.session(), tracker.session()
    image = np.zeros((48, 64, 3), np.uint8)
    assert a.update(image).ids.tolist() == a.update(image).ids.tolist() == b.update(image).ids.tolist() == [1]


def test_track_many_tells_whose_frame_it_is_and_who_failed(video: list[Frame]) -> None:
    def breaks() -> Iterator[Frame]:
        yield from video[:3]
        raise ValueError("cut off")

    tracker = Tracker("sort.yml", detector=Boxes())
    ends: dict[int, Exception | None] = {}
    made = list(tracker.track_many([video, breaks()], ended=ends.__setitem__))
    alone = [tracks.xyxy.tolist() for _, tracks in tracker.track(video)]
    assert [tracks.xyxy.tolist() for number, _, tracks in made if number == 0] == alone
    assert [frame.index for number, frame, _ in made if number == 1] == [1, 2, 3]
    assert {tracks.ids.tolist()[0] for _, _, tracks in made} == {1}
    assert (ends[0], str(ends[1])) == (None, "cut off")
    with pytest.raises(ValueError, match="cut off"):
        list(tracker.track_many([breaks(), video]))


def test_what_was_opened_is_closed_where_another_source_is_missing() -> None:
    class Camera(list[Frame]):
        closed = False

        def close(self) -> None:
            self.closed = True

    camera = Camera()
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        Tracker("sort.yml", detector=Boxes()).track_many([camera, "missing.mp4"])
    assert camera.closed


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_batches_change_nothing(video: list[Frame], batch: int) -> None:
    config = read_config("sort.yml", [f"runtime.batch={batch}"])
    result = [(t.ids.tolist(), t.xyxy.tolist()) for _, t in Tracker(config, detector=Boxes()).track(video)]
    plain = [(t.ids.tolist(), t.xyxy.tolist()) for _, t in Tracker("sort.yml", detector=Boxes()).track(video)]
    assert result == plain


def test_pictures_of_several_sizes_go_in_batches_of_one_size() -> None:
    sizes = [(8, 8)] * 2 + [(16, 8)] * 5 + [(8, 8)]
    frames = [
        Frame(image=np.zeros((*s, 3), np.uint8), index=i, time_s=i) for i, s in enumerate(sizes, start=1)
    ]
    detector = Boxes()
    assert len(list(Tracker("sort.yml", detector=detector).track(frames))) == 8
    assert detector.calls == [2, 4, 1, 1]


def test_a_detector_that_raises_or_lies_is_not_hidden(video: list[Frame]) -> None:
    def broken(frames: Sequence[Frame]) -> list[Detections]:
        raise RuntimeError("camera on fire")

    with pytest.raises(RuntimeError, match="camera on fire"):
        list(Tracker("sort.yml", detector=broken).track(video))
    with pytest.raises(InputError, match="expected 4 Detections, one a frame, got 1"):
        list(Tracker("sort.yml", detector=lambda frames: [Detections.empty()]).track(video))
    with pytest.raises(InputError, match="expected Detections for each frame, got list"):
        list(Tracker("sort.yml", detector=lambda frames: [[] for _ in frames]).track(video))  # type: ignore[misc]


def test_a_generator_is_a_detector_too(video: list[Frame]) -> None:
    boxes = Boxes()
    tracker = Tracker("sort.yml", detector=lambda frames: (found for found in boxes(frames)))  # type: ignore[arg-type,return-value]
    assert len(list(tracker.track(video))) == 10


def test_rows_beyond_the_end_are_refused_before_any_work(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("11,-1,5,10,10,20,0.9\n")

    class Short(list[Frame]):
        frame_count = 10

    tracker = Tracker("sort.yml", detector=DetectionFile(path))
    with pytest.raises(FormatError, match="rows for frame 11, but the video ends at frame 10"):
        tracker.track(Short())
    frames = [Frame(image=None, index=i, time_s=0) for i in (1, 2)]
    with pytest.raises(FormatError, match="ends at frame 2"):
        list(tracker.track(frames))
    assert len(list(tracker.track(frames, end=2))) == 2


def test_detection_files_in_python(tmp_path: Path, video: list[Frame]) -> None:
    path = tmp_path / "det.txt"
    path.write_text("".join(f"{i},-1,5,10,10,20,0.9\n" for i in range(1, 11)))
    detections = DetectionFile(path)
    tracker = Tracker.from_config("sort.yml", detector=detections)
    on_video = [t.xyxy.tolist() for _, t in tracker.track(video)]
    alone = [t.xyxy.tolist() for _, t in tracker.track(detections.frames())]
    assert on_video == alone


def test_mistakes_in_the_long_form(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mode: unknown 'train'"):
        Tracker("sort.yml", mode="train")
    with pytest.raises(MotError, match="no detector: use Tracker.from_config"):
        list(Tracker("sort.yml", mode="eval").track([Frame(image=None, index=1, time_s=0)]))
    with pytest.raises(ConfigError, match=r"SORT: use load_weights_sde.*this method serves JDE, FairMOT"):
        Tracker("sort.yml").load_weights_jde("jde.pt")
    with pytest.raises(ConfigError, match="reid_weights: SORT would not use 'mobilenetv2'"):
        Tracker("sort.yml").load_weights_sde(None, "mobilenetv2")
    with pytest.raises(ConfigError, match="would not be used beside a detector of your own"):
        Tracker("sort.yml", detector=Boxes()).load_weights_sde("yolov3_tiny")


def test_weights_of_another_kind_are_named() -> None:
    pytest.importorskip("torch")
    with pytest.raises(WeightsError, match="mobilenetv2: is of a reid network, not of a detector network"):
        Tracker("sort.yml").load_weights_sde("mobilenetv2")


def test_what_needs_embeddings_says_so(video: list[Frame]) -> None:
    config = read_config("deepsort.yml", ["reid_weights=None"])
    with pytest.raises(InputError, match="DeepSORT needs"):
        list(Tracker.from_config(config, detector=Boxes()).track(video))
    with pytest.raises(ConfigError, match="reid_weights: BoTSORT needs embeddings"):
        Tracker.from_config("botsort.yml", overrides=["tracker.with_reid=true"])


def test_joint_architectures_take_a_detector_that_embeds(video: list[Frame]) -> None:
    def joint(frames: Sequence[Frame]) -> list[Detections]:
        return [
            Detections(xyxy=d.xyxy[1:], scores=d.scores[1:], embeddings=np.ones((1, 4), np.float32))
            for d in Boxes()(frames)
        ]

    for name in ("jde.yml", "fairmot.yml"):
        every = ["report.min_area=0", "report.max_aspect=null"]
        tracks = [t for _, t in Tracker.from_config(name, detector=joint, overrides=every).track(video)]
        assert tracks[-1].ids.tolist() == [1]
        with pytest.raises(ConfigError, match="needs the weights of a joint network"):
            Tracker.from_config(name, overrides=["weights=null"])
        with pytest.raises(ConfigError, match="would not be used beside a detector of your own"):
            Tracker(name, detector=joint).load_weights_jde("jde.pt")


@pytest.mark.parametrize("path", sorted(shipped("configs").glob("*.yml")), ids=lambda path: path.name)
def test_shipped_configs_are_whole_and_commented(path: Path) -> None:
    config = read_config(path.name)
    assert config.architecture in ARCHITECTURES
    assert ARCHITECTURES[config.architecture].tracker in TRACKERS
    lines = path.read_text().splitlines()
    for line in lines:
        if ":" in line.partition("#")[0] and not line.partition("#")[0].rstrip().endswith(":"):
            assert " # " in line, f"{path.name}: no comment in {line!r}"
    names = {line.split(":")[0].strip() for line in lines if line.startswith("  ")}
    block = vars(config.tracker) | vars(config.detector) | vars(config.runtime) | vars(config.report)
    block = {k: v for k, v in block.items() if config.row.kind == "sde" or k not in ("head", "decoded")}
    block |= vars(config.reid) if config.row.kind == "sde" and config.row.embeddings else {}
    block |= vars(config.camera) if config.camera else {}
    assert set(block) <= names, "a key is missing in the file"


@pytest.mark.data
def test_from_config_loads_what_the_config_names(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("MOT_WEIGHTS", str(shared_data / "weights"))
    tracker = Tracker.from_config("deepsort.yml", offline=True, overrides=["runtime.device=cpu"])
    frames = tracker.track(shared_data / "video" / "vtest.avi", start=1, end=5)
    assert max(len(tracks) for _, tracks in frames) >= 3
    record = tracker.record()
    assert set(record["weights"]) == {"detector", "reid"}
    assert (record["device"], record["precision"]) == ("cpu", "fp32")
    assert record["networks"]["detector"]["model"] == "yolov3_tiny"
    assert record["networks"]["reid"]["backend"] == "torch"
    assert tracker.label_names[0] == "person"


@pytest.mark.parametrize(
    ("change", "rows"),
    [("min_area=199", 1), ("min_area=201", 0), ("max_aspect=0.51", 1), ("max_aspect=0.49", 0)],
)
def test_small_and_wide_boxes_are_kept_back_but_tracked(video: list[Frame], change: str, rows: int) -> None:
    """The track's box is 10 wide and 20 high."""
    tracker = Tracker.from_config("sort.yml", overrides=[f"report.{change}"], detector=Boxes())
    last = [tracks for _, tracks in tracker.track(video)][-1]
    assert len(last) == rows
    assert last.assigned.tolist()[1] == 1
