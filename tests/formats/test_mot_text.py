"""MOT text: what is read, what is refused with its line, what is written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mot.errors import ConfigError, FormatError, SourceError
from mot.formats.mot_text import ScoreMap, format_tracks, map_scores, read_detections
from mot.structures import Tracks, TrackState

GOOD = "1,-1,10,20,30,40,0.5,-1,-1,-1\n"


def test_rows_stay_in_file_order_and_frames_may_be_unsorted(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("2,-1,1,2,3,4,.25\n\n 1 , -1, 10, 20, 30, 40, 1\n2,-1,5,6,7,8,.125,9,9,9\n")
    frames = read_detections(path)
    assert sorted(frames) == [1, 2]
    assert frames[2].xyxy.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
    assert frames[2].scores.tolist() == [0.25, 0.125]
    assert frames[2].labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,-1,10,20,30", "line 2: expected 7 or more columns"),
        ("1,-1,10,20,thirty,40,0.5", "line 2: column 5 is not a number: 'thirty'"),
        ("1,-1,10,nan,30,40,0.5", "line 2: column 4 is nan"),
        ("1,-1,10,20,30,inf,0.5", "line 2: column 6 is inf"),
        ("1,-1,10,20,-30,40,0.5", "line 2: negative size -30 x 40"),
        ("1,-1,10,20,30,40,2.5", r"line 2: score 2.5 is outside 0..1"),
        ("0,-1,10,20,30,40,0.5", "line 2: frame 0 is not a whole number from 1"),
        ("1.5,-1,10,20,30,40,0.5", "line 2: frame 1.5"),
    ],
)
def test_malformed_rows_are_refused_with_their_line(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "det.txt"
    path.write_text(GOOD + row + "\n")
    with pytest.raises(FormatError, match=message):
        read_detections(path)


def test_classes_are_read_where_there_is_more_than_one(tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,-1,10,20,30,40,0.5,1,-1,-1\n")
    assert read_detections(path, label_count=2)[1].labels.tolist() == [1]
    assert read_detections(path, label_count=1)[1].labels.tolist() == [0]
    path.write_text("1,-1,10,20,30,40,0.5,2,-1,-1\n")
    with pytest.raises(FormatError, match=r"class 2 is outside 0..1"):
        read_detections(path, label_count=2)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("clip", [0, 0, 0.5, 1]),
        ("logistic", [0, 0.26894142137, 0.62245933120, 0.95257412682]),
        ("minmax", [0, 999 / 1003, 1000.5 / 1003, 1]),
    ],
)
def test_scores_outside_are_mapped_as_told(tmp_path: Path, how: ScoreMap, expected: list[float]) -> None:
    path = tmp_path / "det.txt"
    scores = [-1000, -1, 0.5, 3]
    path.write_text("".join(f"{i + 1},-1,10,20,30,40,{score}\n" for i, score in enumerate(scores)))
    frames = read_detections(path, score_map=how)  # minmax is over all frames, not one
    np.testing.assert_allclose([frames[i].scores[0] for i in range(1, 5)], expected, atol=1e-9)
    with pytest.raises(
        FormatError, match=r"line 1: score -1000 .* detector.score_map \(clip or logistic or minmax"
    ):
        read_detections(path)


def test_maps_of_no_scores_of_equal_ones_and_unknown() -> None:
    none = np.empty(0)
    for how in ("clip", "logistic", "minmax", None):
        assert len(map_scores(none, how, str)) == 0
    assert map_scores(np.full(3, 7.0), "minmax", str).tolist() == [1, 1, 1]
    assert map_scores(np.array([0, 1.0]), None, str).tolist() == [0, 1]
    with pytest.raises(ConfigError, match="detector.score_map: unknown 'logistics'; did you mean 'logistic'"):
        map_scores(np.ones(1), "logistics", str)  # type: ignore[arg-type]


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no detection file"):
        read_detections(tmp_path / "absent.txt")
    path = tmp_path / "det.txt"
    path.write_bytes(b"\x00\xff\x80")
    with pytest.raises(FormatError, match="not readable as text"):
        read_detections(path)


def one_track(xyxy: list[float], label: int = 0) -> Tracks:
    return Tracks(
        ids=np.array([7]),
        xyxy=np.array([xyxy]),
        scores=np.array([0.5]),
        labels=np.array([label]),
        det_index=np.array([0]),
        state=np.array([TrackState.CONFIRMED], np.int8),
    )


def test_format() -> None:
    track = one_track([1.5, -0.0001, 4.0, 8.25], label=2)
    assert format_tracks(3, track) == "3,7,1.500,0.000,2.500,8.250,0.5000,-1,-1,-1\n"
    assert format_tracks(3, track, with_labels=True) == "3,7,1.500,0.000,2.500,8.250,0.5000,2,-1,-1\n"
    assert format_tracks(3, Tracks.empty()) == ""


@given(st.floats(-1e4, 1e4), st.floats(0.01, 1e4))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, x: float, size: float) -> None:
    path = tmp_path_factory.mktemp("round") / "det.txt"
    path.write_text(format_tracks(1, one_track([x, x, x + size, x + size])))
    np.testing.assert_allclose(read_detections(path)[1].xyxy, [[x, x, x + size, x + size]], atol=2e-3)
