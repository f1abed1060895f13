"""HOTA, MOTA and IDF1 of our parity runs against the table in the README of the reference runs.

    tools/parity RUNS DATA --out DIR
    python tools/bench/parity_scores.py RUNS DATA DIR

Equal to three decimals, or exit status 1. Needs trackeval (tools/check --full installs it).
"""

from __future__ import annotations

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from truth import scores

EXCEPT = ("deepocsort_warp",)  # its official run warps an observation twice; see tools/bench/parity.py


def table(text: str) -> dict[tuple[str, str], list[float]]:
    """(run, sequence) -> HOTA, MOTA, IDF1, from the tables headed by `**SEQUENCE**`."""
    found, sequence = {}, ""
    for line in text.splitlines():
        if head := re.fullmatch(r"\*\*(\S+)\*\*", line.strip()):
            sequence = head[1]
        row = re.match(r"\| (\w+) \| ([\d.]+) / ([\d.]+) / ([\d.]+) \|", line)
        if row and sequence:
            found[row[1], sequence] = [float(row[i]) for i in (2, 3, 4)]
    return found


def score(path: Path, data: Path) -> list[float]:
    """Ours, in percent."""
    (gt,) = data.glob(f"mot1*/train/{path.stem}")
    return list(scores(path.read_text(), gt, gt.parents[1].name.upper()).values())


def main() -> int:
    runs, data, ours = map(Path, sys.argv[1:4])
    expected = table((runs / "README.md").read_text())
    paths = [path for path in sorted(ours.glob("*/*.txt")) if (path.parent.name, path.stem) in expected]
    failed = 0
    with ProcessPoolExecutor() as pool:
        for path, found in zip(paths, pool.map(score, paths, [data] * len(paths)), strict=True):
            name = path.parent.name
            gap = max(abs(a - b) for a, b in zip(found, expected[name, path.stem], strict=True))
            same = gap < 0.0006
            failed += not same and name not in EXCEPT
            verdict = "same" if same else f"off by {gap:.4f}"
            print(f"{name:16} {path.stem:16} {' / '.join(f'{x:.3f}' for x in found)}  {verdict}")
    print(f"{len(paths)} compared, {failed} differ")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
