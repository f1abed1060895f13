"""Parts of a source."""

from collections.abc import Iterator

import pytest

from mot.engine.span import Span
from mot.errors import ConfigError, SourceError
from mot.structures import Frame


def frames(count: int = 10, read: list[int] | None = None) -> Iterator[Frame]:
    for i in range(1, count + 1):
        if read is not None:
            read.append(i)
        yield Frame(image=None, index=i, time_s=(i - 1) / 10)


@pytest.mark.parametrize(
    ("start", "end", "stride", "expected"),
    [
        (None, None, 1, list(range(1, 11))),
        (4, 6, 1, [4, 5, 6]),
        ("4", "6", 2, [4, 6]),
        ("0.3s", "0.5s", 1, [4, 5, 6]),
        (None, "0s", 1, [1]),
        ("0.85s", None, 1, [10]),
        (9, 99, 1, [9, 10]),
    ],
)
def test_cut(start: str | int | None, end: str | int | None, stride: int, expected: list[int]) -> None:
    span = Span.parse(start, end, stride)
    assert span.length(10, 10.0) in (len(expected), len(expected) + 1)
    assert [frame.index for frame in span.cut(frames())] == expected


def test_nothing_is_read_beyond_the_end() -> None:
    read: list[int] = []
    assert len(list(Span.parse(None, 3).cut(frames(read=read)))) == 3
    assert read == [1, 2, 3]


def test_mistakes() -> None:
    for text in ("0", "-1", "soon", "10 s", "1.5"):
        with pytest.raises(ConfigError, match="expected a frame from 1"):
            Span.parse(text, None)
    with pytest.raises(ConfigError, match="stride"):
        Span.parse(None, None, 0)
    with pytest.raises(SourceError, match="no frame lies between"):
        list(Span.parse(11, None).cut(frames()))


def test_length_is_unknown_where_the_source_is() -> None:
    assert Span.parse(3, 5).length(None, 10.0) is None
    assert Span.parse("1s", None).length(100, None) == 100
