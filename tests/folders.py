"""Benchmark folders in the shape that they have on disk, with two people who walk to the right."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LENGTH = 6
# How each benchmark writes a row of ground truth after frame, id and box, and how it numbers its images.
ENDINGS = {
    "MOT15": ("1,-1,-1,-1", 6),
    "MOT16": ("1,1,1", 6),
    "MOT17": ("1,1,0.86014", 6),
    "MOT20": ("1,1,1", 6),
    "DanceTrack": ("1,1,1", 8),
    "SportsMOT": ("1, 1, 1", 6),
}
# Benchmark -> the split's folder and some of its sequences.
SHAPES = {
    "MOT15": ("2DMOT2015/train", ["ADL-Rundle-6", "TUD-Campus"]),
    "MOT16": ("MOT16/train", ["MOT16-02", "MOT16-04"]),
    "MOT17": ("MOT17/train", [f"MOT17-{n}-{d}" for n in ("02", "04") for d in ("DPM", "FRCNN", "SDP")]),
    "MOT20": ("MOT20/train", ["MOT20-01"]),
    "DanceTrack": ("dancetrack/val", ["dancetrack0004", "dancetrack0005"]),
    "SportsMOT": ("SportsMOT/dataset/val", ["v_00HRwkvvjtQ_c001", "v_-6Os86HzwCs_c003"]),
}


def truth(benchmark: str, length: int = LENGTH) -> str:
    """Ground truth of two people, sorted by person as MOT17 has it."""
    ending, _ = ENDINGS[benchmark]
    glue = ", " if benchmark == "SportsMOT" else ","
    return "".join(
        glue.join([str(frame), str(person), str(10 * frame), str(50 * person), "20", "40", ending]) + "\n"
        for person in (1, 2)
        for frame in range(1, length + 1)
    )


def result(length: int = LENGTH) -> str:
    """A result of the first of them, the score in column 7."""
    return "".join(f"{f},1.0,{10 * f}.5,50,20,40,0.9,-1,-1,-1\n" for f in range(1, length + 1))


def sequence(
    folder: Path, benchmark: str = "MOT17", length: int = LENGTH, gt: str | None = "", images: bool = False
) -> Path:
    """One sequence; `gt` is its ground truth, "" the usual one, None: none, as in a test split."""
    _, digits = ENDINGS[benchmark]
    (folder / "img1").mkdir(parents=True)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=25\nseqLength={length}\n"
        "imWidth=640\nimHeight=480\nimExt=.jpg\n\n"
    )
    if gt is not None:
        (folder / "gt").mkdir()
        (folder / "gt" / "gt.txt").write_text(gt or truth(benchmark, length))
    if benchmark.startswith("MOT"):
        (folder / "det").mkdir()
        (folder / "det" / "det.txt").write_text("1,-1,10,50,20,40,-0.7,-1,-1,-1\n")
    for frame in range(1, length + 1 if images else 1):
        (folder / "img1" / f"{frame:0{digits}d}.jpg").write_bytes(b"")
    return folder


def benchmark_folder(root: Path, benchmark: str, images: bool = False) -> Path:
    """A benchmark as it is unpacked; gives the folder of its split."""
    inner, names = SHAPES[benchmark]
    for name in names:
        sequence(root / inner / name, benchmark, images=images)
    test = {"train": "test", "val": "test"}[inner.rpartition("/")[2]]
    sequence(root / inner / ".." / test / f"{names[-1]}-test", benchmark, gt=None)
    if benchmark == "DanceTrack":
        (root / inner / ".." / "val_seqmap.txt").write_text("name\n" + "\n".join(names) + "\n")
    if benchmark == "SportsMOT":
        (root / "SportsMOT" / "splits_txt").mkdir()
        (root / "SportsMOT" / "splits_txt" / "val.txt").write_text("\n".join(names))
    return root / inner


def trackeval_tree(root: Path, names: Iterable[str], tracker: str = "ours") -> tuple[Path, Path]:
    """TrackEval's data folder; gives that of the ground truth and that of the tracker's results."""
    gt = root / "gt" / "mot_challenge" / "MOT17-train"
    data = root / "trackers" / "mot_challenge" / "MOT17-train" / tracker / "data"
    data.mkdir(parents=True)
    for name in names:
        sequence(gt / name)
        (data / f"{name}.txt").write_text(result())
    (gt.parent / "seqmaps").mkdir()
    (gt.parent / "seqmaps" / "MOT17-train.txt").write_text("name\n" + "\n".join(names) + "\n")
    (data.parent / "pedestrian_summary.txt").write_text("HOTA\n50\n")
    return gt, data.parent
