"""Every result that we claim, made again from pinned inputs, and compared with the figures pinned beside them.

    tools/reproduce [NAME…] [--data DIR] [--cache DIR] [--list]

`public-…`: a tracker on the public detections, against what its official code's output scores. `vtest-…`: vtest.avi
from pixels to scores, in float32 on a CPU. Prints a line a result. Exit status 1 if one is off by more than its
tolerance, or an input is not the one that was pinned; 2 if an input is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import parity

from mot.engine.cache import Remembering, key_of
from mot.engine.evaluate import prepared
from mot.engine.tracker import Tracker
from mot.errors import MotError, nearest
from mot.formats.mot_text import format_tracks
from mot.formats.sequences import find_sequences
from mot.metrics import Counts, combine, count, scores

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Triple = tuple[float, float, float]
METRICS = ("HOTA", "MOTA", "IDF1")


@dataclass(frozen=True)
class Input:
    """Files that a result is made from.

    Attributes:
        what: they are, for messages.
        files: below the data folder.
        sha256: of all of them, one after another, as `cat FILES | sha256sum` gives it.
    """

    what: str
    files: tuple[str, ...]
    sha256: str


MOT15 = "ADL-Rundle-6 ETH-Sunnyday KITTI-17 PETS09-S2L1 TUD-Campus TUD-Stadtmitte".split()
MOT17 = "MOT17-02-FRCNN MOT17-04-FRCNN MOT17-09-FRCNN".split()
SEQUENCES = (*(f"mot15/train/{name}" for name in MOT15), *(f"mot17/train/{name}" for name in MOT17))
PETS = "mot15/train/PETS09-S2L1"  # its pictures are vtest.avi, frame by frame
DETECTIONS = Input(
    "detections and their ground truth",
    tuple(f"{each}/{file}" for each in SEQUENCES for file in ("det/det.txt", "gt/gt.txt", "seqinfo.ini")),
    "564a856344167fd1816ecd3b1037201fa525a6decaf769ac57eb0c014c2c15a2",
)
RECIPES = Input(
    "recipes of vectors and warps",
    ("reference_runs/make_embeddings.py", "reference_runs/make_warps.py"),
    "f5eae587ec95ac1b54c6a3d28f065196f0ec5c8ae3d5579e55eb9ce8e0ed0efb",
)
VIDEO = Input(
    "pictures", ("video/vtest.avi",), "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
)
TRUTH = Input(
    "boxes of the video's ground truth",
    (f"{PETS}/gt/gt.txt", f"{PETS}/seqinfo.ini"),
    "95cc7a10c8e4fc1a256a7554868f9736d84bbb53201315102f756bb4396eb8d3",
)


@dataclass(frozen=True)
class Public:
    """A tracker on the public detections; shown with 3 decimals.

    Attributes:
        run: a key of `parity.RUNS`, which says the tracker, its parameters, and whether it has vectors and warps.
        mot15: HOTA, MOTA, IDF1 in percent of the MOT15 sequences together.
        mot17: of those of MOT17.
        both: of all of them.
        tolerance: how far a figure may be off.
        detections: what is tracked.
    """

    run: str
    mot15: Triple
    mot17: Triple
    both: Triple
    tolerance: float = 0.001  # the figures are rounded, and so is the text that is scored
    detections: Input = DETECTIONS
    decimals = 3

    @property
    def expected(self) -> Mapping[str, Triple]:
        """The figures of each part."""
        return {"MOT15": self.mot15, "MOT17": self.mot17, "ALL": self.both}

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it is made from."""
        run = parity.RUNS[self.run]
        return (self.detections, RECIPES) if run.embedded or run.warped else (self.detections,)


@dataclass(frozen=True)
class Whole:
    """vtest.avi end to end; shown with 2 decimals. Weights are checked by the manifest's hashes on every load.

    Attributes:
        config: a config that ships, by its bare name.
        figures: HOTA, MOTA, IDF1 in percent.
        overrides: `a.b=c` texts that change it.
        tolerance: how far a figure may be off.
        video: what is tracked.
    """

    config: str
    figures: Triple
    overrides: tuple[str, ...] = ()
    tolerance: float = 0.3  # another CPU rounds otherwise
    video: Input = VIDEO
    decimals = 2

    @property
    def expected(self) -> Mapping[str, Triple]:
        """The figures of its one part."""
        return {"vtest.avi": self.figures}

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it is made from."""
        return (self.video, TRUTH)


FIXED = ("runtime.precision=fp32", "runtime.device=cpu", "runtime.threads=1")
AS_PUBLISHED = ("tracker.nn_nearest=1",)
OSNET = ("reid_weights=osnet_x0_25_msmt17_onnx",)
PUBLIC = (
    # reference_runs/README.md, "Measured": what the official code's output scores
    Public("sort", (39.374, 53.489, 49.119), (45.247, 48.218, 51.238), (44.412, 49.058, 50.841)),
    Public("bytetrack", (41.232, 52.943, 52.880), (48.264, 48.419, 56.513), (47.203, 49.140, 55.808)),
    Public("deepsort", (47.591, 54.110, 66.150), (48.397, 48.487, 56.883), (48.555, 49.382, 58.681)),
    Public("ocsort", (39.625, 50.646, 53.850), (48.348, 47.360, 56.216), (47.090, 47.884, 55.773)),
    Public("ocsort_byte", (39.525, 50.270, 54.027), (48.587, 47.924, 56.169), (47.261, 48.298, 55.766)),
    Public("botsort", (41.801, 52.788, 54.935), (48.979, 48.635, 56.603), (47.924, 49.297, 56.278)),
    Public("botsort_warp", (41.418, 52.448, 54.401), (48.573, 48.613, 56.265), (47.519, 49.224, 55.902)),
    Public("botsort_reid", (42.350, 53.320, 55.728), (49.008, 48.645, 56.661), (48.050, 49.389, 56.479)),
    Public("jde", (44.125, 53.179, 59.566), (48.396, 48.147, 57.043), (47.851, 48.948, 57.528)),
    Public("fairmot", (45.429, 54.509, 61.964), (48.576, 48.362, 57.237), (48.249, 49.341, 58.147)),
    Public("strongsort", (44.575, 51.156, 62.860), (48.931, 48.155, 57.047), (48.453, 48.633, 58.182)),
    Public("strongsort_ecc", (44.496, 51.806, 62.818), (48.930, 48.149, 57.046), (48.436, 48.732, 58.170)),
    Public("deepocsort", (41.569, 51.237, 58.717), (48.202, 47.394, 55.884), (47.325, 48.006, 56.414)),
    Public("deepocsort_warp", (41.948, 50.993, 59.670), (48.024, 47.398, 55.604), (47.249, 47.971, 56.364)),
    Public("hybridsort", (39.492, 51.340, 52.552), (48.480, 47.914, 56.265), (47.162, 48.460, 55.565)),
    # measured here: the official code was run on PETS09-S2L1 only, where tools/parity finds every frame the same
    Public("deepsort_v2", (33.080, 49.029, 38.552), (45.524, 47.640, 52.089), (43.580, 47.861, 49.554)),
)
PINNED: dict[str, Public | Whole] = {
    **{f"public-{row.run}": row for row in PUBLIC},
    # measured here, and shown by README.md with one decimal
    "vtest-sort": Whole("sort.yml", (33.642, 66.823, 36.408)),
    "vtest-bytetrack": Whole("bytetrack.yml", (45.198, 74.933, 55.478)),
    "vtest-deepsort": Whole("deepsort.yml", (55.782, 73.280, 78.649)),
    "vtest-ocsort": Whole("ocsort.yml", (33.934, 57.417, 46.096)),
    "vtest-botsort": Whole("botsort.yml", (46.674, 76.206, 56.540)),
    "vtest-hybridsort": Whole("hybridsort.yml", (43.831, 72.073, 57.146)),
    "vtest-strongsort": Whole("strongsort.yml", (47.439, 72.073, 66.092)),
    "vtest-deepocsort": Whole("deepocsort.yml", (35.369, 57.775, 49.087)),
    "vtest-botsort_reid": Whole("botsort_reid.yml", (62.458, 79.759, 87.398)),
    # as published (the minimum over the gallery), on the same boxes: the official association, our own crops
    "vtest-deepsort-official": Whole(
        "deepsort.yml", (49.244, 72.855, 65.141), ("reid.model=mobilenetv2", *AS_PUBLISHED)
    ),
    "vtest-deepsort-official-osnet": Whole("deepsort.yml", (52.544, 72.811, 72.312), (*OSNET, *AS_PUBLISHED)),
}


@cache
def sha256_of(data: Path, files: tuple[str, ...]) -> str:
    """Of the files one after another."""
    digest = hashlib.sha256()
    for file in files:
        digest.update((data / file).read_bytes())
    return digest.hexdigest()


def missing(data: Path, names: list[str]) -> list[str]:
    """The files that the results need and that are not there."""
    wanted = dict.fromkeys(file for name in names for each in PINNED[name].inputs for file in each.files)
    return [file for file in wanted if not (data / file).is_file()]


def changed(data: Path, row: Public | Whole) -> str | None:
    """What is not as it was pinned, for people; None: all is."""
    for each in row.inputs:
        found = sha256_of(data, each.files)
        if found != each.sha256:
            return f"the {each.what} are not those that were pinned: sha256 {found}, pinned {each.sha256}"
    return None


def percent(counts: Counts) -> Triple:
    """HOTA (the mean over its thresholds), MOTA and IDF1."""
    found = scores(counts)
    hota, mota, idf1 = (100 * float(np.mean(found[name])) for name in METRICS)
    return hota, mota, idf1


def counts_of(text: str, folder: Path) -> Counts:
    """Of MOT text against the ground truth in a sequence's folder."""
    (sequence,) = find_sequences(folder)
    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / f"{sequence.name}.txt"
        path.write_text(text)
        return count(prepared(sequence, path))


def counts_of_run(run: str, folder: Path, runs: Path) -> Counts:
    """One run on one sequence: the work of a process."""
    return counts_of(parity.track(parity.RUNS[run], folder, runs), folder)


def together(counts: Mapping[str, Counts]) -> dict[str, Triple]:
    """The scores of each part, from the counts of each sequence, by its path."""
    parts = {"MOT15": "mot15/", "MOT17": "mot17/", "ALL": ""}
    return {
        part: percent(combine([each for path, each in counts.items() if path.startswith(begin)]))
        for part, begin in parts.items()
    }


def score_public(rows: Mapping[str, Public], data: Path) -> Iterator[tuple[str, dict[str, Triple]]]:
    """The scores of each row and part, two processes at work."""
    runs = data / "reference_runs"
    with ProcessPoolExecutor(2) as pool:
        todo = {
            name: {path: pool.submit(counts_of_run, row.run, data / path, runs) for path in SEQUENCES}
            for name, row in rows.items()
        }
        for name, futures in todo.items():
            yield name, together({path: future.result() for path, future in futures.items()})


def score_whole(row: Whole, data: Path, folder: Path) -> dict[str, Triple]:
    """The scores of vtest.avi; what networks see is kept in `folder`, so that other rows need not look again."""
    if (data / "weights").is_dir():
        os.environ.setdefault("MOT_WEIGHTS", str(data / "weights"))
    (video,) = (data / file for file in row.video.files)
    tracker = Tracker.from_config(row.config, overrides=[*FIXED, *row.overrides])
    seen = Remembering(tracker, folder, key_of([video]))
    tracked = tracker.track(video, observe=seen, follow=seen.follow)
    text = "".join(format_tracks(frame.index, tracks) for frame, tracks in tracked)
    seen.keep()
    return {"vtest.avi": percent(counts_of(text, data / PETS))}


def results(names: list[str], data: Path, folder: Path) -> Iterator[tuple[str, dict[str, Triple]]]:
    """The scores of each row, the public ones first."""
    rows = {name: PINNED[name] for name in names}
    yield from score_public({name: row for name, row in rows.items() if isinstance(row, Public)}, data)
    for name, row in rows.items():
        if isinstance(row, Whole):
            yield name, score_whole(row, data, folder)


def shown(figures: Triple, decimals: int) -> str:
    """HOTA / MOTA / IDF1."""
    return " / ".join(f"{value:.{decimals}f}" for value in figures)


def verdict(row: Public | Whole, part: str, found: Triple) -> str:
    """`same`, or which metric drifted most and by how much."""
    gaps = {name: b - a for name, a, b in zip(METRICS, row.expected[part], found, strict=True)}
    worst = max(gaps, key=lambda name: abs(gaps[name]))
    if abs(gaps[worst]) <= row.tolerance:
        return "same"
    return f"DRIFT by {gaps[worst]:+.{row.decimals}f} {worst} (tolerance {row.tolerance:g})"


def reproduce(names: list[str], data: Path, folder: Path) -> int:
    """Print a line a result; how many drifted."""
    drifted, total = 0, sum(len(PINNED[name].expected) for name in names)
    stale = {name: text for name in names if (text := changed(data, PINNED[name]))}
    for name, text in stale.items():
        print(f"{name:30} DRIFT: {text}", flush=True)
        drifted += len(PINNED[name].expected)
    for name, parts in results([name for name in names if name not in stale], data, folder):
        row = PINNED[name]
        for part, found in parts.items():
            said = verdict(row, part, found)
            drifted += said != "same"
            pinned, now = shown(row.expected[part], row.decimals), shown(found, row.decimals)
            print(f"{name:30} {part:9} expected {pinned}, found {now}: {said}", flush=True)
    print(f"{total} results, {total - drifted} same, {drifted} drifted")
    return drifted


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    names, data = list(dict.fromkeys(args.names)) or list(PINNED), args.data.resolve()
    for name in names:
        if name not in PINNED:
            raise MotError(f"unknown result {name!r}; {nearest(name, PINNED)}")
    if args.list:
        for name in names:
            parts = PINNED[name].expected.items()
            print(f"{name:30} {'; '.join(f'{k} {shown(v, PINNED[name].decimals)}' for k, v in parts)}")
        return 0
    if gone := missing(data, names):
        raise MotError(
            f"{data}: {len(gone)} files are missing, the first is {gone[0]}; --data says where they are"
        )
    with tempfile.TemporaryDirectory() as folder:
        return 1 if reproduce(names, data, args.cache or Path(folder)) else 0


def main(argv: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="tools/reproduce", description=inspect.cleandoc(__doc__).splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="results (default: all)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the inputs (default: %(default)s)")
    parser.add_argument(
        "--cache",
        type=Path,
        help="keep what networks see of the video here (changed code of theirs is not noticed)",
    )
    parser.add_argument("--list", action="store_true", help="show the pinned figures, and do nothing")
    try:
        return run(parser.parse_args(argv))
    except MotError as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
