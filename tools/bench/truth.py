"""Scores of a result against ground truth, by PyPI's trackeval (MotChallenge2DBox)."""

from __future__ import annotations

import configparser
import tempfile
from pathlib import Path

import trackeval


def scores(text: str, gt: Path, benchmark: str = "MOT15") -> dict[str, float]:
    """HOTA, MOTA and IDF1 in percent of the MOT text of one sequence.

    Args:
        text: MOT text.
        gt: the sequence's folder, with gt/gt.txt and seqinfo.ini.
        benchmark: MOT15 (all boxes count) or MOT17 (distractors are left out).
    """
    info = configparser.ConfigParser()
    info.read(gt / "seqinfo.ini")
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "ours" / "data"
        results.mkdir(parents=True)
        (results / f"{gt.name}.txt").write_text(text)
        settings = trackeval.datasets.MotChallenge2DBox.get_default_dataset_config() | {
            "GT_FOLDER": str(gt.parent),
            "TRACKERS_FOLDER": folder,
            "TRACKERS_TO_EVAL": ["ours"],
            "BENCHMARK": benchmark,
            "SEQ_INFO": {gt.name: info.getint("Sequence", "seqLength")},
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
        dataset = trackeval.datasets.MotChallenge2DBox(settings)
        data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("ours", gt.name), "pedestrian")
    quiet = {"PRINT_CONFIG": False}
    hota = trackeval.metrics.HOTA(quiet).eval_sequence(data)["HOTA"].mean()
    mota = trackeval.metrics.CLEAR(quiet).eval_sequence(data)["MOTA"]
    idf1 = trackeval.metrics.Identity(quiet).eval_sequence(data)["IDF1"]
    return {"HOTA": 100 * float(hota), "MOTA": 100 * float(mota), "IDF1": 100 * float(idf1)}
