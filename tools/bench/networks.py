"""Milliseconds of one forward pass of each network: plain float32, folded and channels last, and narrower numbers.

    python tools/bench/networks.py [--only TEXT] [--rounds 5] [--device cpu]

Weights are random: how long a network takes does not depend on them. The variants of a network are timed in turns,
round after round, and the least of each is printed; compare within a line only.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

from mot.errors import ConfigError
from mot.models.folding import fold_batchnorm
from mot.models.registry import MODELS
from mot.perception.opening import Place, TorchNetwork, resolve_precision

# Network, height and width of its input, pictures in one pass.
CASES = (
    ("yolov3_tiny", 416, 416, 1),
    ("yolov3_tiny", 480, 608, 1),
    ("yolox_nano", 576, 768, 1),
    ("yolox_s", 608, 1088, 1),
    ("jde_576x320", 320, 576, 1),
    ("jde_1088x608", 608, 1088, 1),
    ("fairmot_dla34", 320, 576, 1),
    ("fairmot_dla34", 608, 1088, 1),
    ("fairmot_yolov5s", 608, 1088, 1),
    ("mobilenetv2_stripes", 192, 96, 8),
    ("osnet_x0_25", 256, 128, 8),
    ("osnet_x1_0", 256, 128, 8),
)


class Plain:
    """The network as it was trained: BatchNorm apart, channels first."""

    def __init__(self, module: nn.Module, place: Place) -> None:
        self._module = module.to(place.device)

    def __call__(self, x: torch.Tensor) -> object:
        return self._module(x.contiguous())


def build(name: str, folded: bool) -> nn.Module:
    network = MODELS[name].build(80 if "yolov3" in name else 1).eval().requires_grad_(False)
    if folded:
        fold_batchnorm(network)
    return network


def variants(name: str, device: torch.device) -> dict[str, Plain | TorchNetwork]:
    made: dict[str, Plain | TorchNetwork] = {"plain fp32": Plain(build(name, False), Place(device))}
    for precision in ("fp32", "bf16", "fp16"):
        try:
            place = Place(device, resolve_precision(precision, device))
        except ConfigError as error:
            print(error)
            continue
        made[precision] = TorchNetwork(build(name, True), place, MODELS[name].kind)
    return made


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    print(f"{device}, {torch.get_num_threads()} threads, least of {args.rounds}, ms")
    for name, height, width, count in CASES:
        if args.only not in name:
            continue
        x = torch.rand(count, 3, height, width, device=device).to(memory_format=torch.channels_last)
        networks = variants(name, device)
        least: dict[str, float] = {}
        for _ in range(args.rounds + 1):  # the first warms up
            for kind, network in networks.items():
                started = time.perf_counter()
                network(x)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                least[kind] = min(least.get(kind, float("inf")), time.perf_counter() - started)
        times = ", ".join(f"{kind} {value * 1000:.0f}" for kind, value in least.items())
        print(f"{name} {count} x {height}x{width}: {times}", flush=True)


if __name__ == "__main__":
    main()
