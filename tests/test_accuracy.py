"""The whole of vtest.avi with the default weights, against ground truth. Minutes long: tools/check --full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from mot.boxes import iou, tlwh_to_xyxy
from mot.engine.config import read_config
from mot.engine.tracker import Tracker
from mot.formats.mot_text import format_tracks
from mot.video import open_source

pytestmark = [pytest.mark.full, pytest.mark.data]
SEQUENCE = "PETS09-S2L1"  # vtest.avi, frame by frame


def track(shared_data: Path, config: str, overrides: list[str], end: int | None = None) -> str:
    tracker = Tracker.from_config(read_config(config, ["runtime.device=cpu", *overrides]))
    frames = tracker.track(shared_data / "video" / "vtest.avi", end=end)
    return "".join(format_tracks(frame.index, tracks) for frame, tracks in frames)


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOT_WEIGHTS", str(shared_data / "weights"))
        yield patch


@pytest.fixture(scope="module")
def text(shared_data: Path, weights: object) -> str:
    """deepsort.yml as it ships."""
    return track(shared_data, "deepsort.yml", [])


def scores(shared_data: Path, text: str) -> dict[str, float]:
    """HOTA, MOTA and IDF1 in percent."""
    pytest.importorskip("trackeval", reason="tools/check --full installs it")
    from truth import scores as by_trackeval

    found = by_trackeval(text, shared_data / "mot15" / "train" / SEQUENCE)
    print({name: round(value, 2) for name, value in found.items()})
    return found


def test_sort_with_the_default_weights(shared_data: Path, weights: object) -> None:
    found = scores(shared_data, track(shared_data, "sort.yml", []))
    assert found["HOTA"] >= 33.5
    assert found["MOTA"] >= 66.5
    assert found["IDF1"] >= 36


def test_deepsort_with_the_default_weights(shared_data: Path, text: str) -> None:
    found = scores(shared_data, text)
    assert found["HOTA"] >= 55  # the issue asks for 46 / 72 / 61
    assert found["MOTA"] >= 73
    assert found["IDF1"] >= 77


def test_narrow_numbers_track_as_well(shared_data: Path, weights: object, text: str) -> None:
    """`precision: auto`, within 0.3 of float32 where this CPU has bf16, and float32 itself where not."""
    narrow = scores(shared_data, track(shared_data, "deepsort.yml", ["runtime.precision=auto"]))
    assert narrow["HOTA"] >= scores(shared_data, text)["HOTA"] - 0.3


COMBINATIONS = {
    "YOLOv3-tiny 608, OSNet: DeepSORT": 53,  # as issue 5 asks
    "YOLOX-nano 768, OSNet: BoT-SORT (`botsort_reid.yml`)": 60,
}


@pytest.mark.parametrize("title", COMBINATIONS)
def test_free_networks_together(shared_data: Path, weights: object, title: str) -> None:
    from combinations import ROWS

    name, changes = ROWS[title]
    filled = [change.format(weights=shared_data / "weights") for change in changes]
    assert scores(shared_data, track(shared_data, name, filled))["HOTA"] >= COMBINATIONS[title]


def test_detector_alone(shared_data: Path, weights: object) -> None:
    tracker = Tracker.from_config("sort.yml", overrides=["runtime.device=cpu"])
    truth = np.loadtxt(shared_data / "mot15" / "train" / SEQUENCE / "gt" / "gt.txt", delimiter=",")
    truth = truth[truth[:, 6] == 1]  # the others are not to be counted
    hits = found = people = 0
    for frame in open_source(shared_data / "video" / "vtest.avi"):
        (detections,) = tracker.observe([frame])
        here = tlwh_to_xyxy(truth[truth[:, 0] == frame.index, 2:6])
        overlap = iou(detections.xyxy, here)
        # as many pairs of IoU 0.5 and more as one-to-one matching allows
        rows, columns = linear_sum_assignment(np.where(overlap >= 0.5, 1 + overlap, 0), maximize=True)
        hits += int((overlap[rows, columns] >= 0.5).sum())
        found, people = found + len(detections), people + len(here)
    print(f"precision {hits / found:.3f}, recall {hits / people:.3f}")
    assert hits / found >= 0.875
    assert hits / people >= 0.835


@pytest.mark.parametrize("batch", [1, 16])
def test_batches_change_no_byte(shared_data: Path, weights: object, text: str, batch: int) -> None:
    assert track(shared_data, "deepsort.yml", [f"runtime.batch={batch}"]) == text
