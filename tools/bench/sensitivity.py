"""What 20 % more or less of each chosen number of deepsort.yml does to HOTA, MOTA and IDF1.

    python tools/bench/sensitivity.py --video vtest.avi --gt mot15/train/PETS09-S2L1

The detector runs once, the embedder once for each crop size; the tracker once for each row. Needs trackeval
(tools/check --full installs it).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from truth import scores

from mot.engine.config import Config, read_config
from mot.formats.mot_text import format_tracks
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.structures import Detections, Frame
from mot.video import open_source
from mot.weights import fetch

CPU = torch.device("cpu")
# The numbers that deepsort.yml chooses, each with a fifth less and a fifth more (a whole one: one less, one more).
VARIATIONS: dict[str, tuple[Any, ...]] = {
    "max_cosine_distance": (0.16, 0.24),
    "nn_nearest": (4, 6),
    "nn_budget": (80, 120),
    "max_iou_distance": (0.56, 0.84),
    "max_age": (24, 36),
    "n_init": (2, 4),
}
CROPS = ((154, 77), (230, 115))
MODELS = {
    "mobilenetv2_stripes, nn_nearest 1": ("mobilenetv2_stripes", 1),
    "mobilenetv2, nn_nearest 1": ("mobilenetv2", 1),
}
MODELS |= {"mobilenetv2, nn_nearest 5": ("mobilenetv2", 5)}


def percent(found: dict[str, float]) -> str:
    """HOTA / MOTA / IDF1."""
    return " / ".join(f"{value:.1f}" for value in found.values())


def embed(video: str, config: Config, boxes: list[Detections]) -> list[Detections]:
    """The boxes of every frame with the embeddings of the `reid` block."""
    assert config.reid_weights is not None
    embedder = Embedder(config.reid, fetch.locate(config.reid_weights), CPU)
    return [embedder([frame], [found])[0] for frame, found in zip(open_source(video), boxes, strict=True)]


def run(config: Config, detections: list[Detections], gt: Path, **changes: Any) -> str:
    """The score of the tracker on detections made before."""
    tracker = config.row.make(replace(config.tracker, **changes))
    rows = [format_tracks(i, tracker.update(found)) for i, found in enumerate(detections, start=1)]
    return percent(scores("".join(rows), gt))


def main() -> None:
    parser = argparse.ArgumentParser(description="Vary each chosen number of deepsort.yml by a fifth.")
    parser.add_argument("--video", required=True)
    parser.add_argument("--gt", type=Path, required=True, help="a MOT15 sequence folder")
    args = parser.parse_args()
    config = read_config("deepsort.yml")
    assert config.det_weights is not None
    detector = Detector(config.detector, fetch.locate(config.det_weights), CPU)

    def one(frame: Frame) -> Detections:
        return detector([frame])[0]

    boxes = [one(frame) for frame in open_source(args.video)]
    default = embed(args.video, config, boxes)
    print(f"| changed | HOTA / MOTA / IDF1 |\n|---|---|\n| nothing | {run(config, default, args.gt)} |")
    for name, values in VARIATIONS.items():
        for value in values:
            print(f"| {name} {value} | {run(config, default, args.gt, **{name: value})} |", flush=True)
    for crop in CROPS:
        changed = replace(config, reid=replace(config.reid, crop_size=crop))
        print(
            f"| crop_size {crop[0]}x{crop[1]} | {run(config, embed(args.video, changed, boxes), args.gt)} |",
            flush=True,
        )
    for title, (model, nearest) in MODELS.items():
        changed = replace(config, reid=replace(config.reid, model=model))
        detections = embed(args.video, changed, boxes)
        print(f"| {title} | {run(config, detections, args.gt, nn_nearest=nearest)} |", flush=True)


if __name__ == "__main__":
    main()
