"""`mot-weights`: which files `mot` knows by name, getting them, and proof that they are whole."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mot.cli.errors import parse, run
from mot.errors import ConfigError, WeightsError, nearest
from mot.weights import manifest
from mot.weights.fetch import FOLDER_VARIABLE, cache_dir, damage, locate, places, sha256
from mot.weights.manifest import Entry

_PROGRAM = "mot-weights"
_WIDTH_OF_A_FILE = 200  # columns of the table where stdout is no terminal, so that paths stay on one line


def main(argv: list[str] | None = None) -> int:
    """Runs `mot-weights`; returns the exit status: 0, 1 (`verify` found damage), 2 (an error)."""
    logging.basicConfig(format=f"{_PROGRAM}: %(message)s")
    logging.getLogger("mot").setLevel(logging.INFO)
    return run(_PROGRAM, lambda: _act(parse(_parser(), argv)))


def _act(arguments: argparse.Namespace) -> int:
    actions = {"list": _list, "fetch": _fetch, "verify": _verify}
    return actions[arguments.command](arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="The weights and the sample video that mot knows by name.",
        epilog=f"Looked for in the folder {FOLDER_VARIABLE}, then in the cache, $XDG_CACHE_HOME/mot.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name, kind, licence and size of each, and where it is")
    fetch = commands.add_parser("fetch", help="get files, verify them and print their paths, one a line")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="as `mot-weights list` shows them")
    fetch.add_argument("--all", action="store_true", help="all of them")
    fetch.add_argument(
        "--offline", action="store_true", help="do not download: fail where a file is not here"
    )
    verify = commands.add_parser(
        "verify", help="compare the size and sha256 of files; exit status 1 on damage"
    )
    verify.add_argument(
        "files", nargs="*", metavar="NAME|PATH", help="default: all known files that are here"
    )
    return parser


def _list(arguments: argparse.Namespace) -> int:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "kind", "licence", "size", "where", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[3].justify = "right"
    table.columns[4].overflow = "fold"
    for entry in manifest.load().values():
        where = next(map(str, places(entry)), "not here")
        table.add_row(entry.name, entry.kind, entry.licence, f"{entry.size / 1e6:.1f} MB", where)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, markup=False, highlight=False)
    console.print(table)
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    entries = manifest.load()
    if arguments.all == bool(arguments.names):
        raise ConfigError("fetch: give either names or --all")
    # all names first: a typing error should not wait for a download
    wanted = (
        list(entries) if arguments.all else [manifest.find(name, entries).name for name in arguments.names]
    )
    for name in wanted:
        print(locate(name, offline=arguments.offline), flush=True)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    entries = manifest.load()
    rows = list(_verdicts(arguments.files, entries))
    for _, text in rows:
        print(text)
    return 0 if all(good for good, _ in rows) else 1


def _verdicts(files: list[str], entries: dict[str, Entry]) -> Iterator[tuple[bool, str]]:
    """Good or not, and the line to print, for each file found; a file that was named must be there."""
    for file in files or entries:
        if file not in entries:
            yield _verdict_on_path(file, entries)
            continue
        found = places(entries[file])
        if not found:
            yield not files, f"not here  {file} ({_looked()})" if files else f"not here  {file}"
        for path in found:
            yield _verdict(path, entries[file])


def _looked() -> str:
    own = os.environ.get(FOLDER_VARIABLE)
    return f"looked in {f'{own} and ' if own else ''}{cache_dir()}"


def _verdict(path: Path, entry: Entry) -> tuple[bool, str]:
    wrong = damage(path, entry)
    return wrong is None, f"ok  {path}" if wrong is None else f"damaged  {path} ({wrong})"


def _verdict_on_path(file: str, entries: dict[str, Entry]) -> tuple[bool, str]:
    """A path is judged by its hash, under whatever name, and by its name where the hash is unknown."""
    path = Path(file)
    if not path.is_file():
        raise WeightsError(f"{file!r} is neither a file nor a known name: {nearest(file, entries)}")
    digest = sha256(path)
    for entry in entries.values():
        if digest == entry.sha256:
            return True, f"ok  {path} ({entry.name})"
    for entry in entries.values():
        if path.name == entry.file:
            return _verdict(path, entry)
    return False, f"unknown  {path} (no known file has this name or this sha256 {digest})"


if __name__ == "__main__":
    sys.exit(main())
