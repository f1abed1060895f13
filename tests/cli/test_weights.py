import hashlib
from pathlib import Path

import pytest

from mot.cli.weights import main
from mot.weights import manifest
from mot.weights.manifest import Entry, Url

CONTENT = {"one": b"first weights", "two": b"second weights"}
Captured = pytest.CaptureFixture[str]


def _entry(name: str) -> Entry:
    return Entry(
        name=name,
        file=f"{name}.pt",
        kind="reid",
        model=name,
        licence="MIT",
        size=len(CONTENT[name]),
        sha256=hashlib.sha256(CONTENT[name]).hexdigest(),
        sources=(Url(url="http://127.0.0.1:9/closed"),),
    )


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which holds `one` of the two known files; the cache is empty."""
    monkeypatch.setattr(manifest, "load", lambda path=None: {name: _entry(name) for name in CONTENT})
    folder = tmp_path / "a folder with quite a long name, so that a table of eighty columns would cut it"
    folder.mkdir()
    (folder / "one.pt").write_bytes(CONTENT["one"])
    monkeypatch.setenv("MOT_WEIGHTS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_list_shows_every_file_and_where_it_is(mine: Path, capsys: Captured) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert f"{mine.name}/one.pt" in out
    assert "two" in out
    assert "not here" in out
    assert "MIT" in out


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
    assert capsys.readouterr().out.splitlines() == [f"ok  {mine / 'one.pt'}", "not here  two"]
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
    (mine / "one.pt").write_bytes(b"First weights")
    for argv in (["verify"], ["verify", "one"], ["verify", str(mine / "one.pt")]):
        assert main(argv) == 1
        assert f"damaged  {mine / 'one.pt'} (expected 13 bytes" in capsys.readouterr().out
