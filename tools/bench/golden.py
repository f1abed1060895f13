"""Small numbers of our own, from trackers that tools/parity has shown to equal their official code.

    python tools/bench/golden.py tests/golden/trackers.npz

Where ../shared is absent, they stand in for the reference runs; and they are what tools/mutate tries first. Write
them anew only after tools/parity has passed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.structures import Detections
from mot.trackers import TRACKERS

FRAMES, TARGETS, WIDTH = 260, 26, 16
# Lengths of the times in which a target is not seen: single frames, and all around the usual buffer of 30.
GAPS = (1, 1, 2, 3, 5, 9, 28, 29, 30, 31, 32, 33)


def scene(seed: int = 0) -> list[Detections]:
    """Targets that wander slowly, cross, hide for the lengths in GAPS, and are sometimes hardly seen."""
    rng = np.random.default_rng(seed)
    place, velocity = rng.uniform(0, 260, (TARGETS, 2)), rng.normal(0, 0.6, (TARGETS, 2))
    size = rng.uniform(25, 80, (TARGETS, 2))
    look = rng.normal(size=(TARGETS, WIDTH))
    seen = visible(rng)
    out = []
    for frame in range(FRAMES):
        place, size = place + velocity, size * rng.normal(1, 0.004, (TARGETS, 2))
        here = np.flatnonzero(seen[frame])
        corner = place[here] + rng.normal(0, 1.5, (len(here), 2))
        scores = np.where(
            rng.random(len(here)) < 0.2, rng.uniform(0.12, 0.6, len(here)), rng.uniform(0.6, 1, len(here))
        )
        vectors = look[here] + rng.normal(0, 0.6, (len(here), WIDTH))
        false = rng.uniform(0, 500, (int(rng.random() < 0.15), 2))
        xyxy = np.vstack([np.hstack([corner, corner + size[here]]), np.hstack([false, false + 60])])
        out.append(
            Detections(
                xyxy=xyxy,
                scores=np.concatenate([scores, np.full(len(false), 0.65)]),
                embeddings=np.vstack([vectors, rng.normal(size=(len(false), WIDTH))]).astype(np.float32),
            )
        )
    return out


def visible(rng: np.random.Generator) -> NDArray[np.bool_]:
    """(FRAMES, TARGETS) who is seen when."""
    seen = np.ones((FRAMES, TARGETS), np.bool_)
    for target in range(TARGETS):
        frame = int(rng.integers(0, 12))
        seen[:frame, target] = False
        while frame < FRAMES:
            frame += int(rng.integers(4, 40))
            gap = int(rng.choice(GAPS))
            seen[frame : frame + gap, target] = False
            frame += gap
    return seen


def warp_of(frame: int) -> NDArray[np.float64]:
    """A camera that trembles: a small turn, stretch and shift of its own in every frame."""
    turn, stretch = 0.001 * np.sin(frame), 0.0006 * np.cos(2 * frame)
    return np.array([[1 + stretch, -turn, 2 * np.sin(3 * frame)], [turn, 1 + stretch, 1.5 * np.cos(frame)]])


def variants() -> Iterator[tuple[str, Any, bool]]:
    """Name, fresh tracker, and whether it is told the camera's motion: every tracker, and its main options."""
    options: dict[str, dict[str, Any]] = {
        "OCSORT": {"use_byte": True},
        "BoTSORT": {"with_reid": True},
        "DeepSORT": {"nn_budget": 5, "nms_max_overlap": 0.5},
    }
    for name, (config, build) in TRACKERS.items():
        yield name, build(), False
        if "warp" in inspect.signature(build.update).parameters:
            yield f"{name} warped", build(), True
        if name in options:
            yield f"{name} {options[name]}", build(replace(config(), **options[name])), False


def numbers(tracker: Any, warped: bool) -> dict[str, NDArray[Any]]:
    """Ids of all rows one after another, how many each frame has, and the sums of its coordinates."""
    ids, counts, sums = [], [], []
    for frame, found in enumerate(scene()):
        more = {"warp": warp_of(frame)} if warped else {}
        tracks = tracker.update(found, **more)
        order = np.argsort(tracks.ids)
        ids.append(tracks.ids[order])
        counts.append(len(tracks))
        sums.append(tracks.xyxy.sum(axis=0))
    return {
        "ids": np.concatenate(ids).astype(np.int16),
        "counts": np.array(counts, np.int8),
        "sums": np.array(sums),
    }


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(exist_ok=True)
    columns = {
        f"{name}/{key}": column
        for name, tracker, warped in variants()
        for key, column in numbers(tracker, warped).items()
    }
    np.savez_compressed(path, **columns)  # type: ignore[arg-type]
    print(f"{path}: {len(columns) // 3} trackers, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
