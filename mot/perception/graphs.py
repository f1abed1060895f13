"""Forward passes recorded as CUDA graphs: a network of a few hundred small kernels is launched as one."""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

WARM_UP = 3  # passes of one shape before it is recorded: libraries choose their ways in them
MOST = 4  # shapes; each recording holds the memory of a whole pass
_log = logging.getLogger(__name__)


class Recording(NamedTuple):
    """A recorded pass: what lies in `given` when `graph` is replayed decides what then lies in `made`."""

    graph: torch.cuda.CUDAGraph
    given: Tensor
    made: Any


class Graphed:
    """A network on a CUDA device; the first `MOST` shapes that come more than `WARM_UP` times are recorded.

    So a last, smaller batch, which comes once a video, goes through as it is: there is no need to fill it up. What
    cannot be recorded, because it waits for the device or asks the host, runs on as before, and a warning says so.
    Threads may share it as long as they share a stream, as they do unless they ask for others.

    Args:
        module: in evaluation mode.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._recordings: dict[torch.Size, Recording] = {}
        self._seen: Counter[torch.Size] = Counter()
        self._most = MOST
        self._lock = Lock()

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Any:
        """The network's answer to (B, 3, H, W), of which nothing is overwritten by the next."""
        with self._lock:
            found = self._recordings.get(x.shape) or self._try(x)
            if found is None:
                return self._module(x)
            found.given.copy_(x)
            found.graph.replay()
            return copies(found.made)

    def _try(self, x: Tensor) -> Recording | None:
        """Records a pass over pictures like `x`, if they came often enough; None: they did not, or it cannot be."""
        if len(self._recordings) >= self._most:
            return None
        self._seen[x.shape] += 1
        if self._seen[x.shape] <= WARM_UP:
            return None
        try:
            self._recordings[x.shape] = record(self._module, x)
        except RuntimeError as error:
            self._most = 0
            why = error.__context__ or error  # the end of a broken recording fails as well
            _log.warning("no CUDA graph of this network, it runs without: %s", str(why).partition("\n")[0])
        return self._recordings.get(x.shape)


def record(module: nn.Module, x: Tensor) -> Recording:
    """One pass of `module` over pictures like `x`.

    Raises:
        RuntimeError: it does something that cannot be recorded.
    """
    graph, given = torch.cuda.CUDAGraph(), x.clone()
    with torch.cuda.device(x.device):
        before = torch.cuda.current_stream()
        try:
            # thread_local: other threads may upload meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                made = module(given)
        finally:
            torch.cuda.set_stream(before)  # a recording that fails leaves its own behind
    return Recording(graph, given, made)


def copies(made: Any) -> Any:
    """A tensor, or tuples of tensors, as tensors of their own."""
    return made.clone() if isinstance(made, Tensor) else tuple(copies(part) for part in made)
