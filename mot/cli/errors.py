"""One frame around every command-line program: errors become one line on stderr and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable

from mot.errors import ConfigError, MotError

# The last two are 128 + SIGINT and 128 + SIGPIPE, as a shell counts.
ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def run(program: str, action: Callable[[], int]) -> int:
    """The exit status of `action`, or that of the error which ended it.

    A `MotError` and the system's own refusals (disk full, permission denied) are printed as
    `PROGRAM: error: …` and give 2, Ctrl-C gives 130, and a reader of stdout that left (`… | head`) gives 141.
    Anything else is a mistake in `mot` and keeps its traceback.
    """
    try:
        status = action()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes stdout once more on its way out, and would complain then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except MotError as error:
        return _complain(program, str(error))
    except OSError as error:
        return _complain(program, _system_text(error))
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """The flags; to be called inside `run`, so that a wrong one too is a single line, without the usage text.

    Raises:
        ConfigError: a flag is unknown, incomplete or malformed.
        SystemExit: `--help` or `--version` was asked for and has been printed.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parser.parse_args(argv)
    except SystemExit as end:
        if not end.code:
            raise
    last = (said.getvalue().strip() or "malformed flags").splitlines()[-1]
    raise ConfigError(f"{last.partition(': error: ')[2] or last} (see {parser.prog} --help)")


def _complain(program: str, text: str) -> int:
    print(f"{program}: error: {' '.join(text.splitlines())}", file=sys.stderr)
    return ERROR


def _system_text(error: OSError) -> str:
    """`file: No space left on device`, without Python's errno."""
    text = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {text}" if isinstance(error.filename, str | bytes) else text
