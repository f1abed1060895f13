"""The files of one run: written under a `.part` name, and given their own only when all of them are whole."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from mot.errors import OutputError
from mot.structures import Frame, Tracks


class Sink(Protocol):
    """Where results go: a file, a window, or anything with these two methods."""

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Take one frame's result."""
        ...

    def close(self) -> None:
        """No more frames will come."""
        ...


class EnoughError(Exception):
    """A sink has seen enough (its window was closed): the run ends here, and what was written stays."""


class TextSink:
    """A text file with what `render` makes of each frame."""

    def __init__(self, path: Path, render: Callable[[Frame, Tracks], str]) -> None:
        self._path, self._render = path, render
        with _about(path):
            self._file = path.open("x", encoding="utf-8", newline="\n")

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Append the frame's rows."""
        with _about(self._path):
            self._file.write(self._render(frame, tracks))

    def close(self) -> None:
        """Flush and close; a full disk may show only now."""
        with _about(self._path):
            self._file.close()


class Outputs:
    """The sinks of one run.

        with Outputs(overwrite=False) as outputs:
            outputs.add(Path("out/in.txt"), make_sink)
            outputs.write(frame, tracks)

    Leaving the block normally closes the sinks and gives all files their names; leaving it by an exception, or
    failing to name one of them, removes everything that was begun, folders included.

    Args:
        overwrite: whether a file of an earlier run may be replaced.
        inputs: files that must never be replaced.
    """

    def __init__(self, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
        self.enough = False  # a sink has asked for the end of the run
        self._overwrite = overwrite
        self._inputs = {path.resolve() for path in inputs}
        self._sinks: list[Sink] = []
        self._files: dict[Path, Path] = {}  # part -> final
        self._folders: list[Path] = []

    def refuse(self, paths: Sequence[Path]) -> None:
        """Raise OutputError if one of `paths` may not be written; nothing is touched."""
        for path in paths:
            if path.resolve() in self._inputs:
                raise OutputError(f"{path}: is an input; choose another folder with --out")
            if path.is_dir():
                raise OutputError(f"{path}: is a folder")
            if path.exists() and not self._overwrite:
                raise OutputError(
                    f"{path}: exists already; --overwrite replaces it, --out chooses another folder"
                )
            if sum(path.resolve() == other.resolve() for other in paths) > 1:
                raise OutputError(f"{path}: two results would be written to the same file")

    def add(self, path: Path, make: Callable[[Path], Sink]) -> None:
        """A sink that writes to `path` in the end; `make` is given the name to write to until then."""
        part = self._begin(path)
        with self._named():
            self._sinks.append(make(part))

    def watch(self, sink: Sink) -> None:
        """A sink without a file."""
        self._sinks.append(sink)

    def write(self, frame: Frame, tracks: Tracks) -> None:
        """Give one frame's result to every sink."""
        for sink in self._sinks:
            try:
                with self._named():
                    sink.write(frame, tracks)
            except EnoughError:
                self.enough = True

    def add_json(self, path: Path, content: dict[str, Any]) -> None:
        """One JSON file, complete."""
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        part = self._begin(path)
        with _about(path):
            part.write_text(text, encoding="utf-8")

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            self._discard([])
            return
        done: list[Path] = []
        try:
            for sink in self._sinks:
                with self._named():
                    sink.close()
            self.refuse(list(self._files.values()))
            for part, final in self._files.items():
                if part.exists():  # a video appears with its first frame, and there may have been none
                    with _about(final):
                        part.replace(final)
                    done.append(final)
        except BaseException:
            self._discard(done)
            raise

    def _begin(self, path: Path) -> Path:
        """The name to write to until all is whole; its folder exists."""
        self.refuse([*self._files.values(), path])
        missing = [folder for folder in path.parents if not folder.exists()]
        with _about(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._folders += missing
        # a name of its own, so that two runs at once never write to one file
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._files[part] = path
        return part

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error about a part speaks of the file that it was to become."""
        try:
            yield
        except OutputError as error:
            text = str(error)
            for part, final in self._files.items():
                text = text.replace(str(part), str(final))
            raise OutputError(text) from None

    def _discard(self, done: Sequence[Path]) -> None:
        """Close what is open and remove what was begun; the error that led here is the one to report."""
        for sink in self._sinks:
            with suppress(Exception):
                sink.close()
        for path in (*self._files, *done):
            path.unlink(missing_ok=True)
        for folder in self._folders:
            with suppress(OSError):  # somebody else put something there
                folder.rmdir()


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """An OSError in the block becomes an OutputError about `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
