"""Equal to trackeval where it is not installed: its numbers for the scenes of tools/bench/metrics_scenes.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from metrics_scenes import hand_made

from mot.metrics import FIELDS, Counts, combine, count, prepare, scores

with np.load(Path(__file__).parents[1] / "golden" / "metrics.npz") as file:
    GOLDEN = dict(zip(file["names"].tolist(), file["values"], strict=True))
SCENES = hand_made()


def check(name: str, counts: Counts) -> None:
    found = scores(counts)
    assert sorted(found) == sorted(field for names in FIELDS.values() for field in names)
    parts = [np.ravel(found[field]) for names in FIELDS.values() for field in names]
    np.testing.assert_allclose(np.concatenate(parts), GOLDEN[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SCENES)
def test_a_scene(name: str) -> None:
    check(name, count(prepare(*SCENES[name])))


def test_all_together() -> None:
    check("combined", combine([count(prepare(*scene)) for scene in SCENES.values()]))


def test_combining_in_steps_is_the_same() -> None:
    counts = [count(prepare(*scene)) for scene in SCENES.values()]
    check("combined", combine([combine(counts[:5]), combine(counts[5:])]))
