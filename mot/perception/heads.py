"""What the outputs of exported detectors mean: boxes and scores of every layout that public exporters write.

- `yolox` (B, A, 5 + C): box, object, classes; the box raw as YOLOX has it, or decoded to cx cy w h in pixels.
- `yolov8` raw: maps (B, 64 + C, h, w) at strides 8, 16, 32. Decoded: (B, 4 + C, A) or (B, A, 4 + C): cx cy w h in
  pixels, classes; or, after its own suppression, (B, N, 6): x1 y1 x2 y2, score, class.
- `detr` raw: boxes (B, Q, 4) cx cy w h in 0..1 and logits (B, Q, C or C + 1). Decoded: labels (B, Q), boxes
  (B, Q, 4) x1 y1 x2 y2 in pixels, scores (B, Q); or (B, Q, 4 + C): cx cy w h in 0..1, classes.
- `ssd` decoded: (1, 1, N, 7): image, class, score, x1 y1 x2 y2 in 0..1; or boxes (B, N, 4) x1 y1 x2 y2 with scores
  (B, N, C), or with scores (B, N) and labels (B, N); or (B, N, 5), the score last, with or without labels. Raw is
  refused: it needs the priors.

Written by: YOLOX `tools/export_onnx.py` (decoded: with --decode_in_inference); ultralytics' exports of YOLOv8 and
later and of RT-DETR; DETR, Deformable DETR, RF-DETR; RT-DETR's and D-FINE's `export_onnx.py`, whose second input
must be the canvas's width and height; OpenVINO's DetectionOutput, the Open Model Zoo, MMDeploy, torchvision.

Outputs come in any order. A head that cannot make sense of their shapes raises one line which says what it wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from mot.errors import ConfigError
from mot.models.yolox import STRIDES, grid, place

Boxes = tuple[Tensor, Tensor]
"""Boxes (B, A, 4) xyxy in input pixels and scores (B, A, C), both float32."""


class Head(Protocol):
    """A function from a network's outputs to boxes."""

    def __call__(
        self, outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool, classes: int
    ) -> Boxes:
        """Outputs to boxes.

        Args:
            outputs: in the file's order.
            canvas: height and width of the network's input in pixels.
            decoded: whether the file decodes its boxes.
            classes: how many the config names, for layouts that do not tell.

        Raises:
            ConfigError: the shapes are not this head's, or a class is found beyond those that the config names.
        """


BINS = 16  # ultralytics' reg_max: a box's side is a distribution over so many distances
LEVELS = (STRIDES, (*STRIDES, 64))  # P5 and P6 networks


def yolox(outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool, classes: int) -> Boxes:
    """Object and class have gone through their sigmoids in either layout."""
    rows = outputs[0].float()
    sizes = _cells(canvas, rows.shape[1]) if len(outputs) == 1 and rows.dim() == 3 else None
    if sizes is None or rows.shape[2] < 6:
        raise _refusal("yolox", outputs, f"1 x cells x (5 + classes), {_counts(canvas)}")
    boxes = _corners(rows[..., :4]) if decoded else place(rows[..., :4], sizes)
    return boxes, rows[..., 4:5] * rows[..., 5:]


def yolov8(outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool, classes: int) -> Boxes:
    """Dense rows are told from suppressed ones by their number."""
    if not decoded:
        return _distances(outputs, canvas)
    first = outputs[0].float()
    if len(outputs) == 1 and first.dim() == 3:
        for rows in (first.transpose(1, 2), first):
            if rows.shape[2] > 4 and _cells(canvas, rows.shape[1]):
                return _corners(rows[..., :4]), rows[..., 4:]
        if first.shape[2] == 6:
            return first[..., :4], _spread(first[..., 4], first[..., 5], classes)
    raise _refusal(
        "yolov8", outputs, f"1 x (4 + classes) x cells, {_counts(canvas)}, or 1 x boxes x 6, decoded"
    )


def _distances(outputs: Sequence[Tensor], canvas: tuple[int, int]) -> Boxes:
    """Raw maps: 4 sides of 16 bins, then the classes.

    side = sum_i i * softmax(bins)_i,  corners = (cell + 1/2 -+ sides) * stride,  score = sigmoid(class)
    """
    maps = sorted((x.float() for x in outputs), key=lambda x: x.numel(), reverse=True)
    sizes = [(x.shape[2], x.shape[3]) for x in maps if x.dim() == 4 and x.shape[1] > 4 * BINS]
    if len(sizes) < len(maps) or sizes not in [_sizes(canvas, strides) for strides in LEVELS]:
        wanted = ", ".join(f"1 x (64 + classes) x {h} x {w}" for h, w in _sizes(canvas, STRIDES))
        raise _refusal("yolov8", outputs, f"{wanted}, not decoded")
    rows = torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)
    cell, stride = grid(sizes, rows)
    bins = torch.arange(BINS, device=rows.device, dtype=rows.dtype)
    sides = rows[..., : 4 * BINS].reshape(*rows.shape[:2], 4, BINS).softmax(dim=3) @ bins
    middle = cell + 0.5
    boxes = torch.cat([middle - sides[..., :2], middle + sides[..., 2:]], dim=2) * stride
    return boxes, rows[..., 4 * BINS :].sigmoid()


def detr(outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool, classes: int) -> Boxes:
    """One more logit than classes means softmax, the last being "nothing" (DETR); as many, sigmoid (all others)."""
    found = [x.float() for x in outputs if x.dim() == 3]
    if decoded and len(outputs) == len(found) == 1 and found[0].shape[2] > 4:
        return _corners(found[0][..., :4]) * _extent(canvas, found[0]), found[0][..., 4:]
    if decoded and len(outputs) == 3 and (listed := _listed(outputs, classes)):
        return listed
    fours = [x for x in found if x.shape[2] == 4]
    if decoded or not len(outputs) == len(found) == 2 or not fours:
        layouts = ("boxes 1 x Q x 4 and logits", "labels 1 x Q, boxes 1 x Q x 4 and scores 1 x Q, decoded")
        raise _refusal("detr", outputs, layouts[decoded])
    # a network of three or four classes has logits of the boxes' shape; theirs are not all in 0..1
    boxes = min(fours, key=lambda x: float((x - 0.5).abs().max()))
    logits = found[0] if boxes is found[1] else found[1]
    if logits.shape[:2] != boxes.shape[:2] or logits.shape[2] - classes not in (0, 1):
        raise _refusal("detr", outputs, f"logits 1 x Q x {classes} or {classes + 1} for {_named(classes)}")
    scores = logits.sigmoid() if logits.shape[2] == classes else logits.softmax(dim=2)[..., :-1]
    return _corners(boxes) * _extent(canvas, boxes), scores


def ssd(outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool, classes: int) -> Boxes:
    """Where background counts as class 0, the config's labels name it too."""
    if not decoded:
        raise ConfigError(
            "detector.head ssd: raw outputs need the network's priors, which its file does not name; "
            "export it with its DetectionOutput and set detector.decoded: true"
        )
    if len(outputs) == 1 and outputs[0].shape[-1] == 7:
        return _detection_output(outputs[0].float().reshape(1, -1, 7), canvas, classes)
    found = _listed(outputs, classes) or _beside(outputs)
    if found is None:
        raise _refusal("ssd", outputs, "1 x 1 x N x 7, or boxes N x 4 with scores, or N x 5 with labels")
    boxes, scores = found
    # torchvision gives pixels, most others 0..1: no box in pixels ends within the first two
    return boxes * torch.where((boxes > 2).any(), 1.0, _extent(canvas, boxes)), scores


def _detection_output(rows: Tensor, canvas: tuple[int, int], classes: int) -> Boxes:
    """Rows (1, N, 7); the first with image -1 ends the list."""
    image, label, score = rows[..., 0], rows[..., 1], rows[..., 2]
    listed = (image >= 0).long().cumprod(dim=1)
    if bool((image * listed > 0).any()):
        raise ConfigError("detector.head ssd: rows of several pictures; set runtime.batch: 1")
    return rows[..., 3:] * _extent(canvas, rows), _spread(score * listed, label, classes)


def _listed(outputs: Sequence[Tensor], classes: int) -> Boxes | None:
    """Boxes (B, N, 4) with scores and labels (B, N), or (B, N, 5) with their score; B may be missing."""
    boxes = max(outputs, key=lambda x: x.dim())
    vectors = [x for x in outputs if x is not boxes]
    if boxes.dim() not in (2, 3) or any(x.shape != boxes.shape[:-1] for x in vectors):
        return None
    if boxes.shape[-1] == 5 and len(vectors) < 2:
        scores = boxes[..., 4]
        labels = vectors[0] if vectors else torch.zeros_like(scores)
    elif boxes.shape[-1] == 4 and len(vectors) == 2:
        labels, scores = sorted(vectors, key=_fractional)
    else:
        return None
    boxes, scores, labels = (x if boxes.dim() == 3 else x[None] for x in (boxes, scores, labels))
    return boxes[..., :4].float(), _spread(scores.float(), labels, classes)


def _fractional(x: Tensor) -> tuple[bool, bool]:
    """Orders labels before scores: integers first, then floats without a fraction."""
    return x.is_floating_point(), x.is_floating_point() and bool((x != x.round()).any())


def _beside(outputs: Sequence[Tensor]) -> Boxes | None:
    """Boxes (B, N, 4) and scores of every class (B, N, C)."""
    boxes = [x.float() for x in outputs if x.dim() == 3 and x.shape[2] == 4]
    scores = [x.float() for x in outputs if x.dim() == 3 and x.shape[2] != 4]
    if len(outputs) != 2 or not len(boxes) == len(scores) == 1 or boxes[0].shape[:2] != scores[0].shape[:2]:
        return None
    return boxes[0], scores[0]


def _spread(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Scores (B, N) and their labels (B, N) to (B, N, classes)."""
    labels = labels.long()
    strange = labels[(scores > 0) & (labels >= classes)]
    if len(strange):
        raise ConfigError(
            f"detector.labels: the network found class {int(strange.max())}, but {_named(classes)}; "
            "name all, from class 0, which may be the background"
        )
    spread = scores.new_zeros((*scores.shape, classes))
    return spread.scatter_(2, labels.clamp(0, classes - 1)[..., None], scores.clamp(min=0)[..., None])


def _corners(boxes: Tensor) -> Tensor:
    """Boxes (…, 4) cx cy w h to xyxy."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _extent(canvas: tuple[int, int], like: Tensor) -> Tensor:
    """Width, height, width, height of the canvas: what 0..1 has to be multiplied by."""
    return like.new_tensor([canvas[1], canvas[0], canvas[1], canvas[0]])


def _sizes(canvas: tuple[int, int], strides: Sequence[int]) -> list[tuple[int, int]]:
    return [(canvas[0] // stride, canvas[1] // stride) for stride in strides]


def _cells(canvas: tuple[int, int], count: int) -> list[tuple[int, int]] | None:
    """The maps that have `count` cells together, None where none do."""
    for strides in LEVELS:
        sizes = _sizes(canvas, strides)
        if sum(h * w for h, w in sizes) == count:
            return sizes
    return None


def _counts(canvas: tuple[int, int]) -> str:
    """`3549 or 3585 cells of 416x416`."""
    counts = (sum(h * w for h, w in _sizes(canvas, strides)) for strides in LEVELS)
    return f"{' or '.join(map(str, counts))} cells of {canvas[0]}x{canvas[1]}"


def _named(classes: int) -> str:
    return f"{classes} label{'s are' if classes > 1 else ' is'} named"


def _refusal(head: str, outputs: Sequence[Tensor], expected: str) -> ConfigError:
    got = ", ".join("x".join(map(str, x.shape)) for x in outputs)
    return ConfigError(f"detector.head {head}: the network gives {got}; expected {expected}")


HEADS: dict[str, Head] = {"yolox": yolox, "yolov8": yolov8, "detr": detr, "ssd": ssd}

# All layouts, head and whether decoded, in the order in which they are tried on outputs of which nothing is known.
_LAYOUTS = (
    *(("yolox", False), ("yolox", True), ("yolov8", False), ("yolov8", True)),
    *(("detr", True), ("ssd", True), ("detr", False)),
)
_MANY = 1000  # more classes than anybody names


def fitting(outputs: Sequence[Tensor], canvas: tuple[int, int]) -> list[tuple[str, bool, int | None]]:
    """What the outputs for a picture may be, the likeliest first: head, decoded, and its classes if it tells.

    Scores lie in 0..1. Where there are as many boxes as cells, some of the canvas's size, it is nothing else.
    """
    found = []
    for name, decoded in _LAYOUTS:
        made = _tried(HEADS[name], outputs, canvas, decoded)
        if made is None or not bool(((made[1] >= 0) & (made[1] <= 1)).all()):
            continue
        boxes, scores = made
        layout = name, decoded, None if scores.shape[2] == _MANY else scores.shape[2]
        if name in ("yolox", "yolov8") and layout[2] and _cells(canvas, boxes.shape[1]):
            if max(canvas) / 4 < float(boxes.max()) < max(canvas) * 4:
                return [layout]
        else:
            found.append(layout)
    return found


def _tried(head: Head, outputs: Sequence[Tensor], canvas: tuple[int, int], decoded: bool) -> Boxes | None:
    """What a head makes of outputs with any number of classes; None where it refuses them."""
    for classes in (_MANY, *(x.shape[-1] for x in outputs)):
        try:
            return head(outputs, canvas=canvas, decoded=decoded, classes=classes)
        except ConfigError:
            continue
    return None
