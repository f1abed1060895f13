"""Weights files of every kind as networks that run: what is recognised, what is refused; joint ones end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mot import Frame, Tracker
from mot.engine.config import read_config
from mot.errors import ConfigError, InputError, WeightsError
from mot.models.inputs import Preprocess
from mot.models.registry import MODELS
from mot.models.spec import Joint
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.perception.opening import Place, open_detector, open_embedder, resolve_precision
from mot.perception.settings import DetectorConfig, EmbedderConfig
from mot.structures import Detections

CPU = Place(torch.device("cpu"))


def save(name: str, path: Path, classes: int = 1) -> Path:
    """A checkpoint of random numbers under the official names."""
    torch.manual_seed(0)
    network = MODELS[name].build(classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    if "fairmot" in name:
        nn.init.constant_(network.get_parameter("wh.2.bias"), 3)  # boxes of some cells, not inside out
    torch.save({"epoch": 1, "state_dict": network.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def joint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("fairmot_yolov5s", tmp_path_factory.mktemp("joint") / "fairmot_lite.pth")


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("yolox_nano", tmp_path_factory.mktemp("detector") / "bytetrack_nano_mot17.pth.tar")


@pytest.fixture(scope="module")
def reid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("osnet_x0_25", tmp_path_factory.mktemp("reid") / "osnet_x0_25_msmt17.pth")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (90, 160, 3), np.uint8) for _ in range(5)]
    return [Frame(image=picture, index=i, time_s=i / 10) for i, picture in enumerate(pictures, start=1)]


def detections_of(tracker: Tracker, frames: list[Frame]) -> list[Detections]:
    return list(tracker.observe(frames))


def test_one_joint_checkpoint_from_frames_to_tracks(joint_file: Path, frames: list[Frame]) -> None:
    changes = ["detector.input_size=[96, 160]", "detector.score_threshold=0.1", "tracker.score_threshold=0.1"]
    changes += ["report.max_aspect=null", "report.min_area=0"]
    tracker = Tracker(read_config("fairmot.yml", changes))
    tracker.load_weights_jde(joint_file)
    found = detections_of(tracker, frames)
    assert tracker.label_names == ("person",)
    assert min(len(each) for each in found) > 5
    for each in found:
        assert each.embeddings is not None
        assert each.embeddings.shape == (len(each), 64)
        np.testing.assert_allclose(np.linalg.norm(each.embeddings, axis=1), 1, atol=1e-5)
    alone = [detections_of(tracker, [frame])[0] for frame in frames]
    for one, other in zip(found, alone, strict=True):
        assert np.array_equal(one.xyxy, other.xyxy)
        assert np.array_equal(one.embeddings, other.embeddings)  # type: ignore[arg-type]
    assert sum(len(tracks) for _, tracks in tracker.track(frames)) > 0
    record = tracker.record()["networks"]["joint"]
    assert (record["model"], record["precision"]) == ("fairmot_yolov5s", "fp32")


def test_embeddings_are_those_of_the_boxes_own_cells(joint_file: Path, frames: list[Frame]) -> None:
    config = DetectorConfig(input_size=(96, 160), score_threshold=0.1, nms_threshold=1.0, classes=None)
    network = open_detector(config, joint_file, CPU, "joint")
    (found,) = Detector(config, network)(frames[:1])
    from mot.perception.preprocess import letterbox, normalise

    with torch.inference_mode():
        box, pixels = letterbox([frames[0].image], network.size, network.how)  # type: ignore[list-item]
        joint = Joint(*network.run(normalise(pixels, network.how)))
    boxes = box.to_source(joint.boxes[0].double().numpy())
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    assert found.embeddings is not None
    for xyxy, embedding in zip(found.xyxy[:10], found.embeddings, strict=False):
        row = int(np.abs(boxes - xyxy).sum(axis=1).argmin())
        expected = normalize(joint.maps[0][0].flatten(1)[:, joint.cells[0, row]], dim=0)
        np.testing.assert_allclose(embedding, expected.numpy(), atol=1e-6)


def test_any_detector_with_any_reid_network(
    detector_file: Path, reid_file: Path, frames: list[Frame]
) -> None:
    changes = [
        "detector.input_size=96",
        "detector.score_threshold=0.2",
        "reid.model=auto",
        "reid.crop_size=[64, 32]",
    ]
    tracker = Tracker(read_config("deepsort.yml", changes))
    tracker.load_weights_sde(detector_file, reid_file)
    found = detections_of(tracker, frames[:2])
    assert len(found[0]) > 0
    assert found[0].embeddings is not None
    assert found[0].embeddings.shape[1] == 512
    networks = tracker.record()["networks"]
    assert (networks["detector"]["model"], networks["reid"]["model"]) == ("yolox_nano", "osnet_x0_25")
    assert networks["detector"]["size"] == [96]
    assert networks["detector"]["preprocess"]["colour"] == "rgb"  # ByteTrack's, by the name of the file


def test_networks_of_one_place_share_the_pictures_of_a_batch(detector_file: Path, reid_file: Path) -> None:
    place = Place(torch.device("cpu"))
    uploads = open_detector(DetectorConfig(preprocess="yolox"), detector_file, place).uploads
    assert open_embedder(EmbedderConfig(), reid_file, place).uploads is uploads
    assert open_embedder(EmbedderConfig(), reid_file, CPU).uploads is not uploads


def test_what_the_manifest_knows_of_a_file_counts(detector_file: Path) -> None:
    from mot.weights import manifest

    known = manifest.by_file(detector_file.name, "")
    network = open_detector(DetectorConfig(), detector_file, CPU, known=known)
    assert network.size == (608, 1088)
    assert network.how.mean != (0, 0, 0)
    own = open_detector(DetectorConfig(preprocess="yolox", input_size=(64,)), detector_file, CPU, known=known)
    assert (own.size, own.how.colour) == ((64,), "bgr")


def test_an_unknown_way_of_pictures_is_said(detector_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_detector(DetectorConfig(), detector_file, CPU)
    assert "taken as yolox; it is yolox_legacy for ByteTrack" in caplog.text
    caplog.clear()
    open_detector(DetectorConfig(preprocess="yolox"), detector_file, CPU)
    assert not caplog.text


def test_wrong_pairings_say_what_the_file_is(detector_file: Path, reid_file: Path, joint_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"osnet_x0_25_msmt17\.pth holds osnet_x0_25, a reid network"):
        Tracker("sort.yml").load_weights_sde(reid_file)
    with pytest.raises(WeightsError, match="holds yolox_nano, a detector network, not a reid network"):
        open_embedder(EmbedderConfig(), detector_file, CPU)
    with pytest.raises(WeightsError, match="holds fairmot_yolov5s, a joint network, not a detector network"):
        Tracker("sort.yml").load_weights_sde(joint_file)
    with pytest.raises(WeightsError, match="holds yolox_nano, a detector network, not a joint network"):
        Tracker("fairmot.yml").load_weights_jde(detector_file)
    with pytest.raises(
        WeightsError, match="holds the weights of fairmot_yolov5s .* not the weights of jde_1088x608"
    ):
        Tracker("jde.yml").load_weights_jde(joint_file)
    with pytest.raises(ConfigError, match="detector.model: 'osnet_x1_0' is a reid network"):
        open_detector(DetectorConfig(model="osnet_x1_0"), detector_file, CPU)
    with pytest.raises(ConfigError, match="reid.model: 'osnet' is unknown; did you mean 'osnet_x"):
        open_embedder(EmbedderConfig(model="osnet"), reid_file, CPU)


def test_boxes_of_a_network_without_any_are_none(reid_file: Path, frames: list[Frame]) -> None:
    config = EmbedderConfig(crop_size=(64, 32))
    embedder = Embedder(config, open_embedder(config, reid_file, CPU))
    (none,) = embedder(frames[:1], [Detections.empty()])
    assert none.embeddings is not None
    assert none.embeddings.shape == (0, 512)


def test_colours_reach_a_reid_network_in_its_own_order(reid_file: Path) -> None:
    """A red frame is blue to a network that is told the other order."""
    seen: list[Tensor] = []
    config = EmbedderConfig(crop_size=(8, 4), preprocess="darknet", chunk=1)
    network = open_embedder(config, reid_file, CPU)

    def look(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.ones(len(x), 512)

    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 2] = 255  # BGR
    box = Detections(xyxy=np.array([[2.0, 2, 18, 18]]), scores=np.ones(1))
    Embedder(config, replace(network, run=look))([Frame(image=red, index=1, time_s=0)], [box])
    bgr = replace(network, run=look, how=replace(network.how, colour="bgr"))
    Embedder(config, bgr)([Frame(image=red, index=1, time_s=0)], [box])
    assert [x[0, :, 0, 0].tolist() for x in seen] == [[1, 0, 0], [0, 0, 1]]


def test_mixed_detections_keep_the_embeddings_that_they_have(reid_file: Path, frames: list[Frame]) -> None:
    config = EmbedderConfig(crop_size=(64, 32))
    embedder = Embedder(config, open_embedder(config, reid_file, CPU))
    bare = Detections(xyxy=np.array([[5.0, 5, 40, 60]]), scores=np.ones(1))
    own = replace(bare, embeddings=np.ones((1, 512), np.float32))
    kept, made = embedder(frames[:2], [own, bare])
    assert kept is own
    assert made.embeddings is not None
    (alone,) = embedder(frames[1:2], [bare])
    assert np.array_equal(made.embeddings, alone.embeddings)  # type: ignore[arg-type]


def test_odd_configs_are_refused_in_one_line(detector_file: Path, reid_file: Path) -> None:
    with pytest.raises(
        ConfigError, match="reid.preprocess: cubic is for whole pictures; known: linear, antialias"
    ):
        config = EmbedderConfig(preprocess="paddle_yolov3")
        Embedder(config, open_embedder(config, reid_file, CPU))
    with pytest.raises(ConfigError, match="detector.labels: 2 names for a network of 1 classes"):
        open_detector(DetectorConfig(labels=("person", "car")), detector_file, CPU)
    with pytest.raises(ConfigError, match="yolox_nano needs multiples of 32, not 1"):
        open_detector(DetectorConfig(preprocess=Preprocess(stride=1)), detector_file, CPU)
    with pytest.raises(ConfigError, match="stretch goes back by inverse placed"):
        Preprocess(fit="stretch", inverse="ideal")
    with pytest.raises(ConfigError, match="detector.preprocess.std"):
        read_config("sort.yml", ["detector.preprocess.std=[0, 0, 0]"])


def test_boxes_beyond_all_numbers_do_not_end_a_run(detector_file: Path, frames: list[Frame]) -> None:
    config = DetectorConfig(input_size=(96,), preprocess="yolox")
    network = open_detector(config, detector_file, CPU)
    wild = torch.tensor([[[0, -35, torch.inf, 9], [5, 5, 20, 30], [9, 9, 1, 1]]])
    odd = replace(network, run=lambda x: (wild, torch.full((1, 3, 1), 0.9)))
    detector = Detector(config, odd)
    (found,) = detector(frames[:1])
    assert len(found) == 3
    assert np.isfinite(found.xyxy).all()
    assert detector([]) == []
    with pytest.raises(InputError, match="must have one size"):
        other = Frame(image=np.zeros((10, 10, 3), np.uint8), index=2, time_s=0.1)
        detector([frames[0], other])


def test_narrow_numbers_where_the_device_has_them(detector_file: Path) -> None:
    device = torch.device("cpu")
    assert resolve_precision("fp32", device) == "fp32"
    best = resolve_precision("auto", device)
    assert best in ("fp32", "bf16")
    config = DetectorConfig(input_size=(96, 96), preprocess="yolox")
    if best == "fp32":
        with pytest.raises(ConfigError, match="runtime.precision: cpu has no bf16; use fp32"):
            resolve_precision("bf16", device)
    else:
        network = open_detector(config, detector_file, Place(device, "auto"))
        x = torch.rand(1, 3, 96, 96) * 255
        with torch.inference_mode():
            boxes, scores = network.run(x)
            exact, sure = open_detector(config, detector_file, CPU).run(x)
        assert boxes.dtype == scores.dtype == torch.float32
        torch.testing.assert_close(scores, sure, atol=0.02, rtol=0)
        assert not torch.equal(boxes, exact)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["fairmot_yolov5s", "yolox_nano", "osnet_x0_25"])
def test_a_cuda_device_gives_the_same(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
    torch.manual_seed(0)
    network = MODELS[name].build(1).eval()
    x = torch.rand(2, 3, 128, 96)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        here = network.maps(x)  # type: ignore[operator]
        there = network.cuda().maps(x.cuda())  # type: ignore[operator]
        half = network.half().maps(x.cuda().half())  # type: ignore[operator]
    for one, other, narrow in zip(here, there, half, strict=True):
        torch.testing.assert_close(other.cpu(), one, atol=1e-4 * one.abs().max().item(), rtol=0)
        assert torch.isfinite(narrow).all()
