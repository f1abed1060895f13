"""Every error that `mot` raises on purpose: what was wrong, what was expected, the nearest valid name.

    MotError
    ├── ConfigError    a YAML file, an override or a flag
    ├── WeightsError   a weights file: absent, damaged, unsafe, or of another network
    ├── SourceError    a video, camera, stream or folder that cannot be read
    ├── FormatError    a text file with a malformed row (also a ValueError)
    ├── OutputError    a result that cannot be written
    └── InputError     an array handed in by a caller (also a ValueError)

The command line prints them as `mot-track: error: …` and leaves with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

DISTRIBUTION = "mot-tracking"


class MotError(Exception):
    """Anything wrong that the user can put right; its text is for people."""


class ConfigError(MotError):
    """A configuration names something unknown, or gives a value of the wrong type."""


class WeightsError(MotError):
    """Weights cannot be found, are damaged or unsafe, or belong to another network."""


class SourceError(MotError):
    """Frames cannot be read."""


class FormatError(MotError, ValueError):
    """A text file does not follow its format; the message gives the line."""


class OutputError(MotError):
    """A result cannot be written."""


class InputError(MotError, ValueError):
    """An array has the wrong shape, type or values; the message gives the row."""


def install_hint(extra: str = "") -> str:
    """The one place that spells how to install the package, or one of its extras."""
    return f"pip install {DISTRIBUTION}[{extra}]" if extra else f"pip install {DISTRIBUTION}"


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`-style ending for an unknown `name`, always listing what is known."""
    names = sorted(known)
    folded = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    guess = f"did you mean {folded[close[0]]!r}? " if close else ""
    return f"{guess}known: {', '.join(names)}"
