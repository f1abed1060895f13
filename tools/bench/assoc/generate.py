"""Deterministic inputs for the association benchmark.

A scene is a list of frames; a frame is ``(xyxy (N, 4) float64, scores (N,) float64, embeddings (N, D) float32 or
None, gt (N,) int64)``, where ``gt`` is the true target of each box (-1: false positive or unknown). ``gt`` is only
for the sanity figures, no tracker sees it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Frame(NamedTuple):
    xyxy: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray | None
    gt: np.ndarray


class Scene(NamedTuple):
    name: str
    width: int
    height: int
    frames: list[Frame]


FRAMES = {10: 600, 100: 300, 300: 150, 1000: 80}


def synthetic(n: int, frames: int | None = None, seed: int = 0, dim: int = 128) -> Scene:
    """``n`` targets on average in a 1920x1080 scene (scaled up beyond 300 to keep the density of 300).

    Constant velocity with small noise; a target lives about 100 frames and is replaced when it dies or leaves; each
    frame misses 10% of the targets and adds 5% false positives; 15% of the true boxes have a low score (.1 to .5).
    """
    rng = np.random.default_rng([seed, n])
    frames = FRAMES.get(n, 100) if frames is None else frames
    scale = max(1.0, (n / 300) ** 0.5)
    width, height = int(1920 * scale), int(1080 * scale)

    def born(k):
        h = rng.uniform(60, 140, k)
        return (
            np.stack(
                [rng.uniform(0, width, k), rng.uniform(0, height, k), h * rng.uniform(0.35, 0.5, k), h], 1
            ),
            np.concatenate([rng.normal(0, 3, (k, 2)), rng.normal(0, 0.05, (k, 2))], 1),
        )

    def unit(k):
        e = rng.normal(size=(k, dim)).astype(np.float32)
        return e / np.linalg.norm(e, axis=1, keepdims=True)

    state, velocity = born(n)
    identity, look = np.arange(n), unit(n)
    next_id, out = n, []
    for _ in range(frames):
        state = state + velocity + rng.normal(0, 0.3, state.shape)
        state[:, 2:] = np.clip(state[:, 2:], 15, 200)
        velocity[:, :2] += rng.normal(0, 0.1, (n, 2))
        outside = (state[:, 0] < 0) | (state[:, 0] > width) | (state[:, 1] < 0) | (state[:, 1] > height)
        dead = np.flatnonzero(outside | (rng.random(n) < 0.01))
        if dead.size:
            state[dead], velocity[dead] = born(dead.size)
            look[dead] = unit(dead.size)
            identity[dead] = next_id + np.arange(dead.size)
            next_id += dead.size
        seen = np.flatnonzero(rng.random(n) > 0.1)
        box = state[seen] + rng.normal(0, 1.5, (seen.size, 4))
        fake = rng.binomial(n, 0.05)
        box = np.concatenate([box, born(fake)[0]])
        box[:, 2:] = np.maximum(box[:, 2:], 8)
        scores = np.where(
            rng.random(len(box)) < 0.15, rng.uniform(0.1, 0.5, len(box)), rng.uniform(0.6, 1, len(box))
        )
        scores[seen.size :] = rng.uniform(0.1, 0.8, fake)
        features = np.concatenate(
            [look[seen] + rng.normal(0, 0.02, (seen.size, dim)).astype(np.float32), unit(fake)]
        )
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        xyxy = np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1)
        gt = np.concatenate([identity[seen], np.full(fake, -1)])
        order = rng.permutation(len(xyxy))
        out.append(
            Frame(
                np.ascontiguousarray(xyxy[order]),
                scores[order],
                features[order].astype(np.float32),
                gt[order],
            )
        )
    return Scene(f"N={n}", width, height, out)


def motchallenge(folder: str | Path, dim: int = 0, seed: int = 0, limit: int | None = None) -> Scene:
    """Detections of one MOTChallenge sequence (``det/det.txt``, 1-based ``left, top``; scores as published).

    ``dim > 0`` adds random unit embeddings (no image is read: only their cost counts, not their worth).
    """
    folder = Path(folder)
    rows = np.loadtxt(folder / "det" / "det.txt", delimiter=",", ndmin=2)
    info = dict(line.split("=", 1) for line in (folder / "seqinfo.ini").read_text().split() if "=" in line)
    length = int(info.get("seqLength", rows[:, 0].max()))
    rng = np.random.default_rng(seed)
    out = []
    for t in range(1, min(length, limit or length) + 1):
        r = rows[rows[:, 0] == t]
        xyxy = np.ascontiguousarray(np.concatenate([r[:, 2:4] - 1, r[:, 2:4] - 1 + r[:, 4:6]], 1))
        features = None
        if dim:
            features = rng.normal(size=(len(r), dim)).astype(np.float32)
            features /= np.linalg.norm(features, axis=1, keepdims=True)
        out.append(Frame(xyxy, np.clip(r[:, 6], 0, 1), features, np.full(len(r), -1)))
    return Scene(folder.name, int(info.get("imWidth", 1920)), int(info.get("imHeight", 1080)), out)


def data_root() -> Path | None:
    """``$MOT_DATA``, the folder that has ``mot17`` in it; else ``shared/data`` next to or above this file; else None."""
    if os.environ.get("MOT_DATA"):
        return Path(os.environ["MOT_DATA"])
    for parent in Path(__file__).resolve().parents:
        for name in ("shared/data", "data"):
            if (parent / name / "mot17").is_dir():
                return parent / name
    return None


def load(name: str) -> Scene:
    """``N=100`` or a sequence name such as ``MOT17-04-FRCNN`` or ``PETS09-S2L1``."""
    if name.startswith("N="):
        return synthetic(int(name[2:]))
    root = data_root()
    for part in ("mot17", "mot15"):
        if root is not None and (root / part / "train" / name / "det" / "det.txt").is_file():
            return motchallenge(root / part / "train" / name, dim=128)
    raise FileNotFoundError(f"no sequence {name!r} under $MOT_DATA or shared/data")


if __name__ == "__main__":
    for scene in [synthetic(n) for n in FRAMES] + [load("MOT17-04-FRCNN"), load("PETS09-S2L1")]:
        sizes = [len(f.xyxy) for f in scene.frames]
        print(
            f"{scene.name:16} {scene.width}x{scene.height} {len(sizes)} frames, {np.mean(sizes):.1f} boxes a frame"
        )
