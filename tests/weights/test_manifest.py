import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot.errors import WeightsError
from mot.weights import manifest
from mot.weights.manifest import Debian, Drive, Entry, Pypi, Url

GOOD: dict[str, Any] = {
    "name": "net",
    "file": "net.pt",
    "kind": "reid",
    "model": "net",
    "licence": "MIT",
    "size": 3,
    "sha256": "0" * 64,
    "sources": [
        {"url": "https://example.org/net.pt"},
        {"pypi": {"name": "p", "version": "1.0", "sha256": "1" * 64, "member": "p/net.pt", "kind": "wheel"}},
        {"debian": {"package": "p-doc", "member": "usr/share/net.pt"}},
        {"drive": "1a-B_c"},
    ],
}


def _load(rows: Any, folder: Path) -> dict[str, Entry]:
    path = folder / "manifest.yml"
    path.write_text(yaml.safe_dump(rows))
    return manifest.load(path)


def test_the_shipped_manifest_is_valid_and_names_the_default_files() -> None:
    entries = manifest.load()
    assert {"yolov3_tiny", "mobilenetv2", "bytetrack_s_mot17", "jde_1088x608", "fairmot_dla34"} <= set(
        entries
    )
    assert (entries["yolov3_tiny"].sha256 or "").startswith("dccea06f59b781ec")
    assert [type(source) for source in entries["yolov3_tiny"].sources] == [Url, Pypi]
    assert [type(source) for source in entries["vtest"].sources] == [Url, Debian]
    assert entries["vtest"].model is None


def test_the_shipped_manifest_describes_the_real_files(shared_data: Path) -> None:
    from mot.weights.fetch import damage

    files = {path.name: path for path in shared_data.glob("*/**/*.*")}
    compared = {
        name
        for name, entry in manifest.load().items()
        if (path := files.get(entry.file)) and damage(path, entry) is None
    }
    assert compared == {
        "yolov3_tiny",
        "mobilenetv2",
        "yolox_nano_onnx",
        "osnet_x0_25_msmt17_onnx",
        "person_detection_0013_bin",
        "vtest",
    }


def test_every_shipped_entry_says_what_a_user_must_know() -> None:
    from mot.models.inputs import PREPROCESS

    for name, entry in manifest.load().items():
        assert entry.preprocess in (None, *PREPROCESS), name
        yolox = entry.model is not None and entry.model.startswith("yolox_") and "paddle" not in name
        if yolox or name == "yolox_nano_onnx":
            old = "legacy" in name or name.startswith("bytetrack_")
            new = "mmdet_yolox" if "mmdet" in name else "yolox"
            assert entry.preprocess == ("yolox_legacy" if old else new), name
        else:  # an exported file never says how pictures go in, any other network's does
            assert (entry.preprocess is not None) == (entry.model in ("onnx", "openvino")), name
        if entry.sha256 is not None and len(entry.sha256) == 8:
            assert entry.file.endswith(f"-{entry.sha256}.pth"), name
        if entry.model == "openvino":
            assert entry.file.endswith(".xml")
            assert manifest.load()[entry.beside or ""].file == entry.file.replace(".xml", ".bin")


def test_every_shipped_entry_names_a_network_that_reads_its_maker() -> None:
    pytest.importorskip("torch")
    from mot.models.registry import MODELS

    others = {"PaddleDetection", "OpenMMLab"}
    for name, entry in manifest.load().items():
        if entry.model in (None, "onnx", "openvino"):
            continue
        spec = MODELS[entry.model or ""]
        assert spec.kind == entry.kind, name
        makers = {dialect.name for dialect in spec.dialects}
        if entry.file.endswith(".weights"):
            assert spec.darknet, name
        elif entry.file.endswith(".pdparams"):
            assert "PaddleDetection" in makers, name
        else:
            assert "OpenMMLab" in makers if "mmdet" in name else makers - others, name


def test_a_size_in_a_file_name_is_the_entrys_or_its_networks() -> None:
    """Height and width in either order: PaddleDetection's YOLOX begins with the height."""
    pytest.importorskip("torch")
    from mot.models.registry import MODELS

    sized = 0
    for name, entry in manifest.load().items():
        if found := re.search(r"(\d{3,4})x(\d{3,4})", entry.file):
            size = entry.input_size or MODELS[entry.model or ""].input_size
            assert sorted(size) == sorted(map(int, found.groups())), name
            sized += 1
    assert sized >= 12


def test_every_kind_of_source_is_read_in_order(tmp_path: Path) -> None:
    entry = _load([GOOD], tmp_path)["net"]
    assert entry.sources == (
        Url(url="https://example.org/net.pt"),
        Pypi(name="p", version="1.0", sha256="1" * 64, member="p/net.pt", kind="wheel"),
        Debian(package="p-doc", member="usr/share/net.pt"),
        Drive(id="1a-B_c"),
    )
    assert (entry.size, entry.kind, entry.licence) == (3, "reid", "MIT")
    assert (entry.preprocess, entry.beside) == (None, None)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    first = _load([GOOD | {"size": None, "sha256": "0123abcd", "preprocess": "old"}], tmp_path)["net"]
    assert (first.size, first.sha256, first.preprocess) == (None, "0123abcd", "old")
    assert _load([GOOD | {"sha256": None}], tmp_path)["net"].sha256 is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 63}, r"entry 1 \(net\): sha256: expected 64"),
        ({"sha256": "0" * 7}, "sha256: expected 64 .*the first 8 of them, or null"),
        ({"sha256": 12345678}, "sha256: expected 64"),
        ({"preprocess": None}, "preprocess: expected a plain name"),
        ({"beside": "nett"}, "entry net: beside: no entry is called 'nett': did you mean 'net'"),
        ({"beside": "net"}, "beside: 'net' stands beside another one itself"),
        ({"sources": [{"drive": "a/b"}]}, r"source 1 \(drive\): id: expected the id of a shared file"),
        ({"sha256": "A" * 64}, "sha256: expected 64 lower-case"),
        ({"size": "3"}, "size: expected a number of bytes"),
        ({"size": True}, "size"),
        ({"size": 0}, "size"),
        ({"kind": "tracker"}, "kind: expected detector, reid, joint or sample"),
        ({"file": "../net.pt"}, "file: expected a plain name"),
        ({"file": "-net.pt"}, "file"),
        ({"licence": ""}, "licence"),
        ({"lisence": "MIT"}, "unknown key 'lisence': did you mean 'licence'"),
        ({"sources": []}, "sources: expected a list of at least one"),
        ({"sources": [{"ftp": "x"}]}, "source 1: unknown kind 'ftp'"),
        ({"sources": ["https://example.org"]}, "source 1: expected one of: url, drive, pypi, debian"),
        ({"sources": [{"url": "file:///etc/passwd"}]}, r"source 1 \(url\): url: expected an http"),
        ({"sources": [{"url": None}]}, "url: expected an http"),
        ({"sources": [{"debian": {"package": "a"}}]}, "the key 'member' is missing"),
        ({"sources": [{"debian": {"package": "-o", "member": "a"}}]}, "package: expected a plain name"),
        ({"sources": [{"debian": {"package": "a", "member": "/etc/a"}}]}, "member: expected a relative path"),
        ({"sources": [{"debian": {"package": "a", "member": "a/../../b"}}]}, "member: expected a relative"),
        ({"sources": [{"debian": "a"}]}, "expected the keys package, member"),
    ],
)
def test_a_malformed_entry_is_refused_by_name(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=said) as caught:
        _load([GOOD | change], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", list(GOOD))
def test_no_key_may_be_missing(key: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"the key '{key}' is missing"):
        _load([{name: value for name, value in GOOD.items() if name != key}], tmp_path)


def test_two_entries_may_share_neither_name_nor_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="two entries have the name 'net'"):
        _load([GOOD, GOOD | {"file": "other.pt"}], tmp_path)
    with pytest.raises(WeightsError, match=r"two entries have the file 'net\.pt'"):
        _load([GOOD, GOOD | {"name": "other"}], tmp_path)


def test_an_absent_or_broken_manifest_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        manifest.load(tmp_path / "manifest.yml")
    (tmp_path / "manifest.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(WeightsError, match="cannot be read"):
        manifest.load(tmp_path / "manifest.yml")
    with pytest.raises(WeightsError, match="expected a list"):
        _load({"net": GOOD}, tmp_path)


@pytest.mark.parametrize("text", ["[" * 1200, "- 2001-99-99", "- [a", "- {[]: 1}", "\tx", "&a [*a]"])
def test_text_that_yaml_cannot_hold_is_a_weights_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(text)
    with pytest.raises(WeightsError, match=r"manifest\.yml"):
        manifest.load(tmp_path / "manifest.yml")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(WeightsError, match=r"did you mean 'yolov3_tiny' or .*\? `mot-weights list` shows"):
        manifest.find("yolo3_tiny")
    assert manifest.find("vtest").file == "vtest.avi"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "url", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    change=st.dictionaries(st.sampled_from([*GOOD, "preprocess", "beside", "extra"]), _VALUES, max_size=3),
    text=st.text(max_size=30),
)
def test_any_content_gives_entries_or_a_weights_error(change: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.yml"
    for content in (yaml.safe_dump([GOOD | change]), text, f"- {text}"):
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
        try:
            entries = manifest.load(path)
        except WeightsError:
            continue
        assert all(isinstance(entry, Entry) for entry in entries.values())
