"""What networks saw, kept: asked for once, equal afterwards, and computed again where it is torn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mot.engine.cache import Cached, key_of, read
from mot.errors import OutputError
from mot.structures import Detections, Frame

FRAMES = [Frame(image=None, index=i, time_s=i / 10) for i in (1, 2, 3)]


class Eyes:
    """Sees one box more in every frame, none in the first, and counts how often it is asked."""

    def __init__(self, size: int | None = 4) -> None:
        self.asked = 0
        self._size = size

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        self.asked += len(frames)
        return [self._see(frame.index - 1) for frame in frames]

    def _see(self, count: int) -> Detections:
        corner = np.arange(count)[:, None] + np.array([0.1, 0.2])
        looks = None if self._size is None else np.full((count, self._size), 0.5, np.float32)
        return Detections(
            xyxy=np.concatenate([corner, corner + 5], axis=1), scores=np.full(count, 0.7), embeddings=looks
        )


@pytest.mark.parametrize("size", [4, None])
def test_the_second_run_asks_nothing_and_sees_the_same(tmp_path: Path, size: int | None) -> None:
    eyes = Eyes(size)
    first = Cached(eyes, tmp_path / "new", "key")
    before = [*first(FRAMES[:2]), *first(FRAMES[2:])]
    assert not first.hit
    assert not list(tmp_path.rglob("*.npz"))  # a run that was broken off leaves nothing
    first.keep()
    second = Cached(eyes, tmp_path / "new", "key")
    assert second.hit
    after = second(FRAMES)
    assert eyes.asked == 3
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.xyxy, other.xyxy)
        assert np.array_equal(one.scores, other.scores)
        assert (one.embeddings is None) == (other.embeddings is None) == (size is None)
    second.keep()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key.npz"]


@pytest.mark.parametrize("length", [0, 10, 200, -5])
def test_a_torn_entry_is_computed_again(tmp_path: Path, length: int) -> None:
    eyes = Eyes()
    cached = Cached(eyes, tmp_path, "key")
    cached(FRAMES)
    cached.keep()
    path = tmp_path / "key.npz"
    path.write_bytes(path.read_bytes()[:length])
    assert read(path) is None
    again = Cached(eyes, tmp_path, "key")
    again(FRAMES)
    again.keep()
    assert eyes.asked == 6
    assert Cached(eyes, tmp_path, "key").hit


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    cached = Cached(Eyes(), tmp_path, "key")
    cached(FRAMES)
    cached.keep()
    path = tmp_path / "key.npz"
    data = bytearray(path.read_bytes())
    data[data.index(b"xyxy.npy") + 150] ^= 1
    path.write_bytes(data)
    assert read(path) is None


def test_frames_beyond_an_entry_are_added_to_it(tmp_path: Path) -> None:
    eyes = Eyes()
    short = Cached(eyes, tmp_path, "key")
    short(FRAMES[:2])
    short.keep()
    longer = Cached(eyes, tmp_path, "key")
    longer(FRAMES[:2])
    longer(FRAMES[2:])
    longer.keep()
    assert eyes.asked == 3
    assert sorted(read(tmp_path / "key.npz") or {}) == [1, 2, 3]


def test_the_key_changes_with_what_matters(tmp_path: Path) -> None:
    one, other = tmp_path / "1.jpg", tmp_path / "2.jpg"
    one.write_bytes(b"a")
    other.write_bytes(b"b")
    record = {"weights": {"detector": "abc"}, "precision": "fp32"}
    keys = [
        key_of([one, other], record),
        key_of([other, one], record),
        key_of([one], record),
        key_of([one, other], record | {"precision": "bf16"}),
    ]
    assert len(set(keys)) == 4
    assert keys[0] == key_of([one, other], {"precision": "fp32", "weights": {"detector": "abc"}})


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cached = Cached(Eyes(), tmp_path / "file" / "in", "key")
    cached(FRAMES)
    with pytest.raises(OutputError, match="the cache cannot be written"):
        cached.keep()
