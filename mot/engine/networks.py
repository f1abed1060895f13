"""Weights into running networks on a device, and a record of it. The only module of the engine with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from mot.errors import ConfigError, WeightsError
from mot.models.registry import model
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.perception.settings import DetectorConfig, EmbedderConfig, RuntimeConfig
from mot.timing import StageTimes
from mot.weights import fetch, manifest


class Networks:
    """Loads the networks of one tracker; `record` says what they are.

    Args:
        runtime: the `runtime` block.
        times: where the networks count their time.
        offline: never download weights.
    """

    def __init__(self, runtime: RuntimeConfig, times: StageTimes, offline: bool = False) -> None:
        self._device = resolve_device(runtime.device)
        self._times, self._offline = times, offline
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self.record: dict[str, Any] = {
            "backend": "torch",
            "torch": torch.__version__,
            "device": str(self._device),
            "precision": runtime.precision,
            "threads": torch.get_num_threads(),
            "weights": {},
        }

    def detector(self, config: DetectorConfig, weights: str | Path) -> Detector:
        """The detector of the `detector` block."""
        return Detector(config, self._locate("detector", config.model, weights), self._device, self._times)

    def embedder(self, config: EmbedderConfig, weights: str | Path) -> Embedder:
        """The embedder of the `reid` block."""
        return Embedder(config, self._locate("reid", config.model, weights), self._device, self._times)

    def _locate(self, kind: Literal["detector", "reid"], name: str, weights: str | Path) -> Path:
        """The verified file of the model `name`; a manifest entry must be for it."""
        entry = manifest.load().get(str(weights))
        if entry is not None and entry.model != model(name, kind).family:
            raise WeightsError(f"{weights}: is a {entry.kind}, not the weights of {kind}.model {name!r}")
        path = fetch.locate(weights, offline=self._offline)
        self.record["weights"][kind] = {"name": str(weights), "file": path.name, "sha256": fetch.sha256(path)}
        return path


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
