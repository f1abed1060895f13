"""What ByteTrack, BoT-SORT, JDE and FairMOT share: bands of scores, costs, the way tracks disappear, looks.

The four official codes keep a track in one of several lists. Here it is a row with a state:

    TENTATIVE   seen in one frame only; goes at its first miss. Is not predicted before it is associated.
    CONFIRMED   seen in the last frame, and before.
    LOST        missed, not older than the buffer: can be found again.

Two habits of the official codes decide ids and are kept. A lost track older than the buffer has expired, but is
taken off the list one frame late: it can still be found `buffer` + 2 frames after its last detection. If it is,
it stays marked as expired, and is dropped for good at its next miss. And of two tracks at one place, one seen and
one lost, the one that lived longer stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mot import assignment, boxes, kernels, motion
from mot.appearance import unit
from mot.assignment import Matches, Pairs
from mot.errors import InputError
from mot.structures import Detections, Reason, TrackState
from mot.trackers.table import (
    BELOW_THRESHOLD,
    CONFIRMED,
    LOST,
    TENTATIVE,
    UNMATCHED,
    Rows,
    State,
    TrackTable,
    embeddings_of,
    has_area,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
DUPLICATE_DISTANCE = 0.15  # 1 - IoU below which two tracks are the same object
MARGIN = 1e-6  # pixels, above rounding
NO_SCORES = np.empty(0)
_PIXEL = 1.0  # the official IoU counts whole pixels: sides are one longer


class Coordinates(NamedTuple):
    """What a tracker's Kalman filter runs over.

    Attributes:
        of: xyxy (N, 4) -> measurements (N, 4).
        xyxy: the way back.
        sides: columns of the measurement from which the noise is made.
        start, process, measurement: the noise, see `mot.motion`.
        resting: columns whose velocity is 0 while a track is lost.
    """

    of: Callable[[boxes.Boxes], Array]
    xyxy: Callable[[Array], boxes.Boxes]
    sides: int | slice
    start: Callable[[Array], tuple[Array, Array]]
    process: Callable[[Array], tuple[Array, Array]]
    measurement: Callable[[Array], Array]
    resting: slice


XYAH = Coordinates(
    of=boxes.xyxy_to_xyah,
    xyxy=boxes.xyah_to_xyxy,
    sides=3,
    start=motion.xyah_start,
    process=motion.xyah_process,
    measurement=motion.xyah_measurement,
    resting=slice(3, 4),
)


class Settings(Protocol):
    """What the configs of the family have in common; see `ByteTrackConfig`."""

    @property
    def track_buffer(self) -> int:
        """Frames a track outlives its last detection, at 30 frames per second."""
        ...

    @property
    def frame_rate(self) -> float | None:
        """Frames per second of the source; None: 30."""
        ...

    @property
    def class_aware(self) -> bool:
        """Match within a label only."""
        ...


def make_table(tracker: str, row: tuple[int, ...] = (5, 4)) -> TrackTable:
    """An empty table with the family's columns, `row` being the shape of a filter; see `mot.motion`.

    `born` (T,) is the time of the first detection; `expired` (T,) marks tracks once older than the buffer.
    """
    return TrackTable(tracker, filter=np.empty((0, *row)), born=np.empty(0), expired=np.empty(0, np.bool_))


def xyxy_of(table: TrackTable, coordinates: Coordinates, rows: Rows | None = None) -> boxes.Boxes:
    """(R, 4) where the tracks `rows` are now; None: all."""
    bank = table["filter"] if rows is None else table["filter"].take(rows, axis=0)
    return coordinates.xyxy(motion.position(bank))


def predict(table: TrackTable, coordinates: Coordinates, dt: float) -> None:
    """All but tentative tracks `dt` <= 1 frames ahead; of one not seen before that, the size stops changing."""
    if kernels.fast and not _coupled(table):
        noise = coordinates.resting.start, coordinates.sides != 3
        kernels.fast.predict_family(table["filter"], table["state"], table["misses"], *noise, dt)
        table.step(dt)
        return
    moving = (table["state"] != TENTATIVE).nonzero()[0]
    bank = table["filter"].take(moving, axis=0)
    motion.velocity(bank)[:, coordinates.resting][table["misses"][moving] > 0] = 0.0
    motion.predict(bank, *coordinates.process(motion.position(bank)[:, coordinates.sides]), dt=dt)
    table["filter"][moving] = bank
    table.step(dt)


def bands(detections: Detections, low: float, high: float) -> tuple[Rows, Mask, Mask]:
    """Detections by score: `assigned` (D,) so far, those above `high` and those between the two, (D,) each.

    Neither threshold itself is in a band; what has no area is in none.
    """
    if kernels.fast:
        made: tuple[Rows, Mask, Mask] = kernels.fast.split(detections.xyxy, detections.scores, low, high)
        return made
    scores = detections.scores
    above = scores > high
    below = (scores < high) & (scores > low)
    sound = has_area(detections.xyxy)
    return np.where(above | below, UNMATCHED, BELOW_THRESHOLD), above & sound, below & sound


def near(
    table: TrackTable, coordinates: Coordinates, det: Rows, detections: Detections, class_aware: bool
) -> Pairs:
    """All tracks and detections of the rows `det`, ascending, that overlap, by IoU of whole pixels."""
    xyxy = xyxy_of(table, coordinates)
    pairs = Pairs(*boxes.overlaps(xyxy, detections.xyxy.take(det, axis=0), extra=_PIXEL))
    pairs = pairs._replace(columns=det[pairs.columns])
    if class_aware:
        return pairs.where(table["labels"][pairs.rows] == detections.labels[pairs.columns])
    return pairs


def between(pairs: Pairs, tracks: Mask, detections: Mask) -> Pairs:
    """The pairs of tracks marked in (T,) and detections marked in (D,)."""
    return pairs.where(tracks[pairs.rows] & detections[pairs.columns])


def match_overlap(
    pairs: Pairs, tracks: Mask, detections: Mask, limit: float, scores: Array | None = None
) -> Matches:
    """Of the tracks and detections marked in (T,) and (D,) those of least cost 1 - IoU, below `limit`.

    With `scores` (D,) the cost is 1 - IoU * score: sure detections choose first. Who is matched is marked no more.
    """
    if kernels.fast:
        weigh = NO_SCORES if scores is None else scores
        return Matches(*kernels.fast.match_overlap(*pairs, tracks, detections, limit, weigh))
    pairs = between(pairs, tracks, detections)
    if not len(pairs.rows):
        return assignment.NOTHING
    gain = pairs.weight if scores is None else pairs.weight * scores[pairs.columns]
    return match(pairs._replace(weight=gain - (1.0 - limit)), tracks, detections)


def match(pairs: Pairs, tracks: Mask, detections: Mask) -> Matches:
    """The heaviest of the `pairs`; who is matched is marked no more in `tracks` (T,) and `detections` (D,)."""
    found = assignment.heaviest(pairs, (len(tracks), len(detections)))
    tracks[found.rows] = False
    detections[found.columns] = False
    return assignment.matches(found)


def see(
    table: TrackTable,
    coordinates: Coordinates,
    matches: Matches,
    detections: Detections,
    renew_found: bool = True,
) -> None:
    """Correct and confirm the matched tracks; without `renew_found` a lost one keeps its score."""
    rows, det = matches
    _correct(table, coordinates, rows, det, detections.xyxy)
    renewed = None if renew_found else table["state"][rows] != LOST
    table["state"][rows] = CONFIRMED
    table.see(rows, det, detections, renewed)


def _correct(table: TrackTable, coordinates: Coordinates, rows: Rows, det: Rows, xyxy: boxes.Boxes) -> None:
    """The filters of the tracks `rows` (M,) by the detections `det` (M,) of `xyxy` (D, 4)."""
    if kernels.fast and not _coupled(table):
        kernels.fast.correct_family(table["filter"], rows, det, xyxy, coordinates.sides != 3)
        return
    bank = table["filter"].take(rows, axis=0)
    noise = coordinates.measurement(motion.position(bank)[:, coordinates.sides])
    motion.correct(bank, coordinates.of(xyxy.take(det, axis=0)), noise)
    table["filter"][rows] = bank


def _coupled(table: TrackTable) -> bool:
    """Whether its filters are coupled, which no kernel takes."""
    return table["filter"].shape[1:] == motion.COUPLED


def prune(
    table: TrackTable,
    coordinates: Coordinates,
    settings: Settings,
    left: Rows,
    detections: Detections,
    assigned: Rows,
) -> tuple[Rows, Rows]:
    """What happens to the missed tracks after the update, and which detections start new ones.

    A missed track becomes lost, a lost one expires. Of a seen and a lost track at one place the one that lived
    longer stays, in doubt the lost one; so a detection where a lost track is starts none. (The official codes
    start it and drop it at once: the same, but for an id.)

    Args:
        table: the tracks; those that go are dropped.
        coordinates: of their filters.
        settings: buffer and labels.
        left: (N,) rows of the detections that are left and sure enough to start a track.
        detections: those of the frame.
        assigned: (D,) reasons so far; the detections of dropped tracks become duplicates.

    Returns:
        Rows (before this call) of the tracks that stay, and those of `left` that start one.
    """
    stays = _let_go(table, int((settings.frame_rate or 30.0) / 30.0 * settings.track_buffer))
    table.keep(stays)
    found, lost = _same(table, coordinates, detections.xyxy[left])
    if settings.class_aware:
        labels = np.concatenate([detections.labels[left], table["labels"][table["state"] != LOST]])
        same = labels[found] == table["labels"][lost]
        found, lost = found[same], lost[same]
    if not len(found):
        return stays.nonzero()[0], left
    again, seen = found[found < len(left)], found >= len(left)
    assigned[left[again]] = Reason.DUPLICATE
    once = _longest_lived(table, (table["state"] != LOST).nonzero()[0][found[seen] - len(left)], lost[seen])
    gone = table["det_index"][~once]
    assigned[gone[gone >= 0]] = Reason.DUPLICATE
    table.keep(once)
    return stays.nonzero()[0][once], np.delete(left, again)


def _same(table: TrackTable, coordinates: Coordinates, left: boxes.Boxes) -> tuple[Rows, Rows]:
    """Pairs at one place: places (P,) in `left` (N, 4) and the tracks that are not lost, and lost tracks (P,)."""
    hidden = table["state"] == LOST
    if kernels.fast:
        made: tuple[Rows, Rows] = kernels.fast.alike(
            left, xyxy_of(table, coordinates), hidden, _PIXEL, 1.0 - DUPLICATE_DISTANCE
        )
        return made
    lost, seen = hidden.nonzero()[0], (~hidden).nonzero()[0]
    if not len(lost):
        return lost, lost
    xyxy = xyxy_of(table, coordinates)
    here, there = np.concatenate([left, xyxy.take(seen, axis=0)]), xyxy.take(lost, axis=0)
    # two boxes of such an IoU begin within so much of one's width of each other; hardly any do
    reach = DUPLICATE_DISTANCE / (1.0 - DUPLICATE_DISTANCE) * (there[:, 2] - there[:, 0] + _PIXEL) + MARGIN
    order = here[:, 0].argsort()
    starts = here[order, 0]
    low = starts.searchsorted(there[:, 0] - reach)
    count = np.maximum(starts.searchsorted(there[:, 0] + reach) - low, 0)
    if not count.any():
        return lost[:0], lost[:0]
    places, found = order[boxes.runs(low, count)], lost.repeat(count)
    iou = boxes.iou_of(here.take(places, axis=0), xyxy.take(found, axis=0), _PIXEL)
    same = iou > 1.0 - DUPLICATE_DISTANCE
    return places[same], found[same]


def _let_go(table: TrackTable, buffer: int) -> Mask:
    """Missed tracks become lost, old ones expire; (T,) which stay.

    A buffer of 0 works like 1, as officially: a track is lost for a frame before it can be too old.
    """
    state, misses, limit = table["state"], table["misses"], max(buffer, 1)
    if kernels.fast:
        made: Mask = kernels.fast.let_go(state, misses, table["expired"], limit)
        return made
    missed, confirmed = misses > 0, state == CONFIRMED
    condemned = (state == TENTATIVE) | (confirmed & table["expired"])
    stays: Mask = ~missed | ~(condemned | (misses >= limit + 2))
    table["expired"] |= misses > limit
    state[missed & confirmed] = LOST
    return stays


def _longest_lived(table: TrackTable, seen: Rows, lost: Rows) -> Mask:
    """(T,) which tracks stay where `seen` (P,) and `lost` (P,) ones are pairwise the same."""
    stays = np.ones(len(table), np.bool_)
    if len(seen):
        life = table.time - table["misses"] - table["born"]
        longer = life[seen] > life[lost]
        stays[seen[~longer]] = False
        stays[lost[longer]] = False
    return stays


def spawn(
    table: TrackTable, coordinates: Coordinates, det: Rows, detections: Detections, state: TrackState
) -> None:
    """A new track for each of the detections `det` (N,)."""
    if not len(det):
        return
    z = coordinates.of(detections.xyxy[det])
    bank = motion.start(z, *coordinates.start(z[:, coordinates.sides]))
    if table["filter"].shape[1:] != bank.shape[1:]:
        bank = motion.coupled(bank)
    table.spawn(det, detections, state, filter=bank, born=table.time, expired=False)


def unit_looks(detections: Detections, looks: Looks, tracker: str) -> Array:
    """(D, E) embeddings of length 1, float64.

    Raises:
        InputError: there are none, or they are not as wide as those before.
    """
    vectors = embeddings_of(detections, looks.size, tracker).astype(np.float64)
    return unit(vectors, out=vectors)


class Looks:
    """One smoothed embedding per track, of length 1, a row each in the order of the table.

    look = unit(a * look + (1 - a) * new)
    """

    def __init__(self) -> None:
        self._looks: Array = np.empty((0, 0))

    @property
    def size(self) -> int | None:
        """E, the width of the embeddings; None before the first one."""
        return self._looks.shape[1] or None

    def keep(self, rows: Rows) -> None:
        """Forget all tracks but `rows`."""
        if len(rows) < len(self._looks):
            self._looks = self._looks.take(rows, axis=0)

    def append(self, vectors: Array) -> None:
        """A new track for each of `vectors` (N, E)."""
        if len(vectors):
            known = self._looks if len(self._looks) else vectors[:0]
            self._looks = np.concatenate([known, vectors])

    def add(self, rows: Rows, vectors: Array, smoothing: float) -> None:
        """The tracks `rows` (M,) look like `vectors` (M, E) now; `smoothing` is a, the weight of the past."""
        if len(rows):
            looks = self._looks.take(rows, axis=0)
            looks *= smoothing
            looks += (1.0 - smoothing) * vectors
            self._looks[rows] = unit(looks, out=looks)

    def distances(
        self, rows: Rows, vectors: Array, metric: Literal["cosine", "euclidean"] = "cosine"
    ) -> Array:
        """(P,) how unlike each of the tracks `rows` and its own of `vectors` (P, E) look: 1 - u.v, or |u - v|."""
        if not len(rows):
            return np.empty(0)
        cosine = np.maximum(0.0, 1.0 - np.einsum("pe,pe->p", self._looks.take(rows, axis=0), vectors))
        return np.asarray(cosine if metric == "cosine" else np.sqrt(2.0 * cosine))

    def state_dict(self) -> State:
        """The looks as a plain array (T, E)."""
        return {"looks": self._looks.copy()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state_dict` gave."""
        looks, ids = state.get("looks"), state.get("ids", ())
        if looks is None or looks.ndim != 2 or (looks.size and len(looks) != len(ids)):
            raise InputError("state: column 'looks' is missing or of another length; from another tracker?")
        self._looks = np.array(looks)
