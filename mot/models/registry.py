"""The networks by the names that configs use."""

from __future__ import annotations

from typing import Literal

from mot.errors import ConfigError, nearest
from mot.models.mobilenetv2 import MOBILENETV2, MOBILENETV2_STRIPES
from mot.models.spec import ModelSpec
from mot.models.yolov3 import YOLOV3_TINY

MODELS: dict[str, ModelSpec] = {
    "yolov3_tiny": YOLOV3_TINY,
    "mobilenetv2": MOBILENETV2,
    "mobilenetv2_stripes": MOBILENETV2_STRIPES,
}


def model(name: str, kind: Literal["detector", "reid"]) -> ModelSpec:
    """The row of a model, which must be of the `kind` asked for.

    Raises:
        ConfigError: unknown, or a model for something else.
    """
    known = [key for key, spec in MODELS.items() if spec.kind == kind]
    if name in MODELS and name not in known:
        raise ConfigError(f"{kind}.model: {name!r} is a {MODELS[name].kind} network; {nearest(name, known)}")
    if name not in known:
        raise ConfigError(f"{kind}.model: unknown {name!r}; {nearest(name, known)}")
    return MODELS[name]
