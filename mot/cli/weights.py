"""`mot-weights`: which files `mot` knows by name, getting them, and proof that they are whole."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mot.cli.errors import parse, run
from mot.errors import ConfigError, WeightsError
from mot.weights import manifest
from mot.weights.fetch import (
    FOLDER_VARIABLE,
    cache_dir,
    damage,
    known_sha256,
    locate,
    places,
    sha256,
    size_text,
)
from mot.weights.manifest import Entry

_PROGRAM = "mot-weights"
_WIDTH = 80  # columns of the table where stdout is no terminal
_WHOLE = 64  # digits of a sha256
_log = logging.getLogger(__name__)

Arguments = argparse.Namespace


def main(argv: list[str] | None = None) -> int:
    """Runs `mot-weights`; returns the exit status: 0, 1 (`verify` found damage), 2 (an error)."""
    logging.basicConfig(format=f"{_PROGRAM}: %(message)s")
    logging.getLogger("mot").setLevel(logging.INFO)
    return run(_PROGRAM, lambda: _act(parse(_parser(), argv)))


def _act(arguments: Arguments) -> int:
    _, _, action = _ACTIONS[arguments.command]
    return action(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="The weights and the sample video that mot knows by name.",
        epilog=f"Looked for in the folder {FOLDER_VARIABLE}, then in the cache, $XDG_CACHE_HOME/mot.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, add_flags, _) in _ACTIONS.items():
        add_flags(commands.add_parser(name, help=text))
    return parser


def _no_flags(parser: argparse.ArgumentParser) -> None:
    del parser


def _fetch_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="as `mot-weights list` shows them")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument(
        "--offline", action="store_true", help="do not download: fail where a file is not here"
    )
    parser.add_argument(
        "--accept-unverified", action="store_true", help="also those of which no sha256 is known"
    )


def _verify_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", metavar="NAME|PATH", help="default: all known files that are here"
    )


def _list(arguments: Arguments) -> int:
    from rich.console import Console
    from rich.table import Table

    del arguments
    table = Table("name", "licence", "size", "sha256", "where", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    table.columns[2].justify = "right"
    entries = manifest.load().values()
    for kind in dict.fromkeys(entry.kind for entry in entries):
        table.add_row(f"[{kind}]")
        for entry in (entry for entry in entries if entry.kind == kind):
            facts = entry.licence, size_text(entry), _hash_text(entry), _where(entry)
            table.add_row(f" {entry.name}", *facts)
    width = None if sys.stdout.isatty() else _WIDTH
    Console(width=width, markup=False, highlight=False).print(table)
    print(f"{FOLDER_VARIABLE}: {os.environ.get(FOLDER_VARIABLE) or 'not set'}\ncache: {cache_dir()}")
    return 0


def _hash_text(entry: Entry) -> str:
    if entry.sha256 is None:
        return "unverified"
    return "known" if len(entry.sha256) == _WHOLE else f"first {len(entry.sha256)}"


def _where(entry: Entry) -> str:
    """In which folder the file is that `locate` would take, empty where it is in none."""
    folders = [path.parent for path in places(entry)]
    return "" if not folders else "cache" if folders[0] == cache_dir() else FOLDER_VARIABLE


def _fetch(arguments: Arguments) -> int:
    entries = manifest.load()
    if arguments.all == bool(arguments.names):
        raise ConfigError("fetch: give either names or --all")
    # all names first: a typing error should not wait for a download
    wanted = [manifest.find(name, entries) for name in arguments.names] or list(entries.values())
    if arguments.all and not arguments.accept_unverified:
        safe = [entry for entry in wanted if entry.sha256 is not None or places(entry)]
        if len(safe) < len(wanted):
            _log.info("%d unverified left out: add --accept-unverified", len(wanted) - len(safe))
        wanted = safe
    for entry in wanted:
        found = locate(entry.name, offline=arguments.offline, accept_unverified=arguments.accept_unverified)
        print(found, flush=True)
    return 0


def _verify(arguments: Arguments) -> int:
    entries = manifest.load()
    rows = list(_verdicts(arguments.files, entries))
    for _, text in rows:
        print(text)
    if not rows:
        print(f"none of the {len(entries)} known files is here ({_looked()})")
    return 0 if all(good for good, _ in rows) else 1


def _verdicts(files: list[str], entries: dict[str, Entry]) -> Iterator[tuple[bool, str]]:
    """Good or not, and the line to print, for each file found; a file that was named must be there."""
    for file in files or entries:
        if file not in entries:
            yield _verdict_on_path(file, entries)
            continue
        found = places(entries[file])
        if files and not found:
            yield False, f"not here  {file} ({_looked()})"
        for path in found:
            yield _verdict(path, entries[file])


def _looked() -> str:
    own = os.environ.get(FOLDER_VARIABLE)
    return f"looked in {f'{own} and ' if own else ''}{cache_dir()}"


def _verdict(path: Path, entry: Entry) -> tuple[bool, str]:
    if wrong := damage(path, entry):
        return False, f"damaged  {path} ({wrong})"
    if known_sha256(path, entry) is None:
        return True, f"unverified  {path} (no sha256 to compare with; it is {sha256(path)})"
    return True, f"ok  {path}"


def _verdict_on_path(file: str, entries: dict[str, Entry]) -> tuple[bool, str]:
    """A path is judged by its hash, under whatever name, and by its name where the hash is unknown."""
    path = Path(file)
    if not path.is_file():
        raise WeightsError(f"{file!r} is neither a file nor a known name: {manifest.similar(file, entries)}")
    digest = sha256(path)
    for entry in entries.values():
        if entry.sha256 is not None and digest.startswith(entry.sha256):
            return True, f"ok  {path} ({entry.name})"
    for entry in entries.values():
        if path.name == entry.file:
            return _verdict(path, entry)
    return False, f"unknown  {path} (no known file has this name or this sha256 {digest})"


def _inspect_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="NAME|PATH")


def _inspect(arguments: Arguments) -> int:
    from mot.cli.inspect import describe

    for file in arguments.files:
        for line in describe(locate(file, offline=True)):
            print(line)
    return 0


# name -> its line of help, what adds its flags, and what does it and gives the exit status
_ACTIONS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[Arguments], int]]] = {
    "list": ("name, licence and size of each, and where it is", _no_flags, _list),
    "fetch": ("get files, verify them and print their paths, one a line", _fetch_flags, _fetch),
    "inspect": ("what a weights file is, and the config lines that use it", _inspect_flags, _inspect),
    "verify": ("compare the size and sha256 of files; exit status 1 on damage", _verify_flags, _verify),
}


if __name__ == "__main__":
    sys.exit(main())
