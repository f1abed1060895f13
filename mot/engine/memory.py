"""Freed memory goes back to the system from time to time."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

EVERY = 500  # frames


def give_back() -> None:
    """Hand what was freed back, where that can be asked for (glibc); elsewhere nothing is done.

    Pictures are freed by another thread than the one that decoded them, between packets of all sizes. Little is in
    use at any time, but the allocator keeps the holes: without this a run grew by 2 MB every 1,000 frames.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """What asks glibc for it; None where there is another library."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
