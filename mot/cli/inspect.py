"""`mot-weights inspect`: what a weights file is, and the config lines that use it. No code of the file is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mot.weights import manifest

# Where a config names the weights of each kind, its block, and the size of what goes in.
KEYS = {
    "detector": ("det_weights", "detector", "input_size"),
    "reid": ("reid_weights", "reid", "crop_size"),
    "joint": ("weights", "detector", "input_size"),
}

SHOWN = 3


def describe(path: Path) -> Iterator[str]:
    """The lines to print.

    Raises:
        WeightsError: the file is damaged, unsafe, or of no known network.
    """
    if path.suffix in (".onnx", ".xml"):
        yield from _exported(path)
    else:
        yield from _checkpoint(path)


def _exported(path: Path) -> Iterator[str]:
    from mot.perception.exported import describe

    said = describe(path)
    backend, heads = said.pop("backend"), said.pop("heads")
    yield f"file       {path.name} (exported for {backend}, {path.stat().st_size / 1e6:.1f} MB)"
    for key, value in said.items():
        yield f"{key:<10} {', '.join(value) if isinstance(value, list) else value}"
    known = manifest.by_file(path.name)
    how = (known.preprocess if known else None) or "…    # the file does not say how pictures go in"
    yield "config"
    if heads:
        yield f"  det_weights: {path}"
        yield f"  detector:    # by its outputs one of: {'; '.join(heads)}"
        yield f"    {heads[0].replace(', ', chr(10) + '    ')}"
    else:
        yield f"  reid_weights: {path}"
        yield "  reid:"
    yield f"    model: {backend}"
    yield f"    preprocess: {how}"


def _checkpoint(path: Path) -> Iterator[str]:
    from mot.models.inputs import TWINS
    from mot.models.labels import label_names
    from mot.models.loading import load

    loaded = load(path)
    spec, report = loaded.spec, loaded.report
    yield f"file       {path.name} ({report.format}, {path.stat().st_size / 1e6:.1f} MB)"
    yield f"network    {loaded.name}, a {spec.kind} network; tensors named as by {report.dialect}"
    more = ", …" if len(report.ignored) > SHOWN else ""
    unused = f"{len(report.ignored)} not used ({', '.join(report.ignored[:SHOWN])}{more})"
    yield f"tensors    {report.tensors}, {report.floats:,} numbers; {unused if report.ignored else 'all used'}"
    if spec.kind != "reid":
        names = label_names(loaded.classes)
        yield f"classes    {loaded.classes} ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"
    if spec.embedding_size:
        yield f"embedding  {spec.embedding_size} numbers a box"
    known = manifest.by_file(path.name)
    how = known.preprocess if known and known.preprocess else loaded.preprocess
    twin = f"  # or {TWINS[how]}" if how in TWINS and not known else ""
    weights, block, size = KEYS[spec.kind]
    yield "config"
    yield f"  {weights}: {path}"
    yield f"  {block}:"
    yield f"    model: {loaded.name}"
    yield f"    {size}: {list((known.input_size if known else None) or spec.input_size)}"
    yield f"    preprocess: {how}{twin}"
