"""Files that ship with the package: `configs/*.yml` and `weights/manifest.yml`.

In a checkout they stand at the top of the repository; the build maps them into `mot/data` of the wheel.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """The folder `configs` or `weights` as it lies on this machine."""
    in_wheel = _PACKAGE / "data" / folder
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / folder
