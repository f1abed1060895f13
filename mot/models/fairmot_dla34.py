"""FairMOT (Zhang et al. 2020, arXiv:2004.01888) on DLA-34 (Yu et al. 2018, arXiv:1707.06484).

Official code: ifzhang/FairMOT, `pose_dla_dcn.py`; also read: PaddleDetection's FairMOT. What differs:

- deformable convolution without a compiled extension (`mot.models.dcn`);
- `level3` and `level4` of the official code compute a `project` that nothing reads, and the backbone keeps the
  classifier `fc` of its training on ImageNet: both are left out, and may be in the file;
- only models whose `wh` has four channels (left, top, right, bottom), as in the official code since September 2020;
  older ones with two (width, height) are refused, by the shape of `wh.2`.

Checked against the official outputs in `tests/models/test_fairmot_dla34.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from mot.models.centres import LTRB, REG, Maps, classes, decode, head
from mot.models.dcn import DeformConv
from mot.models.spec import Dialect, Joint, ModelSpec

CHANNELS = (16, 32, 64, 128, 256, 512)  # of level0 to level5, at strides 1, 2, 4, 8, 16, 32
HEAD = 256  # the official `--head_conv`
EMBEDDING = 128  # the official `--reid_dim`


class Block(nn.Module):
    """Two 3x3 convolutions around which the residual goes."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, out, H/stride, W/stride) to the latter."""
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(y)) + residual)


class Root(nn.Module):
    """Joins maps of the same size."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, *maps: Tensor) -> Tensor:
        """Maps of `channels` together to (B, out, h, w)."""
        return relu(self.bn(self.conv(torch.cat(maps, dim=1))))


class Tree(nn.Module):
    """Two blocks, joined with `others`: maps of `more` channels together, of the size that comes out."""

    def __init__(self, channels: int, out: int, stride: int, more: int = 0) -> None:
        super().__init__()
        self.stride = stride
        self.tree1 = Block(channels, out, stride)
        self.tree2 = Block(out, out)
        self.root = Root(2 * out + more, out)
        if channels != out:
            self.project = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))
        else:
            self.project = nn.Sequential()

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/stride, W/stride)."""
        bottom = max_pool2d(x, self.stride) if self.stride > 1 else x
        first = self.tree1(x, self.project(bottom))
        second = self.tree2(first, first)
        y: Tensor = self.root(second, first, *others)
        return y


class Grove(nn.Module):
    """Two trees; the root of the second also joins what went into both."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.tree1 = Tree(channels, out, 2)
        self.tree2 = Tree(out, out, 1, more=channels + out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H/2, W/2)."""
        first = self.tree1(x)
        y: Tensor = self.tree2(first, max_pool2d(x, 2), first)
        return y


class DLA34(nn.Module):
    """The backbone."""

    def __init__(self) -> None:
        super().__init__()
        c0, c1, c2, c3, c4, c5 = CHANNELS
        self.base_layer = _conv(3, c0, 7, 1)
        self.level0 = _conv(c0, c0, 3, 1)
        self.level1 = _conv(c0, c1, 3, 2)
        self.level2 = Tree(c1, c2, 2)
        self.level3 = Grove(c2, c3)
        self.level4 = Grove(c3, c4)
        self.level5 = Tree(c4, c5, 2, more=c4)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to maps of 64, 128, 256 and 512 channels at strides 4, 8, 16 and 32."""
        level2 = self.level2(self.level1(self.level0(self.base_layer(x))))
        level3 = self.level3(level2)
        level4 = self.level4(level3)
        return [level2, level3, level4, self.level5(level4, max_pool2d(level4, 2))]


def _conv(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class IDAUp(nn.Module):
    """Brings coarser maps, one after the other, to the size of the first, and adds each to what came before.

    Args:
        out: channels of the first map, and of all that come out.
        coarser: channels of each map after the first, and how much smaller it is.
    """

    def __init__(self, out: int, coarser: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.count = len(coarser)
        for k, (channels, factor) in enumerate(coarser, start=1):
            up = nn.ConvTranspose2d(out, out, 2 * factor, factor, factor // 2, groups=out, bias=False)
            self.add_module(f"proj_{k}", DeformConv(channels, out))
            self.add_module(f"up_{k}", up)
            self.add_module(f"node_{k}", DeformConv(out, out))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """As many maps as came in, all (B, out, h, w); the first as it was."""
        done = [maps[0]]
        for k in range(1, self.count + 1):
            project, up, node = (self.get_submodule(f"{name}_{k}") for name in ("proj", "up", "node"))
            done.append(node(up(project(maps[k])) + done[-1]))
        return done


class DLAUp(nn.Module):
    """Joins the coarsest two maps, then these and the next finer one, and so on."""

    def __init__(self) -> None:
        super().__init__()
        _, _, c2, c3, c4, c5 = CHANNELS
        self.ida_0 = IDAUp(c4, ((c5, 2),))
        self.ida_1 = IDAUp(c3, ((c4, 2), (c4, 2)))
        self.ida_2 = IDAUp(c2, ((c3, 2), (c3, 2), (c3, 2)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Those of the backbone to maps of 64, 128 and 256 channels at strides 4, 8 and 16."""
        stride16 = self.ida_0(maps[2:])
        stride8 = self.ida_1([maps[1], *stride16])
        stride4 = self.ida_2([maps[0], *stride8])
        return [stride4[-1], stride8[-1], stride16[-1]]


class FairMOTDLA34(nn.Module):
    """(B, 3, H, W) RGB in 0..1, H and W multiples of 32, to `Joint`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        _, _, c2, c3, c4, _ = CHANNELS
        self.base = DLA34()
        self.dla_up = DLAUp()
        self.ida_up = IDAUp(c2, ((c3, 2), (c4, 4)))
        self.hm = head(c2, HEAD, count, nn.ReLU(inplace=True))
        self.wh = head(c2, HEAD, LTRB, nn.ReLU(inplace=True))
        self.reg = head(c2, HEAD, REG, nn.ReLU(inplace=True))
        self.id = head(c2, HEAD, EMBEDDING, nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Joint:
        """The best 500 peaks."""
        return decode(self.maps(x))

    def maps(self, x: Tensor) -> Maps:
        """`hm` (B, C, H/4, W/4), `wh` (B, 4, ...), `reg` (B, 2, ...) and `id` (B, 128, ...), raw."""
        finest = self.ida_up(self.dla_up(self.base(x)))[-1]
        return self.hm(finest), self.wh(finest), self.reg(finest), self.id(finest)


OFFICIAL = Dialect(
    name="FairMOT",
    mark=r"dla_up\.ida_0\.proj_1\.conv\.conv_offset_mask\.weight",
    rename=(
        (r"\.conv\.conv_offset_mask\.", ".conv_offset_mask."),
        (r"\.actf\.0\.", ".norm."),
    ),
    unused=("base.fc.*", "base.level[34].project.*"),
)

PADDLE = Dialect(
    name="PaddleDetection",
    preprocess="paddle_fairmot",
    mark=r"detector\.neck\.dla_up\.ida_0\.proj_1\.0\.conv\.conv_dcn\.weight",
    rename=(
        (r"^detector\.backbone\.", "base."),
        (r"^(base\.(base_layer|level[01]))\.0\.conv\.", r"\1.0."),
        (r"^(base\.(base_layer|level[01]))\.0\.norm\.", r"\1.1."),
        (r"\.project\.conv\.", ".project.0."),
        (r"\.project\.norm\.", ".project.1."),
        (r"\.root\.conv\.conv\.", ".root.conv."),
        (r"\.root\.conv\.norm\.", ".root.bn."),
        (r"\.conv([12])\.conv\.", r".conv\1."),
        (r"\.conv([12])\.norm\.", r".bn\1."),
        (r"^detector\.neck\.", ""),
        (r"\.0\.conv\.conv_offset\.", ".conv_offset_mask."),
        (r"\.0\.conv\.conv_dcn\.", ".conv."),
        (r"^((dla|ida)_up\..*)\.0\.norm\.", r"\1.norm."),
        (r"^detector\.head\.heatmap\.([02])\.conv\.", r"hm.\1."),
        (r"^detector\.head\.size\.([02])\.conv\.", r"wh.\1."),
        (r"^detector\.head\.offset\.([02])\.conv\.", r"reg.\1."),
        (r"^reid\.reid\.([02])\.conv\.", r"id.\1."),
        (r"\._mean$", ".running_mean"),
        (r"\._variance$", ".running_var"),
    ),
    unused=("base.level[34].project.*", "reid.classifier.*", "loss.*"),
)

FAIRMOT_DLA34 = {
    "fairmot_dla34": ModelSpec(
        kind="joint",
        build=FairMOTDLA34,
        preprocess="fairmot",
        input_size=(608, 1088),
        dialects=(OFFICIAL, PADDLE),
        classes=classes,
        embedding_size=EMBEDDING,
    )
}
