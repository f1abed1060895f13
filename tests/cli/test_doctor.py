"""`mot-doctor` says what is here, and what is missing."""

from pathlib import Path

import pytest

from mot.cli import doctor


def test_a_page_about_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path))
    status = doctor.main([])
    said = capsys.readouterr().out
    words = ("versions", "devices", "codecs", "weights", "numpy", "cpu", "known files are not here")
    for word in (*words, str(tmp_path)):
        assert word in said
    assert status == ("  ! " in said)
    monkeypatch.setenv("MOT_WEIGHTS", "/nowhere/at/all")
    assert doctor.main([]) == 1
    assert "! weights" in capsys.readouterr().out


def test_what_is_missing_is_marked_and_gives_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REQUIRED", ("numpy", "no-such-package"))
    assert doctor.main([]) == 1
    assert "! no-such-package" in capsys.readouterr().out
