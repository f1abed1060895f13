"""`mot-eval --against`: how two sets of results differ, and in which frames and of whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from numpy.typing import NDArray

from mot.engine.evaluate import Evaluation

SHOWN = 5  # events of a kind that are written out
KINDS = {"switch": "switches", "miss": "misses", "false": "false boxes"}
Key = tuple[int, int, int]
Events = dict[str, list[NDArray[Any]]]  # sequence -> `mot.metrics.events` of ours and of theirs


def differences(
    ours: Evaluation,
    theirs: Evaluation,
    events: Events,
    columns: Iterable[str],
) -> Iterator[str]:
    """Lines: of each sequence the columns that differ, ours minus theirs, and the events that only one has.

    Args:
        ours: the results.
        theirs: those to compare with.
        events: of both.
        columns: as for `Evaluation.rows`.
    """
    for mine, other in zip(ours.rows(columns), theirs.rows(columns), strict=True):
        name = str(mine["sequence"])
        changed = {
            key: float(value) - float(other[key])
            for key, value in mine.items()
            if key in other and key != "sequence" and value != other[key]
        }
        text = ", ".join(f"{key} {value:+.3f}".removesuffix(".000") for key, value in changed.items())
        yield f"{name}: {text or 'the same'}"
        for kind in KINDS if name in events else ():
            yield from _events(kind, *(_of(kind, rows) for rows in events[name]))


def _of(kind: str, rows: NDArray[Any]) -> set[Key]:
    """(frame, truth id, result id) of the events of one kind."""
    chosen = rows[rows["kind"] == kind]
    return {(int(row["frame"]), int(row["truth_id"]), int(row["result_id"])) for row in chosen}


def _events(kind: str, ours: set[Key], theirs: set[Key]) -> Iterator[str]:
    for who, only in (("only here", ours - theirs), ("only there", theirs - ours)):
        if only:
            where = ", ".join(_place(kind, key) for key in sorted(only)[:SHOWN])
            more = f", and {len(only) - SHOWN} more" if len(only) > SHOWN else ""
            yield f"  {len(only)} {KINDS[kind]} {who}: {where}{more}"


def _place(kind: str, key: Key) -> str:
    frame, truth, result = key
    who = {"switch": f"person {truth} becomes {result}", "miss": f"person {truth}", "false": f"id {result}"}
    return f"frame {frame} {who[kind]}"
