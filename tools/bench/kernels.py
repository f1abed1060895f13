"""Microseconds a call of each compiled kernel and of its numpy twin, on the frames of the association benchmark.

    python tools/bench/kernels.py [10 100 300 1000]

CPU time of one thread, the least of some rounds. The tables are those of the tracker after the first 30 frames.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from mot import assignment, boxes, kernels, motion, structures
from mot.assignment import Matches, Pairs
from mot.structures import Detections
from mot.trackers import OCSORT, SORT, ByteTrack, bytefamily, observations
from mot.trackers import table as tables
from mot.trackers.observations import XYSR, centre
from mot.trackers.table import Rows

ROUNDS, SECONDS = 7, 0.02  # the least of so many rounds of at least so long


def least(call: Callable[[], Any]) -> float:
    """Microseconds a call."""
    call()
    start = time.process_time()
    call()
    count = max(3, int(SECONDS / (time.process_time() - start + 1e-6)))
    best = np.inf
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(count):
            call()
        best = min(best, (time.process_time() - start) / count)
    return best * 1e6


def frames_of(targets: int) -> list[Detections]:
    """31 frames of the scene of so many targets."""
    sys.path.insert(0, str(Path(__file__).resolve().parent / "assoc"))
    load = importlib.import_module("generate").load
    some = list(load(f"N={targets}").frames)[:31]
    return [Detections(xyxy=f.xyxy, scores=f.scores, labels=np.zeros(len(f.scores), np.int64)) for f in some]


def cases(frames: list[Detections]) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Name -> the twin, the kernel, on the state after all frames but the last."""
    trackers = SORT(), ByteTrack(), OCSORT()
    for tracker in trackers:
        for frame in frames[:-1]:
            tracker.update(frame)
    sort, byte, ocsort = (tracker._table for tracker in trackers)
    last, fast = frames[-1], kernels_of()
    bank = sort["filter"].copy()
    predicted = boxes.xysr_to_xyxy(bank[:, motion.X])
    pairs, shape = Pairs(*boxes.overlaps(predicted, last.xyxy)), (len(sort), len(last))
    made = assignment.match_iou(pairs, shape, 0.3)
    z, xysr = boxes.xyxy_to_xysr(last.xyxy[made.columns]), bank[:, motion.X]
    q, r = motion.XYSR_PROCESS, motion.XYSR_MEASUREMENT
    high = last.scores > 0.5
    seen_as = Matches(np.arange(min(len(byte), len(last))), np.arange(min(len(byte), len(last))))
    every, missed = np.arange(len(ocsort)), ocsort["misses"] > 0
    rows = every[: len(last)]
    xyxy, none = last.xyxy[rows], np.empty((len(rows), 0))
    target, chosen = boxes.xyxy_to_xywh(xyxy), observations.oldest(ocsort, 3)
    fresh = observations.directions(ocsort, rows, chosen, centre, xyxy)
    memory = ocsort["seen"], ocsort["seen_at"], ocsort["direction"], ocsort.time, 3, last.xyxy
    of_ocsort = ("filter", "frozen", "lead", "misses", "anchor", "seen", "seen_at", "direction", "streak")
    columns = [ocsort[name] for name in of_ocsort]

    def cells(some: Rows, others: Rows) -> Any:
        return np.arccos(fast.cell_cosines(*memory, some, others))

    return {
        "sound": (lambda: structures._sound(last.xyxy, last.scores, last.labels, None),
                  lambda: fast.sound(last.xyxy, last.scores, last.labels)),
        "usable": (lambda: tables.usable(last, tables.unassigned(last, 0.0)),
                   lambda: fast.usable(last.xyxy, last.scores, 0.0)),
        "split": (lambda: bytefamily.bands(last, 0.1, 0.5),
                  lambda: fast.split(last.xyxy, last.scores, 0.1, 0.5)),
        "xysr_to_xyxy": (lambda: boxes.xysr_to_xyxy(xysr), lambda: fast.xysr_to_xyxy(xysr)),
        "overlaps": (lambda: boxes.overlaps(predicted, last.xyxy),
                     lambda: fast.overlaps(predicted, last.xyxy, 0.0)),
        "heaviest": (lambda: assignment.heaviest(pairs, shape), lambda: fast.heaviest(*pairs, *shape)),
        "match_iou": (lambda: assignment.match_iou(pairs, shape, 0.3),
                      lambda: fast.match_iou(*pairs, *shape, 0.3)),
        "match_overlap": (
            lambda: bytefamily.match_overlap(pairs, np.ones(shape[0], np.bool_), high.copy(), 0.8, last.scores),
            lambda: fast.match_overlap(*pairs, np.ones(shape[0], np.bool_), high.copy(), 0.8, last.scores),
        ),
        "predict": (lambda: motion.predict(bank, q[0], q[1]), lambda: fast.predict(bank, q[:1], q[1:], 1.0)),
        "update": (lambda: motion.update(bank, made.rows, z, r),
                   lambda: fast.update(bank, made.rows, z, r[None])),
        "predict_family": (
            lambda: bytefamily.predict(byte, bytefamily.XYAH, 1.0),
            lambda: fast.predict_family(byte["filter"], byte["state"], byte["misses"], 3, False, 1.0),
        ),
        "correct_family": (
            lambda: bytefamily.see(byte, bytefamily.XYAH, seen_as, last),
            lambda: fast.correct_family(byte["filter"], *seen_as, last.xyxy, False),
        ),
        "oldest": (lambda: observations.oldest(ocsort, 3),
                   lambda: fast.oldest(ocsort["seen_at"], ocsort.time, 3)),
        "directions": (lambda: observations.directions(ocsort, rows, chosen, centre, xyxy),
                       lambda: fast.directions(ocsort["seen"], chosen, rows, xyxy, 1)),
        "cosines of cells": (
            lambda: observations.consistency(ocsort, 3, centre, last.xyxy)(every[:, None], np.arange(len(last))),
            lambda: cells(every, np.arange(len(last))),
        ),
        "observe": (
            lambda: observations.observe(ocsort, rows, missed, xyxy, none, XYSR, fresh),
            lambda: fast.observe(*columns, rows, missed, target, xyxy, fresh, 30.0, XYSR.process, XYSR.measurement),
        ),
    }  # fmt: skip


def kernels_of() -> Any:
    """The compiled kernels, while the functions beside them stay numpy's."""
    kernels.use("numba")
    fast = kernels.fast
    kernels.use("numpy")
    return fast


def main() -> None:
    """Print a table: a row a kernel, numpy / numba for each size."""
    sizes = [int(word) for word in sys.argv[1:]] or [10, 100, 300, 1000]
    kernels.use("numpy")
    table: dict[str, list[str]] = {}
    for size in sizes:
        for name, (twin, kernel) in cases(frames_of(size)).items():
            table.setdefault(name, []).append(f"{least(twin):.1f} / {least(kernel):.1f}")
    print("| numpy / numba, us a call |", " | ".join(f"N={size}" for size in sizes), "|")
    print("|---|" + "---|" * len(sizes))
    for name, cells in table.items():
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
