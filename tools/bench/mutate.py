"""One wrong rule at a time, in a copy of the package: the tests must notice every one.

    tools/mutate [--only TRACKER…]

Prints a line a rule; exit status 1 if one survives. The golden numbers are tried first, then all tests of the trackers
(with the reference runs, where ../shared is there).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    """A wrong rule: in `file` of mot/, `old` (which stands there) becomes `new`."""

    tracker: str
    rule: str
    file: str
    old: str
    new: str


NO_TESTS = 5  # pytest's status where nothing was selected
# The reference runs of each tracker, by names that no other run contains.
RUNS_OF = {
    "SORT": ["output[sort]"],
    "DeepSORT": ["output[deepsort"],
    "ByteTrack": ["bytetrack"],
    "BoTSORT": ["botsort"],
    "JDETracker": ["jde", "fairmot"],
    "StrongSORT": ["strongsort"],
    "OCSORT": ["output[ocsort"],
    "DeepOCSORT": ["deepocsort"],
    "HybridSORT": ["hybridsort"],
}
SORT, DEEP, FAMILY = "trackers/sort.py", "trackers/deep.py", "trackers/bytefamily.py"
OC = "trackers/observations.py"
LIMITED = "assignment.match_limited(cost, limit)"
CLAMPED = "assignment.match_clamped(cost[np.ix_(rows, left)], max_cost)"
INSIDE = (
    "assignment.match(-(overlap + np.where(possible, gain(), 0.0)), np.inf)",
    "assignment.match_limited(1 - (overlap + np.where(possible, gain(), 0.0)), 1 - threshold)",
)
LOST_TOO = ("state == TrackState.CONFIRMED), first.rows", "state != TrackState.TENTATIVE), first.rows")
MUTANTS = (
    Mutant("SORT", "IoU + 1 pixel", SORT, "boxes.iou(predicted, xyxy)", "boxes.iou(predicted, xyxy, 1.0)"),
    Mutant(
        "SORT",
        "gate inside the solve",
        SORT,
        "assignment.match_iou(iou, self.config.iou_threshold)",
        "assignment.match_limited(1 - iou, 1 - self.config.iou_threshold)",
    ),
    Mutant("SORT", "one frame more", SORT, "<= self.config.max_age)", "<= self.config.max_age + 1)"),
    Mutant("SORT", "one frame less", SORT, "<= self.config.max_age)", "< self.config.max_age)"),
    Mutant("SORT", "hits not in a row", SORT, '["misses"] > 0] = 0', '["misses"] > 1] = 0'),
    Mutant("DeepSORT", "IoU + 1 pixel", DEEP, "boxes.iou(predicted, xyxy[left])", "boxes.iou(predicted, xyxy[left], 1.0)"),
    # a limit inside the solve would be no wrong rule here: with clamped costs it comes to the same
    Mutant("DeepSORT", "oldest first", DEEP, "for age in ages]", "for age in ages[::-1]]"),
    Mutant("DeepSORT", "overlap for the long lost", DEEP, '(table["misses"] <= dt)', '(table["misses"] <= dt + 1)'),
    # DeepSORT's age is decided by the cascade: a track dropped one frame earlier or later could not be matched anyway
    Mutant("DeepSORT", "one frame less", DEEP, "(misses <= max_age)", "(misses < max_age)"),
    Mutant("DeepSORT", "no motion gate", DEEP, "distance > CHI2_95[4]", "distance > np.inf"),
    Mutant("DeepSORT", "one look forgotten", "appearance.py", "% self._budget] = unit", "% max(1, self._budget - 1)] = unit"),
    Mutant("ByteTrack", "IoU of plain boxes", FAMILY, "_PIXEL = 1.0", "_PIXEL = 0.0"),
    Mutant("ByteTrack", "gate after the solve", FAMILY, LIMITED, "assignment.match(cost, limit)"),
    Mutant("ByteTrack", "no score fusion", FAMILY, "return 1.0 - (1.0 - distance) * scores", "return distance"),
    Mutant("ByteTrack", "fused in the low band", "trackers/bytetrack.py", "low_match_threshold, False)", "low_match_threshold, True)"),
    Mutant("ByteTrack", "low band for lost tracks", "trackers/bytetrack.py", *LOST_TOO),
    Mutant("ByteTrack", "tentative tracks first", "trackers/bytetrack.py", "state != TrackState.TENTATIVE)\n        first", "state != 99)\n        first"),
    Mutant("ByteTrack", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("ByteTrack", "one frame less", FAMILY, "misses >= limit + 2", "misses >= limit + 1"),
    Mutant("ByteTrack", "an expired track is forgiven", FAMILY, '(confirmed & table["expired"])', "(confirmed & ~confirmed)"),
    Mutant("ByteTrack", "tentative tracks predicted", FAMILY, 'moving = table["state"] != TrackState.TENTATIVE', 'moving = table["state"] != 99'),
    Mutant("ByteTrack", "duplicates stay", FAMILY, "DUPLICATE_DISTANCE = 0.15", "DUPLICATE_DISTANCE = 0.0"),
    Mutant("ByteTrack", "height goes on changing", FAMILY, "resting=slice(3, 4)", "resting=slice(0, 0)"),
    Mutant("BoTSORT", "low band for lost tracks", "trackers/botsort.py", *LOST_TOO),
    Mutant("BoTSORT", "looks not halved", "trackers/botsort.py", '"cosine") / 2', '"cosine")'),
    Mutant("BoTSORT", "confirmed tracks only", "trackers/botsort.py", "!= TrackState.LOST)\n        return", "== TrackState.CONFIRMED)\n        return"),
    Mutant("BoTSORT", "camera not followed", "trackers/botsort.py", "if moved is not None:", "if moved is None and steps == []:"),
    Mutant("BoTSORT", "width goes on changing", "trackers/botsort.py", "resting=slice(2, 4)", "resting=slice(3, 4)"),
    Mutant("JDETracker", "Euclid squared", FAMILY, "np.sqrt(2.0 * cosine)", "2.0 * cosine"),
    Mutant("JDETracker", "score renewed when found", "trackers/jde.py", "renew_found=False", "renew_found=True"),
    Mutant("JDETracker", "no motion gate", "trackers/jde.py", "> CHI2_95[4]", "> 1e9"),
    Mutant("JDETracker", "overlap for lost tracks", "trackers/jde.py", *LOST_TOO),
    Mutant("StrongSORT", "noise not by score", "trackers/strongsort.py", "if self.config.nsa:", "if not self.config.nsa:"),
    Mutant("StrongSORT", "motion not mixed in", "trackers/strongsort.py", "if self.config.mc else 1.0", "if not self.config.mc else 1.0"),
    Mutant("StrongSORT", "newest look only", "trackers/strongsort.py", "alpha * before + (1 - alpha) * unit(vectors)", "unit(vectors)"),
    Mutant("StrongSORT", "camera not followed", "trackers/strongsort.py", "if affine is not None:", "if affine is None and steps == []:"),
    Mutant("OCSORT", "IoU + 1 pixel", "trackers/ocsort.py", "boxes.iou(places, xyxy[strong])", "boxes.iou(places, xyxy[strong], 1.0)"),
    Mutant("OCSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("OCSORT", "no direction", OC, "np.where(possible, gain(), 0.0)", "0.0"),
    Mutant("OCSORT", "no re-update", OC, "back = missed[rows] & known[rows]", "back = missed[rows] & ~missed[rows]"),
    Mutant("OCSORT", "one frame more", "trackers/ocsort.py", "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("OCSORT", "low band last", "trackers/ocsort.py", "made,\n            strong,", "made,\n            faint,"),
    Mutant("OCSORT", "observations one frame older", OC, ">= table.time - delta_t - EPSILON", ">= table.time - delta_t - 1 - EPSILON"),
    Mutant("DeepOCSORT", "IoU + 1 pixel", "trackers/deepocsort.py", "predicted(table), xyxy[strong])", "predicted(table), xyxy[strong], 1.0)"),
    Mutant("DeepOCSORT", "no adaptive weights", "trackers/deepocsort.py", "if self.config.adaptive_weights:", "if not self.config.adaptive_weights:"),
    Mutant("DeepOCSORT", "looks without trust", "trackers/deepocsort.py", "(1 - least) * (1 - trust)", "(1 - least) * trust"),
    Mutant("DeepOCSORT", "one frame more", "trackers/deepocsort.py", "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("DeepOCSORT", "camera not followed", "trackers/deepocsort.py", "if affine is not None:", "if affine is None and steps == []:"),
    Mutant("HybridSORT", "plain IoU", "trackers/hybridsort.py", "return np.asarray(ratio * boxes.iou(a, b))", "return boxes.iou(a, b)"),
    Mutant("HybridSORT", "no TCM", "trackers/hybridsort.py", "- tcm[:, strong]", "- 0 * tcm[:, strong]"),
    Mutant("HybridSORT", "no TCM in the low band", "trackers/hybridsort.py", "            tcm_byte,\n", "            0 * tcm_byte,\n"),
    Mutant("HybridSORT", "one frame more", "trackers/hybridsort.py", "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("DeepSORT", "not clamped", DEEP, CLAMPED, "assignment.match(np.minimum(cost[np.ix_(rows, left)], 1e3), max_cost)"),
    Mutant("SORT", "one prediction less", SORT, "        motion.predict(", "        dt > 9 and motion.predict("),
    Mutant("DeepSORT", "one prediction less", DEEP, "    motion.predict(", "    dt > 9 and motion.predict("),
    Mutant("StrongSORT", "one prediction less", DEEP, "    motion.predict(", "    dt > 9 and motion.predict("),
    Mutant("ByteTrack", "one prediction less", FAMILY, "    motion.predict(", "    dt > 9 and motion.predict("),
    Mutant("BoTSORT", "one prediction less", FAMILY, "    motion.predict(", "    dt > 9 and motion.predict("),
    Mutant("JDETracker", "one prediction less", FAMILY, "    motion.predict(", "    dt > 9 and motion.predict("),
    Mutant("OCSORT", "one prediction less", OC, "        motion.predict(bank, process[0]", "        step > 9 and motion.predict(bank, process[0]"),
    Mutant("DeepOCSORT", "one prediction less", OC, "        motion.predict(bank, process[0]", "        step > 9 and motion.predict(bank, process[0]"),
    Mutant("HybridSORT", "one prediction less", OC, "        motion.predict(bank, process[0]", "        step > 9 and motion.predict(bank, process[0]"),
    Mutant("BoTSORT", "IoU of plain boxes", FAMILY, "_PIXEL = 1.0", "_PIXEL = 0.0"),
    Mutant("BoTSORT", "gate after the solve", FAMILY, LIMITED, "assignment.match(cost, limit)"),
    Mutant("BoTSORT", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("JDETracker", "IoU of plain boxes", FAMILY, "_PIXEL = 1.0", "_PIXEL = 0.0"),
    Mutant("JDETracker", "gate after the solve", FAMILY, LIMITED, "assignment.match(cost, limit)"),
    Mutant("JDETracker", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("BoTSORT", "no score fusion", FAMILY, "return 1.0 - (1.0 - distance) * scores", "return distance"),
    Mutant("StrongSORT", "IoU + 1 pixel", DEEP, "boxes.iou(predicted, xyxy[left])", "boxes.iou(predicted, xyxy[left], 1.0)"),
    Mutant("StrongSORT", "not clamped", DEEP, CLAMPED, "assignment.match(np.minimum(cost[np.ix_(rows, left)], 1e3), max_cost)"),
    Mutant("StrongSORT", "one frame more", DEEP, "TrackState.CONFIRMED, max_age, 0)", "TrackState.CONFIRMED, max_age + 1, 0)"),
    Mutant("StrongSORT", "overlap for the long lost", DEEP, '(table["misses"] <= dt)', '(table["misses"] <= dt + 1)'),
    Mutant("DeepOCSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("HybridSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("DeepOCSORT", "last observation unused", "trackers/deepocsort.py", "possible & known[:, None]", "possible & ~known[:, None]"),
    Mutant("HybridSORT", "low band last", "trackers/hybridsort.py", "made,\n            strong,", "made,\n            faint,"),
)  # fmt: skip


def survives(mutant: Mutant) -> bool:
    """Whether the tests pass with the wrong rule in place."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        for name in ("mot", "tests", "tools", "configs"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        if (ROOT.parent / "shared").is_dir():
            (Path(folder) / "shared").symlink_to(ROOT.parent / "shared")
        path = copy / "mot" / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) < 1:
            raise SystemExit(
                f"mutate: {mutant.tracker}, {mutant.rule}: {mutant.old!r} is not in {mutant.file}"
            )
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return all(passes(copy, *selection) for selection in selections(mutant.tracker))


def selections(tracker: str) -> list[list[str]]:
    """The tests that speak of one tracker, the quick ones first: a rule must be held by its own."""
    module = f"test_{tracker.lower().removesuffix('tracker')}"
    own = [path for path in (f"tests/trackers/{module}.py",) if (ROOT / path).exists()]
    return [
        ["tests/trackers/test_golden.py", "-k", f"[{tracker}"],
        ["tests/trackers/test_trackers.py", *own, "-k", f"[{tracker}] or -{tracker}] or {module}"],
        ["tests/trackers/test_reference_runs.py", "-k", " or ".join(RUNS_OF[tracker])],
    ]


def passes(copy: Path, *tests: str) -> bool:
    """Whether `tests` pass in the copy; a mistake in the mutant itself is no pass and no kill."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not full", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    crashed = re.search(
        r"^E +(AttributeError|NameError|TypeError|IndexError|SyntaxError)", done.stdout, re.MULTILINE
    )
    if done.returncode not in (0, 1, NO_TESTS) or crashed:
        raise SystemExit(f"mutate: the tests did not run: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.returncode != 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools/mutate", description="Try one wrong rule at a time on the tests."
    )
    parser.add_argument("--only", nargs="+", metavar="TRACKER")
    args = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if args.only is None or mutant.tracker in args.only]
    alive = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, survived in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVES' if survived else 'killed':8} {mutant.tracker:11} {mutant.rule}", flush=True)
            alive += survived
    print(f"{len(chosen)} wrong rules, {alive} survive")
    return 1 if alive or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
