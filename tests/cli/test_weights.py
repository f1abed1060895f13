import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from mot.cli.weights import main
from mot.weights import manifest
from mot.weights.manifest import Entry, Url

CONTENT = {"one": b"first weights", "two": b"second weights"}
Captured = pytest.CaptureFixture[str]


def _entry(name: str, **facts: Any) -> Entry:
    entry = Entry(
        name=name,
        file=f"{name}.pt",
        kind="reid",
        model=name,
        licence="MIT",
        size=len(CONTENT[name]),
        sha256=hashlib.sha256(CONTENT[name]).hexdigest(),
        sources=(Url(url="http://127.0.0.1:9/closed"),),
    )
    return dataclasses.replace(entry, **facts)


def _know(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    monkeypatch.setattr(manifest, "load", lambda path=None: {entry.name: entry for entry in entries})


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which holds `one` of the two known files; the cache is empty."""
    _know(monkeypatch, *map(_entry, CONTENT))
    folder = tmp_path / "a folder with quite a long name, so that a table of eighty columns would cut it"
    folder.mkdir()
    (folder / "one.pt").write_bytes(CONTENT["one"])
    monkeypatch.setenv("MOT_WEIGHTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_list_shows_every_file_and_where_it_is(mine: Path, capsys: Captured) -> None:
    assert main(["list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    facts = ["MIT", "0.0", "MB", "known"]
    assert rows[1:4] == [["[reid]"], ["one", *facts, "MOT_WEIGHTS"], ["two", *facts]]
    assert ["MOT_WEIGHTS:", *str(mine).split()] in rows


def test_list_marks_what_nothing_vouches_for(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    unknown = _entry("two", sha256=None, size=None, kind="joint")
    _know(monkeypatch, _entry("one", sha256="0123abcd"), unknown)
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "first 8" in out
    assert "unverified" in out.partition("[joint]")[2]


def test_the_shipped_list_fits_eighty_columns_with_nothing_cut(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("MOT_WEIGHTS", str(mine))
    (mine / "vtest.avi").touch()
    assert main(["list"]) == 0
    table, _, _ = capsys.readouterr().out.partition("MOT_WEIGHTS: ")
    assert all(f"\n {name} " in table for name in manifest.load())
    assert all(len(line.rstrip()) <= 80 for line in table.splitlines())
    assert table.rstrip().endswith("known       MOT_WEIGHTS")


def test_unverified_files_are_fetched_only_on_demand(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    _know(monkeypatch, _entry("one", sha256=None), _entry("two", sha256=None))
    assert main(["fetch", "--all"]) == 0  # nothing speaks against what is here
    assert capsys.readouterr().out == f"{mine / 'one.pt'}\n"
    assert "1 unverified left out" in caplog.text
    assert main(["fetch", "two"]) == 2
    assert "`mot-weights fetch --accept-unverified two`" in capsys.readouterr().err
    for argv in (["fetch", "--accept-unverified", "two"], ["fetch", "--all", "--accept-unverified"]):
        assert main(argv) == 2
        assert "cannot be reached" in capsys.readouterr().err


def test_verify_gives_the_hash_of_what_nothing_vouches_for(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    _know(monkeypatch, _entry("one", sha256=None))
    digest = hashlib.sha256(CONTENT["one"]).hexdigest()
    for argv in (["verify"], ["verify", str(mine / "one.pt")]):
        assert main(argv) == 0
        out = capsys.readouterr().out
        assert out.startswith("unverified  ")
        assert digest in out
    _know(monkeypatch, _entry("one", sha256=digest[:8], size=None))
    assert main(["verify", str(mine / "one.pt")]) == 0
    assert capsys.readouterr().out == f"ok  {mine / 'one.pt'} (one)\n"


def test_fetch_prints_paths_and_nothing_else(mine: Path, capsys: Captured) -> None:
    assert main(["fetch", "one"]) == 0
    assert capsys.readouterr().out == f"{mine / 'one.pt'}\n"
    (mine / "two.pt").write_bytes(CONTENT["two"])
    assert main(["fetch", "--all", "--offline"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(mine / "one.pt"), str(mine / "two.pt")]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["fetch", "one", "tow"], "no weights are called 'tow': did you mean 'two'?"),
        (["fetch", "two", "--offline"], "is not on this machine"),
        (["fetch", "two"], "http://127.0.0.1:9/closed: cannot be reached"),
        (["fetch"], "give either names or --all"),
        (["fetch", "one", "--all"], "give either names or --all"),
        (["verify", "x/one.pt"], "'x/one.pt' is neither a file nor a known name"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required"),
    ],
)
def test_an_error_is_one_line_and_status_2(argv: list[str], said: str, mine: Path, capsys: Captured) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    last = shown.err.splitlines()[-1]
    assert last.startswith("mot-weights: error: ")
    assert said in last
    assert shown.out == ""


def test_a_folder_that_is_not_there_is_an_error_for_list_too(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("MOT_WEIGHTS", "/no/such/folder")
    assert main(["list"]) == 2
    assert "MOT_WEIGHTS=/no/such/folder: there is no such folder" in capsys.readouterr().err


def test_verify_judges_names_and_paths(mine: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == f"ok  {mine / 'one.pt'}\n"
    renamed = tmp_path / "renamed.bin"
    renamed.write_bytes(CONTENT["two"])
    assert main(["verify", "one", str(renamed)]) == 0
    assert f"ok  {renamed} (two)" in capsys.readouterr().out


def test_verify_fails_on_damage_absence_and_strangers(mine: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["verify", "two"]) == 1
    assert "not here  two (looked in " in capsys.readouterr().out
    stranger = tmp_path / "stranger.pt"
    stranger.write_bytes(b"?")
    assert main(["verify", str(stranger)]) == 1
    assert "unknown  " in capsys.readouterr().out
    (mine / "one.pt").rename(mine / "other.pt")
    assert main(["verify"]) == 0
    assert "none of the 2 known files is here (looked in " in capsys.readouterr().out
    (mine / "one.pt").write_bytes(b"First weights")
    for argv in (["verify"], ["verify", "one"], ["verify", str(mine / "one.pt")]):
        assert main(argv) == 1
        assert f"damaged  {mine / 'one.pt'} (expected 13 bytes" in capsys.readouterr().out


def test_inspect_says_what_a_file_is_and_how_to_use_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from mot.models.registry import MODELS

    path = tmp_path / "mine.pth"
    state = MODELS["osnet_x0_25"].build(1).state_dict()
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()} | {"classifier.bias": torch.ones(7)}},
        path,
    )
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "mine.pth (torch, " in said
    assert "network    osnet_x0_25, a reid network; tensors named as by torchreid" in said
    assert "1 not used (classifier.bias)" in said
    assert "embedding  512 numbers" in said
    _, _, config = said.partition("config\n")
    import yaml

    assert yaml.safe_load(config) == {
        "reid_weights": str(path),
        "reid": {"model": "osnet_x0_25", "crop_size": [256, 128], "preprocess": "torchreid"},
    }
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["inspect", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


EXPORTED = {
    "yolox_nano.onnx": "images (1, 3, 416, 416)",
    "osnet_x0_25_msmt17.onnx": "embedding  512 numbers a box",
    "openvino/person-detection-retail-0013.xml": "detection_out (1, 1, 200, 7)",
    "openvino/person-reidentification-retail-0288.xml": "embedding  256 numbers a box",
}


@pytest.mark.data
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("file", "words"), EXPORTED.items())
def test_inspect_prints_configs_that_open_exported_files(
    file: str, words: str, known: bool, shared_data: Path, tmp_path: Path, capsys: Captured
) -> None:
    pytest.importorskip("onnxruntime" if file.endswith(".onnx") else "openvino")
    path = shared_data / "weights" / file
    if not known:
        for half in {path, path.with_suffix(".bin")} if path.suffix == ".xml" else {path}:
            (tmp_path / f"mine{half.suffix}").symlink_to(half)
        path = tmp_path / f"mine{path.suffix}"
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert words in said
    listed = known and path.suffix == ".onnx"  # the .xml files are of another release than the listed ones
    assert said.endswith("# or another: the file does not say\n") != listed
    _opens(path, said.partition("config\n")[2])


def _opens(path: Path, text: str) -> None:
    """The config opens the file."""
    import torch
    import yaml

    from mot.config import build
    from mot.perception.exported import open_detector, open_embedder
    from mot.perception.opening import Place
    from mot.perception.settings import DetectorConfig, EmbedderConfig

    config, place = yaml.safe_load(text), Place(torch.device("cpu"))
    assert str(path) in config.values()
    if "detector" in config:
        detector = build(DetectorConfig, config["detector"], "detector")
        labels = open_detector(detector, path, place, detector.model, None).labels
        assert "person" in labels
        assert len(labels) in (2, 80)
    else:
        embedder = build(EmbedderConfig, config["reid"], "reid")
        assert open_embedder(embedder, path, place, embedder.model, None).embedding_size in (256, 512)


def test_inspect_names_the_xml_of_a_bin(tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("torch")
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_bytes(b"?")
    assert main(["inspect", str(tmp_path / "m.bin")]) == 2
    assert capsys.readouterr().err.endswith("m.bin holds the numbers of a network alone: name m.xml\n")
