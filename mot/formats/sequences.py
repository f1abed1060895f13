"""Benchmark folders as they lie on disk: which sequences there are, their ground truth, and their results.

MOT17/train/MOT17-02-FRCNN/{seqinfo.ini, gt/gt.txt, det/det.txt, img1/000001.jpg …}    MOT15, MOT16, MOT20 alike
dancetrack/val/dancetrack0004/{seqinfo.ini, gt/gt.txt, img1/00000001.jpg …}     beside val: val_seqmap.txt
SportsMOT/dataset/val/v_00HRwkvvjtQ_c001/{seqinfo.ini, gt/gt.txt, img1/000001.jpg …}   splits_txt/val.txt
gt/mot_challenge/MOT17-train/MOT17-02-FRCNN/{seqinfo.ini, gt/gt.txt}    TrackEval: seqmaps/MOT17-train.txt
trackers/mot_challenge/MOT17-train/TRACKER/data/MOT17-02-FRCNN.txt      and its results
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mot.errors import ConfigError, FormatError, SourceError, nearest
from mot.formats.seqinfo import SeqInfo

Benchmark = Literal["MOT15", "MOT16", "MOT17", "MOT20", "DanceTrack", "SportsMOT"]
Detector = Literal["DPM", "FRCNN", "SDP"]

# Benchmark -> how its sequences, or a folder around them, are called.
NAMES: dict[Benchmark, str] = {
    "MOT15": r"(2d)?mot(20)?15.*|(adl-rundle|avg|eth|kitti|pets09|tud|venice)-\w+",
    "MOT16": r"mot(20)?16.*",
    "MOT17": r"mot(20)?17.*",
    "MOT20": r"mot(20)?20.*",
    "DanceTrack": r"dancetrack.*",
    "SportsMOT": r"sports_?mot.*|v_.+_c\d+",
}
SUMMARY = "pedestrian_summary.txt"  # TrackEval writes it beside the results


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """One sequence of a benchmark.

    Attributes:
        name: as its folder is called.
        folder: where it lies.
        length: number of frames.
        frame_rate: frames per second; None where seqinfo.ini does not say.
        width: of the images in pixels; None likewise.
        height: likewise.
        image_dir: folder of the images, whether it is there or not.
        image_extension: with its dot.
        benchmark: whose rules count.
        gt: the ground truth; None: there is none.
        det: the public detections; None: there are none.
    """

    name: str
    folder: Path
    length: int
    frame_rate: float | None
    width: int | None
    height: int | None
    image_dir: Path
    image_extension: str
    benchmark: Benchmark
    gt: Path | None
    det: Path | None


def find_sequences(
    root: str | Path,
    split: Detector | None = None,
    seqmap: str | Path | None = None,
    names: Iterable[str] | None = None,
    benchmark: Benchmark | None = None,
) -> list[Sequence]:
    """The sequences in a folder, by name, or as listed.

    Args:
        root: a split's folder (MOT17/train), or one sequence.
        split: of MOT17, which has each sequence three times, those of one public detector.
        seqmap: text file of names, one a line, `name` as the heading; None: that of TrackEval's tree, where it
            is one, else all.
        names: some of them, in this order.
        benchmark: None: told by the names of the sequence and of the folders around it, else by the columns of its
            ground truth (10: MOT15, which has no classes), else MOT17.

    Raises:
        SourceError: no folder, no sequence in it, or a sequence without seqinfo.ini.
        FormatError: a seqinfo.ini that does not say what it must.
        ConfigError: a name, split or benchmark that is not there.
    """
    root = Path(root)
    if benchmark is not None and benchmark not in NAMES:
        raise ConfigError(f"unknown benchmark {benchmark!r}; {nearest(benchmark, NAMES)}")
    folders = {folder.name: folder for folder in _sequence_folders(root)}
    own_map = root.resolve().parent / "seqmaps" / f"{root.resolve().name}.txt"
    if seqmap is None and own_map.is_file():
        seqmap = own_map
    listed = list(folders) if seqmap is None else _listed(Path(seqmap), folders)
    if split is not None:
        listed = [name for name in listed if name.endswith(f"-{split}")]
        if not listed:
            raise ConfigError(f"{root}: no sequence is called …-{split}; there are {', '.join(folders)}")
    chosen = listed if names is None else list(names)
    for name in chosen:
        if name not in listed:
            raise ConfigError(f"{root}: no sequence {name!r}; {nearest(name, listed)}")
    return [_sequence(folders[name], benchmark) for name in chosen]


def results(folder: str | Path, sequences: Collection[Sequence]) -> dict[str, Path]:
    """Each sequence's result file, NAME.txt.

    Args:
        folder: where they lie; or around it, as in TrackEval's tree (…/TRACKER/data/NAME.txt).
        sequences: those wanted; results of others that lie beside them on disk are left out.

    Raises:
        SourceError: no folder, no result, a sequence without one, or several trackers.
        FormatError: a result of a sequence that does not exist.
    """
    folder = _result_folder(Path(folder))
    found = {path.stem: path for path in sorted(folder.glob("*.txt")) if path.name != SUMMARY}
    wanted = {sequence.name for sequence in sequences}
    around = {sequence.folder.resolve().parent for sequence in sequences}
    for name in found:
        if name not in wanted and not any((place / name).is_dir() for place in around):
            raise FormatError(
                f"{found[name]}: result of an unknown sequence {name!r}; {nearest(name, wanted)}"
            )
    missing = [name for name in sorted(wanted) if name not in found]
    if missing:
        raise SourceError(
            f"{folder}: no result of {', '.join(missing)}; expected one NAME.txt for each sequence"
        )
    return {sequence.name: found[sequence.name] for sequence in sequences}


def frame_range(text: str, length: int) -> range:
    """The frames that `first-half`, `second-half` or `A-B` means; the metrics' length is that of the range.

    Halves as CenterTrack and ByteTrack cut them for half-validation: of 600 frames 1-301 and 302-600.

    Raises:
        ConfigError: something else, or frames that a sequence of `length` frames does not have.
    """
    middle = min(length // 2 + 1, length)
    halves = {"first-half": range(1, middle + 1), "second-half": range(middle + 1, length + 1)}
    numbers = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text)
    if text not in halves and numbers is None:
        raise ConfigError(f"frames {text!r}: expected A-B, such as 1-100, or a half; {nearest(text, halves)}")
    frames = halves[text] if numbers is None else range(int(numbers[1]), int(numbers[2]) + 1)
    if not frames or frames.start < 1 or frames[-1] > length:
        raise ConfigError(f"frames {text!r}: a sequence of {length} frames does not have them")
    return frames


def check_images(sequence: Sequence, frames: range | None = None) -> list[Path]:
    """The images of `frames`, None: of all, in order.

    Raises:
        SourceError: the folder or an image is missing; names the first.
    """
    folder, extension = sequence.image_dir, sequence.image_extension
    if not folder.is_dir():
        raise SourceError(f"{sequence.name}: no images: there is no folder {str(folder)!r}")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() == extension.lower()]
    numbered = {int(path.stem): path for path in files if re.fullmatch(r"[0-9]+", path.stem)}
    width = len(next(iter(numbered.values())).stem) if numbered else 6
    wanted = range(1, sequence.length + 1) if frames is None else frames
    for frame in wanted:
        if frame not in numbered:
            there = sum(1 <= number <= sequence.length for number in numbered)
            raise SourceError(
                f"{sequence.name}: {folder.name}/{frame:0{width}d}{extension} is missing: "
                f"{there} of {sequence.length} images are there"
            )
    return [numbered[frame] for frame in wanted]


def _sequence_folders(root: Path) -> list[Path]:
    """`root` itself, or the sequences in it."""
    if not root.is_dir():
        raise SourceError(f"no folder {str(root)!r}")
    found = [folder for folder in (root.resolve(), *sorted(root.iterdir())) if _is_sequence(folder)]
    if not found:
        inner = [f.name for f in sorted(root.iterdir()) if f.is_dir() and any(map(_is_sequence, f.iterdir()))]
        hint = f"; give one of the folders in it: {', '.join(inner)}" if inner else ""
        raise SourceError(f"{root}: no sequences (folders with a seqinfo.ini) here{hint}")
    return found[:1] if found[0] == root.resolve() else found


def _is_sequence(folder: Path) -> bool:
    return any((folder / part).exists() for part in ("seqinfo.ini", "gt/gt.txt", "det/det.txt", "img1"))


def _listed(seqmap: Path, folders: dict[str, Path]) -> list[str]:
    """The names in a seqmap, each once; `name` is the heading that TrackEval wants."""
    try:
        lines = seqmap.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{seqmap}: not readable as a list of sequences: {error}") from None
    listed: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        name = line.partition(",")[0].strip()
        if not name or (number == 1 and name.lower() == "name"):
            continue
        if name not in folders:
            raise FormatError(f"{seqmap}, line {number}: no sequence {name!r}; {nearest(name, folders)}")
        listed[name] = None
    if not listed:
        raise FormatError(f"{seqmap}: lists no sequence")
    return list(listed)


def _sequence(folder: Path, benchmark: Benchmark | None) -> Sequence:
    info = SeqInfo(folder)
    gt, det = (folder / name / f"{name}.txt" for name in ("gt", "det"))
    return Sequence(
        name=folder.name,
        folder=folder,
        length=info.length,
        frame_rate=info.number("frameRate"),
        width=info.whole("imWidth"),
        height=info.whole("imHeight"),
        image_dir=folder / info.text("imDir", "img1"),
        image_extension=info.text("imExt", ".jpg"),
        benchmark=benchmark or _benchmark(folder, gt),
        gt=gt if gt.is_file() else None,
        det=det if det.is_file() else None,
    )


def _benchmark(folder: Path, gt: Path) -> Benchmark:
    """Told by the names of the folder and those around it, from the inside out, else by the columns of `gt`."""
    for part in (folder.name, *reversed(folder.resolve().parent.parts)):
        for benchmark, pattern in NAMES.items():
            if re.fullmatch(pattern, part, re.IGNORECASE):
                return benchmark
    if not gt.is_file():
        return "MOT17"
    with gt.open(encoding="utf-8", errors="replace") as file:
        return "MOT15" if file.readline().rstrip().removesuffix(",").count(",") == 9 else "MOT17"


def _result_folder(folder: Path) -> Path:
    """The folder in or below `folder` that holds results, nearest first."""
    if not folder.is_dir():
        raise SourceError(f"no folder {str(folder)!r}")
    for below in ("", "data/", "*/data/", "*/*/data/", "*/*/*/data/"):
        found = sorted({path.parent for path in folder.glob(below + "*.txt") if path.name != SUMMARY})
        if len(found) > 1:
            trackers = ", ".join(str(f.parent.relative_to(folder)) for f in found)
            raise SourceError(f"{folder}: results of several trackers; give the folder of one: {trackers}")
        if found:
            return found[0]
    raise SourceError(f"{folder}: no results (NAME.txt) here")
