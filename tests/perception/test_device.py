"""Pictures that go up once, and what CUDA has instead of the CPU's steps, run here on the CPU beside them."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from weakref import ref

import numpy as np
import pytest
import torch
from torch import Tensor

from mot import Frame
from mot.errors import InputError
from mot.models.inputs import PREPROCESS
from mot.perception import nms
from mot.perception.detector import Detector, gather, on_canvas
from mot.perception.device import Uploads, fetch, send
from mot.perception.embedder import Embedder
from mot.perception.opening import Network
from mot.perception.preprocess import crops, normalise
from mot.perception.settings import DetectorConfig, EmbedderConfig
from mot.structures import Detections

CPU = torch.device("cpu")


def some_frames(count: int, size: tuple[int, int] = (90, 160)) -> list[Frame]:
    rng = np.random.default_rng(count)
    return [
        Frame(image=rng.integers(0, 256, (*size, 3), np.uint8), index=i, time_s=i / 10)
        for i in range(1, count + 1)
    ]


def a_network(name: str, device: torch.device = CPU, size: tuple[int, ...] = (96, 128)) -> Network:
    """Boxes about the 50 brightest pixels, or the mean colours of a crop as its vector."""

    def run(x: Tensor) -> object:
        if name == "reid":
            return x.mean(dim=(2, 3))
        grey = (x * 255).round().long().sum(dim=1).flatten(1)
        # whole numbers without ties: every device sorts them alike
        best, place = (grey * grey.shape[1] + torch.arange(grey.shape[1], device=x.device)).topk(50, dim=1)
        row, column = place // x.shape[3], place % x.shape[3]
        boxes = torch.stack([column - 9, row - 5, column + 9, row + 5], dim=2).float()
        quarter = row // 2 * (x.shape[3] // 2) + column // 2
        odd = torch.arange(50, device=x.device) % 2 == 0
        cells = torch.where(odd, place, grey.shape[1] + quarter)
        return boxes, (best / best.max())[..., None], (x, 1 - x[..., ::2, ::2]), cells

    return Network(run, PREPROCESS["darknet"], size, ("person",), 3, device, {}, Uploads(device))


def same(here: Sequence[Detections], there: Sequence[Detections], atol: float) -> None:
    for one, other in zip(here, there, strict=True):
        assert len(one) == len(other) > 0
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=atol)
        np.testing.assert_allclose(one.scores, other.scores, atol=atol)
        np.testing.assert_allclose(one.embeddings, other.embeddings, atol=atol)  # type: ignore[arg-type]


def test_a_batch_goes_up_once_and_each_frame_is_found_in_it() -> None:
    frames = some_frames(4)
    uploads = Uploads(CPU)
    pixels = uploads.put(frames)
    assert (pixels.shape, pixels.dtype) == ((4, 90, 160, 3), torch.uint8)
    some, rows = uploads.get([frames[3], frames[1]])
    assert some is pixels
    for row, frame in zip(rows, (frames[3], frames[1]), strict=True):
        assert np.array_equal(pixels[row].numpy(), frame.image)  # type: ignore[arg-type]


def test_other_frames_are_not_taken_for_those_of_the_last_batch() -> None:
    """A camera fills one array again and again: a frame is known by itself, not by its picture."""
    frames = some_frames(2)
    uploads = Uploads(CPU)
    pixels = uploads.put(frames)
    assert frames[0].image is not None
    frames[0].image[:] = 7
    again = replace(frames[0], index=3)
    for asked in ([again], [frames[1], again]):
        got, rows = uploads.get(asked)
        assert got is not pixels
        assert rows.tolist() == list(range(len(asked)))
        assert (got[-1] == 7).all()
    uploads.put([again])
    assert uploads.get(frames)[0] is not pixels


def test_a_detector_that_sees_a_frame_again_sees_it_as_it_is_now() -> None:
    frames, uploads = some_frames(1), Uploads(CPU)
    uploads.put(frames)
    assert frames[0].image is not None
    frames[0].image[:] = 7
    assert (uploads.put(frames) == 7).all()


def test_pictures_go_with_their_frames() -> None:
    frames, uploads = some_frames(2), Uploads(CPU)
    left = ref(uploads.put(frames))
    assert left() is not None
    del frames
    gc.collect()
    assert left() is None


def test_pictures_of_one_size_and_no_others() -> None:
    frames = [*some_frames(1), *some_frames(1, (91, 160))]
    uploads = Uploads(CPU)
    for ask in (uploads.put, uploads.get):
        with pytest.raises(InputError, match="must have one size"):
            ask(frames)
        with pytest.raises(InputError, match="needs pictures"):
            ask([Frame(image=None, index=1, time_s=0)])


def test_a_device_that_is_the_host_copies_nothing() -> None:
    x = torch.arange(3.0)
    assert send(x, CPU).data_ptr() == x.data_ptr()
    assert fetch(x).ctypes.data == x.data_ptr()


@pytest.mark.parametrize(
    "name", sorted(name for name in PREPROCESS if name not in ("torchreid", "paddle_reid"))
)
def test_a_canvas_made_on_the_device_is_the_one_made_on_the_host(name: str) -> None:
    frames = some_frames(3)
    network = replace(a_network("joint"), how=PREPROCESS[name])
    box, there = on_canvas(frames, network, there=True)
    same_box, here = on_canvas(frames, network, there=False)
    assert box == same_box
    assert (there.shape, there.dtype) == (here.shape, here.dtype)
    off = (there.int() - here.int()).float()
    assert off.abs().max() <= 1
    assert off.mean().abs() < 0.2  # of cv2's linear ones an eighth is one lower
    assert there.is_contiguous(memory_format=torch.channels_last)
    # the embedder finds them there, but for the way that is the host's alone
    twice = [network.uploads.get(frames)[0] for _ in range(2)]
    assert (twice[0] is twice[1]) == (PREPROCESS[name].interpolation != "cubic")


def test_every_cell_has_the_vector_of_its_own_map() -> None:
    maps = [torch.randn(2, 3, *size) for size in ((2, 3), (4, 6), (1, 1))]
    cells = torch.arange(31).expand(2, -1)
    order = torch.stack([torch.randperm(31), torch.randperm(31)])
    whole = torch.cat([one.flatten(2) for one in maps], dim=2)
    found = gather(maps, cells, order)
    for frame in range(2):
        expected = whole[frame][:, order[frame]].T
        torch.testing.assert_close(found[frame], expected / expected.norm(dim=1, keepdim=True))


def test_the_steps_for_cuda_find_what_the_others_find() -> None:
    """The network's size is the picture's, so that no grey value differs and no bit may."""
    frames = some_frames(3, (96, 128))
    config = DetectorConfig(score_threshold=0.2, nms_threshold=0.3, max_candidates=30)
    plain, other = Detector(config, a_network("joint")), Detector(config, a_network("joint"))
    other._cuda = True
    same(plain(frames), other(frames), 0)
    assert min(len(found) for found in plain(frames)) < 30


def test_the_embedder_cuts_from_the_frames_of_its_own_boxes() -> None:
    """Whether they are alone on the device or in a batch with others."""
    frames = some_frames(3)
    network = a_network("reid", size=(16, 8))
    embedder = Embedder(EmbedderConfig(chunk=4), network)
    box = Detections(xyxy=np.array([[5.0, 5, 40, 60], [0, 0, 160, 90]]), scores=np.ones(2))
    own = replace(box, embeddings=np.ones((2, 3), np.float32))
    alone = embedder(frames, [own, box, box])
    network.uploads.put(frames)
    same(alone, embedder(frames, [own, box, box]), 0)


@pytest.mark.gpu
def test_a_cuda_device_finds_the_same() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
    frames, cuda = some_frames(4, (96, 128)), torch.device("cuda")
    config, reid = DetectorConfig(score_threshold=0.2, nms_threshold=0.3), EmbedderConfig(chunk=4)
    here, there = (a_network("joint", device) for device in (CPU, cuda))
    cutters = (
        a_network("reid", CPU, (16, 8)),
        replace(a_network("reid", cuda, (16, 8)), uploads=there.uploads),
    )
    for _ in range(3):
        found, other = Detector(config, here)(frames), Detector(config, there)(frames)
        same(found, other, 1e-5)
        bare = [replace(one, embeddings=None) for one in found]
        cut, other = (Embedder(reid, network)(frames, bare) for network in cutters)
        same(cut, other, 1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("interpolation", ["linear", "antialias"])
def test_nothing_waits_for_a_cuda_device_but_the_results(interpolation: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
    frames = some_frames(2)
    network = a_network("joint", torch.device("cuda"), (64,))
    boxes = torch.tensor([[0.0, 0, 100, 80], [9, 9, 20, 40]])

    def steps() -> None:
        _, x = on_canvas(frames, network, there=True)
        normalise(x, PREPROCESS["imagenet"])
        crops(network.uploads.get(frames)[0], torch.tensor([0, 1]), boxes, (16, 8), interpolation)
        scores = torch.rand(2, 100, 1, device="cuda")
        nms.candidates(scores.expand(-1, -1, 4), scores, torch.zeros_like(scores[0, 0]).long(), 0.5, 50, True)

    steps()  # what is computed once is sent now
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps()
    finally:
        torch.cuda.set_sync_debug_mode("default")
