"""Batched suppression against the textbook loop."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mot.perception import nms


def textbook(
    boxes: torch.Tensor, scores: torch.Tensor, threshold: float, overlap: float
) -> list[tuple[int, int]]:
    """(anchor, class) kept: each box has its best class; take the best, drop what overlaps it, again."""
    best = [row.index(max(row)) for row in scores.tolist()]
    rows = [(-scores[a, c].item(), a, c) for a, c in enumerate(best)]
    rest = sorted(row for row in rows if -row[0] > threshold)
    kept: list[tuple[int, int]] = []
    while rest:
        _, a, c = rest.pop(0)
        kept.append((a, c))
        iou = nms.pairwise_iou(boxes[None])[0]
        rest = [row for row in rest if row[2] != c or not iou[a, row[1]] > overlap]
    return kept


def random_scene(seed: int, frames: int, anchors: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (frames, anchors, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (frames, anchors, 2))], axis=2)
    scores = rng.integers(0, 12, (frames, anchors, classes)) / 12  # many ties
    return torch.from_numpy(boxes).float(), torch.from_numpy(scores).float()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 25), st.integers(1, 3))
def test_equal_to_the_textbook(seed: int, frames: int, anchors: int, classes: int) -> None:
    boxes, scores = random_scene(seed, frames, anchors, classes)
    labels = torch.arange(classes) + 5
    found = nms.suppress(nms.candidates(boxes, scores, labels, 0.4, 1000), 0.45)
    for i in range(frames):
        kept = textbook(boxes[i], scores[i], 0.4, 0.45)
        valid = found.valid[i]
        assert torch.equal(found.xyxy[i, valid], boxes[i, [a for a, _ in kept]])
        assert found.labels[i, valid].tolist() == [c + 5 for _, c in kept]
        assert found.scores[i, valid].tolist() == [scores[i, a, c].item() for a, c in kept]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_frame_does_not_depend_on_its_batch(seed: int) -> None:
    boxes, scores = random_scene(seed, 4, 20, 2)
    labels = torch.arange(2)
    together = nms.suppress(nms.candidates(boxes, scores, labels, 0.4, 7), 0.45)
    for i in range(4):
        alone = nms.suppress(nms.candidates(boxes[i : i + 1], scores[i : i + 1], labels, 0.4, 7), 0.45)
        assert torch.equal(alone.xyxy[0, alone.valid[0]], together.xyxy[i, together.valid[i]])


def test_the_best_are_kept_where_there_are_too_many_and_none_is_no_crash() -> None:
    boxes, scores = random_scene(0, 2, 20, 1)
    found = nms.candidates(boxes, scores, torch.tensor([0]), 0.0, 3)
    best = scores[..., 0].sort(dim=1, descending=True).values[:, :3]
    assert torch.equal(found.scores, best)
    nothing = nms.suppress(nms.candidates(boxes, scores, torch.tensor([0]), 1.0, 3), 0.5)
    assert nothing.valid.shape == (2, 0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 40), st.integers(1, 3), st.integers(1, 50)
)
def test_fixed_sizes_and_rarer_looks_change_nothing(
    seed: int, frames: int, anchors: int, classes: int, limit: int
) -> None:
    boxes, scores = random_scene(seed, frames, anchors, classes)
    labels = torch.arange(classes) + 5
    found = nms.candidates(boxes, scores, labels, 0.4, limit)
    fixed = nms.candidates(boxes, scores, labels, 0.4, limit, fixed=True)
    assert fixed.valid.shape[1] == min(limit, anchors)
    width = found.valid.shape[1]
    for here, there in zip(nms.suppress(found, 0.3), nms.suppress(fixed, 0.3, rounds=8), strict=True):
        assert torch.equal(here, there[:, :width])
        assert not there[:, width:].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 25))
def test_compact_rows_hold_the_valid_boxes_alone_and_in_order(seed: int, frames: int, anchors: int) -> None:
    boxes, scores = random_scene(seed, frames, anchors, 2)
    loose = nms.suppress(nms.candidates(boxes, scores, torch.arange(2), 0.4, 100), 0.3)
    tight = nms.compact(loose)
    counts = loose.valid.sum(dim=1)
    assert tight.valid.sum(dim=1).tolist() == counts.tolist()
    assert tight.valid.shape[1] == counts.max()
    for here, there in zip(loose, tight, strict=True):
        for i, count in enumerate(counts):
            assert torch.equal(here[i, loose.valid[i]], there[i, :count])


def test_long_chains_settle_between_two_looks_or_after() -> None:
    """Each box overlaps only the next: every second one stays, and the last is settled in the last round."""
    for count in range(1, 40):
        x = torch.arange(count) * 4.0
        boxes = torch.stack([x, torch.zeros(count), x + 10, torch.full((count,), 10.0)], dim=1)[None]
        scores = torch.linspace(1, 0.5, count)[None, :, None]
        found = nms.candidates(boxes, scores, torch.tensor([0]), 0.4, 100, fixed=True)
        for rounds in (1, 2, 8):
            kept = nms.suppress(found, 0.3, rounds).valid[0]
            assert kept.nonzero().flatten().tolist() == list(range(0, count, 2))


def test_numbers_that_are_none_are_no_boxes() -> None:
    boxes, scores = random_scene(0, 1, 4, 1)
    boxes[0, 0], scores[0] = torch.nan, torch.tensor([[torch.nan], [0.5], [torch.inf], [0.0]])
    found = nms.candidates(boxes, scores, torch.tensor([0]), 0.0, 9, fixed=True)
    assert found.rows[found.valid].tolist() == [2, 1]
    assert found.scores.tolist() == [[torch.inf, 0.5, 0, 0]]
    assert torch.isfinite(found.xyxy).all()
