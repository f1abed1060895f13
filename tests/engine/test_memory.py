"""Freed memory goes back to the system."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mot.engine import memory


def resident_mb() -> float:
    """Of this process."""
    words = Path("/proc/self/statm").read_text().split()
    return int(words[1]) * 4096 / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read as Linux tells it")
def test_holes_between_what_is_kept_are_given_back() -> None:
    if memory._trim() is None:
        pytest.skip("another C library than glibc: it gives back by itself, or not at all")
    pieces = [np.ones(60_000, np.uint8) for _ in range(3000)]
    kept = pieces[::50]
    del pieces
    before = resident_mb()
    memory.give_back()
    assert before - resident_mb() > 100, "of 180 MB, of which every fiftieth piece is kept"
    assert all(piece.all() for piece in kept)
