"""Fixtures that many tests use, and what is left out where a part of the package's needs is missing."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from mot import kernels

# The numpy code is what most tests look at; those that ask for the fixture `compiled` look at the kernels.
os.environ.setdefault("MOT_KERNELS", "numpy")
HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"

# The core works without these; the tests of the rest are then left out, and the header says so.
NEEDED_BY = {
    "torch": (
        "test_accuracy.py",
        "test_bench.py",
        "models/*",
        "perception/*",
        "engine/test_any_picture.py",
        "cli/test_track.py",
        "cli/test_track_many.py",
        "cli/test_track_weights.py",
    ),
    "av": (
        "films.py",
        "test_video*.py",
        "cli/test_track.py",
        "cli/test_track_many.py",
        "engine/test_any_picture.py",
    ),
    "cv2": (
        "test_accuracy.py",
        "test_bench.py",
        "engine/test_camera_use.py",
        "test_camera.py",
        "test_draw.py",
        "test_opencv.py",
        "test_video*.py",
        "perception/test_device.py",
        "perception/test_preprocess.py",
        "perception/test_networks_on_video.py",
        "perception/test_opening.py",
        "models/test_goldens.py",
    ),
    "numba": (
        "kernels/test_compiled_assignment.py",
        "kernels/test_compiled_boxes.py",
        "kernels/test_compiled_filters.py",
        "kernels/test_compiled_table.py",
    ),
    "pooch": ("weights/test_fetch.py", "cli/test_weights.py"),
}
MISSING = [name for name in NEEDED_BY if find_spec(name) is None]
collect_ignore_glob = [str(HERE / pattern) for name in MISSING for pattern in NEEDED_BY[name]]


def pytest_report_header() -> list[str]:
    """What this run will not test."""
    lines = [f"WITHOUT {name}: left out {', '.join(NEEDED_BY[name])}" for name in MISSING]
    return lines if SHARED.is_dir() else [*lines, f"WITHOUT {SHARED}: tests marked `data` are skipped"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`../shared/data` beside the repository; the test is skipped, saying so, where it is absent."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip(f"needs {path}, which is not here")
    return path


@pytest.fixture
def compiled() -> Iterator[None]:
    """The test runs with the compiled kernels."""
    if not kernels.available():
        pytest.skip("WITHOUT numba: the compiled kernels are not tested")
    kernels.use("numba")
    yield
    kernels.use(os.environ["MOT_KERNELS"])
