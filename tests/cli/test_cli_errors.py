import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mot.cli.errors import parse, run
from mot.errors import ConfigError, WeightsError

ROOT = Path(__file__).resolve().parents[2]


def _raising(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WeightsError("first line\nsecond line"), "mot-x: error: first line second line\n"),
        (OSError(28, "No space left on device"), "mot-x: error: No space left on device\n"),
        (PermissionError(13, "Permission denied", "/a/b"), "mot-x: error: /a/b: Permission denied\n"),
        (IsADirectoryError(21, "Is a directory", b"/a"), "mot-x: error: /a: Is a directory\n"),
        (OSError("odd"), "mot-x: error: odd\n"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mot-x", _raising(error)) == 2
    assert capsys.readouterr() == ("", line)


def test_ctrl_c_is_130_and_a_mistake_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("mot-x", _raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "mot-x: interrupted\n"
    with pytest.raises(ZeroDivisionError):
        run("mot-x", _raising(ZeroDivisionError()))
    assert run("mot-x", lambda: 7) == 7


def test_a_reader_that_leaves_is_not_worth_a_word() -> None:
    script = (
        "import sys; from mot.cli.errors import run; sys.exit(run('mot-x', lambda: print('x' * 99999) or 0))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mot-x")
    parser.add_argument("--number", type=int)
    return parser


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--numbr", "3"], r"unrecognized arguments: --numbr 3 \(see mot-x --help\)"),
        (["--number", "three"], "argument --number: invalid int value: 'three'"),
        (["--number"], "argument --number: expected one argument"),
    ],
)
def test_a_wrong_flag_is_one_line_without_the_usage(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(_parser(), argv)
    assert capsys.readouterr() == ("", "")


def test_right_flags_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(_parser(), ["--number", "3"]).number == 3
    with pytest.raises(SystemExit) as end:
        parse(_parser(), ["--help"])
    assert not end.value.code
    assert "--number" in capsys.readouterr().out
