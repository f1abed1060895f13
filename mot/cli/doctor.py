"""`mot-doctor`: what this machine has, on one page, for bug reports and for oneself."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata

from mot import __version__
from mot.cli.errors import parse, run
from mot.errors import DISTRIBUTION, MotError, install_hint
from mot.weights import fetch, manifest

PROGRAM = "mot-doctor"
REQUIRED = ("numpy", "scipy", "pyyaml", "torch", "opencv-python-headless", "av", "rich", "pooch")
# One of these may stand in for the other; two at once overwrite each other's files.
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ENCODERS = ("libx264", "libopenh264", "h264_nvenc", "mpeg4")


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 1 where something needed is missing."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Show versions, devices, codecs and weights.")
    return run(PROGRAM, lambda: _doctor(parse(parser, argv)))


def _doctor(args: argparse.Namespace) -> int:
    del args  # there are no flags but --help
    good = True
    for title, section in (
        ("versions", _versions),
        ("devices", _devices),
        ("codecs", _codecs),
        ("weights", _weights),
    ):
        print(title)
        for name, text, ok in _guarded(title, section):
            good &= ok
            print(f"  {'' if ok else '! '}{name:<24} {text}")
    return 0 if good else 1


Line = tuple[str, str, bool]


def _versions() -> Iterator[Line]:
    yield "mot", __version__, True
    yield "python", f"{platform.python_version()} on {platform.platform()}", sys.version_info >= (3, 11)
    installed = [name for name in OPENCV if _version(name)]
    for name in REQUIRED:
        found = ", ".join(f"{n} {_version(n)}" for n in installed) if name in OPENCV else _version(name)
        yield name, found or f"missing: {install_hint()}", bool(found)
    if len(installed) > 1:
        yield "opencv", "more than one is installed; keep one of them", False
    yield from _extras()


def _extras() -> Iterator[Line]:
    """The optional dependency groups of the package, and whether what they bring is here."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield DISTRIBUTION, "runs from a folder, not installed", True
        return
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        names = [
            text.split(";")[0] for text in requirements if f"extra == '{extra}'" in text.replace('"', "'")
        ]
        plain = [name.split(">")[0].split("=")[0].split("<")[0].strip() for name in names]
        missing = [name for name in plain if not _version(name)]
        yield f"extra {extra}", f"not installed ({install_hint(extra)})" if missing else "installed", True


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Line]:
    yield "cpu", f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}", True
    yield from _guarded("torch", _torch_devices)


def _torch_devices() -> Iterator[Line]:
    import torch

    yield "torch", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}", True
    for index in range(torch.cuda.device_count()):
        yield f"cuda:{index}", torch.cuda.get_device_name(index), True
    if not torch.cuda.is_available():
        yield "cuda", "none", True


def _codecs() -> Iterator[Line]:
    yield from _guarded(
        "opencv", lambda: iter([("opencv", str(import_module("mot.opencv").cv2.__version__), True)])
    )
    yield from _guarded("ffmpeg", _encoders)


def _encoders() -> Iterator[Line]:
    import av

    found = [name for name in ENCODERS if name in av.codecs_available]
    yield "ffmpeg", f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}", True
    yield "encoders", ", ".join(found) or "no H.264 or MPEG-4 encoder", bool(found)


def _guarded(name: str, section: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of `section`, or one that says why there are none."""
    try:
        yield from section()
    except (ImportError, MotError) as error:
        yield name, str(error), False


def _weights() -> Iterator[Line]:
    yield "cache", str(fetch.cache_dir()), True
    yield "MOT_WEIGHTS", os.environ.get("MOT_WEIGHTS") or "not set", True
    entries = manifest.load()
    here = {name: place for name, entry in entries.items() for place in fetch.places(entry)[:1]}
    for name, place in here.items():
        damage = fetch.damage(place, entries[name])
        yield name, f"{place}{f': {damage}' if damage else ''}", damage is None
    yield "others", f"{len(entries) - len(here)} known files are not here: mot-weights list", True


if __name__ == "__main__":
    sys.exit(main())
