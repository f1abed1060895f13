"""How our networks give what a golden file holds: by family a table of the arrays' names.

A function of a table takes what our network answered and what the name says besides, and gives the array: values,
whose largest difference counts, or `Rows`, with boxes in four columns. What is picked by its score is put in the
golden's order first, since nearly equal scores are no order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mot.errors import InputError
from mot.models.centres import STRIDE
from mot.models.inputs import PREPROCESS
from mot.models.loading import Loaded
from mot.models.spec import Joint
from mot.perception import nms
from mot.perception.preprocess import Letterbox

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class Seen:
    """What a network answered to the n pictures of a golden file.

    Attributes:
        loaded: the network.
        golden: the file's arrays.
        maps: raw maps, (n, C, h, w) each.
        out: `Joint`, boxes and scores, or vectors, of n pictures.
    """

    loaded: Loaded
    golden: Arrays
    maps: tuple[Tensor, ...]
    out: Any


class Rows(NamedTuple):
    """Rows with boxes.

    Attributes:
        values: (..., N).
        first: of the four columns with coordinates.
        px: pixels in a unit of them.
        slack: pixels that the golden's may be off by because they were rounded.
    """

    values: Tensor
    first: int = 0
    px: float = 1.0
    slack: float = 0.0


Answer = Callable[..., "Tensor | Rows"]
Outputs = dict[str, Answer]


# Boxes


def centred(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy as centre and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def suppressed(
    boxes: Tensor, scores: Tensor, threshold: float, iou: float, limit: int = 8192
) -> nms.Candidates:
    """What NMS leaves of one picture, best first: boxes (A, 4), scores (A, C).

    The limit keeps the overlaps of all pairs in memory; it lies far above what a golden keeps.
    """
    labels = torch.arange(scores.shape[1])
    kept = nms.suppress(nms.candidates(boxes[None], scores[None], labels, threshold, limit), iou)
    return nms.Candidates(*(part[0, kept.valid[0]] for part in kept))


def align(ours: Tensor, theirs: Tensor) -> Tensor:
    """Which of our boxes each of theirs is; both (N, 5), the score last."""
    if len(ours) != len(theirs):
        raise InputError(f"has {len(ours)} boxes, expected {len(theirs)}")
    weight = torch.tensor([1, 1, 1, 1, 1e4])  # boxes clipped at 0 may be alike: scores tell them apart
    rows = torch.cdist(theirs * weight, ours * weight, p=torch.inf).argmin(dim=1)
    if len(set(rows.tolist())) != len(rows):
        raise InputError(f"has {len(rows)} boxes that are not all the golden's")
    return rows


def placed(boxes: Tensor, like: tuple[Tensor, Tensor], seen: Seen, clip: bool) -> Tensor:
    """Boxes on the canvas as boxes in the picture that it was made from, by our way back.

    No golden says how large the picture was, so its size comes from its boxes. With theirs = a * canvas + b, and
    the picture in the canvas's middle, its middle is theirs for the canvas's.

    Args:
        boxes: (N, 4) to be placed.
        like: (M, 4) boxes on the canvas and (M, 4) the same in the picture.
        seen: tells the canvas and the way.
        clip: whether coordinates below 0 became 0.
    """
    height, width = seen.golden["image"].shape[2:]
    middle = []
    for axis, side in ((1, height), (0, width)):
        ours, theirs = (each[:, axis::2].flatten().double().numpy() for each in like)
        line = np.polyfit(ours[theirs != 0], theirs[theirs != 0], 1)
        middle.append(float(np.polyval(line, side / 2)))
    source = round(2 * middle[0]), round(2 * middle[1])
    how = replace(PREPROCESS[seen.loaded.preprocess], clip=clip)
    return torch.from_numpy(Letterbox.fit(source, (height, width), how).to_source(boxes.double().numpy()))


# YOLOv3 and YOLOX


def logits(seen: Seen) -> Tensor:
    """(n, A, 5 + C) of all maps: box, object, classes."""
    size = 5 + seen.loaded.classes
    maps = [each.view(len(each), -1, size, *each.shape[2:]) for each in seen.maps]
    return torch.cat([each.permute(0, 1, 3, 4, 2).flatten(1, 3) for each in maps], dim=1)


def yolo_boxes(seen: Seen) -> Rows:
    return Rows(torch.cat([centred(seen.out[0]), logits(seen)[..., 4:5].sigmoid()], dim=2))


def yolo_classes(seen: Seen) -> Tensor:
    return logits(seen)[..., 5:].sigmoid()


def yolo_scores(seen: Seen) -> Tensor:
    scores: Tensor = seen.out[1]
    return scores


def yolox_detections(seen: Seen, picture: str) -> Rows:
    """x1 y1 x2 y2 object class label, of a box its best class alone."""
    boxes, scores = (each[int(picture)] for each in seen.out)
    best = scores * (scores == scores.amax(dim=1, keepdim=True))
    kept = suppressed(boxes, best, float(seen.golden["confidence"]), YOLOX_NMS)
    values = logits(seen)[int(picture), kept.rows, 4:].sigmoid()
    kinds = values[torch.arange(len(values)), 1 + kept.labels]
    ours = torch.cat([kept.xyxy, values[:, :1], kinds[:, None], kept.labels[:, None]], dim=1)
    theirs = torch.from_numpy(seen.golden[f"dets{picture}"])
    return Rows(ours[align(ours[:, :5], theirs[:, :5])])


YOLOX_NMS = 0.65  # of the official test
YOLOV3: Outputs = {"boxes": yolo_boxes, "classes": yolo_classes, "scores": yolo_scores}
YOLOX: Outputs = {**YOLOV3, r"dets(\d+)": yolox_detections}


# Joint networks


def vectors(joint: Joint) -> Tensor:
    """(n, A, E) unit vectors, of every row."""
    columns = torch.cat([each.flatten(2) for each in joint.maps], dim=2)
    index = joint.cells[:, None].expand(-1, columns.shape[1], -1)
    return normalize(columns.gather(2, index), dim=1).transpose(1, 2)


def jde_boxes(seen: Seen) -> Rows:
    return Rows(torch.cat([centred(seen.out.boxes), seen.out.scores], dim=2))


def jde_embeddings(seen: Seen) -> Tensor:
    return vectors(seen.out)


def jde_raw(seen: Seen, scale: str) -> Tensor:
    """The official network joins a head and its embeddings."""
    return torch.cat(seen.maps[2 * int(scale) : 2 * int(scale) + 2], dim=1)


def jde_detections(seen: Seen) -> Rows:
    """x1 y1 x2 y2 score of the first picture, on the canvas: as many of the best as the file keeps."""
    kept = suppressed(seen.out.boxes[0], seen.out.scores[0], *JDE_NMS)
    theirs = torch.from_numpy(seen.golden["det_boxes"])
    ours = torch.cat([kept.xyxy, kept.scores[:, None]], dim=1)[: len(theirs)]
    return Rows(ours[align(ours, theirs)])


def jde_anchors(seen: Seen) -> Tensor:
    return torch.tensor(seen.loaded.network.anchors)


JDE_NMS = (0.5, 0.4)  # score, overlap
JDE: Outputs = {
    "boxes": jde_boxes,
    "embedding": jde_embeddings,
    "det_boxes": jde_detections,
    r"raw(\d)": jde_raw,
    "anchors": jde_anchors,
}


def centre_map(seen: Seen, name: str) -> Tensor:
    return seen.maps[CENTRE_MAPS.index(name) % 4]


def peaks(joint: Joint) -> Tensor:
    """The rows of the first picture that are peaks: beyond the last one they are ties at zero."""
    return (joint.scores[0].amax(dim=1) > 0).nonzero()[:, 0]


def cell_rows(seen: Seen) -> tuple[Tensor, Tensor]:
    """Our rows in the order of the file's `cells`, and x1 y1 x2 y2 score label of each, in cells."""
    rows, theirs = peaks(seen.out), torch.from_numpy(seen.golden["cells"])
    scores, labels = seen.out.scores[0, rows].max(dim=1)
    ours = torch.cat([seen.out.boxes[0, rows] / STRIDE, scores[:, None], labels[:, None]], dim=1)
    order = align(ours[:, :5], theirs[:, :5])
    return rows[order], ours[order]


def centre_cells(seen: Seen) -> Rows:
    return Rows(cell_rows(seen)[1], px=STRIDE)


def centre_boxes(seen: Seen) -> Rows:
    """x1 y1 x2 y2 score, in the picture."""
    values = cell_rows(seen)[1]
    like = (
        torch.from_numpy(seen.golden["cells"])[:, :4] * STRIDE,
        torch.from_numpy(seen.golden["boxes"])[:, :4],
    )
    return Rows(torch.cat([placed(values[:, :4] * STRIDE, like, seen, clip=False), values[:, 4:5]], dim=1))


def centre_features(seen: Seen) -> Tensor:
    return vectors(seen.out)[0, cell_rows(seen)[0]]


CENTRE_MAPS = ("hm", "wh", "reg", "id", "head_heatmap", "head_size", "head_offset", "reid_reid")
FAIRMOT: Outputs = {
    "(hm|wh|reg|id)": centre_map,
    "cells": centre_cells,
    "boxes": centre_boxes,
    "features": centre_features,
}


# PaddleDetection, whose arrays are named by the layer that gave them


def paddle_rows(seen: Seen) -> tuple[Tensor, Tensor]:
    """Our rows in the order of the file's `dets`, and label score x1 y1 x2 y2 of each, in the picture.

    JDE ends in NMS, of the best 2000, and clips at 0; FairMOT does neither. Either gives 500 at most.
    """
    boxes, scores = seen.out[0][0], seen.out[1][0]
    centres = seen.loaded.name.startswith("fairmot")
    rows = peaks(seen.out) if centres else suppressed(boxes, scores, *JDE_NMS, 2000).rows[:500]
    theirs = torch.from_numpy(seen.golden["dets"])
    if len(rows) != len(theirs):
        raise InputError(f"has {len(rows)} boxes, expected {len(theirs)}")
    best, labels = scores[rows].max(dim=1)
    xyxy = placed(boxes[rows], (boxes[rows], theirs[:, 2:]), seen, clip=not centres)
    order = align(torch.cat([xyxy.float(), best[:, None]], dim=1), theirs[:, [2, 3, 4, 5, 1]])
    return rows[order], torch.cat([labels[:, None], best[:, None], xyxy], dim=1)[order]


def paddle_detections(seen: Seen) -> Rows:
    theirs = seen.golden["dets"][:, 2:]
    whole = np.array_equal(theirs, theirs.round())
    return Rows(paddle_rows(seen)[1], first=2, slack=0.5 * whole)


def paddle_embeddings(seen: Seen) -> Tensor:
    return vectors(seen.out)[0, paddle_rows(seen)[0]]


def paddle_head(seen: Seen, scale: str) -> Tensor:
    return (seen.maps[::2] if seen.loaded.spec.kind == "joint" else seen.maps)[int(scale)]


def paddle_identity(seen: Seen, scale: str) -> Tensor:
    return seen.maps[1::2][int(scale)]


def paddle_yolox_head(seen: Seen, part: str, scale: str) -> Tensor:
    first = {"reg": slice(5), "cls": slice(5, None)}
    return seen.maps[int(scale)][:, first[part]]


PADDLE_HEAD: Outputs = {r"(?:detector_)?yolo_head_yolo_output_(\d)": paddle_head}
PADDLE_JOINT: Outputs = {
    **PADDLE_HEAD,
    r"(?:detector_)?(head_heatmap|head_size|head_offset|reid_reid)": centre_map,
    r"reid_identify_output_(\d)": paddle_identity,
    "dets": paddle_detections,
    "embeddings": paddle_embeddings,
}
PADDLE_DETECTOR: Outputs = {
    **PADDLE_HEAD,
    r"(?:detector_)?head_conv_(reg|cls)_(\d)_2": paddle_yolox_head,
}


# ReID


def reid_vectors(seen: Seen) -> Tensor:
    out: Tensor = seen.out
    return out


def reid_map(seen: Seen) -> Tensor:
    return seen.maps[-1]


REID: Outputs = {"embeddings?": reid_vectors, "maps": reid_map}
