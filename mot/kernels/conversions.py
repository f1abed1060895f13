"""Boxes (N, 4) from one form to another. Twins: the functions of the same names in `mot.boxes`, same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mot.kernels.jit import ANY_F2, kernel


@kernel()
def _around(made: Any, i: int, x: float, y: float, w: float, h: float) -> None:
    """Row i is the box of sides w, h around x, y."""
    w, h = w * 0.5, h * 0.5
    made[i, 0], made[i, 1], made[i, 2], made[i, 3] = x - w, y - h, x + w, y + h


@kernel(ANY_F2)
def xyxy_to_xywh(xyxy: Any) -> Any:
    """(N, 4) xyxy to centre, width, height."""
    made = np.empty((len(xyxy), 4))
    for i in range(len(xyxy)):
        w, h = xyxy[i, 2] - xyxy[i, 0], xyxy[i, 3] - xyxy[i, 1]
        made[i, 0], made[i, 1], made[i, 2], made[i, 3] = w * 0.5 + xyxy[i, 0], h * 0.5 + xyxy[i, 1], w, h
    return made


@kernel(ANY_F2)
def xywh_to_xyxy(xywh: Any) -> Any:
    """(N, 4) centre, width, height to xyxy."""
    made = np.empty((len(xywh), 4))
    for i in range(len(xywh)):
        _around(made, i, xywh[i, 0], xywh[i, 1], xywh[i, 2], xywh[i, 3])
    return made


@kernel(ANY_F2)
def xyxy_to_xyah(xyxy: Any) -> Any:
    """(N, 4) xyxy to centre, aspect ratio, height."""
    made = np.empty((len(xyxy), 4))
    for i in range(len(xyxy)):
        w, h = xyxy[i, 2] - xyxy[i, 0], xyxy[i, 3] - xyxy[i, 1]
        made[i, 0], made[i, 1], made[i, 2], made[i, 3] = w * 0.5 + xyxy[i, 0], h * 0.5 + xyxy[i, 1], w / h, h
    return made


@kernel(ANY_F2)
def xyah_to_xyxy(xyah: Any) -> Any:
    """(N, 4) centre, aspect ratio, height to xyxy."""
    made = np.empty((len(xyah), 4))
    for i in range(len(xyah)):
        _around(made, i, xyah[i, 0], xyah[i, 1], xyah[i, 2] * xyah[i, 3], xyah[i, 3])
    return made


@kernel(ANY_F2)
def xyxy_to_xysr(xyxy: Any) -> Any:
    """(N, 4) xyxy to centre, scale, aspect ratio."""
    made = np.empty((len(xyxy), 4))
    for i in range(len(xyxy)):
        w, h = xyxy[i, 2] - xyxy[i, 0], xyxy[i, 3] - xyxy[i, 1]
        made[i, 0], made[i, 1], made[i, 2], made[i, 3] = (
            w * 0.5 + xyxy[i, 0],
            h * 0.5 + xyxy[i, 1],
            w * h,
            w / h,
        )
    return made


@kernel(ANY_F2)
def xysr_to_xyxy(xysr: Any) -> Any:
    """(N, 4) centre, scale, aspect ratio to xyxy."""
    made = np.empty((len(xysr), 4))
    for i in range(len(xysr)):
        w = math.sqrt(xysr[i, 2] * xysr[i, 3])
        _around(made, i, xysr[i, 0], xysr[i, 1], w, xysr[i, 2] / w)
    return made
