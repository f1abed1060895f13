"""OpenVINO: its IR files, PATH.xml with PATH.bin beside it, and ONNX files (`pip install mot-tracking[openvino]`).

It can change the size that a file fixes: an exported detector sees more in a larger picture, without a new export.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mot.errors import ConfigError, WeightsError, install_hint, nearest
from mot.perception.backends.signature import Arrays, Port, Signature, check_readable, reason

# precision -> OpenVINO's name, and what the processor must then say that it can
_PRECISIONS = {"fp32": ("f32", "FP32"), "bf16": ("bf16", "BF16"), "fp16": ("f16", "FP16")}
# Older ones read an ONNX file's external data from outside its folder (seen in 2026.0).
_MIN_FOR_ONNX = (2026, 4)
_HEAD = 4096  # bytes in which an IR file says <net


class OpenVinoNetwork:
    """An IR or ONNX file, used exactly like a torch network.

    Args:
        path: the .xml file, with the .bin file beside it, or an .onnx file.
        device: the CPU.
        threads: of the whole network; None leaves it to OpenVINO.
        precision: fp32, bf16 or fp16, in which it computes where the processor can. Never left to OpenVINO, which
            takes bf16 unasked.
        chunk: pictures in one run where the file leaves that open.

    Attributes:
        inputs: height and width that the file fixes, None where it leaves one open; others are tried as well.
        batch: pictures in one run; None where the file leaves that open.
        outputs: in the file's order.
        library: what runs it, with its version.

    Raises:
        ConfigError: OpenVINO is missing, or cannot do what was asked for.
        WeightsError: a file is missing, damaged, or no network for pictures.
    """

    def __init__(
        self,
        path: Path,
        device: torch.device,
        threads: int | None = None,
        precision: str = "fp32",
        chunk: int = 1,
    ) -> None:
        if device.type != "cpu":
            raise ConfigError(f"device {device}: the openvino backend runs on the CPU; use --device cpu")
        self._core = _library().Core()
        self._options = _options(self._core, threads, precision)
        self._model = _read(self._core, path)
        self._signature = _signature(path, self._model)
        self._chunk = chunk
        self._compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        self.inputs, self.batch = self._signature.size, self._signature.batch
        self.outputs = self._signature.outputs
        self.library = f"openvino {_library().__version__.partition('-')[0]}"

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """All outputs for (B, 3, H, W) float32 pictures; see `Signature.run`."""
        return self._signature.run(x, self._chunk, self._run)

    def _run(self, arrays: Arrays) -> Arrays:
        """One piece; the network is compiled once for every size that comes."""
        shapes = tuple(array.shape for array in arrays)
        if shapes not in self._compiled:
            self._model.reshape(dict(enumerate(shapes)))
            self._compiled[shapes] = self._core.compile_model(self._model, "CPU", self._options)
        made = self._compiled[shapes](list(arrays))
        return [made[i] for i in range(len(self.outputs))]


def describe(path: Path) -> dict[str, Any]:
    """Inputs, outputs and producer of an IR file; see `OpenVinoNetwork` for what is raised."""
    return _signature(path, _read(_library().Core(), path)).describe()


def _library() -> Any:
    """The module openvino.

    Its import reports to its maker and leaves an identifier in the home directory, unless the package that does
    so is missing: that one is hidden meanwhile.
    """
    modules: dict[str, Any] = sys.modules
    hidden = "openvino_telemetry" not in modules
    try:
        if hidden:
            modules["openvino_telemetry"] = None
        import openvino
    except ImportError as error:
        raise ConfigError(f"openvino is needed ({error}): {install_hint('openvino')}") from None
    finally:
        if hidden:
            del modules["openvino_telemetry"]
    return openvino


def _options(core: Any, threads: int | None, precision: str) -> dict[str, Any]:
    """What the network is compiled with."""
    if precision not in _PRECISIONS:
        raise ConfigError(f"precision: unknown {precision!r}; {nearest(precision, _PRECISIONS)}")
    hint, capability = _PRECISIONS[precision]
    if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ConfigError(f"precision {precision!r}: this processor has no {capability}; use fp32")
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    return options if threads is None else options | {"INFERENCE_NUM_THREADS": threads}


def _read(core: Any, path: Path) -> Any:
    """The network, not compiled yet; checked first, because OpenVINO tries every format it knows, aloud."""
    check_readable(path)
    files = [path]
    if path.suffix == ".onnx":
        version = _library().__version__
        if tuple(map(int, version.split(".")[:2])) < _MIN_FOR_ONNX:
            least = ".".join(map(str, _MIN_FOR_ONNX))
            raise ConfigError(
                f"openvino {version}: expected {least} or later for ONNX files: {install_hint('openvino')}"
            )
    else:
        with path.open("rb") as stream:
            if path.suffix != ".xml" or b"<net" not in stream.read(_HEAD):
                raise WeightsError(
                    f"{path}: not an OpenVINO IR file; expected the .xml of a network, or .onnx"
                )
        files.append(path.with_suffix(".bin"))
        check_readable(files[-1])
    try:
        return core.read_model(*map(str, files))
    except RuntimeError as error:
        names = " with ".join(file.name for file in files)
        raise WeightsError(f"{path.parent / names}: not a usable network: {reason(error)}") from None


def _signature(path: Path, model: Any) -> Signature:
    inputs, outputs = (
        [_port(i, port) for i, port in enumerate(part)] for part in (model.inputs, model.outputs)
    )
    producer = [model.get_rt_info(key).astype(str) for key in ("MO_version",) if model.has_rt_info(key)]
    return Signature(path, tuple(inputs), tuple(outputs), f"OpenVINO {' '.join(producer)}".strip())


def _port(index: int, port: Any) -> Port:
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        sizes: tuple[int | None, ...] = ()
    else:
        sizes = tuple(None if size.is_dynamic else size.get_length() for size in shape)
    name = min(port.names) if port.names else str(index)
    return Port(name, sizes, str(port.element_type.to_dtype()))
