"""Detection files as an observer: what the config says about their scores."""

from pathlib import Path

import pytest

from mot.engine.config import read_config
from mot.errors import ConfigError, FormatError
from mot.perception.files import DetectionFile
from mot.structures import Frame


def test_the_config_says_how_scores_come_into_range(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,-1,10,20,30,40,-3\n1,-1,50,20,30,40,0.25\n")
    detector = read_config("sort.yml", ["detector.score_map=clip"]).detector
    found = DetectionFile(path, detector.labels, detector.score_map)([Frame(image=None, index=1, time_s=0)])
    assert found[0].scores.tolist() == [0, 0.25]
    shipped = read_config("sort.yml").detector
    with pytest.raises(FormatError, match=r"line 1: score -3 is outside 0..1; detector.score_map"):
        DetectionFile(path, shipped.labels, shipped.score_map)
    with pytest.raises(ConfigError, match="detector.score_map"):
        read_config("sort.yml", ["detector.score_map=sigmoid"])
