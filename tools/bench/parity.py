"""Every frame of the official implementations' outputs against ours, on the same detections.

    tools/parity RUNS DATA [--only NAME…] [--out DIR]

RUNS is a folder like `reference_runs`: a folder a run with the official output of each sequence, `compare.py`,
and the recipes `make_embeddings.py` and `make_warps.py`. DATA holds `mot15/train` and `mot17/train`. Prints a line
a run and sequence; exit status 1 if any frame differs.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import importlib.util
import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.formats.mot_text import format_tracks, read_detections
from mot.structures import Detections
from mot.trackers import TRACKERS


@dataclass(frozen=True)
class Run:
    """How an official run was made.

    Attributes:
        tracker: a key of `TRACKERS`.
        changes: what of its config differs from our defaults.
        embedded: it was given embeddings.
        warped: it was given camera warps.
        exact: every frame must be the same; else the share that differs is only told.
    """

    tracker: str
    changes: dict[str, Any] = field(default_factory=dict)
    embedded: bool = False
    warped: bool = False
    exact: bool = True


V2 = {
    "min_confidence": 0.8,
    "nms_max_overlap": 0.5,
    "max_cosine_distance": 0.1,
    "nn_budget": 5,
    "max_iou_distance": 0.5,
    "max_age": 10,
    "n_init": 2,
}
FAIRMOT = {
    "score_threshold": 0.4,
    "metric": "cosine",
    "match_threshold": 0.4,
    "confirm_first_frame": True,
}
RUNS = {
    "sort": Run("SORT"),
    "bytetrack": Run("ByteTrack"),
    "deepsort": Run("DeepSORT", embedded=True),
    "deepsort_v2": Run("DeepSORT", V2, embedded=True),
    "ocsort": Run("OCSORT"),
    "ocsort_byte": Run("OCSORT", {"use_byte": True}),
    "botsort": Run("BoTSORT"),
    "botsort_warp": Run("BoTSORT", warped=True),
    "botsort_reid": Run("BoTSORT", {"with_reid": True}, embedded=True),
    "jde": Run("JDETracker", embedded=True),
    "fairmot": Run("JDETracker", FAIRMOT, embedded=True),
    "strongsort": Run("StrongSORT", embedded=True),
    "strongsort_ecc": Run("StrongSORT", embedded=True, warped=True),
    "deepocsort": Run("DeepOCSORT", embedded=True),
    # The official code warps the newest observation twice, and misses a warp; its run may differ from a clean one.
    "deepocsort_warp": Run("DeepOCSORT", {"official_warp": True}, embedded=True, warped=True, exact=False),
    "hybridsort": Run("HybridSORT"),
}


@dataclass(frozen=True)
class Result:
    """One run on one sequence: what compare.py found, and how many frames there are."""

    run: str
    sequence: str
    frames: int
    found: dict[str, Any]

    @property
    def same(self) -> bool:
        """No box and no identity differs, and there was something to compare."""
        found = self.found
        return bool(
            found["frames_differ"] == found["id_breaks"] == 0 and found["paired"] == found["rows_b"] > 0
        )

    def __str__(self) -> str:
        found = self.found
        share = f"{found['frames_differ'] / self.frames:.2%} of {self.frames} frames differ"
        breaks = f"{found['id_breaks']} id breaks"
        verdict = "same" if self.same else f"first at {found['first_frame'] or found['first_id_break']}"
        return f"{self.run:16} {self.sequence:16} {found['paired']:6} rows, {share}, {breaks}: {verdict}"


@cache
def module(path: Path) -> ModuleType:
    """A script of the RUNS folder as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@cache
def embeddings(recipe: Path, sequence: Path) -> NDArray[np.float32]:
    """The vectors of a sequence's det.txt, row by row, by the official recipe; kept among the temporary files."""
    inputs = (recipe, sequence / "det" / "det.txt", sequence / "gt" / "gt.txt")
    key = hashlib.sha256(sequence.name.encode() + b"".join(path.read_bytes() for path in inputs)).hexdigest()
    cached = Path(tempfile.gettempdir()) / "mot_parity_embeddings" / f"{key[:32]}.npy"
    if not cached.exists():
        cached.parent.mkdir(exist_ok=True)
        part = cached.with_name(f"{key[:32]}.{os.getpid()}.npy")
        subprocess.run([sys.executable, recipe, sequence, part], check=True, capture_output=True)
        part.replace(cached)
    made: NDArray[np.float32] = np.load(cached)
    return made


def warps(recipe: Path, count: int) -> list[NDArray[np.float64]]:
    """The 2x3 affine of every frame."""
    rows = [line.split() for line in module(recipe).lines(count)]
    return [np.array(row[1:], np.float64).reshape(2, 3) for row in rows]


def frames_of(sequence: Path, recipe: Path | None) -> list[Detections]:
    """The detections of every frame, 1 to the sequence's length, rows in file order."""
    path = sequence / "det" / "det.txt"
    found = read_detections(path)
    numbers = np.array([int(float(line.split(",")[0])) for line in path.read_text().splitlines()])
    vectors = None if recipe is None else embeddings(recipe, sequence)
    out = []
    for frame in range(1, int(info(sequence)["seqLength"]) + 1):
        here = found.get(frame, Detections.empty())
        if vectors is not None and len(here):
            here = Detections(xyxy=here.xyxy, scores=here.scores, embeddings=vectors[numbers == frame])
        out.append(here)
    return out


def info(sequence: Path) -> dict[str, str]:
    """The entries of seqinfo.ini."""
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(sequence / "seqinfo.ini")
    return dict(parser["Sequence"])


def track(run: Run, sequence: Path, runs: Path) -> str:
    """Our MOT text of the run, six decimals."""
    config_class, build = TRACKERS[run.tracker]
    changes = dict(run.changes)
    if "frame_rate" in {each.name for each in fields(config_class)}:
        changes["frame_rate"] = float(info(sequence)["frameRate"])
    tracker = build(config_class(**changes))
    frames = frames_of(sequence, runs / "make_embeddings.py" if run.embedded else None)
    more: list[dict[str, Any]] = [{} for _ in frames]
    if run.warped:
        more = [{"warp": warp} for warp in warps(runs / "make_warps.py", len(frames))]
    rows = zip(frames, more, strict=True)
    return "".join(
        format_tracks(i, tracker.update(d, **m), decimals=6) for i, (d, m) in enumerate(rows, start=1)
    )


def compare(name: str, sequence: Path, runs: Path, out: Path) -> Result:
    """Write our text to out/RUN/SEQ.txt and compare it with the official one."""
    ours = out / name / f"{sequence.name}.txt"
    ours.parent.mkdir(parents=True, exist_ok=True)
    ours.write_text(track(RUNS[name], sequence, runs))
    found = module(runs / "compare.py").compare(ours, runs / name / ours.name)
    return Result(name, sequence.name, int(info(sequence)["seqLength"]), found)


def jobs(runs: Path, data: Path, only: list[str]) -> Iterator[tuple[str, Path]]:
    """Every run that we know and the sequences that are stored for it."""
    for name in only or RUNS:
        if name not in RUNS:
            raise SystemExit(f"parity: unknown run {name!r}; known: {', '.join(RUNS)}")
        for path in sorted((runs / name).glob("*.txt")):
            found = [folder for folder in data.glob(f"mot1*/train/{path.stem}") if folder.is_dir()]
            if not found:
                raise SystemExit(f"parity: no sequence {path.stem} under {data}/mot15/train or mot17/train")
            yield name, found[0]


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="tools/parity", description=inspect.cleandoc(__doc__).splitlines()[0]
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor() as pool:
        out = args.out or Path(folder)
        todo = list(jobs(args.runs.resolve(), args.data.resolve(), args.only))
        futures = [pool.submit(compare, name, sequence, args.runs.resolve(), out) for name, sequence in todo]
        failed = 0
        for future in futures:
            result = future.result()
            print(result, flush=True)
            failed += RUNS[result.run].exact and not result.same
    print(f"{len(todo)} comparisons, {failed} differ" if todo else "parity: nothing to compare")
    return 1 if failed or not todo else 0


if __name__ == "__main__":
    sys.exit(main())
