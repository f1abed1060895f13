"""seqinfo.ini, which says how long a sequence of a benchmark is, how fast, and where its images are."""

from __future__ import annotations

import configparser
from pathlib import Path

from mot.errors import FormatError, SourceError, nearest
from mot.formats.table import MAX_FRAME

SECTION = "Sequence"


class SeqInfo:
    """The keys of one seqinfo.ini.

    Args:
        folder: the sequence's.

    Raises:
        SourceError: there is none.
        FormatError: it is no such file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "seqinfo.ini"
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self.path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise SourceError(
                f"{folder.name}: no seqinfo.ini in {str(folder)!r}, which says how many frames there are"
            ) from None
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            raise FormatError(f"{self.path}: {' '.join(str(error).split())}") from None
        if SECTION not in parser:
            raise FormatError(f"{self.path}: no section [{SECTION}]")
        self._keys = parser[SECTION]

    def text(self, key: str, default: str) -> str:
        """The value of `key` as it stands there."""
        return self._keys.get(key, default).strip() or default

    def whole(self, key: str) -> int | None:
        """A whole number above 0; None where the key is not there."""
        value = self.number(key)
        if value is not None and not value.is_integer():
            raise self._wrong(key, "a whole number")
        return None if value is None else int(value)

    def number(self, key: str) -> float | None:
        """A number above 0; None where the key is not there."""
        if key not in self._keys:
            return None
        try:
            value = float(self._keys[key])
        except ValueError:
            raise self._wrong(key, "a number") from None
        if not 0 < value <= MAX_FRAME:
            raise self._wrong(key, f"a number above 0 and up to {MAX_FRAME}")
        return value

    @property
    def length(self) -> int:
        """Number of frames, the one key that must be there."""
        value = self.whole("seqLength")
        if value is None:
            hint = f"; {nearest('seqlength', self._keys)}" if len(self._keys) else ""
            raise FormatError(f"{self.path}: no key seqLength in [{SECTION}]{hint}")
        return value

    def _wrong(self, key: str, expected: str) -> FormatError:
        return FormatError(f"{self.path}: {key} is {self._keys[key]!r}, expected {expected}")
