"""`mot.metrics` against PyPI's trackeval on result files: equal in every field, and in how much CPU time.

    OMP_NUM_THREADS=1 python tools/bench/metrics.py ../shared/data [--benchmark MOT17]

Both read every result file and, once, the ground truth of each sequence; neither writes a table. The floor is
reading the same text alone. Exit status 1 on any difference. Needs trackeval (tools/check --full installs it).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import trackeval
from metrics_reference import Results, combined, differences, evaluate

from mot.engine.evaluate import prepared
from mot.formats.benchmark_text import read_truth
from mot.formats.sequences import Sequence, find_sequences
from mot.metrics import Counts, combine, count, scores

Value = TypeVar("Value")


class Job(NamedTuple):
    sequence: Sequence
    result: Path


def jobs(data: Path, benchmark: str) -> list[Job]:
    """Every result in data/reference_runs of the benchmark's sequences in data."""
    return [
        Job(sequence, result)
        for sequence in find_sequences(data / benchmark.lower() / "train")
        for result in sorted((data / "reference_runs").glob(f"*/{sequence.name}.txt"))
    ]


def ours(jobs: Iterable[Job]) -> list[Counts]:
    truth = cache(read_truth)
    return [count(prepared(job.sequence, job.result, None, truth(job.sequence))) for job in jobs]


def theirs(jobs: Iterable[Job]) -> list[Results]:
    truths: dict[str, Any] = {}
    found = []
    for job in jobs:
        rules, name = trackeval_rules(job), job.sequence.name
        load = rules._load_raw_file

        def remembered(tracker: str, sequence: str, is_gt: bool, load: Callable[..., Any] = load) -> Any:
            if is_gt and sequence not in truths:
                truths[sequence] = load(tracker, sequence, is_gt)
            return truths[sequence] if is_gt else load(tracker, sequence, is_gt)

        rules._load_raw_file = remembered
        raw = rules.get_raw_seq_data(job.result.parent.name, name)
        found.append(evaluate(rules.get_preprocessed_seq_data(raw, "pedestrian")))
    return found


def trackeval_rules(job: Job) -> Any:
    settings = {
        "GT_FOLDER": str(job.sequence.folder.parent),
        "TRACKERS_FOLDER": str(job.result.parents[1]),
        "TRACKERS_TO_EVAL": [job.result.parent.name],
        "TRACKER_SUB_FOLDER": "",
        "BENCHMARK": job.sequence.benchmark,
        "SEQ_INFO": {job.sequence.name: job.sequence.length},
        "SKIP_SPLIT_FOL": True,
        "PRINT_CONFIG": False,
    }
    return trackeval.datasets.MotChallenge2DBox(settings)


def compare(jobs: list[Job], counts: list[Counts], results: list[Results]) -> list[str]:
    """What differs, by file and in the combined rows of the runs."""
    failed = []
    runs = sorted({job.result.parent.name for job in jobs})
    for job, our, their in zip(jobs, counts, results, strict=True):
        failed += [f"{job.result}: {text}" for text in differences(scores(our), their)]
    for run in runs:
        rows = [i for i, job in enumerate(jobs) if job.result.parent.name == run]
        our, their = combine([counts[i] for i in rows]), combined([results[i] for i in rows])
        failed += [f"{run}, combined: {text}" for text in differences(scores(our), their)]
    return failed


def cpu(work: Callable[[], Value]) -> tuple[float, Value]:
    started = time.process_time()
    value = work()
    return time.process_time() - started, value


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--benchmark", default="MOT17", choices=["MOT15", "MOT17"])
    options = parser.parse_args()
    todo = jobs(options.data, options.benchmark)
    texts = {path for job in todo for path in (job.result, job.sequence.gt)}
    floor, _ = cpu(lambda: [np.loadtxt(path, delimiter=",") for path in texts if path])
    our_time, counts = cpu(lambda: ours(todo))
    their_time, results = cpu(lambda: theirs(todo))
    failed = compare(todo, counts, results)
    print("\n".join(failed))
    print(f"{len(todo)} files of {options.benchmark}: {len(failed)} fields differ")
    print(f"CPU s: trackeval {their_time:.2f}, mot {our_time:.2f}, reading alone {floor:.2f}")
    print(f"trackeval / mot: {their_time / our_time:.1f}")
    return 1 if failed or not todo else 0


if __name__ == "__main__":
    sys.exit(main())
