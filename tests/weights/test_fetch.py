import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mot.errors import WeightsError
from mot.weights import fetch, manifest
from mot.weights.manifest import Debian, Drive, Entry, Source, Url

CONTENT = b"weights " * 4000  # as in conftest.py
DIGEST = hashlib.sha256(CONTENT).hexdigest()
UNKNOWN: dict[str, Any] = {"sha256": None, "size": None}
Know = Callable[..., Entry]
ROOT = Path(__file__).resolve().parents[2]


def _only(cache: Path) -> None:
    """The cache holds the whole file and nothing else."""
    assert [path.name for path in cache.iterdir()] == ["net.pt"]
    assert (cache / "net.pt").read_bytes() == CONTENT


def test_a_url_is_fetched_once(cache: Path, server: Any, know: Know) -> None:
    address, asked = server
    know(Url(url=f"{address}/moved"))
    assert fetch.locate("net") == cache / "net.pt"
    _only(cache)
    assert fetch.locate("net") == fetch.locate("net", offline=True) == cache / "net.pt"
    assert asked == ["/moved", "/good"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/absent", "HTTP status 404"),
        ("/other", "gave another file: expected 32000 bytes, sha256 [0-9a-f]{64}; found 32000 bytes, sha256"),
        ("/short", "gave another file: .* found 100 bytes"),
        ("/long", "gave another file: it is longer than expected"),
        ("/cut", "the connection broke|found 16000 bytes"),
        ("/empty", "gave an empty file"),
        ("/page", "gave a web page instead of the file"),
    ],
)
def test_a_failing_source_gives_way_to_the_next(
    path: str, reason: str, cache: Path, server: Any, know: Know
) -> None:
    address, _asked = server
    entry = know(Url(url=address + path), Url(url=f"{address}/good"))
    fetch.locate("net")
    _only(cache)
    (cache / "net.pt").unlink()
    know(*entry.sources[:1])
    with pytest.raises(WeightsError, match=f"cannot fetch net.pt .*{path}: ({reason})") as caught:
        fetch.locate("net")
    assert "MOT_WEIGHTS" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_every_source_that_failed_is_listed(
    cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    address, _ = server
    monkeypatch.setattr(fetch, "_READ_S", 0.3)
    closed = "http://127.0.0.1:9/net.pt"
    sources: list[Source] = [
        Url(url=closed),
        Url(url=f"{address}/hang"),
        Debian(package="mot-no-such-package", member="a"),
    ]
    know(*sources)
    monkeypatch.setenv("PATH", str(cache))  # no apt-get
    with pytest.raises(WeightsError) as caught:
        fetch.locate("net")
    text = str(caught.value)
    assert f"{closed}: cannot be reached; {address}/hang: " in text
    assert "Debian package mot-no-such-package: apt-get is not on this machine" in text
    assert list(cache.iterdir()) == []


def test_the_users_folder_comes_first_and_is_never_written(
    cache: Path, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"))
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(WeightsError, match=r"MOT_WEIGHTS=.*mine: there is no such folder"):
        fetch.locate("net")
    (tmp_path / "mine").mkdir()
    assert fetch.locate("net") == cache / "net.pt"
    (tmp_path / "mine" / "net.pt").write_bytes(CONTENT)
    assert fetch.locate("net") == tmp_path / "mine" / "net.pt"
    assert asked == ["/good"]


def test_a_damaged_file_of_the_users_is_an_error(
    cache: Path, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"))
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path))
    (tmp_path / "net.pt").write_bytes(b"W" + CONTENT[1:])
    found = fetch.sha256(tmp_path / "net.pt")
    said = f"net.pt is damaged .*{DIGEST}.*found 32000 bytes, sha256 {found}.*: replace it or unset MOT"
    with pytest.raises(WeightsError, match=said):
        fetch.locate("net")
    assert asked == []


def test_a_damaged_cached_file_is_fetched_again(
    cache: Path, server: Any, caplog: pytest.LogCaptureFixture, know: Know
) -> None:
    address, _ = server
    know(Url(url=f"{address}/good"))
    cache.mkdir(parents=True)
    (cache / "net.pt").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"is damaged .*: without offline it would be fetched again"):
        fetch.locate("net", offline=True)
    fetch.locate("net")
    _only(cache)
    assert "is damaged" in caplog.text


def test_offline_says_where_it_looked_and_what_to_do(cache: Path, server: Any, know: Know) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"))
    with pytest.raises(WeightsError) as caught:
        fetch.locate("net", offline=True)
    for part in ("net.pt", "MOT_WEIGHTS (not set)", str(cache), "mot-weights fetch net"):
        assert part in str(caught.value)
    assert asked == []
    assert not cache.exists()


def test_a_path_is_taken_as_it_is_unless_it_pretends(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    know()
    own = tmp_path / "net.pt"
    own.write_bytes(b"my own weights of another size")
    assert fetch.locate(str(own)) == fetch.locate(own) == own
    own.write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match=r"known weights 'net', but other bytes .*then rename it"):
        fetch.locate(own)
    assert fetch.locate(own.rename(tmp_path / "own.pt")) == tmp_path / "own.pt"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.locate("~/own.pt") == tmp_path / "own.pt"


def test_an_impostor_is_only_told_of_where_no_size_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, know: Know
) -> None:
    own = tmp_path / "net.pt"
    own.write_bytes(b"my own weights")
    know(sha256=None, size=own.stat().st_size)
    assert fetch.locate(own) == own
    assert caplog.text == ""
    know(size=None)
    assert fetch.locate(own) == own
    assert "has the name of the known weights 'net', but other" in caplog.text


def test_the_first_digits_of_a_hash_are_enough(cache: Path, server: Any, know: Know) -> None:
    address, _ = server
    know(Url(url=f"{address}/good"), sha256=DIGEST[:8], size=None)
    fetch.locate("net")
    _only(cache)
    (cache / "net.pt").unlink()
    know(Url(url=f"{address}/other"), sha256=DIGEST[:8], size=None)
    with pytest.raises(WeightsError, match=f"gave another file: expected sha256 {DIGEST[:8]}; found 32000"):
        fetch.locate("net")
    assert list(cache.iterdir()) == []


def test_what_nothing_vouches_for_is_fetched_on_demand_only(cache: Path, server: Any, know: Know) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"), **UNKNOWN)
    for offline in (False, True):
        with pytest.raises(WeightsError, match="un `mot-weights fetch --accept-unverified net`"):
            fetch.locate("net", offline=offline)
    assert asked == []
    assert not cache.exists()


def test_what_came_unverified_is_remembered_and_verified_from_then_on(
    cache: Path, server: Any, caplog: pytest.LogCaptureFixture, know: Know
) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"), **UNKNOWN)
    assert fetch.locate("net", accept_unverified=True) == cache / "net.pt"
    assert DIGEST in caplog.text
    assert {path.name for path in cache.iterdir()} == {"net.pt", "net.pt.sha256"}
    assert (cache / "net.pt.sha256").read_text() == f"{DIGEST}  net.pt\n"
    assert fetch.locate("net") == fetch.locate("net", offline=True) == cache / "net.pt"
    (cache / "net.pt").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match=f"is damaged .*{DIGEST}.*run `mot-weights fetch --accept-unv"):
        fetch.locate("net")
    fetch.locate("net", accept_unverified=True)
    assert (cache / "net.pt").read_bytes() == CONTENT
    assert asked == ["/good"] * 2


@pytest.mark.parametrize("note", ["", "\n", "0" * 64, "\xff", DIGEST[:9], "no digest at all"])
def test_a_note_that_does_not_fit_vouches_for_nothing(note: str, cache: Path, know: Know) -> None:
    know(**UNKNOWN)
    cache.mkdir(parents=True)
    (cache / "net.pt").write_bytes(CONTENT)
    (cache / "net.pt.sha256").write_text(note, encoding="latin-1")
    with pytest.raises(WeightsError, match="is damaged"):
        fetch.locate("net")


def test_an_unverified_file_of_the_users_is_used_with_a_warning(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, know: Know
) -> None:
    know(**UNKNOWN)
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path))
    (tmp_path / "net.pt").write_bytes(b"anything")
    assert fetch.locate("net") == tmp_path / "net.pt"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is used unverified" in caplog.text
    know(sha256=None, size=9)
    with pytest.raises(WeightsError, match="is damaged .expected 9 bytes; found 8 bytes"):
        fetch.locate("net")


REFUSED = {"/page": "a web page", "/empty": "an empty file", "/cut": "broke", "/long": "longer than expected"}


@pytest.mark.parametrize("path", REFUSED)
def test_nothing_but_a_whole_file_is_accepted_unverified(
    path: str, cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    monkeypatch.setattr(fetch, "_MAX_BYTES", len(CONTENT))
    know(Url(url=server[0] + path), **UNKNOWN)
    with pytest.raises(WeightsError, match=REFUSED[path]):
        fetch.locate("net", accept_unverified=True)
    assert list(cache.iterdir()) == []


def test_a_file_shared_by_drive(
    cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    know(Drive(id="1a-B_c"))
    monkeypatch.setattr(manifest, "DRIVE", f"{server[0]}/download?id={{id}}&confirm=t")
    fetch.locate("net")
    _only(cache)
    assert server[1] == ["/download?id=1a-B_c&confirm=t"]


@pytest.fixture
def pair(server: Any, monkeypatch: pytest.MonkeyPatch, know: Know) -> None:
    """`net` is a description, which `net_bin` must stand beside."""
    address, _ = server
    weights = know(Url(url=f"{address}/good"), name="net_bin", file="net.bin")
    net = know(Url(url=f"{address}/good"), file="net.xml", beside="net_bin")
    monkeypatch.setattr(manifest, "load", lambda path=None: {"net": net, "net_bin": weights})


def test_what_must_lie_beside_a_file_comes_with_it_verified(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: None
) -> None:
    assert fetch.locate("net") == cache / "net.xml"
    assert (cache / "net.bin").read_bytes() == CONTENT
    monkeypatch.setenv("MOT_WEIGHTS", str(tmp_path))
    (tmp_path / "net.xml").write_bytes(CONTENT)
    with pytest.raises(
        WeightsError, match=r"net\.xml and .*net\.bin belong together, but lie in two folders"
    ):
        fetch.locate("net")
    (cache / "net.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match=r"net\.bin is damaged"):
        fetch.locate("net", offline=True)


@pytest.mark.parametrize("weight", ["nett", "x/y.pt", "", "a" * 5000, "nul\0byte"])
def test_what_is_neither_a_name_nor_a_file_says_both(weight: str, know: Know) -> None:
    know()
    with pytest.raises(WeightsError, match=r"is neither a file nor a known name: .*`mot-weights list` shows"):
        fetch.locate(weight)
    with pytest.raises(WeightsError, match="there is no weights file"):
        fetch.locate(Path(weight))


def test_a_folder_is_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a file nor"):
        fetch.locate(str(tmp_path))


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path, server: Any, know: Know) -> None:
    address, asked = server
    know(Url(url=f"{address}/good"))
    cache.parent.write_text("a file where a folder should be")
    with pytest.raises(WeightsError, match=r"cannot write to the cache .*: set XDG_CACHE_HOME"):
        fetch.locate("net")
    assert asked == []


def test_the_cache_folder_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert fetch.cache_dir() == Path("/home/someone/.cache/mot")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/c")
    assert fetch.cache_dir() == Path("/var/tmp/c/mot")


def test_old_leftovers_are_swept_and_young_ones_kept(cache: Path, server: Any, know: Know) -> None:
    address, _ = server
    know(Url(url=f"{address}/good"))
    for name, age in ((".partial-old", 3 * 86400), (".partial-young", 60)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age,) * 2)
    fetch.locate("net")
    assert {path.name for path in cache.iterdir()} == {".partial-young", "net.pt"}


def test_a_progress_bar_goes_to_stderr_only(
    cache: Path, server: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], know: Know
) -> None:
    address, _ = server
    know(Url(url=f"{address}/good"))
    for terminal, progress in (("1", True), ("1", False), ("0", True)):
        monkeypatch.setenv("TTY_COMPATIBLE", terminal)
        fetch.locate("net", progress=progress)
        (cache / "net.pt").unlink()
        shown = capfd.readouterr()
        assert shown.out == ""
        assert ("net" in shown.err) == (terminal == "1" and progress)


def _child(cache: Path, entry: Entry, before: str = "") -> "subprocess.Popen[str]":
    """Another process that fetches `entry`."""
    script = f"""
        from mot.weights import fetch, manifest
        from mot.weights.manifest import *
        manifest.load = lambda: {{"net": {entry!r}}}
        {before}
        print(fetch.locate("net"))
    """
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, **pipes)


def test_two_processes_may_fetch_at_once(cache: Path, server: Any, know: Know) -> None:
    address, _asked = server
    children = [_child(cache, know(Url(url=f"{address}/slow"))) for _ in range(3)]
    results = [child.communicate(timeout=60) for child in children]
    assert [out.strip() for out, _ in results] == [str(cache / "net.pt")] * 3, results
    _only(cache)


def test_ctrl_c_leaves_nothing_behind(cache: Path, server: Any, know: Know) -> None:
    address, asked = server
    child = _child(cache, know(Url(url=f"{address}/hang")))
    while not asked:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=10)
    assert "KeyboardInterrupt" in error
    assert list(cache.iterdir()) == []


def test_ctrl_c_ends_the_client_too(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "apt-get").write_text(
        f"#!/bin/sh\nsleep 30 &\necho $! > {pid}.new\nmv {pid}.new {pid}\nwait\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    child = _child(cache, know(Debian(package="p", member="m")))
    while not pid.exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=10)
    assert list(cache.iterdir()) == []
    status = Path(f"/proc/{pid.read_text().strip()}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_full_disk_is_a_reason_and_leaves_nothing(cache: Path, server: Any, know: Know) -> None:
    address, _ = server
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))"
    _, error = _child(cache, know(Url(url=f"{address}/good")), limit).communicate(timeout=60)
    assert "WeightsError: cannot fetch net.pt" in error
    assert "File too large" in error
    assert list(cache.iterdir()) == []
