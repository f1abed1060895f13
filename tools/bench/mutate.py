"""One wrong rule at a time, in a copy of the package: the tests must notice every one.

    tools/mutate [--only NAME…]

NAME is a tracker, or a module that they share. Prints a line a rule; exit status 1 if one survives. A tracker's rules
must be noticed by its own tests: the golden numbers are tried first, then the others (with the reference runs, where
../shared is there). Those of a module must be noticed by the module's.
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
    """A wrong rule of a tracker or module: in `file` of mot/, `old` (which stands there once) becomes `new`."""

    name: str
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
# The tests of what several trackers share.
TESTS_OF = {
    "assignment": ["tests/test_assignment.py"],
    "boxes": ["tests/test_boxes.py"],
    "motion": ["tests/test_motion.py"],
    "appearance": ["tests/test_appearance.py"],
    "gate": ["tests/trackers/test_gate.py"],
    "observations": ["tests/trackers/test_observations.py"],
    "table": ["tests/trackers/test_table.py"],
}
ROWS_ALONE = ("np.bincount(rows)[rows] * np.bincount(columns)[columns] == 1", "np.bincount(rows)[rows] == 1")
SORT, DEEP, FAMILY = "trackers/sort.py", "trackers/deep.py", "trackers/bytefamily.py"
BYTE, BOT, JDE, STRONG = (
    "trackers/bytetrack.py",
    "trackers/botsort.py",
    "trackers/jde.py",
    "trackers/strongsort.py",
)
OC, OCSORT, DEEPOC, HYBRID = (
    "trackers/observations.py",
    "trackers/ocsort.py",
    "trackers/deepocsort.py",
    "trackers/hybridsort.py",
)
ASSIGNMENT, BOXES, MOTION, APPEARANCE = "assignment.py", "boxes.py", "motion.py", "appearance.py"
GATE, TABLE = "trackers/gate.py", "trackers/table.py"
# What is wrong in the same way for several.
LATE = (
    "found = assignment.heaviest(pairs, (len(tracks), len(detections)))\n",
    "found = assignment.heaviest(pairs._replace(weight=pairs.weight + 1.0), (len(tracks), len(detections)))\n"
    "    found = found.where(found.weight >= 1.0)\n",
)
UNFUSED = (
    "gain = pairs.weight if scores is None else pairs.weight * scores[pairs.columns]",
    "gain = pairs.weight",
)
LOST_TOO = ('known &= table["state"] == CONFIRMED', 'known &= table["state"] != TENTATIVE')
LOOSE = (".where(distance <= LIMIT)", ".where(distance <= np.inf)")
PIXEL_MORE = ("motion.X]), xyxy[left])", "motion.X]), xyxy[left], 1.0)")
UNCLAMPED = (
    """left = affordable(left._replace(weight=cost(left)), max_cost) if len(left.rows) else left
        while len(left.rows):
            turns = turn[left.rows]
            now = turns == turns.min()
            found = assignment.heaviest(left.where(now), shape)
""",
    """left = left._replace(weight=1e3 - cost(left)) if len(left.rows) else left
        while len(left.rows):
            turns = turn[left.rows]
            now = turns == turns.min()
            found = assignment.heaviest(left.where(now), shape)
            found = found.where(found.weight >= 1e3 - max_cost)
""",
)
INSIDE = (
    "found = pairs.of(assignment.heaviest_of_all(pairs, shape, gain, bound), shape[0])",
    "worth = pairs._replace(weight=pairs.weight + gain(pairs.rows, pairs.columns) - threshold)\n"
    "    found = pairs.of(assignment.matches(assignment.heaviest(worth, shape)), shape[0])",
)
PREDICTED = (
    "observations.near(table, observations.predicted(table), detections, aware)",
    "observations.near(table, observations.predicted(table), detections, aware, lambda a, b: observations.boxes.overlaps(a, b, 1.0))",
)
LAST_AGAIN = (
    "return observations.match_again(made, known, strong, least, near)",
    "return observations.match_again(made, known, faint, least, near)",
)
MUTANTS = (
    Mutant("SORT", "IoU + 1 pixel", SORT, "boxes.overlaps(predicted, xyxy)", "boxes.overlaps(predicted, xyxy, 1.0)"),
    Mutant(
        "SORT",
        "gate inside the solve",
        SORT,
        "return assignment.match_iou(pairs, (len(predicted), len(xyxy)), self.config.iou_threshold)",
        "pairs = pairs._replace(weight=pairs.weight - self.config.iou_threshold)\n"
        "        return assignment.matches(assignment.heaviest(pairs, (len(predicted), len(xyxy))))",
    ),
    Mutant("SORT", "one frame more", SORT, "<= self.config.max_age)", "<= self.config.max_age + 1)"),
    Mutant("SORT", "one frame less", SORT, "<= self.config.max_age)", "< self.config.max_age)"),
    Mutant("SORT", "hits not in a row", SORT, '["misses"] > 0] = 0', '["misses"] > 1] = 0'),
    Mutant("DeepSORT", "IoU + 1 pixel", DEEP, *PIXEL_MORE),
    # a limit inside the solve would be no wrong rule here: with clamped costs it comes to the same
    Mutant("DeepSORT", "oldest first", "trackers/deepsort.py", 'eligible, table["misses"]', 'eligible, -table["misses"]'),
    Mutant("DeepSORT", "overlap for the long lost", DEEP, '(table["misses"] <= dt)', '(table["misses"] <= dt + 1)'),
    # DeepSORT's age is decided by the cascade: a track dropped one frame earlier or later could not be matched anyway
    Mutant("DeepSORT", "one frame less", "trackers/deepsort.py", '(table["misses"] <= config.max_age)', '(table["misses"] < config.max_age)'),
    Mutant("DeepSORT", "no motion gate", GATE, *LOOSE),
    Mutant("DeepSORT", "one look forgotten", APPEARANCE, "% self._budget] = vectors", "% max(1, self._budget - 1)] = vectors"),
    Mutant("DeepSORT", "taken detections stay free", DEEP, "free[found.columns] = False", "free[found.columns] = True"),
    Mutant("DeepSORT", "newest look is enough for all", "trackers/deepsort.py", "np.where(assignment.alone(some), limits[0], -np.inf)", "np.full(len(some.rows), limits[0])"),
    Mutant("DeepSORT", "newest look is enough for single tracks", ASSIGNMENT, *ROWS_ALONE),
    Mutant("ByteTrack", "IoU of plain boxes", FAMILY, "_PIXEL = 1.0", "_PIXEL = 0.0"),
    Mutant("ByteTrack", "gate after the solve", FAMILY, *LATE),
    Mutant("ByteTrack", "no score fusion", FAMILY, *UNFUSED),
    Mutant("ByteTrack", "fused in the low band", BYTE, "low, config.low_match_threshold)", "low, config.low_match_threshold, scores)"),
    Mutant("ByteTrack", "low band for lost tracks", BYTE, *LOST_TOO),
    Mutant("ByteTrack", "tentative tracks first", BYTE, "known, used = ~tentative,", "known, used = tentative | ~tentative,"),
    Mutant("ByteTrack", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("ByteTrack", "one frame less", FAMILY, "misses >= limit + 2", "misses >= limit + 1"),
    Mutant("ByteTrack", "an expired track is forgiven", FAMILY, '(confirmed & table["expired"])', "(confirmed & ~confirmed)"),
    Mutant("ByteTrack", "tentative tracks predicted", FAMILY, 'moving = (table["state"] != TENTATIVE)', 'moving = (table["state"] != 99)'),
    Mutant("ByteTrack", "duplicates stay", FAMILY, "DUPLICATE_DISTANCE = 0.15", "DUPLICATE_DISTANCE = 0.0"),
    Mutant("ByteTrack", "duplicates to the right only", FAMILY, "searchsorted(there[:, 0] - reach)", "searchsorted(there[:, 0])"),
    Mutant("ByteTrack", "height goes on changing", FAMILY, "resting=slice(3, 4)", "resting=slice(0, 0)"),
    Mutant("BoTSORT", "low band for lost tracks", BOT, *LOST_TOO),
    Mutant("BoTSORT", "looks not halved", BOT, "1.0 - distance / 2", "1.0 - distance"),
    Mutant("BoTSORT", "looks of boxes apart", BOT, "(pairs.weight >= 1.0 - config.proximity_threshold)", "(pairs.weight >= 0.0)"),
    Mutant("BoTSORT", "confirmed tracks only", BOT, '(self._table["state"] != LOST)', '(self._table["state"] == CONFIRMED)'),
    Mutant("BoTSORT", "camera not followed", BOT, "if moved is not None:", "if moved is None and steps == []:"),
    Mutant("BoTSORT", "width goes on changing", BOT, "resting=slice(2, 4)", "resting=slice(3, 4)"),
    Mutant("JDETracker", "Euclid squared", FAMILY, "np.sqrt(2.0 * cosine)", "2.0 * cosine"),
    Mutant("JDETracker", "score renewed when found", JDE, "renew_found=False", "renew_found=True"),
    Mutant("JDETracker", "no motion gate", GATE, *LOOSE),
    Mutant("JDETracker", "overlap for lost tracks", JDE, *LOST_TOO),
    Mutant("StrongSORT", "noise not by score", STRONG, "if self.config.nsa:", "if not self.config.nsa:"),
    Mutant("StrongSORT", "motion not mixed in", STRONG, "if config.mc else 1.0", "if not config.mc else 1.0"),
    Mutant("StrongSORT", "newest look only", STRONG, "return unit(alpha * before + (1 - alpha) * vectors)", "return vectors"),
    Mutant("StrongSORT", "camera not followed", STRONG, "if affine is not None:", "if affine is None and steps == []:"),
    Mutant("OCSORT", "IoU + 1 pixel", OCSORT, *PREDICTED),
    Mutant("OCSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("OCSORT", "no direction", OC, "(pairs, shape, gain, bound)", "(pairs, shape, lambda r, c: 0.0 * gain(r, c), bound)"),
    Mutant("OCSORT", "no re-update", OC, "back = missed[rows]\n", "back = missed[rows] & ~missed[rows]\n"),
    Mutant("OCSORT", "one frame more", OCSORT, "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("OCSORT", "low band last", OCSORT, *LAST_AGAIN),
    Mutant("OCSORT", "observations one frame older", OC, ">= table.time - delta_t - EPSILON", ">= table.time - delta_t - 1 - EPSILON"),
    Mutant("DeepOCSORT", "IoU + 1 pixel", DEEPOC, *PREDICTED),
    Mutant("DeepOCSORT", "no adaptive weights", DEEPOC, "if self.config.adaptive_weights:", "if not self.config.adaptive_weights:"),
    Mutant("DeepOCSORT", "looks without trust", DEEPOC, "(1 - least) * (1 - trust)", "(1 - least) * trust"),
    Mutant("DeepOCSORT", "one frame more", DEEPOC, "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("DeepOCSORT", "camera not followed", DEEPOC, "if affine is not None:", "if affine is None and steps == []:"),
    Mutant("HybridSORT", "plain IoU", HYBRID, "iou * (common / whole))", "iou)"),
    Mutant("HybridSORT", "no TCM", HYBRID, "- tcm(rows, strong[columns])", "- 0 * tcm(rows, strong[columns])"),
    Mutant("HybridSORT", "no TCM in the low band", HYBRID, "near, tcm_byte)", "near)"),
    Mutant("HybridSORT", "one frame more", HYBRID, "<= config.max_age)", "<= config.max_age + 1)"),
    Mutant("DeepSORT", "not clamped", DEEP, *UNCLAMPED),
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
    Mutant("BoTSORT", "gate after the solve", FAMILY, *LATE),
    Mutant("BoTSORT", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("JDETracker", "IoU of plain boxes", FAMILY, "_PIXEL = 1.0", "_PIXEL = 0.0"),
    Mutant("JDETracker", "gate after the solve", FAMILY, *LATE),
    Mutant("JDETracker", "one frame more", FAMILY, "misses >= limit + 2", "misses >= limit + 3"),
    Mutant("BoTSORT", "no score fusion", FAMILY, *UNFUSED),
    Mutant("BoTSORT", "no score fusion beside looks", BOT, *UNFUSED),
    Mutant("StrongSORT", "IoU + 1 pixel", DEEP, *PIXEL_MORE),
    Mutant("StrongSORT", "not clamped", DEEP, *UNCLAMPED),
    Mutant("StrongSORT", "one frame more", DEEP, "== CONFIRMED, max_age, 0)", "== CONFIRMED, max_age + 1, 0)"),
    Mutant("StrongSORT", "overlap for the long lost", DEEP, '(table["misses"] <= dt)', '(table["misses"] <= dt + 1)'),
    Mutant("StrongSORT", "no motion gate", GATE, *LOOSE),
    Mutant("DeepOCSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("HybridSORT", "gate inside the solve", OC, *INSIDE),
    Mutant("DeepOCSORT", "last observation unused", DEEPOC, "made.columns]), known, strong", "made.columns]), ~known, strong"),
    Mutant("HybridSORT", "low band last", HYBRID, *LAST_AGAIN),
    Mutant("assignment", "solver where the gate leaves no choice", ASSIGNMENT, "if one_to_one(above, shape):", "if False:"),
    Mutant("assignment", "one to one in rows only", ASSIGNMENT, "and np.count_nonzero(_member(columns, shape[1])) == len(rows)", ""),
    Mutant("assignment", "pairs worth nothing are made", ASSIGNMENT, "worth = pairs.weight > 0\n", "worth = pairs.weight > -np.inf\n"),
    Mutant("assignment", "alone in the row only", ASSIGNMENT, *ROWS_ALONE),
    Mutant("assignment", "alone in the column only", ASSIGNMENT, "np.asarray(np.bincount(rows)[rows] * np", "np.asarray(np"),
    Mutant("assignment", "no margin", ASSIGNMENT, "rivals + bound + MARGIN", "rivals + bound"),
    Mutant("assignment", "rivals of the row only", ASSIGNMENT, "[rows] + _best(columns, below, shape[1], bound)[columns]", "[rows]"),
    Mutant("assignment", "rivals of the column only", ASSIGNMENT, "rivals = _best(rows, below, shape[0], bound)[rows] + ", "rivals = "),
    Mutant("assignment", "the greater rival only", ASSIGNMENT, "rivals = _best(rows, below, shape[0], bound)[rows] + _best(columns, below, shape[1], bound)[columns]", "rivals = np.maximum(_best(rows, below, shape[0], bound)[rows], _best(columns, below, shape[1], bound)[columns])"),
    Mutant("assignment", "ties not hidden", ASSIGNMENT, "(alone == 1)", "(alone >= 1)"),
    Mutant("assignment", "ties hidden in rows only", ASSIGNMENT, "\n        * np.bincount(columns[top], minlength=shape[1])[columns]", ""),
    Mutant("assignment", "ties hidden in columns only", ASSIGNMENT, "np.bincount(rows[top], minlength=shape[0])[rows]\n        * ", ""),
    Mutant("assignment", "settled columns stay", ASSIGNMENT, "(partner[pairs.rows] < 0) & ~_member(pairs.columns[sure], shape[1])[pairs.columns]", "partner[pairs.rows] < 0"),
    Mutant("assignment", "settled rows stay", ASSIGNMENT, "(partner[pairs.rows] < 0) & ~_member", "~_member"),
    Mutant("assignment", "the gain's bound ignored", ASSIGNMENT, "_settle(weighed, shape, bound, partner)", "_settle(weighed, shape, 0.0, partner)"),
    Mutant("assignment", "a pair's own bound ignored", ASSIGNMENT, "rivals + bound + MARGIN", "rivals + MARGIN"),
    Mutant("assignment", "settled without the gain", ASSIGNMENT, "weight=pairs.weight + gain(pairs.rows, pairs.columns))", "weight=pairs.weight)"),
    Mutant("boxes", "no pixel more for neighbours", BOXES, "neighbours(a, b, extra)", "neighbours(a, b)"),
    Mutant("boxes", "sweep: no pixel more to the left", BOXES, "(initial=0.0) + reach)", "(initial=0.0) + HAIR)"),
    Mutant("boxes", "sweep: no pixel more to the right", BOXES, "searchsorted(ax2 + reach)", "searchsorted(ax2 + HAIR)"),
    Mutant("boxes", "sweep: no pixel more above", BOXES, "(ay1 - reach)[rows]", "(ay1 - HAIR)[rows]"),
    Mutant("boxes", "sweep: no pixel more below", BOXES, "(ay2 + reach)[rows]", "(ay2 + HAIR)[rows]"),
    Mutant("boxes", "sweep: the widest box left out", BOXES, "ax1 - ((bx2 - bx1).max(initial=0.0) + reach)", "ax1 - ((bx2 - bx1).min(initial=0.0) + reach)"),
    Mutant("boxes", "sweep: boxes inside out", BOXES, "np.maximum(left.searchsorted(ax2 + reach) - low, 0)", "left.searchsorted(ax2 + reach) - low"),
    Mutant("boxes", "strips: the first left out", BOXES, "first = np.floor((ay1 - size_b[1] - extra) / height)", "first = np.floor(ay1 / height)"),
    Mutant("boxes", "strips: the last left out", BOXES, "- first).astype(np.int64) + 1\n", "- first).astype(np.int64)\n"),
    Mutant("boxes", "strips: no pixel more above", BOXES, "(ay1 - size_b[1] - extra) / height", "(ay1 - size_b[1]) / height"),
    Mutant("boxes", "strips: no pixel more below", BOXES, "np.floor((ay2 + extra) / height)", "np.floor(ay2 / height)"),
    Mutant("boxes", "strips: no pixel more to the left", BOXES, "(size_b[0] + extra + left)", "(size_b[0] + left)"),
    Mutant("boxes", "strips: no pixel more to the right", BOXES, "ax2 + (extra - left)", "ax2 - left"),
    Mutant("boxes", "strips: no hair", BOXES, "hair = 1e-9 * stride", "hair = 0.0"),
    Mutant("boxes", "strips: a hair less", BOXES, "hair = 1e-9 * stride", "hair = -1e-9 * stride"),
    Mutant("boxes", "strips: runs reach into the next", BOXES, "stride = 2.0 * (right - left) + 1.0", "stride = 0.5 * (right - left) + 1.0"),
    Mutant("motion", "a whole frame without covariance", MOTION, "pxx += 2 * pxv + pvv + q_x", "pxx += pvv + q_x"),
    Mutant("motion", "covariance not corrected", MOTION, "    pxv -= k * pxv\n", ""),
    Mutant("appearance", "newest look is enough", APPEARANCE, "far = (made > enough)", "far = (made > np.inf)"),
    Mutant("appearance", "another look than the newest", APPEARANCE, "(self._count[some] - 1) % self._budget", "self._count[some] % self._budget"),
    Mutant("appearance", "empty places are looks", APPEARANCE, "[np.arange(capacity) >= count[:, None]] = -np.inf", "[np.arange(capacity) > count[:, None]] = -np.inf"),
    Mutant("appearance", "the newest, not the nearest", APPEARANCE, "np.partition(alike, max(capacity - nearest, 0), axis=1)", "alike"),
    Mutant("appearance", "apart by the first look", APPEARANCE, "chord - self._spread[place] > np", "chord > np"),
    Mutant("appearance", "spread of the newest look", APPEARANCE, "np.maximum(self._spread[place], chord)", "chord"),
    Mutant("appearance", "spread of those before", APPEARANCE, "self._first[free], self._spread[free] = vectors, 0.0", "self._first[free] = vectors"),
    Mutant("appearance", "first look of those before", APPEARANCE, "self._first[free], self._spread[free] = vectors, 0.0", "self._spread[free] = 0.0"),
    Mutant("appearance", "restored without spread", APPEARANCE, "made._spread = chord.max(axis=1, initial=0.0)", "made._spread = 0.0 * chord.max(axis=1, initial=0.0)"),
    Mutant("gate", "no gate", GATE, *LOOSE),
    Mutant("gate", "the limit itself is outside", GATE, ".where(distance <= LIMIT)", ".where(distance < LIMIT)"),
    Mutant("gate", "three coordinates", GATE, "distance = gap.sum(axis=0)", "distance = gap[:3].sum(axis=0)"),
    Mutant("gate", "no noise", GATE, "bank[:, motion.PXX] + noise", "bank[:, motion.PXX] + 0 * noise"),
    Mutant("gate", "reach of one deviation", GATE, "np.sqrt(LIMIT * spread[:, :2])", "np.sqrt(spread[:, :2])"),
    Mutant("gate", "reach as wide as high", GATE, "reach = np.sqrt(LIMIT * spread[:, :2])", "reach = np.sqrt(LIMIT * spread[:, 1:2])"),
    Mutant("observations", "the bound not handed on", OC, "heaviest_of_all(pairs, shape, gain, bound)", "heaviest_of_all(pairs, shape, gain)"),
    Mutant("observations", "overlap and gain are gated", OC, "found = pairs.of(assignment.heaviest_of_all(pairs, shape, gain, bound), shape[0])\n", "found = pairs.of(assignment.heaviest_of_all(pairs, shape, gain, bound), shape[0])\n    found = found._replace(weight=found.weight + gain(found.rows, found.columns))\n"),
    Mutant("observations", "the loss is not gated", OC, "found._replace(weight=found.weight + gain(found.rows, found.columns))", "found"),
    Mutant("observations", "the virtual path ends a frame early", "trackers/oru.py", "(passed < gap).nonzero()", "(passed < gap - 1).nonzero()"),
    Mutant("table", "one block loses its rows", TABLE, "[block.take(rows, axis=1) for block in self._blocks]", "[block[:, rows if block is self._blocks[0] else slice(len(rows))] for block in self._blocks]"),
    Mutant("table", "wide columns keep their rows", TABLE, "column.take(rows, axis=0) for name", "column[: len(rows)] for name"),
    Mutant("table", "new votes are no column of the table", TABLE, 'self._columns["votes"] = self._wide["votes"] = votes', 'self._columns["votes"] = votes'),
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
        if text.count(mutant.old) != 1:
            raise SystemExit(
                f"mutate: {mutant.name}, {mutant.rule}: {mutant.old!r} is not once in {mutant.file}"
            )
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return all(passes(copy, *selection) for selection in selections(mutant.name))


def selections(name: str) -> list[list[str]]:
    """The tests that speak of one tracker or module, the quick ones first: a rule must be held by its own."""
    if name in TESTS_OF:
        return [TESTS_OF[name]]
    module = f"test_{name.lower().removesuffix('tracker')}"
    own = [path for path in (f"tests/trackers/{module}.py",) if (ROOT / path).exists()]
    return [
        ["tests/trackers/test_golden.py", "-k", f"[{name}"],
        ["tests/trackers/test_trackers.py", *own, "-k", f"[{name}] or -{name}] or {module}"],
        ["tests/trackers/test_reference_runs.py", "-k", " or ".join(RUNS_OF[name])],
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
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if args.only is None or mutant.name in args.only]
    alive = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, survived in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVES' if survived else 'killed':8} {mutant.name:12} {mutant.rule}", flush=True)
            alive += survived
    print(f"{len(chosen)} wrong rules, {alive} survive")
    return 1 if alive or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
