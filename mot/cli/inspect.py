"""`mot-weights inspect`: what a weights file is, and the config lines that use it.

No code of a checkpoint is run. An exported graph is run once, on a blank picture, to see what it gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mot.weights import manifest
from mot.weights.fetch import sha256

if TYPE_CHECKING:
    from mot.perception.exported import Description

# Where a config names the weights of each kind, its block, and the size of what goes in.
KEYS = {
    "detector": ("det_weights", "detector", "input_size"),
    "reid": ("reid_weights", "reid", "crop_size"),
    "joint": ("weights", "detector", "input_size"),
}

# How pictures go in, and what classes are called, where an exported file does not say: what is usual.
USUAL = {"yolox": "yolox", "yolov8": "darknet", "detr": "imagenet", "ssd": "imagenet", "reid": "imagenet"}
LISTED = {"yolov8": "coco", "detr": "coco", "ssd": "[background, person]"}


def describe(path: Path) -> Iterator[str]:
    """The lines to print.

    Raises:
        WeightsError: the file is damaged, unsafe, or of no known network.
    """
    numbers = path.suffix == ".bin" and path.with_suffix(".xml").is_file()
    if path.suffix in (".onnx", ".xml") or numbers:
        yield from _exported(path)
    else:
        yield from _checkpoint(path)


def _exported(path: Path) -> Iterator[str]:
    from mot.perception.exported import describe

    found = describe(path)
    yield f"file       {path.name} (exported for {found.backend}, {path.stat().st_size / 1e6:.1f} MB)"
    for key, value in found.said.items():
        yield f"{key:<10} {', '.join(value) if isinstance(value, list) else value}"
    if found.heads:
        yield from _detector(path, found)
    elif found.embedding_size:
        yield f"embedding  {found.embedding_size} numbers a box"
        yield from _config("reid", path, found, "[256, 128]")
        yield _way(path, "reid")
    else:
        yield "config     none: it gives neither boxes of a known layout nor one vector a picture"


def _detector(path: Path, found: Description) -> Iterator[str]:
    (head, decoded, classes), *others = found.heads
    if classes:
        yield f"classes    {_classes(classes)}"
    yield from _config("detector", path, found, "[640, 640]")
    also = " or ".join(f"{name} with decoded: {str(flag).lower()}" for name, flag, _ in others)
    yield f"    head: {head}{f'  # by its shapes, or {also}' if also else ''}"
    yield f"    decoded: {str(decoded).lower()}"
    yield f"    labels: {_labels(classes) if classes else LISTED[head] + '  # or others: the file does not say'}"
    yield _way(path, head)


def _config(kind: str, path: Path, found: Description, size: str) -> Iterator[str]:
    """The lines that detectors and ReID networks have in common; `size` is for files that leave it open."""
    weights, block, key = KEYS[kind]
    yield "config"
    yield f"  {weights}: {path}"
    yield f"  {block}:"
    yield f"    model: {found.backend}"
    yield f"    {key}: {'null' if found.size else size + '  # or another: the file takes any'}"


def _way(path: Path, head: str) -> str:
    known = manifest.by_file(path.name, sha256(path))
    if known and known.preprocess:
        return f"    preprocess: {known.preprocess}"
    usual = "openvino" if path.suffix == ".xml" else USUAL[head]
    return f"    preprocess: {usual}  # or another: the file does not say"


def _labels(classes: int) -> str:
    from mot.models.labels import COCO, label_names

    named = classes in (1, len(COCO))
    names = f"[{', '.join(label_names(classes))}]"
    return "coco" if classes == len(COCO) else names if named else f"{names}  # what they are called"


def _classes(classes: int) -> str:
    """`80 (person, bicycle, …)`."""
    from mot.models.labels import label_names

    names = label_names(classes)
    return f"{classes} ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def _checkpoint(path: Path) -> Iterator[str]:
    from mot.models.inputs import TWINS
    from mot.models.loading import load

    loaded = load(path)
    spec, report = loaded.spec, loaded.report
    yield f"file       {path.name} ({report.format}, {path.stat().st_size / 1e6:.1f} MB)"
    yield f"network    {loaded.name}, a {spec.kind} network; tensors named as by {report.dialect}"
    yield f"tensors    {report.tensors}, {report.floats:,} numbers; {report.unused or 'all used'}"
    if spec.kind != "reid":
        yield f"classes    {_classes(loaded.classes)}"
    if spec.embedding_size:
        yield f"embedding  {spec.embedding_size} numbers a box"
    known = manifest.by_file(path.name, sha256(path))
    how = known.preprocess if known and known.preprocess else loaded.preprocess
    twin = f"  # or {TWINS[how]}" if how in TWINS and not known else ""
    weights, block, size = KEYS[spec.kind]
    yield "config"
    yield f"  {weights}: {path}"
    yield f"  {block}:"
    yield f"    model: {loaded.name}"
    yield f"    {size}: {list((known.input_size if known else None) or spec.input_size)}"
    yield f"    preprocess: {how}{twin}"
