"""Every golden in ../shared/parity through `tools/parity_networks`, and that the tool would notice."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import parity_networks
import pytest
import torch
from goldens import PARITY, Arrays, golden
from parity_networks import compare, family_of

from mot.errors import InputError, WeightsError
from mot.models import yolox

GOLDENS = PARITY / "golden"
# Fifty million numbers and more, and like smaller ones or like JDE.
LARGE = {"yolov3", "paddle_jde_darknet53_30e_1088x608", "paddle_deepsort_pcb_pyramid_r101_reid"}
NAMES = [
    pytest.param(path.stem, marks=[pytest.mark.full] if path.stem in LARGE else [])
    for path in sorted(GOLDENS.glob("*.npz")) or [GOLDENS / "osnet_x0_25.npz"]
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def changed(folder: Path, name: str, **arrays: object) -> Path:
    """A golden file with some arrays added or put in place of others."""
    contents: Arrays = golden(name)
    path = folder / f"{name}.npz"
    np.savez(path, **(contents | arrays))  # type: ignore[arg-type]
    return path


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_official_network(name: str) -> None:
    outputs = set(golden(name)) - {"image", "recipe", "confidence"}
    _, found = compare(GOLDENS / f"{name}.npz")
    bases = {each.output.removesuffix(" px") for each in found} - {"scores"}
    assert len(bases) == len(outputs)
    assert [str(each) for each in found if not each.fine] == []


@pytest.mark.data
def test_another_epsilon_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    golden("yolox_nano_80")
    monkeypatch.setattr(yolox, "BN_EPS", 1e-5)
    _, found = compare(GOLDENS / "yolox_nano_80.npz")
    beyond = {each.output for each in found if not each.fine}
    assert {"boxes px", "boxes", "classes", "scores"} <= beyond


@pytest.mark.data
def test_one_wrong_number_is_noticed(tmp_path: Path) -> None:
    arrays = golden("osnet_x0_25")
    embedding, maps = arrays["embedding"], arrays["maps_every_11th"]
    embedding[1, 77] += 1e-4 * embedding.max()
    maps[5] = np.nan
    path = changed(tmp_path, "osnet_x0_25", embedding=embedding, maps_every_11th=maps, logits=np.zeros(3))
    found = {each.output: each for each in compare(path)[1]}
    assert not any(each.fine for each in found.values())
    assert found["embedding"].error == pytest.approx(1e-4, rel=0.1)
    assert np.isnan(found["maps"].error)
    assert str(found["logits"]) == "logits is no known output, expected one of embeddings?, maps BEYOND"


@pytest.mark.data
def test_another_shape_is_noticed(tmp_path: Path) -> None:
    arrays = golden("yolox_nano_80")
    fewer = {name: arrays[name][1:] for name in ("classes_every_7th", "dets0")}
    found = {each.output: each for each in compare(changed(tmp_path, "yolox_nano_80", **fewer))[1]}
    assert found["boxes px"].fine
    assert found["boxes"].fine
    assert not found["dets0"].fine
    assert found["dets0"].why == f"has {len(arrays['dets0'])} boxes, expected {len(fewer['dets0'])}"
    assert not found["classes"].fine
    assert found["classes"].why == "is (5760,), expected (5759,)"


@pytest.mark.data
def test_the_tool_goes_on_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(tmp_path, "osnet_x0_25")
    np.savez(tmp_path / "centernet.npz", image=np.zeros(1))
    np.savez(tmp_path / "jde.npz", image=np.zeros(1))
    monkeypatch.setattr(sys, "argv", ["parity_networks", str(tmp_path)])
    assert parity_networks.main() == 1
    first, second, third, summary = capsys.readouterr().out.splitlines()
    assert first.startswith("centernet: FAILED: centernet is of no known family, expected one of jde*, ")
    assert second.startswith("jde: FAILED: KeyError: ")
    assert third.startswith("osnet_x0_25 (osnet_x0_25): ")
    assert summary == "3 goldens, 2 beyond tolerance or not handled"


def test_an_empty_folder_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["parity_networks", str(tmp_path)])
    assert parity_networks.main() == 1


def test_a_family_is_found_by_the_first_pattern() -> None:
    assert family_of("paddle_jde_yolov3_darknet53_30e_1088x608_mix") is family_of("paddle_yolov3")
    assert family_of("paddle_deepsort_resnet50_reid").outputs is family_of("osnet_x1_0").outputs
    with pytest.raises(InputError, match="mobilenet is of no known family"):
        family_of("mobilenet")


def test_real_weights_are_looked_for_in_the_users_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(parity_networks, "SHARED", tmp_path / "none")
    with pytest.raises(WeightsError, match=r"needs yolov3-tiny\.weights in "):
        parity_networks.real_file("yolov3-tiny_real")
    (tmp_path / "yolov3-tiny.weights").touch()
    assert parity_networks.real_file("yolov3-tiny_real") == tmp_path / "yolov3-tiny.weights"
