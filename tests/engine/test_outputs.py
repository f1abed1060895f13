"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mot.engine.outputs import EnoughError, Outputs, TextSink
from mot.errors import OutputError
from mot.structures import Frame, Tracks

FRAME = Frame(image=None, index=1, time_s=0)


def sink(part: Path) -> TextSink:
    return TextSink(part, lambda frame, tracks: f"{frame.index}\n")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_names_are_given_when_all_is_whole(tmp_path: Path) -> None:
    with Outputs() as outputs:
        outputs.add(tmp_path / "deep" / "a.txt", sink)
        outputs.write(FRAME, Tracks.empty())
        outputs.add_json(tmp_path / "deep" / "a.json", {"é": 1})
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert names(tmp_path / "deep") == ["a.json", "a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "1\n"


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Outputs() as outputs:
        outputs.add(tmp_path / "deep" / "er" / "a.txt", sink)
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_name_that_cannot_be_given_takes_the_others_back(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="b.txt"), Outputs() as outputs:
        outputs.add(tmp_path / "a.txt", sink)
        outputs.add(tmp_path / "b.txt", sink)
        (tmp_path / "b.txt").mkdir()
    assert names(tmp_path) == ["b.txt"]


def test_what_exists_stays_unless_asked(tmp_path: Path) -> None:
    old = tmp_path / "a.txt"
    old.write_text("old")
    with pytest.raises(OutputError, match="exists already"), Outputs() as outputs:
        outputs.add(old, sink)
    with pytest.raises(OutputError, match="is an input"), Outputs(overwrite=True, inputs=[old]) as outputs:
        outputs.add(tmp_path / "." / "a.txt", sink)
    with pytest.raises(ZeroDivisionError), Outputs(overwrite=True) as outputs:
        outputs.add(old, sink)
        raise ZeroDivisionError
    assert old.read_text() == "old"
    with Outputs(overwrite=True) as outputs:
        outputs.add(old, sink)
    assert old.read_text() == ""


def test_two_results_never_share_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="two results"), Outputs() as outputs:
        outputs.add(tmp_path / "a.txt", sink)
        outputs.add(tmp_path / "x" / ".." / "a.txt", sink)
    with Outputs() as one, pytest.raises(OutputError, match="exists already"), Outputs() as two:
        one.add(tmp_path / "b.txt", sink)  # two runs at once: each writes to a part of its own
        two.add(tmp_path / "b.txt", sink)
        one.write(FRAME, Tracks.empty())
        assert len([path for path in tmp_path.iterdir() if path.name.endswith(".part")]) == 2
        one.__exit__(None, None, None)
        one._files.clear()
    assert (tmp_path / "b.txt").read_text() == "1\n"


def test_an_error_speaks_of_the_final_name(tmp_path: Path) -> None:
    class Full:
        def __init__(self, part: Path) -> None:
            self.part = part

        def write(self, frame: Frame, tracks: Tracks) -> None:
            raise OutputError(f"{self.part}: cannot be written: disk full")

        def close(self) -> None:
            raise OutputError("again")

    with pytest.raises(OutputError) as caught, Outputs() as outputs:
        outputs.add(tmp_path / "v.mp4", Full)
        outputs.write(FRAME, Tracks.empty())
    assert str(caught.value) == f"{tmp_path / 'v.mp4'}: cannot be written: disk full"


def test_a_sink_that_has_seen_enough_stops_nobody_else(tmp_path: Path) -> None:
    class Window:
        def write(self, frame: Frame, tracks: Tracks) -> None:
            raise EnoughError

        def close(self) -> None:
            pass

    with Outputs() as outputs:
        outputs.watch(Window())
        outputs.add(tmp_path / "a.txt", sink)
        outputs.write(FRAME, Tracks.empty())
        assert outputs.enough
    assert (tmp_path / "a.txt").read_text() == "1\n"
