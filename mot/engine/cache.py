"""What the networks saw in a source, kept in files: all trackers together cost one pass of the networks.

An entry belongs to one content of the pictures and one record of a network (weights' hashes, backend, precision,
`detector` or `reid` block, versions). What detects and what embeds have an entry each, and detections are kept from
a low score on, so that trackers of several thresholds share them. An entry is written when the source was read to
its end, under a temporary name first; whatever cannot be read back whole is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mot.engine.session import Observer
from mot.engine.tracker import Tracker
from mot.errors import OutputError
from mot.structures import Detections, Frame

FLOOR = 0.1  # the lowest score that a shipped config asks for
COLUMNS = ("xyxy", "scores", "labels")
# What a damaged .npz raises, from zipfile, zlib, struct and numpy.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def key_of(paths: Iterable[Path], record: Mapping[str, Any]) -> str:
    """A name for what `record` sees in these files: 32 hexadecimal digits of their contents and of it."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode())
    for path in paths:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


class Remembering:
    """A tracker's `observe` that asks the networks only for what no tracker before has asked.

    Args:
        tracker: with its networks.
        folder: of the entries; it is made.
        paths: the files that all frames come from, and detections where a file has them.
    """

    def __init__(self, tracker: Tracker, folder: Path, paths: Sequence[Path]) -> None:
        self._tracker, self._threshold = tracker, tracker.config.detector.score_threshold
        self._boxes = self._looks = None
        facts, record = {"files": key_of(paths, {})}, tracker.record()
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
        for part in (self._boxes, self._looks):
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


def read(path: Path) -> dict[int, Detections] | None:
    """The detections by frame, None where there is no whole entry."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
        cuts = np.cumsum(content["counts"])[:-1]
        parts = {name: np.split(content[name], cuts) for name in (*COLUMNS, "embeddings") if name in content}
        return {
            int(frame): Detections(**{name: parts[name][i] for name in parts})
            for i, frame in enumerate(content["frames"])
        }
    except _DAMAGE:
        return None


def write(path: Path, entry: Mapping[int, Detections]) -> None:
    """One file of arrays; it gets its name when it is whole."""
    columns = {name: np.concatenate([getattr(seen, name) for seen in entry.values()]) for name in COLUMNS}
    vectors = [seen.embeddings for seen in entry.values() if seen.embeddings is not None]
    if len(vectors) == len(entry):
        columns["embeddings"] = np.concatenate(vectors)
    counts = np.array([len(seen) for seen in entry.values()], np.int64)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            np.savez(stream, frames=np.array(list(entry), np.int64), counts=counts, **columns)  # type: ignore[arg-type]
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OutputError(f"{path}: the cache cannot be written: {error.strerror}") from error
