"""Benchmark folders: what is found in every shape, what is read, and what is refused and how it is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import folders
import numpy as np
import pytest

from mot.errors import ConfigError, FormatError, SourceError
from mot.formats.benchmark_text import read_result, read_truth
from mot.formats.sequences import Sequence, check_images, find_sequences, frame_range, results


def one(
    tmp_path: Path, benchmark: str = "MOT17", gt: str | None = "", length: int = folders.LENGTH
) -> Sequence:
    """A benchmark with a single sequence in it."""
    inner, names = folders.SHAPES[benchmark]
    folder = folders.sequence(tmp_path / inner / names[0], benchmark, length=length, gt=gt)
    return find_sequences(folder)[0]


@pytest.mark.parametrize("benchmark", folders.SHAPES)
def test_every_benchmark_is_found_and_read(tmp_path: Path, benchmark: str) -> None:
    root = folders.benchmark_folder(tmp_path, benchmark, images=True)
    found = find_sequences(root)
    assert [s.name for s in found] == sorted(folders.SHAPES[benchmark][1])
    for sequence in found:
        assert sequence.benchmark == benchmark
        assert (sequence.length, sequence.frame_rate, sequence.width, sequence.height) == (6, 25, 640, 480)
        assert (sequence.det is not None) == benchmark.startswith("MOT")
        assert [path.stem.lstrip("0") for path in check_images(sequence)] == list("123456")
        boxes = read_truth(sequence)
        assert boxes.frames.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
        assert boxes.ids.tolist() == [1, 2] * 6
        assert boxes.tlwh[3].tolist() == [20, 100, 20, 40]
        assert set(boxes.scores) == set(boxes.classes) == {1}


@pytest.mark.parametrize("benchmark", folders.SHAPES)
def test_a_test_split_has_no_ground_truth(tmp_path: Path, benchmark: str) -> None:
    sequence = find_sequences(folders.benchmark_folder(tmp_path, benchmark).parent / "test")[0]
    assert sequence.gt is None
    with pytest.raises(SourceError, match=f"{sequence.name}: no ground truth: there is no gt/gt.txt"):
        read_truth(sequence)


@pytest.mark.parametrize(
    ("name", "around", "row", "benchmark"),
    [
        ("mine", "", "1,1,2,3,4,5,1,-1,-1,-1", "MOT15"),
        ("mine", "", "1,1,2,3,4,5,1,1,0.5", "MOT17"),
        ("mine", "MOT20-train", "1,1,2,3,4,5,1,1,0.5", "MOT20"),
        ("mine", "SportsMOT", "1,1,2,3,4,5,1,1,0.5", "SportsMOT"),
        ("KITTI-17", "MOT17", "1,1,2,3,4,5,1,-1,-1,-1", "MOT15"),
        ("MOT17-02-DPM", "dancetrack", "1,1,2,3,4,5,1,1,0.5", "MOT17"),
    ],
)
def test_the_benchmark_is_told_by_the_innermost_name_or_the_columns(
    tmp_path_factory: pytest.TempPathFactory, name: str, around: str, row: str, benchmark: str
) -> None:
    root = tmp_path_factory.mktemp("plain") / around
    folders.sequence(root / name, gt=row + "\n")
    assert find_sequences(root)[0].benchmark == benchmark
    assert find_sequences(root, benchmark="MOT16")[0].benchmark == "MOT16"
    with pytest.raises(ConfigError, match=r"unknown benchmark 'MOT18'; did you mean 'MOT1[67]'"):
        find_sequences(root, benchmark="MOT18")  # type: ignore[arg-type]


def test_split_seqmap_and_names_choose(tmp_path: Path) -> None:
    root = folders.benchmark_folder(tmp_path, "MOT17")
    assert len(find_sequences(root)) == 6
    assert [s.name for s in find_sequences(root, "FRCNN")] == ["MOT17-02-FRCNN", "MOT17-04-FRCNN"]
    seqmap = tmp_path / "some.txt"
    seqmap.write_text("name\r\nMOT17-04-SDP\r\nMOT17-02-DPM\r\n\r\n")
    assert [s.name for s in find_sequences(root, seqmap=seqmap)] == ["MOT17-04-SDP", "MOT17-02-DPM"]
    assert [s.name for s in find_sequences(root, "DPM", seqmap)] == ["MOT17-02-DPM"]
    assert [s.name for s in find_sequences(root, names=["MOT17-04-SDP"])] == ["MOT17-04-SDP"]
    with pytest.raises(ConfigError, match=r"no sequence 'MOT17-05-SDP'; did you mean 'MOT17-0[24]-SDP'"):
        find_sequences(root, names=["MOT17-05-SDP"])
    with pytest.raises(ConfigError, match="no sequence is called …-DPM; there are MOT20-01"):
        find_sequences(folders.benchmark_folder(tmp_path, "MOT20"), "DPM")
    seqmap.write_text("MOT17-02-DPM\nMOT17-2-DPM\n")
    with pytest.raises(FormatError, match=r"some.txt, line 2: no sequence 'MOT17-2-DPM'; did you mean"):
        find_sequences(root, seqmap=seqmap)
    seqmap.write_text("name\n")
    with pytest.raises(FormatError, match="lists no sequence"):
        find_sequences(root, seqmap=seqmap)
    with pytest.raises(SourceError, match="absent.txt: not readable"):
        find_sequences(root, seqmap=tmp_path / "absent.txt")


def test_the_lists_that_dancetrack_and_sportsmot_bring(tmp_path: Path) -> None:
    dance = folders.benchmark_folder(tmp_path, "DanceTrack")
    assert len(find_sequences(dance, seqmap=dance.parent / "val_seqmap.txt")) == 2
    sports = folders.benchmark_folder(tmp_path, "SportsMOT")
    without_heading = sports.parents[1] / "splits_txt" / "val.txt"
    assert [s.name for s in find_sequences(sports, seqmap=without_heading)] == folders.SHAPES["SportsMOT"][1]


def test_folders_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        find_sequences(tmp_path / "absent")
    with pytest.raises(SourceError, match=r"no sequences \(folders with a seqinfo.ini\) here$"):
        find_sequences(tmp_path)
    folders.benchmark_folder(tmp_path, "MOT17")
    with pytest.raises(SourceError, match="give one of the folders in it: test, train$"):
        find_sequences(tmp_path / "MOT17")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Sequence]\nseqLength=six\n", "seqLength is 'six', expected a number"),
        ("[Sequence]\nseqLength=6.5\n", "seqLength is '6.5', expected a whole number"),
        ("[Sequence]\nseqLength=0\n", "seqLength is '0', expected a number above 0"),
        ("[Sequence]\nseqLength=nan\n", "seqLength is 'nan', expected a number above 0"),
        ("[Sequence]\nseqLenght=6\n", "no key seqLength in .Sequence.; did you mean 'seqlenght'"),
        ("[Sequence]\n", r"no key seqLength in \[Sequence\]$"),
        ("[Sequence]\nseqLength=6\nframeRate=-1\n", "frameRate is '-1'"),
        ("[Sequence]\nseqLength=6\nimWidth=wide\n", "imWidth is 'wide'"),
        ("[Video]\nseqLength=6\n", r"no section \[Sequence\]"),
        ("seqLength=6\n", "no section headers"),
        ("[Sequence]\nseqLength=6\nseqLength=7\n", "already exists"),
    ],
)
def test_seqinfo_is_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    folder = folders.sequence(tmp_path / "MOT17-02-DPM")
    (folder / "seqinfo.ini").write_text(text)
    with pytest.raises(FormatError, match=message) as error:
        find_sequences(tmp_path)
    assert "seqinfo.ini: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_short_seqinfo_and_none(tmp_path: Path) -> None:
    folder = folders.sequence(tmp_path / "MOT17-02-DPM")
    (folder / "seqinfo.ini").write_text("[Sequence]\r\nseqLength=6\r\n")
    sequence = find_sequences(tmp_path)[0]
    assert (sequence.length, sequence.frame_rate, sequence.width) == (6, None, None)
    assert (sequence.image_dir, sequence.image_extension) == (folder / "img1", ".jpg")
    (folder / "seqinfo.ini").unlink()
    with pytest.raises(SourceError, match="MOT17-02-DPM: no seqinfo.ini in"):
        find_sequences(tmp_path)


def test_results_in_every_place(tmp_path: Path) -> None:
    names = ["MOT17-02-FRCNN", "MOT17-04-FRCNN", "MOT17-04-SDP"]
    gt, tracker = folders.trackeval_tree(tmp_path, names)
    (gt.parent / "seqmaps" / "MOT17-train.txt").write_text("name\n" + "\n".join(names[:2]))
    sequences = find_sequences(gt)
    assert [s.name for s in sequences] == names[
        :2
    ]  # TrackEval's tree brings its list; the SDP result is no error
    wanted = {name: tracker / "data" / f"{name}.txt" for name in names[:2]}
    for folder in (tracker / "data", tracker, tracker.parent, tmp_path / "trackers"):
        assert results(folder, sequences) == wanted
    boxes = read_result(wanted["MOT17-02-FRCNN"], sequences[0])
    assert (boxes.ids.tolist(), boxes.tlwh[0].tolist()) == ([1] * 6, [10.5, 50, 20, 40])
    shutil.copytree(tracker, tracker.parent / "theirs")
    with pytest.raises(SourceError, match="several trackers; give the folder of one: ours, theirs"):
        results(tracker.parent, sequences)


def test_results_that_are_missing_or_of_nobody(tmp_path: Path) -> None:
    gt, tracker = folders.trackeval_tree(tmp_path, ["MOT17-02-FRCNN", "MOT17-04-FRCNN"])
    sequences, data = find_sequences(gt), tracker / "data"
    (data / "MOT17-05-FRCNN.txt").write_text("")
    with pytest.raises(FormatError, match=r"unknown sequence 'MOT17-05-FRCNN'; did you mean 'MOT17-0[24]"):
        results(data, sequences)
    (data / "MOT17-05-FRCNN.txt").rename(tmp_path / "away")
    (data / "MOT17-04-FRCNN.txt").unlink()
    with pytest.raises(SourceError, match="no result of MOT17-04-FRCNN; expected one NAME.txt"):
        results(data, sequences)
    (data / "MOT17-02-FRCNN.txt").unlink()
    with pytest.raises(SourceError, match=r"no results \(NAME.txt\) here"):
        results(data, sequences)
    with pytest.raises(SourceError, match="no folder"):
        results(tmp_path / "absent", sequences)


GOOD = "1,1,10,20,30,40,1,1,1\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2,1,10,20,30,40,1", "line 2: expected 8 to 10 columns"),
        ("2,1,10,20,30,40,1,1,1,2,1,10", "line 2: expected 8 to 10 columns"),
        ("2,1,10,20,thirty,40,1,1,1", "line 2: column 5 is not a number: 'thirty'"),
        ("2,1,1_0,20,30,40,1,1,1", "line 2: column 3 is not a number: '1_0'"),
        ("2,1,10,,30,40,1,1,1", "line 2: column 4 is not a number: ''"),
        ("2,1,10,nan,30,40,1,1,1", "line 2: column 4 is nan"),
        ("2,1,10,20,30,inf,1,1,1", "line 2: column 6 is inf"),
        ("2,1,10,20,30,40,1,1,nan", "line 2: column 9 is nan"),
        ("2,1,10,20,-30,40,1,1,1", "line 2: negative size -30 x 40"),
        ("2,1,1e8,20,30,40,1,1,1", "line 2: box 1e.08, 20, 30, 40 is further than"),
        (
            "7,1,10,20,30,40,1,1,1",
            "line 2: frame 7 is not a whole number from 1 to 6, the length of MOT17-02-DPM",
        ),
        ("0,1,10,20,30,40,1,1,1", "line 2: frame 0 is not"),
        ("1.5,1,10,20,30,40,1,1,1", "line 2: frame 1.5 is not"),
        ("2,1.5,10,20,30,40,1,1,1", "line 2: id 1.5 is not a whole number"),
        ("2,-1,10,20,30,40,1,1,1", "line 2: id -1 is not a whole number from 0"),
        ("2,1e300,10,20,30,40,1,1,1", "line 2: id 1e.300 is not"),
        ("1,1,11,21,30,40,1,1,1", "line 2: id 1 is twice in frame 1, also in .*gt.txt, line 1"),
        ("2,1,10,20,30,40,1,14,1", r"line 2: class 14 is not one of MOT17, 1\.\.13"),
        ("2,1,10,20,30,40,1,-1,-1,-1", "line 2: class -1 is not one of MOT17"),
        ("2,1,10,20,30,40,1,1.5,1", "line 2: class 1.5 is not one of MOT17"),
    ],
)
def test_rows_of_a_ground_truth_that_are_refused(tmp_path: Path, row: str, message: str) -> None:
    for text in (GOOD + row, "\ufeff" + GOOD.replace("\n", "\r\n") + row + "\r\n"):
        sequence = one(tmp_path / str(len(text)), gt=text)
        with pytest.raises(FormatError, match=message) as error:
            read_truth(sequence)
        assert str(error.value).startswith(str(sequence.gt))
        assert "\n" not in str(error.value)


def test_lines_are_counted_with_the_blank_ones(tmp_path: Path) -> None:
    sequence = one(tmp_path, gt=GOOD + "\n" + GOOD.replace("1,1,", "9,1,", 1))
    with pytest.raises(FormatError, match="gt.txt, line 3: frame 9"):
        read_truth(sequence)


@pytest.mark.parametrize(
    ("benchmark", "row", "message"),
    [
        ("MOT15", "1,1,10,20,30,40,1,7,1", "column 8 is 7, a class as MOT16 and later have it"),
        (
            "DanceTrack",
            "1,1,10,20,30,40,1,7,1",
            "class 7 is not one of DanceTrack, 1: is the benchmark another",
        ),
        ("SportsMOT", "1,1,10,20,30,40,1,-1,-1,-1", "class -1 is not one of SportsMOT"),
        ("MOT20", "1,1,10,20,30,40,1,0,1", r"class 0 is not one of MOT20, 1\.\.13"),
    ],
)
def test_columns_of_another_benchmark(tmp_path: Path, benchmark: str, row: str, message: str) -> None:
    sequence = one(tmp_path, benchmark, gt=row + "\n")
    with pytest.raises(FormatError, match=f"line 1: {message}"):
        read_truth(sequence)


def test_mot15_has_coordinates_where_others_have_classes(tmp_path: Path) -> None:
    rows = "1,1,50,191,61,141,0,-5.0036,11.913,0.69979\n2,1,50,191,61,141,1,8.5,11.913,0.69979\n"
    boxes = read_truth(one(tmp_path, "MOT15", gt=rows))
    assert boxes.classes.tolist() == [1, 1]
    assert boxes.scores.tolist() == [0, 1]


def test_marks_and_classes_stay_as_in_the_file(tmp_path: Path) -> None:
    boxes = read_truth(one(tmp_path, gt="1,9,1,2,3,4,0,7,0.25\n1,3,1,2,3,4,1,12,0\n2,0,1,2,3,4,1,1\n"))
    assert (boxes.ids.tolist(), boxes.classes.tolist()) == ([9, 3, 0], [7, 12, 1])
    assert boxes.scores.tolist() == [0, 1, 1]
    assert len(read_truth(one(tmp_path / "none", gt="\n"))) == 0


@pytest.mark.parametrize(
    "text",
    [
        "1,1,10,20,30,40,0.5\n2,2,10,20,30,40,0.25\n",
        "1,1.0,10,20,30,40,0.5,-1,-1,-1\r\n2,2.0,10,20,30,40,0.25,1,-1,-1\r\n",
        "1, 1, 10, 20, 30, 40, 0.5, -1\n\n 2, 2 ,10,20,30,40, 2.5e-1 \n",
        "1,1,10,20,30,40,0.5,\n2,2,10,20,30,40,0.25,-1,-1,-1,\n",
        "2 2 10 20 30 40 0.25\n1\t1\t10\t20\t30\t40\t0.5\n",
        "\ufeff1,1,10,20,30,40,0.5\n2,2,10,20,30,40,0.25,0",
    ],
)
def test_results_as_trackers_write_them(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.txt"
    path.write_bytes(text.encode())
    boxes = read_result(path, one(tmp_path))
    assert (boxes.frames.tolist(), boxes.ids.tolist()) == ([1, 2], [1, 2])
    assert boxes.tlwh.tolist() == [[10, 20, 30, 40]] * 2
    assert boxes.scores.tolist() == [0.5, 0.25]
    assert boxes.frames.dtype == boxes.ids.dtype == boxes.classes.dtype == np.int64


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_a_result_without_rows_is_nothing_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.txt"
    path.write_text(text)
    boxes = read_result(path, one(tmp_path), range(2, 4))
    assert (len(boxes), boxes.tlwh.shape) == (0, (0, 4))
    assert boxes.ids.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,10,20,30,40\n", "line 1: expected 7 or more columns"),
        ("1,1,10,20,30,40,1,3,-1,-1\n", "line 1: class 3, expected 1 or -1: only pedestrians are scored"),
        ("1,1,10,20,30,40,nan,-1,-1,-1\n", "line 1: column 7 is nan"),
        ("1,1,10,20,30,40,1\n7,1,10,20,30,40,1\n", "line 2: frame 7 is not a whole number from 1 to 6"),
        (
            "2,5,1,2,3,4,1\n1,5,1,2,3,4,1\n2,5,9,2,3,4,1\n",
            "line 3: id 5 is twice in frame 2, also in .*line 1",
        ),
    ],
)
def test_rows_of_a_result_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"result.txt, {message}"):
        read_result(path, one(tmp_path))


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    sequence = one(tmp_path)
    with pytest.raises(SourceError, match="no result .*absent.txt"):
        read_result(tmp_path / "absent.txt", sequence)
    path = tmp_path / "result.txt"
    path.write_bytes(b"\x00\xff\x80")
    with pytest.raises(FormatError, match="not readable as text"):
        read_result(path, sequence)


def test_half_validation_as_published() -> None:
    lengths = [
        600,
        1050,
        837,
        525,
        654,
        900,
        750,
    ]  # MOT17's; ByteTrack trains on 2,664 and validates on 2,652 frames
    assert sum(len(frame_range("first-half", n)) for n in lengths) == 2664
    assert sum(len(frame_range("second-half", n)) for n in lengths) == 2652
    assert (frame_range("first-half", 600), frame_range("second-half", 600)) == (
        range(1, 302),
        range(302, 601),
    )
    assert (frame_range("first-half", 1), frame_range("7-7", 9)) == (range(1, 2), range(7, 8))


@pytest.mark.parametrize(
    ("text", "length", "message"),
    [
        ("second-halve", 600, "expected A-B, such as 1-100, or a half; did you mean 'second-half'"),
        ("1-", 600, "expected A-B"),
        ("0-5", 600, "a sequence of 600 frames does not have them"),
        ("1-601", 600, "a sequence of 600 frames does not have them"),
        ("9-8", 600, "does not have them"),
        ("second-half", 2, "a sequence of 2 frames does not have them"),
    ],
)
def test_frames_that_nobody_has(text: str, length: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        frame_range(text, length)


def test_a_range_of_frames_is_numbered_from_one(tmp_path: Path) -> None:
    sequence = one(tmp_path)
    half = frame_range("second-half", sequence.length)
    assert half == range(5, 7)
    boxes = read_truth(sequence, half)
    assert boxes.frames.tolist() == [1, 1, 2, 2]
    assert boxes.tlwh[:, 0].tolist() == [50, 50, 60, 60]
    path = tmp_path / "result.txt"
    path.write_text(folders.result())
    assert read_result(path, sequence, half).frames.tolist() == [1, 2]
    path.write_text(folders.result(length=2))
    with pytest.raises(FormatError, match="no row is of frames 5-6; it seems to count them from 1"):
        read_result(path, sequence, half)
    path.write_text(
        folders.result(length=4)
    )  # longer than the half: of the whole sequence, and it found nothing
    assert len(read_result(path, sequence, half)) == 0


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ([3], "MOT17-02-DPM: img1/000003.jpg is missing: 5 of 6 images are there"),
        ([5, 6], "img1/000005.jpg is missing: 4 of 6"),
        ([1, 2, 3, 4, 5, 6], "img1/000001.jpg is missing: 0 of 6"),
    ],
)
def test_missing_images_are_named(tmp_path: Path, gone: list[int], message: str) -> None:
    folder = folders.sequence(tmp_path / "MOT17-02-DPM", images=True)
    (folder / "img1" / "000007.jpg").write_bytes(b"")  # more than there are frames is no harm
    (folder / "img1" / "notes.jpg").write_bytes(b"")
    sequence = find_sequences(folder)[0]
    assert [path.name for path in check_images(sequence)] == [f"{n:06d}.jpg" for n in range(1, 7)]
    for frame in gone:
        (folder / "img1" / f"{frame:06d}.jpg").unlink()
    with pytest.raises(SourceError, match=message):
        check_images(sequence)
    shutil.rmtree(folder / "img1")
    with pytest.raises(SourceError, match="MOT17-02-DPM: no images: there is no folder"):
        check_images(sequence)


@pytest.mark.data
def test_real_folders_and_every_reference_run(shared_data: Path) -> None:
    found = {}
    for benchmark in ("MOT15", "MOT17"):
        for sequence in find_sequences(shared_data / benchmark.lower() / "train"):
            assert sequence.benchmark == benchmark
            assert sequence.gt is not None
            found[sequence.name] = sequence
            boxes, raw = read_truth(sequence), np.loadtxt(sequence.gt, delimiter=",")
            raw = raw[np.argsort(raw[:, 0], kind="stable")]
            seen = np.column_stack([boxes.frames, boxes.ids, boxes.tlwh, boxes.scores])
            np.testing.assert_array_equal(seen, raw[:, :7])
            if benchmark == "MOT17":
                np.testing.assert_array_equal(boxes.classes, raw[:, 7])
    assert len(found) == 9
    runs = sorted((shared_data / "reference_runs").glob("*/*.txt"))
    assert len(runs) > 100
    for path in runs:
        lines = path.read_text().count("\n")
        assert len(read_result(path, found[path.stem])) == lines > 0
