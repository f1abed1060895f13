"""Our own small numbers: they hold the trackers where the reference runs are absent."""

from pathlib import Path

import golden
import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[1] / "golden" / "trackers.npz"
NAMES = [name for name, *_ in golden.variants()]


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_as_it_was(name: str) -> None:
    ((_, tracker, warped),) = (variant for variant in golden.variants() if variant[0] == name)
    found = golden.numbers(tracker, warped)
    with np.load(FILE) as kept:
        assert found["counts"].tolist() == kept[f"{name}/counts"].tolist()
        assert found["ids"].tolist() == kept[f"{name}/ids"].tolist()
        np.testing.assert_allclose(found["sums"], kept[f"{name}/sums"], atol=1e-4)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_as_it_was_with_compiled_kernels(name: str) -> None:
    test_every_frame_is_as_it_was(name)
