"""Weights into running networks on a device, and a record of it. The only module of the engine with torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch

from mot.errors import ConfigError, WeightsError
from mot.models.spec import Kind
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.perception.opening import Network, Place, open_detector, open_embedder
from mot.perception.settings import DetectorConfig, EmbedderConfig, RuntimeConfig
from mot.timing import StageTimes
from mot.weights import fetch, manifest
from mot.weights.manifest import Entry


class Networks:
    """Loads the networks of one tracker; `record` says what they are.

    Args:
        runtime: the `runtime` block.
        times: where the networks count their time.
        offline: never download weights.
    """

    def __init__(self, runtime: RuntimeConfig, times: StageTimes, offline: bool = False) -> None:
        device = resolve_device(runtime.device)
        self._place = Place(device, runtime.precision, runtime.threads)
        self._times, self._offline = times, offline
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self.record: dict[str, Any] = {
            "torch": torch.__version__,
            "device": str(device),
            "precision": runtime.precision,
            "threads": torch.get_num_threads(),
            "networks": {},
            "weights": {},
        }

    def detector(
        self, config: DetectorConfig, weights: str | Path, kind: Literal["detector", "joint"] = "detector"
    ) -> Detector:
        """The detector, or joint network, of the `detector` block."""
        path, known = self._locate(kind, weights)
        with _one_thread():
            network = open_detector(config, path, self._place, kind, known)
        self._note(kind, network)
        return Detector(config, network, self._times)

    def embedder(self, config: EmbedderConfig, weights: str | Path) -> Embedder:
        """The embedder of the `reid` block."""
        path, known = self._locate("reid", weights)
        with _one_thread():
            network = open_embedder(config, path, self._place, known)
        self._note("reid", network)
        return Embedder(config, network, self._times)

    def _note(self, kind: Kind, network: Network) -> None:
        resolved = {"size": list(network.size), "preprocess": asdict(network.how)}
        self.record["networks"][kind] = network.record | resolved
        used = {each["precision"] for each in self.record["networks"].values()}
        self.record["precision"] = ", ".join(sorted(used))

    def _locate(self, kind: Kind, weights: str | Path) -> tuple[Path, Entry | None]:
        """The verified file, and what the manifest knows of it."""
        entry = manifest.load().get(weights) if isinstance(weights, str) else None
        if entry is not None and entry.kind != kind:
            what = "video" if entry.kind == "sample" else f"{entry.kind} network"
            raise WeightsError(f"{weights}: is of a {what}, not of a {kind} network")
        path = fetch.locate(weights, offline=self._offline)
        digest = fetch.sha256(path)
        self.record["weights"][kind] = {"name": str(weights), "file": path.name, "sha256": digest}
        return path, entry or manifest.by_file(path.name, digest)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch computes in the caller's thread alone while a network is loaded.

    The networks will run in a thread of the pipeline. OpenMP gives every thread that asks a team of its own, and
    once there are more members than cores they sleep whenever they wait: a fifth slower, for one that only loaded.
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def resolve_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:n` as a device that exists.

    Raises:
        ConfigError: no such device on this machine.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= count:
        found = f"{count} CUDA device(s)" if count else "no CUDA device"
        raise ConfigError(f"device {name!r}: {found} on this machine; use --device cpu or auto")
    return torch.device(name)
