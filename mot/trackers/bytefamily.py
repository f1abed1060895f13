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

from mot import assignment, boxes, motion
from mot.appearance import unit
from mot.assignment import Matches
from mot.errors import InputError
from mot.structures import Detections, Reason, TrackState
from mot.trackers.table import Rows, State, TrackTable, embeddings_of, usable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FORBIDDEN = 1e3  # a cost above every limit; finite, since the solver subtracts costs
DUPLICATE_DISTANCE = 0.15  # 1 - IoU below which two tracks are the same object
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


def xyxy_of(table: TrackTable, coordinates: Coordinates) -> boxes.Boxes:
    """(T, 4) where the tracks are now."""
    return coordinates.xyxy(motion.position(table["filter"]))


def predict(table: TrackTable, coordinates: Coordinates, dt: float) -> None:
    """All but tentative tracks `dt` <= 1 frames ahead; of one not seen before that, the size stops changing."""
    moving = table["state"] != TrackState.TENTATIVE
    bank = table["filter"][moving]
    motion.velocity(bank)[table["misses"][moving] > 0, coordinates.resting] = 0.0
    motion.predict(bank, *coordinates.process(motion.position(bank)[:, coordinates.sides]), dt=dt)
    table["filter"][moving] = bank
    table.step(dt)


def bands(detections: Detections, low: float, high: float) -> tuple[Rows, Rows, Rows]:
    """Detections by score: `assigned` (D,) so far, rows above `high`, rows between the two.

    Neither threshold itself is in a band.
    """
    scores = detections.scores
    used = (scores > low) & (scores != high)
    assigned = np.where(used, Reason.UNMATCHED, Reason.BELOW_THRESHOLD).astype(np.int64)
    rows = usable(detections, assigned)
    return assigned, rows[scores[rows] > high], rows[scores[rows] < high]


def iou_distance(tracks: boxes.Boxes, detections: boxes.Boxes) -> Array:
    """(T, D) 1 - IoU of whole pixels."""
    return 1.0 - boxes.iou(tracks, detections, extra=_PIXEL)


def fuse_score(distance: Array, scores: Array) -> Array:
    """1 - IoU * score of the detection (D,), from 1 - IoU (T, D): sure detections choose first."""
    return 1.0 - (1.0 - distance) * scores


def match(
    table: TrackTable,
    cost: Array,
    limit: float,
    rows: Rows,
    det: Rows,
    detections: Detections,
    class_aware: bool,
) -> Matches:
    """Pairs of the tracks `rows` (R,) and the detections `det` (C,), by `cost` (R, C), limit inside the solve."""
    cost[~same_label(table["labels"][rows], detections.labels[det], class_aware)] = FORBIDDEN
    found = assignment.match_limited(cost, limit)
    return Matches(rows[found.rows], det[found.columns])


def without(rows: Rows, taken: Rows) -> Rows:
    """`rows` that are not in `taken`."""
    return rows[~np.isin(rows, taken)]


def same_label(tracks: Rows, detections: Rows, class_aware: bool) -> Mask:
    """(T, D) which pairs are allowed by their labels: all, unless `class_aware`."""
    if class_aware:
        return np.equal(tracks[:, None], detections)
    return np.ones((len(tracks), len(detections)), np.bool_)


def see(
    table: TrackTable,
    coordinates: Coordinates,
    matches: Matches,
    detections: Detections,
    renew_found: bool = True,
) -> None:
    """Correct and confirm the matched tracks; without `renew_found` a lost one keeps its score."""
    (rows, det), bank = matches, table["filter"]
    noise = coordinates.measurement(motion.position(bank)[rows][:, coordinates.sides])
    motion.update(bank, rows, coordinates.of(detections.xyxy[det]), noise)
    renewed = renew_found | (table["state"][rows] != TrackState.LOST)
    table["state"][rows] = TrackState.CONFIRMED
    table.see(rows[renewed], det[renewed], detections)
    table.see(rows[~renewed], det[~renewed], detections, renew_score=False)


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
    xyxy, lost = xyxy_of(table, coordinates), table["state"] == TrackState.LOST
    labels = table["labels"]

    def same(boxes_seen: boxes.Boxes, labels_seen: Rows) -> Mask:
        """(…, L) which of the boxes are the same object as which of the lost tracks."""
        near: Mask = iou_distance(boxes_seen, xyxy[lost]) < DUPLICATE_DISTANCE
        return near & same_label(labels_seen, labels[lost], settings.class_aware)

    again = same(detections.xyxy[left], detections.labels[left]).any(axis=1)
    assigned[left[again]] = Reason.DUPLICATE
    once = _longest_lived(table, same(xyxy[~lost], labels[~lost]))
    assigned[table["det_index"][~lost & ~once]] = Reason.DUPLICATE
    table.keep(once)
    return np.flatnonzero(stays)[once], left[~again]


def _let_go(table: TrackTable, buffer: int) -> Mask:
    """Missed tracks become lost, old ones expire; (T,) which stay.

    A buffer of 0 works like 1, as officially: a track is lost for a frame before it can be too old.
    """
    state, misses, limit = table["state"], table["misses"], max(buffer, 1)
    missed, confirmed = misses > 0, state == TrackState.CONFIRMED
    condemned = (state == TrackState.TENTATIVE) | (confirmed & table["expired"])
    stays: Mask = ~missed | ~(condemned | (misses >= limit + 2))
    table["expired"] |= misses > limit
    state[missed & confirmed] = TrackState.LOST
    return stays


def _longest_lived(table: TrackTable, same: Mask) -> Mask:
    """(T,) which tracks stay where a seen and a lost one are the `same` (S, L)."""
    lost = table["state"] == TrackState.LOST
    life = table.time - table["misses"] - table["born"]
    longer = life[~lost][:, None] > life[lost]
    stays = np.ones(len(table), np.bool_)
    stays[~lost] = ~(same & ~longer).any(axis=1)
    stays[lost] = ~(same & longer).any(axis=0)
    return stays


def spawn(
    table: TrackTable, coordinates: Coordinates, det: Rows, detections: Detections, state: TrackState
) -> None:
    """A new track for each of the detections `det` (N,)."""
    z = coordinates.of(detections.xyxy[det])
    bank = motion.start(z, *coordinates.start(z[:, coordinates.sides]))
    if table["filter"].shape[1:] != bank.shape[1:]:
        bank = motion.coupled(bank)
    born, expired = np.full(len(det), table.time), np.zeros(len(det), np.bool_)
    table.spawn(det, detections, state, filter=bank, born=born, expired=expired)


def unit_looks(detections: Detections, looks: Looks, tracker: str) -> Array:
    """(D, E) embeddings of length 1, float64.

    Raises:
        InputError: there are none, or they are not as wide as those before.
    """
    return unit(embeddings_of(detections, looks.size, tracker).astype(np.float64))


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
        self._looks = self._looks[rows]

    def append(self, vectors: Array) -> None:
        """A new track for each of `vectors` (N, E)."""
        if len(vectors):
            known = self._looks if len(self._looks) else vectors[:0]
            self._looks = np.concatenate([known, vectors])

    def add(self, rows: Rows, vectors: Array, smoothing: float) -> None:
        """The tracks `rows` (M,) look like `vectors` (M, E) now; `smoothing` is a, the weight of the past."""
        if len(rows):
            self._looks[rows] = unit(smoothing * self._looks[rows] + (1.0 - smoothing) * vectors)

    def distance(self, rows: Rows, vectors: Array, metric: Literal["cosine", "euclidean"]) -> Array:
        """(R, D) how unlike the tracks `rows` and `vectors` (D, E) look: 1 - u.v, or |u - v|, of length-1 u, v."""
        if not len(rows) or not len(vectors):
            return np.empty((len(rows), len(vectors)))
        cosine = np.maximum(0.0, 1.0 - self._looks[rows] @ vectors.T)
        return cosine if metric == "cosine" else np.sqrt(2.0 * cosine)

    def state_dict(self) -> State:
        """The looks as a plain array (T, E)."""
        return {"looks": self._looks.copy()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `state_dict` gave."""
        looks, ids = state.get("looks"), state.get("ids", ())
        if looks is None or looks.ndim != 2 or (looks.size and len(looks) != len(ids)):
            raise InputError("state: column 'looks' is missing or of another length; from another tracker?")
        self._looks = np.array(looks)
