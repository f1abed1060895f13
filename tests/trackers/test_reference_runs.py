"""Every frame of the official implementations' outputs, on real detections: tools/parity as a test."""

from __future__ import annotations

from pathlib import Path

import parity
import pytest


@pytest.mark.data
@pytest.mark.parametrize("name", parity.RUNS)
def test_equal_to_the_official_output(name: str, shared_data: Path, tmp_path: Path) -> None:
    runs = shared_data / "reference_runs"
    todo = list(parity.jobs(runs, shared_data, [name]))
    assert todo
    for run, sequence in todo:
        result = parity.compare(run, sequence, runs, tmp_path)
        assert result.same, str(result)  # deepocsort_warp too: with official_warp it is the same here


@pytest.mark.data
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", parity.RUNS)
def test_compiled_kernels_are_equal_to_it_too(name: str, shared_data: Path, tmp_path: Path) -> None:
    test_equal_to_the_official_output(name, shared_data, tmp_path)
