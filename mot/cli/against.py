"""`mot-eval --against`: how two sets of results differ, and in which frames and of whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from numpy.typing import NDArray

from mot.engine.evaluate import Evaluation

SHOWN = 5  # places of a kind that are written out
KINDS = {"switch": "switches", "miss": "misses", "false": "false boxes"}
Place = tuple[int, int]  # person, frame
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
            yield from _events(kind, *events[name])


def _events(kind: str, ours: NDArray[Any], theirs: NDArray[Any]) -> Iterator[str]:
    """A line a side: how many events it has alone, and the longest runs of frames in which it has them."""
    mine, other = (rows[rows["kind"] == kind] for rows in (ours, theirs))
    for who, here, there in (("only here", mine, other), ("only there", other, mine)):
        runs = sorted(_runs(kind, here, there), key=lambda run: (-run[0], run[1]))
        if runs:
            where = ", ".join(text for _, _, text in runs[:SHOWN])
            more = f", and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
            yield f"  {sum(count for count, _, _ in runs)} {KINDS[kind]} {who}: {where}{more}"


def _runs(kind: str, here: NDArray[Any], there: NDArray[Any]) -> Iterator[tuple[int, int, str]]:
    """Number of events, first frame, and place of what `here` has more of, by person and frames in a row.

    The ids of two results mean nothing to each other: false boxes are told apart by frame alone.
    """
    ours, theirs = _places(kind, here), _places(kind, there)
    more = {place: len(ids) - len(theirs.get(place, ())) for place, ids in ours.items()}
    for person, frames in _consecutive(sorted(place for place, count in more.items() if count > 0)):
        ids = list(dict.fromkeys(i for frame in frames for i in ours[person, frame]))
        named = " ".join(map(str, ids[:SHOWN])) + (" …" if len(ids) > SHOWN else "")
        who = {
            "switch": f"person {person} becomes {named}",
            "miss": f"person {person}",
            "false": f"ids {named}",
        }
        span = f"frames {frames[0]}-{frames[-1]}" if frames[1:] else f"frame {frames[0]}"
        yield sum(more[person, frame] for frame in frames), frames[0], f"{span} {who[kind]}"


def _places(kind: str, rows: NDArray[Any]) -> dict[Place, list[int]]:
    """The results' ids by person and frame; a false box is of nobody, -1."""
    places: dict[Place, list[int]] = {}
    for row in rows:
        person = -1 if kind == "false" else int(row["truth_id"])
        places.setdefault((person, int(row["frame"])), []).append(int(row["result_id"]))
    return places


def _consecutive(places: list[Place]) -> Iterator[tuple[int, list[int]]]:
    """Sorted places as a person and frames that follow one another."""
    frames: list[int] = []
    for (person, frame), after in zip(places, [*places[1:], None], strict=False):
        frames.append(frame)
        if after != (person, frame + 1):
            yield person, frames
            frames = []
