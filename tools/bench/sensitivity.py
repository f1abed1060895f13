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

from truth import scores

from mot.engine.config import Config, read_config
from mot.engine.networks import Networks
from mot.formats.mot_text import format_tracks
from mot.models import mobilenetv2
from mot.structures import Detections
from mot.timing import StageTimes
from mot.video import open_source

# The numbers that deepsort.yml chooses, each with a fifth less and a fifth more (a whole one: one less, one more).
VARIATIONS: dict[str, tuple[Any, ...]] = {
    "max_cosine_distance": (0.16, 0.24),
    "nn_nearest": (4, 6),
    "nn_budget": (80, 120),
    "max_iou_distance": (0.56, 0.84),
    "max_age": (24, 36),
    "n_init": (2, 4),
    "max_predicted": (0, 2),
}
# The same for the detector, which then runs again …
DETECTOR: dict[str, tuple[Any, ...]] = {
    "score_threshold": (0.32, 0.48),
    "nms_threshold": (0.36, 0.54),
    "input_size": ((512,), (704,)),
}
# … for the constants of mobilenetv2_stripes, for the crop, and for what the choices replaced.
STRIPES: dict[str, tuple[float, ...]] = {"STRIPES": (5, 7), "WINDOW_POWER": (1.6, 2.4, 0), "EARLY": (6, 8)}
CROPS = ((154, 77), (230, 115))
MODELS = {
    "mobilenetv2_stripes, nn_nearest 1": ("mobilenetv2_stripes", 1),
    "mobilenetv2, nn_nearest 1": ("mobilenetv2", 1),
    "mobilenetv2, nn_nearest 5": ("mobilenetv2", 5),
}


def percent(found: dict[str, float]) -> str:
    """HOTA / MOTA / IDF1."""
    return " / ".join(f"{value:.1f}" for value in found.values())


def embed(video: str, config: Config, boxes: list[Detections]) -> list[Detections]:
    """The boxes of every frame with the embeddings of the `reid` block."""
    assert config.reid_weights is not None
    embedder = Networks(config.runtime, StageTimes()).embedder(config.reid, config.reid_weights)
    return [embedder([frame], [found])[0] for frame, found in zip(open_source(video), boxes, strict=True)]


def run(config: Config, detections: list[Detections], gt: Path, **changes: Any) -> str:
    """The score of the tracker on detections made before."""
    tracker = config.row.make(replace(config.tracker, **changes))
    rows = [format_tracks(i, tracker.update(found)) for i, found in enumerate(detections, start=1)]
    return percent(scores("".join(rows), gt))


def detect(video: str, config: Config) -> list[Detections]:
    """The boxes of every frame by the `detector` block."""
    assert config.det_weights is not None
    detector = Networks(config.runtime, StageTimes()).detector(config.detector, config.det_weights)
    return [detector([frame])[0] for frame in open_source(video)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Vary each chosen number of deepsort.yml by a fifth.")
    parser.add_argument("--video", required=True)
    parser.add_argument("--gt", type=Path, required=True, help="a MOT15 sequence folder")
    args = parser.parse_args()
    config = read_config("deepsort.yml")
    boxes = detect(args.video, config)
    default = embed(args.video, config, boxes)

    def row(title: str, detections: list[Detections], **changes: Any) -> None:
        print(f"| {title} | {run(config, detections, args.gt, **changes)} |", flush=True)

    print("| changed | HOTA / MOTA / IDF1 |\n|---|---|")
    row("nothing", default)
    for name, values in VARIATIONS.items():
        for value in values:
            row(f"{name} {value}", default, **{name: value})
    for name, values in DETECTOR.items():
        for value in values:
            changed = replace(config, detector=replace(config.detector, **{name: value}))
            row(f"detector.{name} {value}", embed(args.video, changed, detect(args.video, changed)))
    for name, constants in STRIPES.items():
        for constant in constants:
            usual = getattr(mobilenetv2, name)
            setattr(mobilenetv2, name, constant)
            row(f"{name} {constant}", embed(args.video, config, boxes))
            setattr(mobilenetv2, name, usual)
    for crop in CROPS:
        changed = replace(config, reid=replace(config.reid, crop_size=crop))
        row(f"crop_size {crop[0]}x{crop[1]}", embed(args.video, changed, boxes))
    for title, (model, nearest) in MODELS.items():
        changed = replace(config, reid=replace(config.reid, model=model))
        row(title, embed(args.video, changed, boxes), nn_nearest=nearest)


if __name__ == "__main__":
    main()
