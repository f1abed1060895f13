"""ONNX files by onnxruntime (`pip install mot-tracking[onnx]`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot.errors import ConfigError, WeightsError, install_hint
from mot.perception.backends.signature import Arrays, Port, Signature, check_readable, reason

# Older ones read a file's external data from anywhere on the disk; from here on, only beside the file or below.
MIN_VERSION = (1, 24)
_CUDA = "CUDAExecutionProvider"
_TYPES = {"float": "float32", "double": "float64"}


class OnnxNetwork:
    """An ONNX file, used exactly like a torch network.

    Args:
        path: the file; its external data, if any, lies beside it.
        device: CPU, or CUDA where onnxruntime was built for it.
        threads: within an operator; None leaves it to onnxruntime.
        precision: fp32 only: an ONNX file fixes its own number formats.
        chunk: pictures in one run where the file leaves that open.

    Attributes:
        inputs: height and width; None where the file leaves one open.
        batch: pictures in one run; None where the file leaves that open.
        outputs: in the file's order.
        library: what runs it, with its version.

    Raises:
        ConfigError: onnxruntime is missing or too old, or cannot do what was asked for.
        WeightsError: the file is damaged or no network for pictures.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        threads: int | None = None,
        precision: str = "fp32",
        chunk: int = 1,
    ) -> None:
        if precision != "fp32":
            raise ConfigError(
                f"precision {precision!r}: the onnx backend computes as the file says, use fp32"
            )
        self._session = _session(path, device, threads or 0)
        self._signature = _signature(path, self._session)
        self._names = [port.name for port in self._signature.inputs]
        self._chunk = chunk
        self.inputs, self.batch = self._signature.size, self._signature.batch
        self.outputs = self._signature.outputs
        self.library = f"onnxruntime {_library().__version__}"

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """All outputs for (B, 3, H, W) float32 pictures of the file's size; see `Signature.run`."""
        self._signature.check_size(x)
        return self._signature.run(x, self._chunk, self._run)

    def _run(self, arrays: Arrays) -> Arrays:
        made: Arrays = self._session.run(None, dict(zip(self._names, arrays, strict=True)))
        return made


def describe(path: Path) -> dict[str, Any]:
    """Inputs, outputs and producer of an ONNX file; see `OnnxNetwork` for what is raised."""
    return _signature(path, _session(path, torch.device("cpu"), 1)).describe()


def _session(path: Path, device: torch.device, threads: int) -> Any:
    """The file, loaded."""
    ort = _library()
    check_readable(path)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # fatal: what is an error is raised as well
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        # TF32 would round float32 to 10 bits
        providers.insert(0, (_CUDA, {"device_id": device.index or 0, "use_tf32": 0}))
        if _CUDA not in ort.get_available_providers():
            raise ConfigError(
                f"device {device}: this onnxruntime has no CUDA; use onnxruntime-gpu, or --device cpu"
            )
    try:
        session = ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common class of their own
        raise WeightsError(f"{path}: not a usable ONNX file: {reason(error)}") from None
    if device.type == "cuda" and _CUDA not in session.get_providers():
        raise ConfigError(f"device {device}: onnxruntime could not start CUDA; use --device cpu")
    return session


def _library() -> Any:
    """The module onnxruntime, quiet."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"onnx needs onnxruntime ({error}): {install_hint('onnx')}") from None
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < MIN_VERSION:
        raise ConfigError(
            f"onnxruntime {onnxruntime.__version__}: expected {'.'.join(map(str, MIN_VERSION))} or later, which"
            f" read no file but those beside the network's: {install_hint('onnx')}"
        )
    onnxruntime.set_default_logger_severity(3)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _signature(path: Path, session: Any) -> Signature:
    meta = session.get_modelmeta()
    inputs, outputs = ([_port(arg) for arg in args] for args in (session.get_inputs(), session.get_outputs()))
    return Signature(path, tuple(inputs), tuple(outputs), meta.producer_name)


def _port(arg: Any) -> Port:
    kind = arg.type.removeprefix("tensor(").removesuffix(")")
    # an open size is None or a name
    shape = tuple(size if isinstance(size, int) else None for size in arg.shape)
    return Port(arg.name, shape, _TYPES.get(kind, kind))
