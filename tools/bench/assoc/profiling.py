"""Where our trackers spend a frame: microseconds of CPU a frame, by kind of work and by function.

    python profiling.py --out profile.md                      the five trackers at N=10, 100 and 1000
    python profiling.py --match SORT --scene N=300 --top 20   those with this word in the name

Every tracker does a scene twice: timed alone, and under cProfile. What numpy, scipy and lap spend counts for the
function of ``mot`` that called them, except the solvers, which stand alone. cProfile slows calls down, so every call
is charged the mean excess, half to the caller and half to the callee, and the rest is scaled to the time measured
alone. Shares are thus good to a few percent, not better.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import time
from collections import defaultdict
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import lap  # noqa: E402

import mot  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from adapters import ADAPTERS  # noqa: E402
from generate import load  # noqa: E402

PACKAGE = str(Path(mot.__file__).parent) + os.sep
SOLVERS = ("lapjv", "linear_sum_assignment")
# kind of work -> "module", "module.function" or "module.prefix*"; the most exact one counts
KINDS = {
    "IoU, fused score": ["boxes.iou", "boxes.intersection", "boxes.area", "bytefamily.iou_distance", "bytefamily.fuse_score"],
    "solver": [],
    "around the solver": ["assignment", "sort._match", "deepsort._match", "deep.match*", "deep.cascade", "bytefamily.match",
                          "bytefamily.without", "bytefamily.same_label", "*._stage", "*._cost", "table.allowed",
                          "bytetrack._match", "botsort._match", "ocsort._match", "observations.match*"],
    "Kalman": ["motion", "*.predict", "sort._predict", "observations.advance", "observations.observe",
               "oru", "observations._centre_size", "sort._update",
               "deepsort._update", "bytefamily.see"],
    "Mahalanobis gate": ["motion.squared_mahalanobis", "deep.motion_distance"],
    "gallery, cosine": ["appearance", "bytefamily.unit_looks", "bytefamily.add", "bytefamily.append", "bytefamily.keep",
                        "bytefamily.distance", "botsort._embeddings"],
    "directions (OCM)": ["observations.consistency", "observations.recent", "observations.oldest", "observations.centre",
                         "observations.directions", "observations.last_seen", "ocsort._update"],
    "box conversions": ["boxes", "bytefamily.xyxy_of", "botsort._to_xywh", "botsort._from_xywh", "observations.predicted"],
    "table: keep, spawn, see": ["table", "*.prune", "*.spawn", "*._spawn", "*.report", "*._report", "deep.see",
                                "bytefamily._let_go", "bytefamily._longest_lived", "bytefamily.same",
                                "observations.sound"],
    "records, validation": ["structures", "table.usable", "table.unassigned", "table.embeddings_of", "*.bands",
                            "deep.select", "boxes.suppress", "<string>"],
    "rest": ["*"],
}  # fmt: skip


def visible(function):
    """``function``, which comes from Cython and so escapes cProfile, as one that does not."""

    def lapjv(*arguments, **options):
        return function(*arguments, **options)

    return lapjv


def kind_of(module, function):
    """The kind whose pattern fits the most exactly."""
    best, found = -1, "rest"
    for kind, patterns in KINDS.items():
        for pattern in patterns:
            part, _, name = pattern.partition(".")
            fits = part in ("*", module) and (
                not name or name == function or (name.endswith("*") and function.startswith(name[:-1]))
            )
            weight = 2 * (part != "*") + 3 * bool(name) - name.endswith("*")
            if fits and weight > best:
                best, found = weight, kind
    return found


def ours(key):
    """Whether a profiled function belongs to ``mot``: its files, and the ``__init__`` that dataclasses write."""
    return key[0].startswith(PACKAGE) or key[0] == "<string>"


def name_of(key):
    return Path(key[0]).stem if key[0] != "<string>" else "<string>", key[2]


def run(name, frames, warmup, seconds, profile=None):
    """CPU microseconds a frame, frames done, and how much of the scene; that again and again for so many seconds."""
    item, spent, done = ADAPTERS[name], 0.0, 0
    while spent < seconds:
        step = item.make()
        inputs = [(f.xyxy.copy(), f.scores.copy(), f.embeddings if item.embeddings else None) for f in frames]
        for given in inputs[:warmup]:
            step(*given)
        begun, here = time.thread_time(), 0
        if profile:
            profile.enable()
        for given in inputs[warmup:]:
            step(*given)
            here += 1
            if not profile and here >= 5 and time.thread_time() - begun > seconds:
                break
        if profile:
            profile.disable()
        spent += time.thread_time() - begun
        done += here
    return 1e6 * spent / done, done, warmup + here


def attribute(profile, alone, profiled, frames):
    """(module, function) -> microseconds a frame, ("", "solver") among them.

    Args:
        profile: of so many ``frames``.
        alone: microseconds a frame without the profile.
        profiled: with it.
        frames: how many.
    """
    # function -> calls, all calls, own time, time, {caller: the same four}
    stats = pstats.Stats(profile).stats
    excess = max(0.0, profiled - alone) / max(sum(entry[1] for entry in stats.values()) / frames, 1)
    spent = defaultdict(float)

    def owners(key, seen=()):
        """Those of our functions that ``key`` works for, and their shares: the nearest ones above it."""
        if ours(key):
            return {key: 1.0}
        above = {c: v[3] + 1e-12 for c, v in stats[key][4].items() if c in stats and c not in seen}
        whole, found = sum(above.values()), defaultdict(float)
        for caller, weight in above.items():
            for owner, share in owners(caller, (*seen, key)).items():
                found[owner] += share * weight / whole
        return found

    for key, (_, count, own, _, callers) in stats.items():
        mine, solver = ours(key), any(name in key[2] for name in SOLVERS)
        if mine or solver:
            to = name_of(key) if mine else ("", "solver")
            spent[to] += 1e6 * own / frames - excess * count / frames / 2
        for caller, (_, made, time_there, _) in callers.items():
            if caller not in stats:
                continue
            for owner, share in owners(caller).items():
                spent[name_of(owner)] -= share * excess * made / frames / 2
                if not mine and not solver:
                    spent[name_of(owner)] += share * (1e6 * time_there - excess * made / 2) / frames
    scale = alone / sum(max(0.0, value) for value in spent.values())
    return {key: max(0.0, value) * scale for key, value in spent.items()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", nargs="*", default=["N=10", "N=100", "N=1000"])
    parser.add_argument(
        "--match", nargs="*", default=["mot "], help="words, one of which the adapter's name has"
    )
    parser.add_argument("--warmup", type=int, default=15, help="frames")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU seconds a run")
    parser.add_argument("--top", type=int, default=12, help="functions listed")
    parser.add_argument("--out", help="markdown file; else the terminal")
    options = parser.parse_args()
    lap.lapjv = visible(lap.lapjv)
    names = [
        n for n in ADAPTERS if n.startswith("mot ") and any(w.lower() in n.lower() for w in options.match)
    ]
    lines = []
    for name in names:
        columns, functions = {}, defaultdict(dict)
        for scene in options.scene:
            frames = load(scene).frames
            alone, _, length = run(name, frames, options.warmup, options.seconds)
            profile = cProfile.Profile(time.thread_time_ns, 1e-9)
            profiled, done, _ = run(name, frames[:length], options.warmup, options.seconds, profile)
            spent = attribute(profile, alone, profiled, done)
            kinds = dict.fromkeys(KINDS, 0.0)
            for (module, function), value in spent.items():
                kinds["solver" if not module else kind_of(module, function)] += value
                functions[f"{module}.{function}" if module else "(solver)"][scene] = value
            columns[scene] = alone, kinds
            print(f"{name} {scene}: {alone:,.0f} us a frame", file=sys.stderr, flush=True)
        lines += [f"## {name}", "", "| us a frame (share) | " + " | ".join(options.scene) + " |"]
        lines += ["|---|" + "---|" * len(options.scene)]
        for kind in KINDS:
            cells = [(columns[s][1][kind], columns[s][0]) for s in options.scene]
            if any(value > 0.004 * whole for value, whole in cells):
                lines.append(f"| {kind} | " + " | ".join(f"{v:,.0f} ({v / w:.0%})" for v, w in cells) + " |")
        lines.append("| **all** | " + " | ".join(f"**{columns[s][0]:,.0f}**" for s in options.scene) + " |")
        lines += ["", "| function, with what it calls outside mot | " + " | ".join(options.scene) + " |"]
        lines += ["|---|" + "---|" * len(options.scene)]

        def weight(row, columns=columns):
            return max(value / columns[scene][0] for scene, value in row[1].items())

        for function, row in sorted(functions.items(), key=weight, reverse=True)[: options.top]:
            cells = [(row.get(s, 0.0), columns[s][0]) for s in options.scene]
            lines.append(
                f"| `{function}` | " + " | ".join(f"{v:,.0f} ({v / w:.0%})" for v, w in cells) + " |"
            )
        lines.append("")
    text = "\n".join(lines)
    if options.out:
        Path(options.out).write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
