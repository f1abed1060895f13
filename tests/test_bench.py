"""The scripts of tools/bench that are run by hand: that they run, and that their ratios are what they say."""

from __future__ import annotations

import end_to_end
import gpu
import pytest
from contestants import AS_MOT, batched


def test_every_ratio_is_of_one_round() -> None:
    rounds: list[dict[str, end_to_end.Result]] = [
        {"whole": {"frames": 10, "seconds": 2.0}, "bare": {"frames": 10, "seconds": {AS_MOT: 1.0}}},
        {"whole": {"frames": 10, "seconds": 8.0}, "bare": {"frames": 10, "seconds": {AS_MOT: 6.0}}},
        {"whole": {"frames": 10, "seconds": 1.0}, "bare": {"frames": 10, "seconds": {AS_MOT: 0.9}}},
    ]
    _, _, *lines = end_to_end.ratio_table(rounds)
    assert lines == [f"| whole | bare, {AS_MOT} | 0.750 | 0.500 | 0.900 | 0.92 |"]


def test_texts_of_four_sources_must_all_be_the_single_one() -> None:
    row = {"whole": {"texts": ["a"]}, "four": {"texts": ["a", "a", "a", "b"]}, "many": {"texts": ["a"] * 4}}
    assert "NOT IDENTICAL" in end_to_end.same_texts(row, "four")
    assert "NOT" not in end_to_end.same_texts(row, "many")
    assert "not compared" in end_to_end.same_texts({"whole": row["whole"]}, "four")


def test_the_last_batch_is_the_rest() -> None:
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_the_gpu_script_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--tiny", "--only", "nano"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| YOLOX-nano | fp32")]
    for row, batch in zip(rows, gpu.TINY.batches, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == str(batch)
        assert all(float(cell) > 0 for cell in cells[4:8])
        assert float(cells[9]) > 0  # boxes were found, so that suppression and tracker had work
