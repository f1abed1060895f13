"""Small scenes full of edge cases for the metrics, and the numbers that trackeval gives them.

    python tools/bench/metrics_scenes.py tests/golden/metrics.npz

writes those numbers, for where trackeval is not installed. Write them anew only with the trackeval that
`mot.metrics` names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mot.metrics import FIELDS
from mot.structures import Rows

Row = tuple[int, int, float, float, float, float, float, int]  # frame, id, x, y, w, h, score, class


class Scene(NamedTuple):
    truth: Rows
    result: Rows
    length: int
    benchmark: str


def boxes(rows: list[Row]) -> Rows:
    table = np.array(rows, np.float64).reshape(-1, 8)
    return Rows(
        frames=table[:, 0].astype(np.int64),
        ids=table[:, 1].astype(np.int64),
        tlwh=table[:, 2:6],
        scores=table[:, 6],
        classes=table[:, 7].astype(np.int64),
    )


def walk(id: int, frames: range, x: float, step: float = 3.0, cls: int = 1, mark: float = 1.0) -> list[Row]:
    """A box 20 x 40 that moves right."""
    return [(frame, id, x + step * frame, 10.0, 20.0, 40.0, mark, cls) for frame in frames]


def random_scene(
    seed: int, benchmark: str, length: int = 40, grid: float = 0.0, people: int = 9, scatter: float = 6.0
) -> Scene:
    """People of all classes in a small place, seen with noise, gaps, false boxes and ids that jump.

    Args:
        seed: of the random numbers.
        benchmark: MOT15 has no classes.
        length: frames.
        grid: coordinates are rounded to this, so that many overlaps are equal; 0 = not.
        people: how many.
        scatter: standard deviation of the noise in pixels.
    """
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform(0, 90, (people, 2)), rng.normal(0, 1.0, (people, 2))
    classes = rng.choice([1, 1, 1, 2, 7, 8, 12, 6, 9, 13], people)
    names = np.arange(people) * 3 + 1
    truth: list[Row] = []
    result: list[Row] = []
    for frame in range(1, length + 1):
        place = place + speed
        box = np.column_stack([place, rng.uniform(20, 26, people), rng.uniform(40, 50, people)])
        seen = box + rng.normal(0, scatter, box.shape) * [1, 1, 0.3, 0.3]
        if grid:
            box, seen = (np.maximum(np.round(b / grid), [-99, -99, 1, 1]) * grid for b in (box, seen))
        if rng.random() < 0.2:
            i, j = rng.choice(people, 2, replace=False)
            names[[i, j]] = names[[j, i]]
        for i in rng.permutation(people):
            mark = float(rng.random() < 0.95)
            cls = int(classes[i]) if benchmark != "MOT15" else -1
            if rng.random() < 0.9:
                truth.append((frame, int(i) + 1, *box[i].tolist(), mark, cls))
            if rng.random() < 0.8:
                result.append((frame, int(names[i]), *seen[i].tolist(), 1.0, -1))
            if rng.random() < 0.1:
                result.append((frame, 500 + int(i), *seen[i].tolist(), 1.0, -1))
    order = rng.permutation(len(result))
    return Scene(boxes(truth), boxes([result[i] for i in order]), length, benchmark)


def hand_made() -> dict[str, Scene]:
    """Name -> scene."""
    ten, one = range(1, 11), range(1, 2)
    pair = walk(1, ten, 0) + walk(2, ten, 100)
    swap = (
        walk(1, range(1, 6), 0)
        + walk(2, range(1, 6), 100)
        + walk(2, range(6, 11), 0)
        + walk(1, range(6, 11), 100)
    )
    static = walk(9, ten, 300, 0, cls=7)
    broken = [row for row in walk(4, ten, 2) if row[0] not in (3, 4, 8)]
    twins = [(frame, id, 50.0, 50.0, 20.0, 40.0, 1.0, 1) for frame in ten for id in (1, 2)]
    flat = [(frame, 1, 50.0, 50.0, 0.0, 40.0, 1.0, 1) for frame in ten]
    halves = [(frame, id, 50.0 + 10 * id, 50.0, 40.0, 40.0, 1.0, 1) for frame in ten for id in (3, 4)]
    ignored = walk(1, ten, 0, mark=0) + walk(2, ten, 100, mark=0)
    scenes = {
        "perfect": (pair, pair, 10),
        "empty result": (pair, [], 10),
        "empty truth": ([], pair, 10),
        "nothing": ([], [], 10),
        "all ignored": (ignored, pair, 10),
        "all ignored, empty result": (ignored, [], 10),
        "swap": (pair, swap, 10),
        "one frame": (walk(1, one, 0), walk(7, one, 2), 1),
        "one frame, apart": (walk(1, one, 0), walk(7, one, 200), 1),
        "distractor taken": (pair + static, pair + walk(5, ten, 301, 0), 10),
        "only distractors": (static, walk(5, ten, 301, 0), 10),
        "distractor beside a person": (walk(1, ten, 0, 0) + walk(9, ten, 4, 0, cls=8), walk(5, ten, 2, 0), 10),
        "fragments": (pair, broken + walk(5, range(4, 7), 101), 10),
        "gap on both sides": (walk(1, range(1, 4), 0) + walk(1, range(7, 11), 0), broken, 12),
        "kept over an empty frame": (
            walk(1, range(1, 4), 0, 0),
            walk(5, range(1, 4, 2), 4, 0) + walk(6, range(3, 4), 1, 0),
            3,
        ),
        "twin truth": (twins, walk(5, ten, 30, 0) + [(f, 6, 50.0, 50.0, 20.0, 40.0, 1.0, 1) for f in ten], 10),
        "twins on both sides": (twins, [(r[0], 9 - r[1], *r[2:]) for r in twins], 10),
        "twins take turns": (twins, [(r[0], r[1] if r[0] % 3 else 3 - r[1], *r[2:]) for r in twins], 10),
        "flat boxes": (flat, flat + walk(3, ten, 40, 0), 10),
        "at the threshold": (halves, [(f, 1, 50.0, 50.0, 80.0, 40.0, 1.0, 1) for f in ten], 10),
        "reach 0.2 and 0.8": (pair, walk(1, range(1, 9), 0) + walk(2, range(1, 3), 100), 10),
        "marked 0.9": (walk(1, ten, 0, mark=0.9) + walk(2, ten, 100, mark=1.9), pair, 10),
    }  # fmt: skip
    made = {
        name: Scene(boxes(truth), boxes(result), length, "MOT17")
        for name, (truth, result, length) in scenes.items()
    }
    for benchmark in ("MOT15", "MOT16", "MOT17", "MOT20"):
        made[f"random {benchmark}"] = random_scene(len(made), benchmark)
        made[f"grid {benchmark}"] = random_scene(len(made), benchmark, grid=10.0)
    # ties that fall another way when an overlap's row and column are added up in another order
    made["order of sums"] = random_scene(59, "MOT15", length=2, grid=15.0, people=12, scatter=9.0)
    made["order of more sums"] = random_scene(21, "MOT15", length=2, grid=15.0, people=20, scatter=9.0)
    made["crowd"] = random_scene(7, "MOT20", length=12, people=40, scatter=4.0)
    return made


def main() -> None:
    from metrics_reference import combined, evaluate, prepared  # needs trackeval, which the tests may lack

    path, scenes = Path(sys.argv[1]), hand_made()
    results = {name: evaluate(prepared(*scene)) for name, scene in scenes.items()}
    results["combined"] = combined(list(results.values()))
    rows = {
        name: np.concatenate(
            [np.ravel(result[family][field]) for family, names in FIELDS.items() for field in names]
        )
        for name, result in results.items()
    }
    np.savez_compressed(path, names=np.array(list(rows)), values=np.array(list(rows.values()), np.float64))
    print(f"{path}: {len(rows)} rows, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
