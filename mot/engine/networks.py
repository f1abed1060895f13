"""Weights into running networks on a device, and a record of it. The only module of the engine with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from mot.errors import ConfigError, WeightsError
from mot.models.spec import Kind
from mot.perception.detector import Detector
from mot.perception.embedder import Embedder
from mot.perception.opening import Place, open_detector, open_embedder
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
        device = resolve_device(runtime.device)
        self._place = Place(device, resolve_precision(runtime.precision, device), runtime.threads)
        self._times, self._offline = times, offline
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        self.record: dict[str, Any] = {
            "torch": torch.__version__,
            "device": str(device),
            "precision": self._place.precision,
            "threads": torch.get_num_threads(),
            "networks": {},
            "weights": {},
        }

    def detector(
        self, config: DetectorConfig, weights: str | Path, kind: Literal["detector", "joint"] = "detector"
    ) -> Detector:
        """The detector, or joint network, of the `detector` block."""
        path, hint = self._locate(kind, weights)
        network = open_detector(config, path, self._place, kind, hint)
        self.record["networks"][kind] = network.record
        return Detector(config, network, self._times)

    def embedder(self, config: EmbedderConfig, weights: str | Path) -> Embedder:
        """The embedder of the `reid` block."""
        path, hint = self._locate("reid", weights)
        network = open_embedder(config, path, self._place, hint)
        self.record["networks"]["reid"] = network.record
        return Embedder(config, network, self._times)

    def _locate(self, kind: Kind, weights: str | Path) -> tuple[Path, tuple[str, str]]:
        """The verified file, and what the manifest knows of it: its model and its preprocess."""
        entry = manifest.load().get(str(weights))
        if entry is not None and entry.kind != kind:
            raise WeightsError(f"{weights}: is a {entry.kind}, not the weights of a {kind} network")
        path = fetch.locate(weights, offline=self._offline)
        entry = entry or manifest.by_file(path.name)
        self.record["weights"][kind] = {"name": str(weights), "file": path.name, "sha256": fetch.sha256(path)}
        return path, ((entry.model or "", entry.preprocess or "") if entry else ("", ""))


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


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto`, `fp32`, `bf16` or `fp16` as what this device computes with at full speed.

    `auto` is bf16 on a CPU that has it, where it was measured to track as well (tools/bench/README.md), else fp32.

    Raises:
        ConfigError: this device has no such numbers.
    """
    has = {"fp32"} | {kind for kind in ("bf16", "fp16") if _computes(kind, device)}
    if name == "auto":
        return "bf16" if "bf16" in has and device.type == "cpu" else "fp32"
    if name not in has:
        raise ConfigError(f"runtime.precision: {device} has no {name}; use {', '.join(sorted(has))} or auto")
    return name


def _computes(kind: str, device: torch.device) -> bool:
    """Whether the device has instructions for it: emulated, it would be slower than fp32."""
    if device.type == "cuda":
        return kind == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    features = torch.cpu.get_capabilities()
    wanted = ("avx512_bf16", "amx_bf16") if kind == "bf16" else ("amx_fp16", "avx512_fp16")
    return any(features.get(name, False) for name in wanted)
