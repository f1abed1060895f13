"""Result files against ground truth: every sequence's scores and the combined ones, as a record that prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mot.errors import ConfigError, InputError, nearest
from mot.formats import sequences as folders
from mot.formats.benchmark_text import read_result, read_truth
from mot.metrics import FIELDS, Counts, Prepared, Score, check_iou, combine, count, prepare, scores
from mot.structures import Rows

# Columns of the table and the field each shows; the others are called as the field.
SHORT = {"FP": "CLR_FP", "FN": "CLR_FN"}
DEFAULT = tuple("HOTA DetA AssA LocA MOTA MOTP IDF1 IDP IDR IDSW FP FN MT PT ML Frag".split())
KNOWN = (*SHORT, *(name for names in FIELDS.values() for name in names))


@dataclass(frozen=True)
class Evaluation:
    """The scores of some sequences.

    Attributes:
        counts: of each sequence, by name.
        rates: frames per second of each, where they were tracked just now.
    """

    counts: Mapping[str, Counts]
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def sequences(self) -> dict[str, dict[str, Score]]:
        """Trackeval's fields of every sequence, as fractions and counts; HOTA's by threshold."""
        return {name: scores(counts) for name, counts in self.counts.items()}

    @property
    def combined(self) -> dict[str, Score]:
        """The same of all sequences together."""
        return scores(combine(list(self.counts.values())))

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Plain numbers and lists: `combined`, and each sequence under its name."""
        return {
            name: {
                key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()
            }
            for name, row in {**self.sequences, "combined": self.combined}.items()
        }

    def rows(self, columns: Iterable[str] = DEFAULT) -> list[dict[str, float | int | str]]:
        """One row a sequence and one for all: ratios in percent, HOTA's the mean over its thresholds.

        Raises:
            ConfigError: an unknown column.
        """
        columns = check_columns(columns)
        rows: list[dict[str, float | int | str]] = []
        for name, found in {**self.sequences, "combined": self.combined}.items():
            row: dict[str, float | int | str] = {"sequence": name}
            row |= {column: _shown(found[SHORT.get(column, column)], column) for column in columns}
            rows.append(row | ({"frames/s": self.rates[name]} if name in self.rates else {}))
        return rows

    def table(self, columns: Iterable[str] = DEFAULT) -> str:
        """`rows` as text."""
        rows = self.rows(columns)
        heads = list(dict.fromkeys(key for row in rows for key in row))
        lines = [heads, *([_text(row.get(head, "")) for head in heads] for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        return "\n".join(
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        )

    def __str__(self) -> str:
        return self.table()


def check_columns(columns: Iterable[str]) -> list[str]:
    """The columns, each once; HOTA's per-threshold fields are shown by their mean.

    Raises:
        ConfigError: an unknown one.
    """
    wanted = list(dict.fromkeys(columns))
    for column in wanted:
        if column not in KNOWN:
            raise ConfigError(f"columns: unknown {column!r}; {nearest(column, KNOWN)}")
    return wanted


def evaluate(
    gt: str | Path,
    results: str | Path,
    *,
    split: str | None = None,
    seqmap: str | Path | None = None,
    names: Sequence[str] | None = None,
    benchmark: str | None = None,
    frames: str | None = None,
    iou: float = 0.5,
) -> Evaluation:
    """Score a folder of MOT text files.

    Args:
        gt: a benchmark's folder with the sequences, as in MOT17/train.
        results: a folder with NAME.txt for every sequence.
        split: of MOT17: the sequences of one public detector.
        seqmap: a file of sequence names.
        names: only these.
        benchmark: whose classes and rules count; None: as the folders say.
        frames: `first-half`, `second-half` or A-B.
        iou: the overlap that CLEAR and Identity ask for, 0.01..1.

    Raises:
        SourceError: folders or files are missing.
        FormatError: a malformed row, with file and line.
        ConfigError: an unknown split, benchmark or range.
        InputError: an overlap out of range.
    """
    check_iou(iou)
    wanted = folders.find_sequences(gt, split, seqmap, names, benchmark)  # type: ignore[arg-type]
    files = folders.results(results, wanted)
    return Evaluation({one.name: count(prepared(one, files[one.name], frames), iou) for one in wanted})


def prepared(
    sequence: folders.Sequence, result: Path, frames: str | None = None, truth: Rows | None = None
) -> Prepared:
    """A result file against its sequence's ground truth, which may have been read before.

    Raises:
        InputError: names the file.
    """
    span = None if frames is None else folders.frame_range(frames, sequence.length)
    truth = truth or read_truth(sequence, span)
    found = read_result(result, sequence, span)
    try:
        return prepare(truth, found, sequence.length if span is None else len(span), sequence.benchmark)
    except InputError as error:
        raise InputError(f"{result}: {error}") from None


def _shown(value: Score, column: str) -> float | int:
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(np.mean(value))
    if column.startswith("HOTA_"):  # boxes
        return number
    return number if column in ("CLR_Frames", "FP_per_frame", "MOTP_sum") else 100 * number


def _text(value: float | int | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
