"""Every frame of the official implementations' outputs, on real detections."""

from __future__ import annotations

import configparser
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mot.formats.mot_text import format_tracks, read_detections
from mot.structures import Detections
from mot.trackers import SORT, DeepSORT, DeepSORTConfig, SORTConfig

V2 = DeepSORTConfig(
    min_confidence=0.8,
    nms_max_overlap=0.5,
    max_cosine_distance=0.1,
    nn_budget=5,
    max_iou_distance=0.5,
    max_age=10,
    n_init=2,
)
# run -> (tracker, its parameters, whether it is given embeddings)
RUNS: dict[str, tuple[type[Any], Any, bool]] = {
    "sort": (SORT, SORTConfig(), False),
    "deepsort": (DeepSORT, DeepSORTConfig(), True),
    "deepsort_v2": (DeepSORT, V2, True),
}


@cache
def comparison(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def vectors(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The embeddings of a sequence, made by the recipe that the reference runs used."""
    folder = tmp_path_factory.mktemp("embeddings")

    @cache
    def make(sequence: Path) -> NDArray[np.float32]:
        out = folder / f"{sequence.name}.npy"
        recipe = shared_data / "reference_runs" / "make_embeddings.py"
        subprocess.run([sys.executable, recipe, sequence, out], check=True, capture_output=True)
        made: NDArray[np.float32] = np.load(out)
        return made

    return make


def frames_of(sequence: Path, embeddings: NDArray[np.float32] | None) -> list[Detections]:
    """The detections of every frame, 1 to the sequence's length, rows in file order."""
    info = configparser.ConfigParser()
    info.read(sequence / "seqinfo.ini")
    path = sequence / "det" / "det.txt"
    found = read_detections(path)
    numbers = [int(float(line.split(",")[0])) for line in path.read_text().splitlines()]
    out = []
    for frame in range(1, info.getint("Sequence", "seqLength") + 1):
        here = found.get(frame, Detections.empty())
        if embeddings is not None and len(here):
            rows = np.flatnonzero(np.array(numbers) == frame)
            here = Detections(xyxy=here.xyxy, scores=here.scores, embeddings=embeddings[rows])
        out.append(here)
    return out


@pytest.mark.data
@pytest.mark.parametrize("name", RUNS)
def test_equal_to_the_official_output(name: str, shared_data: Path, vectors: Any, tmp_path: Path) -> None:
    build, config, embedded = RUNS[name]
    references = sorted((shared_data / "reference_runs" / name).glob("*.txt"))
    assert references
    for reference in references:
        (sequence,) = shared_data.glob(f"mot1*/train/{reference.stem}")
        tracker = build(config)
        detections = frames_of(sequence, vectors(sequence) if embedded else None)
        rows = [
            format_tracks(i, tracker.update(found), decimals=6) for i, found in enumerate(detections, start=1)
        ]
        ours = tmp_path / reference.name
        ours.write_text("".join(rows))
        result = comparison(shared_data / "reference_runs" / "compare.py").compare(ours, reference)
        assert (result["frames_differ"], result["id_breaks"]) == (0, 0), (name, reference.stem, result)
        assert result["paired"] == result["rows_b"] > 0
