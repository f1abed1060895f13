"""What lies between two stages of the pipeline: queues that are bounded, that can be stopped, and that count waits.

Whoever waits at a queue that is stopped gets a `StoppedError` and ends; nobody waits for somebody who is gone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from mot.structures import Frame
from mot.timing import StageTimes

Item = TypeVar("Item")
MOMENT_S = 0.2  # without another frame, after which a batch goes on its way as it is


class StoppedError(Exception):
    """The run is over: a stage has failed, or the caller wants no more."""


class Channel(Generic[Item]):
    """A queue from one thread to another.

    Args:
        room: items that wait at most; whoever brings more waits.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def put(self, item: Item) -> None:
        """Add one item, when there is room.

        Raises:
            StoppedError: nobody will take it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or len(self._items) < self._room)
            if self._error is not None:
                raise StoppedError
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Item:
        """The oldest item, when there is one; what was brought before a failure comes before its error.

        Raises:
            StoppedError: or with what else `stop` was called, once all items are taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._items)
            if not self._items:
                assert self._error is not None
                raise self._error
            self._changed.notify_all()
            return self._items.popleft()

    def stop(self, error: BaseException | None = None) -> None:
        """No more items come; `error` says why. The first one counts."""
        with self._changed:
            self._error = self._error or error or StoppedError()
            self._changed.notify_all()


@dataclass(eq=False)
class Feed:
    """One source on its way through the pipeline.

    Attributes:
        source: what the caller knows it by.
        frames: what is iterated over, in a thread of its own.
        decodes: whether getting a frame is work.
        live: of several frames that wait, only the newest counts.
        rate: nominal frames per second; None: not known.
        close: ends a reading that hangs; may be called from any thread.
    """

    source: object
    frames: Iterable[Frame] = field(repr=False)
    decodes: bool = True
    live: bool = False
    rate: float | None = None
    close: Callable[[], None] = lambda: None


class Arrival(NamedTuple):
    """A frame of a feed; or its end, `frame` being None, by `error` if it failed."""

    feed: Feed
    frame: Frame | None
    error: Exception | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the picture; frames of one shape may share a batch."""
        return None if self.frame is None or self.frame.image is None else self.frame.image.shape


class Inbox:
    """Frames of several feeds, from their readers to whoever takes them in batches.

    Every feed has a queue of its own, so that none takes the room of another: a file's reader waits when its queue
    is full; of a live feed the frame that waits gives way to a newer one.

    Args:
        feeds: all of them.
        size: frames that make a full batch.
        times: where waits and frames passed over are counted.
    """

    def __init__(self, feeds: list[Feed], size: int, times: StageTimes) -> None:
        self._size, self._times = size, times
        self._room = max(2, -(-2 * size // len(feeds)))
        self._waiting: dict[Feed, deque[Arrival]] = {feed: deque() for feed in feeds}
        self._open = set(feeds)
        self._changed = threading.Condition()
        self._stopped = False

    def put(self, arrival: Arrival) -> None:
        """Add a frame, or a feed's end.

        Raises:
            StoppedError: nobody will take it.
        """
        waiting = self._waiting[arrival.feed]
        with self._changed:
            if arrival.frame is None:
                self._open.discard(arrival.feed)
            elif arrival.feed.live and waiting:
                waiting.pop()
                self._times.drop()
            elif len(waiting) >= self._room:
                with self._times.stage("decode: queue full"):
                    self._changed.wait_for(lambda: self._stopped or len(waiting) < self._room)
            if self._stopped:
                raise StoppedError
            waiting.append(arrival)
            self._changed.notify_all()

    def take(self) -> list[Arrival]:
        """The next batch: pictures of one shape, in the order of each feed; none once all feeds have ended.

        It is full, unless nothing came for a moment or a live frame, or an end, would have to wait.

        Raises:
            StoppedError: the run is over.
        """
        with self._changed:
            if not self._ready():
                with self._times.stage("networks: no frame"):
                    while not self._changed.wait_for(self._ready, MOMENT_S) and not self._some():
                        pass
            if self._stopped:
                raise StoppedError
            batch = self._batch()
            self._changed.notify_all()
            return batch

    def stop(self) -> None:
        """Nothing more is taken or added."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _some(self) -> bool:
        """Whether anything waits."""
        return any(self._waiting.values())

    def _ready(self) -> bool:
        """Whether a batch is full, or should not wait until it is."""
        if self._stopped or not self._waiting:
            return True
        arrivals = [each for waiting in self._waiting.values() for each in waiting]
        frames = sum(each.frame is not None for each in arrivals)
        hurry = any(each.feed.live or each.frame is None for each in arrivals)
        files = [feed for feed in self._open if not feed.live]
        full = bool(files) and all(len(self._waiting[feed]) >= self._room for feed in files)
        return frames >= self._size or hurry or full

    def _batch(self) -> list[Arrival]:
        """One frame of each feed in turn, as long as their shape is that of the first; and ends.

        Who was served goes to the end of the line, so that the first is one that has waited longest.
        """
        batch: list[Arrival] = []
        count = -1
        while count < len(batch):
            count = len(batch)
            for feed, waiting in list(self._waiting.items()):
                if waiting and self._fits(batch, waiting[0]):
                    batch.append(waiting.popleft())
                    del self._waiting[feed]
                    if batch[-1].frame is not None:
                        self._waiting[feed] = waiting
        return batch

    def _fits(self, batch: list[Arrival], arrival: Arrival) -> bool:
        """Whether an arrival may join a batch: an end; or a picture of the others' shape, while there is room."""
        shapes = [each.shape for each in batch if each.frame is not None]
        return arrival.frame is None or (len(shapes) < self._size and {*shapes} <= {arrival.shape})
