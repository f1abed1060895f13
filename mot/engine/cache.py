"""What was seen in a source, kept in files: all trackers together cost one pass of the networks and the camera.

An entry belongs to one content of the pictures and one record of a network (weights' hashes, backend, precision,
`detector` or `reid` block, versions). What detects and what embeds have an entry each, and detections are kept from
a low score on, so that trackers of several thresholds share them. The camera's motions have an entry for each
`camera` block; in it, a motion is found by the numbers of its two pictures and the boxes in them. An entry is
written when the source was read to its end, under a temporary name first; whatever cannot be read back whole is
computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mot.engine.session import Follow, Observer
from mot.engine.tracker import Tracker
from mot.errors import OutputError
from mot.structures import Detections, Frame

FLOOR = 0.1  # the lowest score that a shipped config asks for
COLUMNS = ("xyxy", "scores", "labels")
Warp = NDArray[np.float64]
Boxes = NDArray[np.float64]
# What a damaged .npz raises, from zipfile, zlib, struct and numpy.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def key_of(paths: Iterable[Path], record: Mapping[str, Any] = MappingProxyType({})) -> str:
    """A name for what `record` sees in these files: 32 hexadecimal digits of their contents and of it."""
    digest = hashlib.sha256(json.dumps(dict(record), sort_keys=True, default=str).encode())
    for path in paths:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


class Remembering:
    """A tracker's `observe` that asks the networks only for what no tracker before has asked.

    Args:
        tracker: with its networks.
        folder: of the entries; it is made.
        contents: `key_of` the files that all frames come from, and detections where a file has them.

    Attributes:
        follow: the tracker's `follow()`, likewise; None where the camera is not followed.
    """

    def __init__(self, tracker: Tracker, folder: Path, contents: str) -> None:
        self._tracker, self._threshold = tracker, tracker.config.detector.score_threshold
        self._boxes = self._looks = None
        self.follow: Warps | None = None
        facts, record = {"files": contents}, tracker.record()
        if record["config"]["camera"] is not None:
            from mot.camera import LIBRARY

            seen = facts | {"camera": record["config"]["camera"], "version": record["version"], "by": LIBRARY}
            self.follow = Warps(tracker.follow, folder, key_of([], seen))
        if record["networks"].keys() & {"detector", "joint"}:
            # greedy suppression of fewer boxes is a part of that of more: a threshold can be raised afterwards
            floor = min(FLOOR, self._threshold)
            facts |= _facts(record, "detector") | {"floor": floor}
            self._boxes = Cached(lambda frames: tracker.detect(frames, floor), folder, key_of([], facts))
        else:  # detections come from a file
            facts["detector"] = record["config"]["detector"]
        if "reid" in record["networks"]:
            facts |= _facts(record, "reid") | {"threshold": self._threshold}
            self._looks = Cached(
                lambda frames: tracker.embed(frames, self._detect(frames)), folder, key_of([], facts)
            )

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The detections of each frame."""
        return self._looks(frames) if self._looks else self._detect(frames)

    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        if self._boxes is None:
            return self._tracker.detect(frames)
        above = np.float32(self._threshold)  # the networks' own precision
        return [found[found.scores > above] for found in self._boxes(frames)]

    def keep(self) -> None:
        """Writes what is new; to be called when the source was read to its end."""
        for part in (self._boxes, self._looks, self.follow):
            if part is not None:
                part.keep()


def _facts(record: Mapping[str, Any], block: str) -> dict[str, Any]:
    """What of a tracker's record decides what the network of a config's block gives."""
    kinds = ("detector", "joint") if block == "detector" else ("reid",)
    found = {key: record.get(key) for key in ("version", "torch", "threads", "device")}
    found[block] = {
        key: value for key, value in record["config"][block].items() if key != "score_threshold"
    } | {key: [record[key].get(kind) for kind in kinds] for key in ("networks", "weights")}
    return found


class Cached:
    """An observer that asks another one only for what it has not got.

    Args:
        observe: the other one.
        folder: of the entries; it is made.
        key: of this entry, from `key_of`.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, observe: Observer, folder: Path, key: str) -> None:
        self._observe, self._path = observe, folder / f"{key}.npz"
        self._known = read(self._path)
        self._new: dict[int, Detections] = {}
        self.hit = self._known is not None

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """The detections of each frame."""
        if self._known is not None and all(frame.index in self._known for frame in frames):
            return [self._known[frame.index] for frame in frames]
        found = list(self._observe(frames))
        self._new |= {frame.index: seen for frame, seen in zip(frames, found, strict=True)}
        return found

    def keep(self) -> None:
        """Writes the entry; to be called when the source was read to its end."""
        if self._new:
            write(self._path, (self._known or {}) | self._new)


class Warps:
    """A `Follow` that asks another one only for what it has not got.

    Args:
        make: a fresh one of the other.
        folder: of the entries; it is made.
        key: of this entry, from `key_of`.
    """

    def __init__(self, make: Callable[[], Follow | None], folder: Path, key: str) -> None:
        self._make, self._path = make, folder / f"{key}.npz"
        self._known = read_warps(self._path)
        self._new: dict[bytes, Warp | None] = {}
        self._follow: Follow | None = None  # one that has seen the last picture, if any
        self._last: tuple[Frame, Boxes] | None = None

    def __call__(self, frame: Frame, boxes: Boxes) -> Warp | None:
        """The motion up to this frame, None where it cannot be told."""
        last, self._last = self._last, (frame, boxes)
        name = _name(last, self._last)
        if name in self._known:
            self._follow = None
            return self._known[name]
        if self._follow is None:
            self._follow = self._make()
            assert self._follow is not None
            if last is not None:
                self._follow(*last)
        warp = self._new[name] = self._follow(frame, boxes)
        return warp

    def keep(self) -> None:
        """Writes the entry; to be called when the source was read to its end."""
        if self._new:
            write_warps(self._path, self._known | self._new)


def _name(*seen: tuple[Frame, Boxes] | None) -> bytes:
    """Of a motion: 16 bytes of the numbers of its two pictures, and of the boxes in them."""
    digest = hashlib.sha256()
    for each in seen:
        boxes = b"" if each is None else np.ascontiguousarray(each[1], np.float64).tobytes()
        digest.update(f"{each and each[0].index} {len(boxes)} ".encode() + boxes)
    return digest.digest()[:16]


def read_warps(path: Path) -> dict[bytes, Warp | None]:
    """The camera's motions by name, none where there is no whole entry."""
    try:
        content = _load(path)
        warps = content["warps"].reshape(-1, 2, 3)
        told = (None if np.isnan(warp).any() else warp for warp in warps)
        return dict(zip((name.tobytes() for name in content["names"]), told, strict=True))
    except _DAMAGE:
        return {}


def write_warps(path: Path, entry: Mapping[bytes, Warp | None]) -> None:
    """One file of arrays: names (F, 16) uint8, and warps (F, 2, 3), NaN where they cannot be told."""
    names = np.frombuffer(b"".join(entry), np.uint8).reshape(-1, 16)
    warps = [np.full((2, 3), np.nan) if warp is None else warp for warp in entry.values()]
    _save(path, {"names": names, "warps": np.stack(warps)})


def read(path: Path) -> dict[int, Detections] | None:
    """The detections by frame, None where there is no whole entry."""
    try:
        content = _load(path)
        cuts = np.cumsum(content["counts"])[:-1]
        parts = {name: np.split(content[name], cuts) for name in (*COLUMNS, "embeddings") if name in content}
        return {
            int(frame): Detections(**{name: parts[name][i] for name in parts})
            for i, frame in enumerate(content["frames"])
        }
    except _DAMAGE:
        return None


def write(path: Path, entry: Mapping[int, Detections]) -> None:
    """One file of arrays."""
    columns = {name: np.concatenate([getattr(seen, name) for seen in entry.values()]) for name in COLUMNS}
    vectors = [seen.embeddings for seen in entry.values() if seen.embeddings is not None]
    if len(vectors) == len(entry):
        columns["embeddings"] = np.concatenate(vectors)
    counts = np.array([len(seen) for seen in entry.values()], np.int64)
    _save(path, {"frames": np.array(list(entry), np.int64), "counts": counts} | columns)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """One file of arrays; it gets its name when it is whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path}: the cache cannot be written: {error.strerror}") from error
