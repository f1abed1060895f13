"""When a pass is recorded, and that a recorded one gives what a plain one does. Recording itself needs a GPU."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from mot.models.registry import MODELS
from mot.perception import graphs
from mot.perception.graphs import MOST, WARM_UP, Graphed, Recording, copies

# What does without a CUDA graph: the pass itself, when it is "replayed".


def record_nothing(module: nn.Module, x: Tensor) -> Recording:
    given = x.clone()
    made = module(given)
    graph = SimpleNamespace(replay=lambda: made.copy_(module(given)))
    return Recording(cast(torch.cuda.CUDAGraph, graph), given, made)


def pictures(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_a_shape_is_recorded_when_it_came_often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []

    def record(module: nn.Module, x: Tensor) -> Recording:
        recorded.append(len(x))
        return record_nothing(module, x)

    monkeypatch.setattr(graphs, "record", record)
    network, module = Graphed(nn.Flatten()), nn.Flatten()
    for seed in range(WARM_UP):
        assert torch.equal(network(pictures(2, seed)), module(pictures(2, seed)))
    assert torch.equal(network(pictures(1)), module(pictures(1)))
    assert recorded == []
    before = network(pictures(2, 7))
    after = network(pictures(2, 8))
    assert recorded == [2]
    assert torch.equal(before, module(pictures(2, 7)))  # not overwritten by the next
    assert torch.equal(after, module(pictures(2, 8)))
    for count in range(3, 3 + MOST):
        for _ in range(WARM_UP + 2):
            assert torch.equal(network(pictures(count)), module(pictures(count)))
    assert recorded == [2, *range(3, 2 + MOST)]


def test_what_cannot_be_recorded_runs_without_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def record(module: nn.Module, x: Tensor) -> Recording:
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        finally:
            raise RuntimeError("previous error during capture")

    monkeypatch.setattr(graphs, "record", record)
    network = Graphed(nn.Flatten())
    with caplog.at_level(logging.WARNING):
        for count in (1, 2):
            for _ in range(WARM_UP + 2):
                assert torch.equal(network(pictures(count)), pictures(count).flatten(1))
    (line,) = caplog.messages
    assert line.endswith("it runs without: operation not permitted when stream is capturing")


def test_copies_of_everything_that_a_network_may_give() -> None:
    one, two = torch.ones(2), torch.zeros(1).expand(3)
    made = (one, (two, one))
    got = copies(made)
    one += 1
    assert [part.tolist() for part in (got[0], *got[1])] == [[1, 1], [0, 0, 0], [1, 1]]


# One of every family.
NAMES = [
    *("yolov3_tiny", "yolox_nano", "jde_576x320", "fairmot_dla34", "fairmot_yolov5s"),
    *("mobilenetv2_stripes", "osnet_ain_x0_25", "pplcnet", "pcb_pyramid_r101", "resnet50_reid"),
]


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_recorded_pass_gives_what_a_plain_one_does(
    name: str, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
    torch.manual_seed(0)
    module = MODELS[name].build(1).eval().to("cuda", dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = Graphed(module)

    def equal(one: Any, other: Any) -> None:
        if isinstance(one, Tensor):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)
        else:
            for here, there in zip(one, other, strict=True):
                equal(here, there)

    with torch.inference_mode():
        for _ in range(WARM_UP + 3):
            x = torch.rand(2, 3, 128, 96).to("cuda", dtype, memory_format=torch.channels_last)
            equal(network(x), module(x))
    # a host's list of anchors goes into every pass of these, which cannot be recorded
    assert not caplog.messages or name.startswith(("yolov3", "jde"))
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
