"""Fixtures that many tests use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`../shared/data` beside the repository; the test is skipped, saying so, where it is absent."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip(f"needs {path}, which is not here")
    return path
