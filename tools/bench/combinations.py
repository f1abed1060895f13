"""Which of the free networks track best: HOTA / MOTA / IDF1 and frames a second of each combination, as a table.

    python tools/bench/combinations.py --video vtest.avi --gt …/PETS09-S2L1 --weights FOLDER [--only TEXT] [--end N]

FOLDER holds the weights files that the rows name. Frames a second are those of the whole loop, without writing a
video; compare them within one run only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from truth import scores

from mot.engine.tracker import Tracker
from mot.formats.mot_text import format_tracks

# A detector's own thresholds, and a look's own gate: each chosen once, with DeepSORT, and kept for all rows.
OSNET = ["reid_weights={weights}/osnet_x0_25_msmt17.onnx", "reid.model=onnx"]
REID_0288 = [
    "reid_weights={weights}/openvino/person-reidentification-retail-0288.xml",
    "reid.model=openvino",
    "reid.preprocess=openvino",
]
NANO = ["det_weights={weights}/yolox_nano.onnx", "detector.head=yolox", "detector.nms_threshold=0.65"]
NANO_416 = [*NANO, "detector.input_size=null"]
NANO_768 = [*NANO, "detector.model=openvino", "detector.input_size=768"]
RETAIL = [
    "det_weights={weights}/openvino/person-detection-retail-0013.xml",
    "detector.head=ssd",
    "detector.decoded=true",
    "detector.labels=[background, person]",
    "detector.preprocess=openvino",
    "detector.input_size=null",
    "detector.nms_threshold=0.65",
]
SURE = ["detector.score_threshold=0.6"]
LOOK = ["tracker.max_cosine_distance=0.25"]
LOOK_0288 = ["tracker.max_cosine_distance=0.4"]
LOW = ["tracker.high_threshold=0.4", "tracker.low_threshold=0.2", "tracker.new_threshold=0.5"]
WITH_REID = ["tracker.with_reid=true", "tracker.proximity_threshold=0.95", "tracker.low_threshold=0.3"]
CLOSE, CLOSE_0288 = ["tracker.appearance_threshold=0.15"], ["tracker.appearance_threshold=0.24"]

ROWS: dict[str, tuple[str, list[str]]] = {
    "YOLOv3-tiny 608, stripes: DeepSORT (`deepsort.yml`)": ("deepsort.yml", []),
    "YOLOv3-tiny 608, OSNet: DeepSORT as published": ("deepsort.yml", [*OSNET, "tracker.nn_nearest=1"]),
    "YOLOv3-tiny 608, OSNet: DeepSORT": ("deepsort.yml", [*OSNET, *LOOK]),
    "YOLOX-nano 416, OSNet: DeepSORT": ("deepsort.yml", [*NANO_416, *SURE, *OSNET, *LOOK]),
    "YOLOX-nano 416: ByteTrack": ("bytetrack.yml", [*NANO_416, "tracker.low_threshold=0.3"]),
    "YOLOX-nano 416, OSNet: BoT-SORT": ("botsort.yml", [*NANO_416, *OSNET, *WITH_REID, *CLOSE]),
    "retail-0013, 0288: DeepSORT": ("deepsort.yml", [*RETAIL, *REID_0288, *LOOK_0288]),
    "retail-0013: ByteTrack": ("bytetrack.yml", [*RETAIL, *LOW]),
    "retail-0013, 0288: BoT-SORT": (
        "botsort.yml",
        [*RETAIL, *REID_0288, *WITH_REID, *LOW, *CLOSE_0288],
    ),
    "YOLOX-nano 768, OSNet: DeepSORT": ("deepsort.yml", [*NANO_768, *SURE, *OSNET, *LOOK]),
    "YOLOX-nano 768: ByteTrack": ("bytetrack.yml", [*NANO_768, "tracker.low_threshold=0.3"]),
    "YOLOX-nano 768, OSNet: BoT-SORT (`botsort_reid.yml`)": ("botsort_reid.yml", []),
}


def run(cfg: str, overrides: list[str], video: str, end: int | None) -> tuple[str, float, dict[str, str]]:
    """The MOT text, frames a second, and the precision of each network."""
    tracker = Tracker.from_config(cfg, overrides=overrides)
    rows, started = [], time.perf_counter()
    for frame, tracks in tracker.track(video, end=end):
        rows.append(format_tracks(frame.index, tracks))
    rate = len(rows) / (time.perf_counter() - started)
    return "".join(rows), rate, {k: v["precision"] for k, v in tracker.record()["networks"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True)
    parser.add_argument("--gt", type=Path, required=True, help="a MOT15 sequence folder")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--only", default="", help="rows whose title has this in it")
    parser.add_argument("--end", type=int, help="last frame (scores then mean nothing)")
    parser.add_argument(
        "-o", dest="overrides", action="append", default=[], help="config key=value for all rows"
    )
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; {', '.join(args.overrides) or 'no overrides'}\n")
    print("| networks, tracker | precision | HOTA / MOTA / IDF1 | frames/s |\n|---|---|---|---|")
    for title, (cfg, overrides) in ROWS.items():
        if args.only in title:
            filled = [text.format(weights=args.weights) for text in (*overrides, *args.overrides)]
            text, rate, precision = run(cfg, filled, args.video, args.end)
            found = " / ".join(f"{value:.1f}" for value in scores(text, args.gt).values())
            print(f"| {title} | {', '.join(precision.values())} | {found} | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    main()
