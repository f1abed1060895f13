"""Measure trackers side by side: detections in, tracks out.

    tools/bench/assoc/peers DIR && . DIR/environment      once: what we are compared with
    "$python" tools/bench/assoc/run.py --rounds 5 --seconds 1 --check-seconds 8 --out DIR/results.json

    python run.py                                   every adapter that imports, every default scene
    python run.py --group SORT --scene N=100        one algorithm, one scene
    python run.py --match pyx mot --rounds 9        adapters whose name has one of these words (references stay)
    python run.py --factors                         what --out holds, as the factors of `mot` against the others

Each adapter lives in a process of its own, started once. Rounds are interleaved: in a round every adapter does the
scene once, one after the other, so a busy machine hits all of them alike. Only the calls of ``step`` are timed, after
``--warmup`` frames; a scene is cut after ``--seconds`` in a round. Reported is the median over the rounds, with the
lowest and the highest round. Both clocks are kept: the printed table counts CPU time (each tracker is one thread, so
this is its rate on an idle core, whatever else runs), ``--clock wall`` prints the other.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import sys
import time
import traceback
from multiprocessing import get_context
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from adapters import ADAPTERS  # noqa: E402
from generate import load  # noqa: E402

SCENES = ["N=10", "N=100", "N=300", "N=1000", "MOT17-04-FRCNN"]
COMPARED = 60  # frames whose output is compared with the reference's
COMPILED = ("Cython/C", "Rust", "C++")  # cores
GROUPS = ["harness", "SORT", "DeepSORT", "ByteTrack", "OC-SORT", "BoT-SORT", "other"]


def matched(xyxy, boxes):
    """For each output box, the index of the input box of IoU > .5 that overlaps it most, else -1."""
    if len(xyxy) == 0 or len(boxes) == 0:
        return np.full(len(boxes), -1)
    low = np.maximum(xyxy[None, :, :2], boxes[:, None, :2])
    high = np.minimum(xyxy[None, :, 2:], boxes[:, None, 2:])
    cross = np.prod(np.clip(high - low, 0, None), -1)
    area = np.prod(xyxy[:, 2:] - xyxy[:, :2], -1)[None] + np.prod(boxes[:, 2:] - boxes[:, :2], -1)[:, None]
    iou = cross / (area - cross)
    best = iou.argmax(1)
    return np.where(iou[np.arange(len(boxes)), best] > 0.5, best, -1)


def check(step, frames, embed, seconds):
    """What the tracker gives back: distinct ids, boxes a frame, share of inputs covered, id purity against truth."""
    ids_seen, given, on_input, inputs, switches, hits, outputs = set(), 0, 0, 0, 0, 0, []
    last: dict[int, int] = {}
    start, done = time.perf_counter(), 0
    for f in frames:
        ids, boxes = step(f.xyxy.copy(), f.scores.copy(), f.embeddings if embed else None)
        done += 1
        if done <= COMPARED:
            outputs.append((np.array(ids, np.int64), np.array(boxes, float)))
        ids_seen.update(np.asarray(ids).tolist())
        given += len(ids)
        inputs += len(f.xyxy)
        best = matched(f.xyxy, np.asarray(boxes, float))
        on_input += int((best >= 0).sum())
        for track, j in zip(np.asarray(ids).tolist(), best):
            target = int(f.gt[j]) if j >= 0 else -1
            if target >= 0:
                hits += 1
                switches += last.get(target, track) != track
                last[target] = track
        if time.perf_counter() - start > seconds:
            break
    return {
        "frames": done,
        "ids": len(ids_seen),
        "outputs_per_frame": given / done,
        "inputs_per_frame": inputs / done,
        "on_input": on_input / max(given, 1),
        "true_hits": hits,
        "id_switches": switches,
        "outputs": outputs,
    }


def agreement(reference, other):
    """Share of the reference's rows that the other gives too (IoU > .9) under one renaming of identities."""
    rows = same = 0
    names: dict[int, int] = {}
    for (ids, boxes), (ids2, boxes2) in zip(reference, other):
        low = np.maximum(boxes[:, None, :2], boxes2[None, :, :2])
        size = np.clip(np.minimum(boxes[:, None, 2:], boxes2[None, :, 2:]) - low, 0, None)
        cross = size[..., 0] * size[..., 1]
        area, area2 = (np.prod(b[:, 2:] - b[:, :2], 1) for b in (boxes, boxes2))
        iou = cross / (area[:, None] + area2[None] - cross)
        rows += len(ids)
        for i, j in zip(*np.nonzero(iou > 0.9)):
            same += names.setdefault(int(ids[i]), int(ids2[j])) == int(ids2[j])
    return same / max(rows, 1)


def worker(pipe, name):
    item = ADAPTERS[name]
    scenes = {}
    try:
        item.make()
    except BaseException as error:
        pipe.send(("skip", f"{type(error).__name__}: {error}"[:200]))
        return
    pipe.send(("ready", None))
    while True:
        order = pipe.recv()
        if order is None:
            return
        try:
            kind, scene, warmup, seconds, most = order
            frames = scenes.setdefault(scene, None) or load(scene).frames
            scenes[scene] = frames
            step = item.make()
            if kind == "check":
                pipe.send(("ok", check(step, frames, item.embeddings, seconds)))
                continue
            # copies, for some peers write into their input; made before the clocks start
            inputs = [
                (f.xyxy.copy(), f.scores.copy(), f.embeddings if item.embeddings else None) for f in frames
            ]
            wall, clock = [], time.perf_counter
            begun = clock()
            for i in range(warmup):
                step(*inputs[i])
                if i >= 4 and clock() - begun > 2 * seconds:  # a very slow one
                    warmup = i + 1
                    break
            gc.collect()
            cpu, begun = time.process_time(), clock()
            for i in range(warmup, min(len(inputs), warmup + (most or len(inputs)))):
                t = clock()
                step(*inputs[i])
                t2 = clock()
                wall.append(t2 - t)
                if t2 - begun > seconds and len(wall) >= 3:
                    break
            cpu = time.process_time() - cpu
            boxes = sum(len(inputs[warmup + i][0]) for i in range(len(wall)))
            total = sum(wall)
            pipe.send(
                ("ok", {"fps": len(wall) / total, "cpu_fps": len(wall) / max(cpu, 1e-9), "frames": len(wall),
                        "p99_ms": 1e3 * float(np.quantile(wall, 0.99)), "boxes_per_frame": boxes / len(wall)})
            )  # fmt: skip
        except BaseException as error:
            pipe.send(("error", f"{type(error).__name__}: {error} {traceback.format_exc()[-400:]}"))


def summary(values):
    return {"median": float(np.median(values)), "min": float(min(values)), "max": float(max(values))}


def table(results, scenes, clock="wall"):
    key = "fps" if clock == "wall" else "cpu_fps"
    lines = []
    for group in GROUPS:
        rows = [r for r in results.values() if r["group"] == group]
        rows.sort(key=lambda r: list(ADAPTERS).index(r["name"]) if r["name"] in ADAPTERS else 999)
        if not rows:
            continue
        reference = next((r for r in rows if r["reference"]), None)
        lines += ["", f"### {group}", "", "| tracker | core | " + " | ".join(scenes) + " | exponent |",
                  "|---|---|" + "---|" * (len(scenes) + 1)]  # fmt: skip
        for r in rows:
            cells = []
            for scene in scenes:
                s = r["scenes"].get(scene)
                if not s or key not in s:
                    cells.append("failed" if s else "-")
                    continue
                f = s[key]
                text = f"{f['median']:,.0f}" if f["median"] >= 100 else f"{f['median']:.3g}"
                spread = (
                    f"{f['min']:,.0f}–{f['max']:,.0f}"
                    if f["median"] >= 100
                    else f"{f['min']:.3g}–{f['max']:.3g}"
                )
                ratio = ""
                if reference and reference["scenes"].get(scene, {}).get(key):
                    ratio = f", x{f['median'] / reference['scenes'][scene][key]['median']:.3g}"
                cells.append(f"**{text}** ({spread}{ratio})")
            exponent = r.get("exponent" if clock == "wall" else "cpu_exponent")
            lines.append(
                f"| {r['name']}{' (reference)' if r['reference'] else ''} | {r['core']} | "
                + " | ".join(cells)
                + f" | {'-' if exponent is None else f'{exponent:.2f}'} |"
            )
    return "\n".join(lines)


def factors(results, scenes, clock="wall"):
    """`mot` against the reference and the compiled peers of each algorithm, and how far it agrees."""
    key = "fps" if clock == "wall" else "cpu_fps"
    lines = ["| tracker | against | " + " | ".join(scenes) + " |", "|---|---|" + "---|" * len(scenes)]
    for name, own in results.items():
        if not name.startswith("mot "):
            continue
        rivals = [
            r for r in results.values() if r["group"] == own["group"] and not r["name"].startswith("mot ")
        ]
        rows = [(r["name"] + " (reference)" if r["reference"] else r["name"], r) for r in rivals]
        rows = [row for row in rows if row[1]["reference"] or row[1]["core"].split(",")[0] in COMPILED]
        for title, rival in rows:
            cells = []
            for scene in scenes:
                mine, theirs = (r["scenes"].get(scene, {}).get(key) for r in (own, rival))
                cells.append(f"{mine['median'] / theirs['median']:.3g}x" if mine and theirs else "-")
            lines.append(f"| {name} | {title} | " + " | ".join(cells) + " |")
        checks = [own["scenes"].get(scene, {}).get("check", {}) for scene in scenes]
        agrees = [f"{c['agrees']:.4f}" if "agrees" in c else "-" for c in checks]
        lines.append(f"| {name} | agrees with the reference | " + " | ".join(agrees) + " |")
    return "\n".join(lines)


def show(results, options):
    print(table(results, options.scene, options.clock))
    print(
        "\nWhat they gave back (ids, boxes a frame, share lying on an input box, id switches per 1000 true hits):"
    )
    for r in results.values():
        for scene in options.scene:
            c = r["scenes"].get(scene, {}).get("check")
            if c:
                print(
                    f"{r['name']:28} {scene:16} ids {c['ids']:6} out {c['outputs_per_frame']:7.1f} of "
                    f"{c['inputs_per_frame']:7.1f} on input {c['on_input']:.2f} "
                    f"switches {1e3 * c['id_switches'] / max(c['true_hits'], 1):6.1f} ({c['frames']} frames)"
                    + (f" agrees with reference {c['agrees']:.4f}" if "agrees" in c else "")
                )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", nargs="*", default=SCENES)
    parser.add_argument("--group", nargs="*", default=GROUPS)
    parser.add_argument(
        "--match", nargs="*", help="words, one of which an adapter's name has (references stay in)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--frames",
        type=int,
        help="time at most so many; with enough --seconds all see the same ones, which matters where a frame costs more"
        " the longer the tracker has run (DeepSORT's galleries)",
    )
    parser.add_argument("--warmup", type=int, default=15, help="frames")
    parser.add_argument("--seconds", type=float, default=1.5, help="a scene is cut after this in each round")
    parser.add_argument(
        "--budget", type=float, default=30, help="seconds of rounds for one adapter and scene"
    )
    parser.add_argument(
        "--check-seconds", type=float, default=4.0, help="the untimed run that looks at the output"
    )
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="cpu", help="the clock of the printed table"
    )
    parser.add_argument("--out", default=str(Path(__file__).resolve().parent / "results.json"))
    parser.add_argument(
        "--add", action="store_true", help="keep what --out already holds for other scenes and names"
    )
    parser.add_argument("--show", action="store_true", help="print the tables of --out and measure nothing")
    parser.add_argument(
        "--factors", action="store_true", help="print how many times as fast `mot` is, of --out"
    )
    options = parser.parse_args()
    if options.factors:
        print(factors(json.loads(Path(options.out).read_text())["results"], options.scene, options.clock))
        return
    if options.show:
        show(json.loads(Path(options.out).read_text())["results"], options)
        return

    names = [
        a.name
        for a in ADAPTERS.values()
        if a.group in options.group
        and (not options.match or a.reference or any(w.lower() in a.name.lower() for w in options.match))
    ]
    context = get_context("spawn")
    pipes, processes, skipped = {}, [], {}
    for name in names:
        ours, theirs = context.Pipe()
        process = context.Process(target=worker, args=(theirs, name), daemon=True)
        process.start()
        processes.append(process)
        theirs.close()
        try:
            state, why = ours.recv()
        except EOFError:
            state, why = "skip", "the process died"
        if state == "ready":
            pipes[name] = ours
        else:
            skipped[name] = why
            print(f"skipped {name}: {why}", flush=True)

    results = {
        n: {"name": n, "group": ADAPTERS[n].group, "core": ADAPTERS[n].core, "reference": ADAPTERS[n].reference,
            "scenes": {}} for n in pipes
    }  # fmt: skip

    if options.add and Path(options.out).is_file():
        before = json.loads(Path(options.out).read_text())
        skipped = {n: w for n, w in before["skipped"].items() if n not in pipes} | skipped
        for n, old in before["results"].items():
            old["scenes"] |= results.get(n, {}).get("scenes", {})
            results[n] = old

    def ask(name, order):
        try:
            pipes[name].send(order)
            return pipes[name].recv()
        except (EOFError, BrokenPipeError):
            return "error", "the process died"

    def save():
        for r in results.values():
            for key, to in (("fps", ""), ("cpu_fps", "cpu_")):
                points = [
                    (int(s[2:]), 1e3 / r["scenes"][s][key]["median"])
                    for s in r["scenes"]
                    if s.startswith("N=") and key in r["scenes"].get(s, {})
                ]
                if len(points) >= 2:
                    n, ms = np.log(np.array(points)).T
                    r[to + "exponent"] = float(np.polyfit(n, ms, 1)[0])
                    r[to + "ms_per_frame"] = {str(k): v for k, v in points}
        machine = {"python": platform.python_version(), "numpy": np.__version__, "cpus": os.cpu_count(),
                   "load": os.getloadavg(), "processor": cpu_name()}  # fmt: skip
        Path(options.out).write_text(
            json.dumps(
                {"machine": machine, "rounds": options.rounds, "results": results, "skipped": skipped},
                indent=1,
            )
        )

    for scene in options.scene:
        runs: dict[str, list] = {n: [] for n in pipes}
        spent = dict.fromkeys(pipes, 0.0)
        outputs = {}
        for n in pipes:
            state, value = ask(n, ("check", scene, 0, options.check_seconds, None))
            if state == "ok":
                outputs[n] = value.pop("outputs")
                entry = results[n]["scenes"].setdefault(scene, {})
                entry.pop("error", None)
                entry["check"] = value
            else:
                results[n]["scenes"][scene] = {"error": value}
            if state != "ok":
                print(f"{n} on {scene}: {value}", flush=True)
        for n, given in outputs.items():
            for other in outputs:
                if results[other]["reference"] and results[other]["group"] == results[n]["group"]:
                    results[n]["scenes"][scene]["check"]["agrees"] = agreement(outputs[other], given)
        for turn in range(options.rounds):
            order = list(pipes)
            if turn % 2:
                order.reverse()
            for n in order:
                if "error" in results[n]["scenes"][scene] or spent[n] > options.budget:
                    continue
                begun = time.perf_counter()
                state, value = ask(n, ("time", scene, options.warmup, options.seconds, options.frames))
                spent[n] += time.perf_counter() - begun
                if state == "ok":
                    runs[n].append(value)
                else:
                    results[n]["scenes"][scene]["error"] = value
                    print(f"{n} on {scene}: {value}", flush=True)
        for n, r in runs.items():
            if r:
                results[n]["scenes"][scene] |= {
                    "fps": summary([x["fps"] for x in r]),
                    "cpu_fps": summary([x["cpu_fps"] for x in r]),
                    "p99_ms": summary([x["p99_ms"] for x in r]),
                    "frames": r[0]["frames"],
                    "boxes_per_frame": r[0]["boxes_per_frame"],
                    "rounds": len(r),
                }
        save()
        print(f"{scene} done, load {os.getloadavg()[0]:.1f}", flush=True)
    show(results, options)
    for p in pipes.values():
        with contextlib.suppress(OSError):
            p.send(None)
    for p in processes:
        p.join(2)


def cpu_name():
    try:
        return next(x.split(":")[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
