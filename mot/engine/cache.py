"""What the networks saw in a source, kept in a file: five trackers cost one pass of the networks.

An entry belongs to one content of the pictures and one record of the networks (weights' hashes, backend, precision,
`detector` and `reid` blocks, versions). It is written when the source was read to its end, under a temporary name
first; whatever cannot be read back whole is computed again.
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
from mot.errors import OutputError
from mot.structures import Detections, Frame

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
