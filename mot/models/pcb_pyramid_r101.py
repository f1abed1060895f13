"""PCB-Pyramid on ResNet101 (Zheng et al. 2018, arXiv:1810.12193): a person as 21 overlapping parts, 2688-d.

Official code: PaddleDetection 666f597 (Apache-2.0), ppdet/modeling/reid/pyramidal_embedding.py. Same layers, names
and numbers, BatchNorm's statistics under torch's names, without the 21 classifiers. The crop lies on its side, as
there (see `PREPROCESS`): the stripes are vertical ones of the picture.

The map is cut into six stripes. A part is one to six stripes that touch; from fine to coarse 6 + 5 + … + 1 of them:

    v = [relu(bn_p(conv_p(mean(part_p) + max(part_p)))) for p in parts]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mot.errors import InputError
from mot.models.resnet import FEATURES as WIDE
from mot.models.resnet import PADDLE_NAMES, resnet
from mot.models.spec import Dialect, ModelSpec

STRIPES, NARROW = 6, 128
STRIDE = 16

# First stripe, and the one after the last, of each part.
PARTS = tuple((i, i + size) for size in range(1, STRIPES + 1) for i in range(STRIPES - size + 1))


class PCBPyramid(nn.Module):
    """(B, 3, H, W) RGB, ImageNet normalisation, H a multiple of 96, to (B, 2688) vectors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.base = resnet(101)
        self.pyramid_conv_list0 = nn.ModuleList(
            nn.Sequential(nn.Conv2d(WIDE, NARROW, 1), nn.BatchNorm2d(NARROW), nn.ReLU()) for _ in PARTS
        )

    def forward(self, x: Tensor) -> Tensor:
        """The equation above, float32.

        Raises:
            InputError: the height cannot be cut into six stripes.
        """
        height = x.shape[2]
        # while the network is being traced, a shape is no number
        if isinstance(height, int) and height % (STRIDE * STRIPES):
            raise InputError(f"crops are {height} px high, not a multiple of {STRIDE * STRIPES}")
        (last,) = self.maps(x)
        pooled = parts(last).to(x.dtype)
        vectors = [conv(part) for conv, part in zip(self.pyramid_conv_list0, pooled, strict=True)]
        return torch.cat(vectors, dim=1).flatten(1).float()

    def maps(self, x: Tensor) -> tuple[Tensor]:
        """The last map, (B, 2048, H/16, W/16)."""
        return (self.base(x),)


def parts(last: Tensor) -> Tensor:
    """(B, C, h, w) to mean plus maximum of each of the 21 parts, (21, B, C, 1, 1) float32."""
    stripes = last.float().reshape(*last.shape[:2], STRIPES, -1)
    mean, top = stripes.mean(3), stripes.amax(3)
    pooled = [mean[:, :, start:end].mean(2) + top[:, :, start:end].amax(2) for start, end in PARTS]
    return torch.stack(pooled)[..., None, None]


PCB_PYRAMID_R101: dict[str, ModelSpec] = {
    "pcb_pyramid_r101": ModelSpec(
        kind="reid",
        build=lambda classes: PCBPyramid(),
        preprocess="paddle_reid",
        input_size=(192, 64),
        dialects=(
            Dialect(
                "PaddleDetection",
                r"^(reid\.)?pyramid_conv_list0\.0\.0\.weight$",
                PADDLE_NAMES,
                unused=("pyramid_fc_list0.*",),
            ),
        ),
        embedding_size=len(PARTS) * NARROW,
    )
}
