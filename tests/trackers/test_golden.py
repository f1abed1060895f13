"""Our own small numbers: they hold the trackers where the reference runs are absent."""

from pathlib import Path

import golden
import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[1] / "golden" / "trackers.npz"
VARIANTS = list(golden.variants())


@pytest.mark.parametrize(("name", "tracker", "warped"), VARIANTS, ids=[name for name, *_ in VARIANTS])
def test_every_frame_is_as_it_was(name: str, tracker: object, warped: bool) -> None:
    found = golden.numbers(tracker, warped)
    with np.load(FILE) as kept:
        assert found["counts"].tolist() == kept[f"{name}/counts"].tolist()
        assert found["ids"].tolist() == kept[f"{name}/ids"].tolist()
        np.testing.assert_allclose(found["sums"], kept[f"{name}/sums"], atol=1e-4)
