"""Damaged and crafted files: every one ends in a value or in a WeightsError, soon and in little memory.

`python tests/weights/test_fuzz.py READER COUNT` runs one reader over so many inputs and prints what came of them.
"""

import pickle
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mot.errors import WeightsError
from mot.resources import shipped
from mot.weights import manifest
from mot.weights.containers import DarknetFile, TensorFile, read

SECONDS, MEGABYTES = 5, 400
FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for damage."""


def _darknet(path: Path) -> object:
    content = read(path)
    assert isinstance(content, DarknetFile | TensorFile)
    return content


def _paddle(path: Path) -> object:
    content = read(path)
    assert isinstance(content, TensorFile)
    # half precision doubles; no other array is larger than its bytes in the file
    assert sum(tensor.nbytes for tensor in content.tensors.values()) <= 2 * path.stat().st_size
    return content


def _manifest(path: Path) -> object:
    entries = manifest.load(path)
    assert all(isinstance(entry, manifest.Entry) for entry in entries.values())
    return entries


def _pickles() -> list[bytes]:
    content: dict[str, Any] = {
        "w": np.arange(48, dtype=np.float32).reshape(8, 6),
        "b": np.array(1.5),
        "StructuredToParameterName@@": {"w": "w_0"},
    }
    sliced = {
        "p": np.zeros(2, np.float16),
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2,), "slices": ["p"]}},
    }
    return [pickle.dumps(one, protocol=p) for one in (content, sliced) for p in (2, 4, 5)]


def _entries() -> list[bytes]:
    """Of the shipped manifest: the shortest entry of each kind of first source, a manifest each."""
    rows = yaml.safe_load((shipped("weights") / "manifest.yml").read_text(encoding="utf-8"))
    alone = [row for row in rows if "beside" not in row]
    alone.sort(key=lambda row: len(str(row)), reverse=True)
    shortest = {next(iter(row["sources"][0])): row for row in alone}
    return [yaml.safe_dump([row], sort_keys=False).encode() for row in shortest.values()]


# Each reader: the suffix of its files, how it is called, whole files, and pieces that mean something to it.
READERS: dict[str, tuple[str, Callable[[Path], object], list[bytes], list[bytes]]] = {
    "darknet": (
        ".weights",
        _darknet,
        [struct.pack("<iiiq4f", 0, 2, 0, 5, 1, 2, 3, 4), struct.pack("<iiii2f", 0, 1, 0, 5, 1, 2)],
        [struct.pack("<f", np.nan), struct.pack("<i", -1), struct.pack("<i", 1), b"\x80\x02", b"PK\x03\x04"],
    ),
    "paddle": (
        ".pdparams",
        _paddle,
        _pickles(),
        [
            *(
                bytes([code])
                for code in b"(.012FIJKLMNPQRSTUVX]a}tesdugbchjiloqr)\x81\x82\x85\x86\x87\x88\x8a\x8b"
            ),
            *(bytes([code]) + b"\x08" for code in b"\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98"),
            b"\xff\xff\xff\xff",
            b"cbuiltins\neval\n",
            b"cnumpy\ndtype\n",
            b"cnumpy\nndarray\n",
            b"c_codecs\nencode\n",
            b"c__builtin__\ntuple\n",
            b"h\x00h\x00\x86q\x00",
        ],
    ),
    "manifest": (
        ".yml",
        _manifest,
        _entries(),
        b"!!int|!!float|!!bool|!!timestamp|!!binary|!!set|!!python/name:os.system|&a |*a|<<: |- |: |[|]|{|}|''|\"|"
        b"\n||2001-01-01|1e999|0x|.nan|\xff|\x00|\t|#|%YAML 9|---|...|? |> |1:1:1".split(b"|"),
    ),
}

Edit = tuple[str, float, float, bytes]
EDITS = ("flip", "cut", "drop", "splice", "insert", "replace")


def _edited(data: bytes, edits: list[Edit], other: bytes) -> bytes:
    """`data` after `edits`: kind, place and length as shares of it, and a piece."""
    for kind, place, share, piece in edits:
        at = int(place * len(data))
        to = at + 1 + int(share * 16)
        match kind:
            case "flip":
                data = (
                    data[:at]
                    + bytes(byte ^ (piece or b"\x01")[0] for byte in data[at : at + 1])
                    + data[at + 1 :]
                )
            case "cut":
                data = data[:at]
            case "drop":
                data = data[:at] + data[to:]
            case "splice":
                start = int(share * len(other))
                data = data[:at] + other[start : start + 40] + data[at:]
            case "insert":
                data = data[:at] + piece + data[at:]
            case "replace":
                data = data[:at] + piece + data[at + len(piece) :]
    return data


def _once(reader: Callable[[Path], object], path: Path, data: bytes) -> bool:
    """Whether `data` were read; anything but a value and a WeightsError is raised."""
    path.write_bytes(data)
    try:
        reader(path)
    except WeightsError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error
        return False
    return True


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_any_file_is_read_or_refused(name: str, data: st.DataObject, tmp_path: Path) -> None:
    suffix, reader, wholes, pieces = READERS[name]
    share = st.floats(0, 1, exclude_max=True)
    edit = st.tuples(st.sampled_from(EDITS), share, share, st.sampled_from(pieces) | st.binary(max_size=9))
    whole, other = (data.draw(st.sampled_from(wholes) | st.binary(max_size=200)) for _ in range(2))
    _once(reader, tmp_path / f"w{suffix}", _edited(whole, data.draw(st.lists(edit, max_size=5)), other))


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    suffix, reader, wholes, _ = READERS[name]
    assert all(_once(reader, tmp_path / f"w{suffix}", whole) for whole in wholes)


@pytest.mark.full
@pytest.mark.parametrize("name", READERS)
def test_a_hundred_thousand_files(name: str) -> None:
    done = subprocess.run(
        [sys.executable, __file__, name, "100000"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)


def _random_file(rng: random.Random, wholes: list[bytes], pieces: list[bytes]) -> bytes:
    """One in ten is random bytes, the others are whole files with up to five edits."""
    if rng.random() < 0.1:
        return b"".join([rng.choice((b"", b"\x80\x02", b"\x80\x04")), rng.randbytes(rng.randrange(200))])
    edits: list[Edit] = [
        (
            rng.choice(EDITS),
            rng.random(),
            rng.random(),
            rng.choice(pieces) if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 9)),
        )
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5)))
    ]
    return _edited(rng.choice(wholes), edits, rng.choice(wholes))


def _too_slow(*_: object) -> None:
    raise TooSlow(f"one file took more than {SECONDS} s")


def main(name: str, count: int) -> None:
    """Raises, with the file on stderr, at the first that ends in anything else, in too much time or memory."""
    suffix, reader, wholes, pieces = READERS[name]
    rng, read_ = random.Random(0), 0
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    signal.signal(signal.SIGALRM, _too_slow)
    memory = Path("/dev/shm")  # the disk would take most of the time
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        for _ in range(count):
            data = _random_file(rng, wholes, pieces)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                read_ += _once(reader, Path(folder) / f"w{suffix}", data)
            except BaseException:
                print(repr(data), file=sys.stderr)
                raise
    signal.setitimer(signal.ITIMER_REAL, 0)
    # not getrusage: a process is born with the peak of the one that started it
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
    assert peak < MEGABYTES, f"{peak:.0f} MB"
    print(f"{name}: {count} files, {read_} read, {count - read_} refused, at most {peak:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
