"""How long the camera's motion takes to find, and how exact it is.

    python tools/bench/camera.py [--rounds 20]

One thread, CPU time (least and median of the rounds) of one call with 20 boxes, on pictures that a camera takes of
a still, textured scene (`tests/scenery.py`); the error is that of the picture's worst corner, in its pixels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from mot.camera import METHODS, Camera
from mot.opencv import cv2
from mot.perception.settings import CameraConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from scenery import Array, Motion, corner_error, shot

SIZES = ((1920, 1080), (640, 480))
TIMED = Motion(0.01, 0.004, 1.005, 0.5)
SEEDS = 3  # scenes a motion
MOTIONS = {
    "none": Motion(),
    "pan 0.1 %": Motion(right=0.001),
    "pan 3 %": Motion(right=0.03),
    "pan 3 %, tilt 3 %": Motion(-0.03, 0.03),
    "zoom 1.03": Motion(zoom=1.03),
    "zoom 0.97": Motion(zoom=0.97),
    "turn 2 degrees": Motion(degrees=2),
    "all, one way": Motion(0.03, 0.02, 1.03, 2),
    "all, the other": Motion(-0.03, 0.03, 0.97, -2),
    "pan 8 %": Motion(right=0.08),
    "turn 6 degrees": Motion(degrees=6),
}


def milliseconds(config: CameraConfig, size: tuple[int, int], rounds: int) -> list[float]:
    """CPU time of each call, of a camera that goes to and fro."""
    corner = np.random.default_rng(0).uniform(0, 0.9, (20, 2)) * size
    boxes: Array = np.hstack([corner, corner + np.array(size) * [0.02, 0.1]])
    pictures = shot(*size), shot(*size, TIMED.warp(*size))
    follow, spent = Camera(config), []
    for index in range(rounds + 2):
        started = time.process_time()
        follow(pictures[index % 2], boxes)
        spent.append(1000 * (time.process_time() - started))
    return spent[2:]  # the first has nothing to compare with, the second starts OpenCV


def error(config: CameraConfig, size: tuple[int, int], move: Motion) -> str:
    """Of the worst of the scenes, in pixels."""
    truth, worst = move.warp(*size), 0.0
    for seed in range(SEEDS):
        follow = Camera(config)
        follow(shot(*size, seed=seed), [])
        worst = max(worst, corner_error(follow(shot(*size, truth, seed), []), truth, *size))
        if follow.failures:
            return "failed"
    return f"{worst:.2f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    columns = [(CameraConfig(method), size) for size in SIZES for method in METHODS]  # type: ignore[arg-type]
    print("| | " + " | ".join(f"{config.method} {w}x{h}" for config, (w, h) in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    spent = [milliseconds(config, size, rounds) for config, size in columns]
    print("| CPU ms | " + " | ".join(f"{min(s):.1f}, {statistics.median(s):.1f}" for s in spent) + " |")
    for name, move in MOTIONS.items():
        print(
            f"| {name} | " + " | ".join(error(config, size, move) for config, size in columns) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
