"""The programs' entry points: they import the rest, so that even a Ctrl-C during the imports is no traceback."""

from __future__ import annotations

import os
from importlib import import_module

from mot.cli.errors import run


def track() -> int:
    """`mot-track`."""
    return _start("track")


def evaluate() -> int:
    """`mot-eval`."""
    return _start("eval")


def weights() -> int:
    """`mot-weights`."""
    return _start("weights")


def doctor() -> int:
    """`mot-doctor`."""
    return _start("doctor")


def spin_for_a_moment() -> None:
    """Set how long torch's threads look for work before they sleep, in rounds; OpenMP takes 300,000 unasked.

    As fast on an idle machine; on one where others work too, twice as fast and with half the processor time. It
    counts for a torch that is imported later.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _start(name: str) -> int:
    spin_for_a_moment()
    return run(f"mot-{name}", lambda: int(import_module(f"mot.cli.{name}").main()))
