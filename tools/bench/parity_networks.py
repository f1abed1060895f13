"""Our networks against the official ones' outputs, every golden file of a folder.

    tools/parity_networks GOLDEN_DIR

Of each NAME.npz the checkpoint is rebuilt and written as its makers write it, loaded strictly, the network
recognised from the file, and run in float32, with BatchNorm folded and not, on each picture alone and on four at a
time. A line tells the largest difference of every output beside what is allowed: of values relative to the largest,
of boxes in pixels. Exit status 1 if anything is beyond it, or a file is of no family known here.

`rebuild.py` lies beside GOLDEN_DIR or in ../shared/parity, weights that are not rebuilt (NAME_real) lie in
MOT_WEIGHTS or ../shared/data/weights; both relative to the repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import os
import pickle
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from parity_outputs import (
    FAIRMOT,
    JDE,
    PADDLE_DETECTOR,
    PADDLE_JOINT,
    REID,
    YOLOV3,
    YOLOX,
    Array,
    Arrays,
    Outputs,
    Rows,
    Seen,
)
from torch import Tensor, nn

from mot.errors import InputError, MotError, WeightsError
from mot.models.inputs import PREPROCESS
from mot.models.loading import Loaded, load
from mot.models.registry import MODELS
from mot.models.spec import Joint
from mot.perception.preprocess import normalise

SHARED = Path(__file__).resolve().parents[3] / "shared"
BOXES_PX = 0.05
TINY = 1e-9  # instead of the largest of nothing but zeros

Write = Callable[[Path, Arrays, bool], None]


# Public containers; `old`: as torch before 1.6 wrote it


def torch_file(wrap: Callable[[Mapping[str, Tensor]], object]) -> Write:
    def write(path: Path, state: Arrays, old: bool) -> None:
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        torch.save(wrap(tensors), path, _use_new_zipfile_serialization=not old)

    return write


def paddle_file(path: Path, state: Arrays, old: bool) -> None:
    with path.open("wb") as file:
        pickle.dump({**state, "StructuredToParameterName@@": {}}, file, protocol=4)


def darknet_file(path: Path, state: Arrays, old: bool) -> None:
    """Header, then of each layer shift, scale, mean and variance, or bias, then the convolution's weights."""
    numbers = {int(name.split(".")[1]) for name in state if name.startswith("module_list.")}
    with path.open("wb") as file:
        np.array([0, 2, 0], "<i4").tofile(file)
        np.array([0], "<i8").tofile(file)
        for i in sorted(numbers):
            norm, conv = f"module_list.{i}.batch_norm_{i}", f"module_list.{i}.conv_{i}"
            shifts = [f"{norm}.{part}" for part in ("bias", "weight", "running_mean", "running_var")]
            if shifts[0] not in state:
                shifts = [f"{conv}.bias"]
            for name in (*shifts, f"{conv}.weight"):
                np.asarray(state[name], "<f4").tofile(file)


class Family(NamedTuple):
    """Goldens of one kind.

    Attributes:
        file: what the public file is called.
        write: writes it.
        outputs: name of an array, as a regular expression -> our answer.
        floors: noise of float32, relative to the largest value, by output; "": of all others.
    """

    file: str
    write: Write
    outputs: Outputs
    floors: dict[str, float]


_JDE = torch_file(lambda state: {"epoch": 29, "model": state, "optimizer": []})
_FAIRMOT = torch_file(lambda state: {"epoch": 30, "state_dict": state})
# a public file of YOLOX may hold a numpy number
_YOLOX = torch_file(
    lambda state: {
        "start_epoch": 3,
        "model": state,
        "optimizer": {},
        "best_ap": np.float64(0.25),
        "curr_ap": None,
    }
)
_NONE_GIVEN = {"": 1e-4 / 3}
_FAIRMOT_FLOORS = {"": 5e-5, "wh": 1e-4, "detector_head_size": 1e-4}

# By the golden's name, the first that fits; the floors are those of ../shared/parity/checkpoints.md.
FAMILIES = {
    "jde*": Family("jde.{anchors}.uncertainty.pt", _JDE, JDE, {"": 3e-6}),
    "fairmot_dla*": Family("fairmot_dla34.pth", _FAIRMOT, FAIRMOT, _FAIRMOT_FLOORS),
    "fairmot_yolo*": Family("fairmot_yolov5s.pth", _FAIRMOT, FAIRMOT, {"": 3e-5}),
    "yolox_*": Family("{name}.pth", _YOLOX, YOLOX, {"": 2e-5}),
    "yolov3*": Family("{name}.weights", darknet_file, YOLOV3, _NONE_GIVEN),
    "osnet_*": Family("{name}_msmt17.pth", torch_file(dict), REID, {"": 2e-6}),
    "paddle_*yolov3*": Family("{name}.pdparams", paddle_file, PADDLE_DETECTOR, _NONE_GIVEN),
    "paddle_*yolox*": Family("{name}.pdparams", paddle_file, PADDLE_DETECTOR, {"": 2e-5}),
    "paddle_*jde*": Family("{name}.pdparams", paddle_file, PADDLE_JOINT, {"": 3e-6}),
    "paddle_*fairmot*": Family("{name}.pdparams", paddle_file, PADDLE_JOINT, _FAIRMOT_FLOORS),
    "paddle_*deepsort*": Family("{name}.pdparams", paddle_file, REID, _NONE_GIVEN),
    "paddle_*re[is]*": Family("{name}.pdparams", paddle_file, REID, _NONE_GIVEN),  # reid, resnet
}


class Difference(NamedTuple):
    """Of one output.

    Attributes:
        output: its name; with ` px` its boxes.
        error: the largest of all runs.
        allowed: how much it may be.
        why: there is no comparing it, if so.
    """

    output: str
    error: float
    allowed: float
    why: str = ""

    def __str__(self) -> str:
        figures = self.why or f"{self.error:.1e}/{self.allowed:.1e}"
        return f"{self.output} {figures}" + ("" if self.fine else " BEYOND")

    @property
    def fine(self) -> bool:
        """NaN is not."""
        return self.error <= self.allowed


def compare(path: Path) -> tuple[str, list[Difference]]:
    """A golden file against our network.

    Returns:
        What the network was recognised as, and the difference of every output.

    Raises:
        MotError: no such family, or weights that cannot be loaded.
    """
    family = family_of(path.stem)
    with np.load(path) as arrays:
        golden = dict(arrays)
    recipe = json.loads(str(golden.pop("recipe")))
    state = rebuilder(path.parent).rebuild(recipe) if recipe else None
    worst: dict[str, Difference] = {}
    names = set()
    with tempfile.TemporaryDirectory() as folder:
        # one loading each of the new container and the old, of the network folded and not
        for folded in (True, False):
            if state is None:
                file = real_file(path.stem)
            else:
                file = Path(folder) / public_name(family, path.stem, golden)
                family.write(file, state, not folded)
            loaded = load(file, folded=folded)
            names.add(loaded.name + use_anchors(loaded, golden))
            for each in differences(loaded, golden, family):
                worst[each.output] = max(each, worst.get(each.output, each), key=_size)
    return " ".join(names), list(worst.values())


def _size(difference: Difference) -> float:
    return np.inf if np.isnan(difference.error) else difference.error


def family_of(name: str) -> Family:
    """The row of `FAMILIES` for a golden."""
    for pattern, family in FAMILIES.items():
        if fnmatchcase(name, pattern):
            return family
    raise InputError(f"{name} is of no known family, expected one of {', '.join(FAMILIES)}")


@cache
def rebuilder(folder: Path) -> Any:
    """The module that makes checkpoints from recipes."""
    places = [folder.resolve().parent / "rebuild.py", SHARED / "parity" / "rebuild.py"]
    spec = importlib.util.spec_from_file_location(
        "rebuild", next((p for p in places if p.is_file()), places[0])
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError:
        raise InputError(f"needs rebuild.py beside {folder}, or {places[1]}") from None
    return module


def real_file(name: str) -> Path:
    """Where the weights lie that no recipe makes."""
    folders = [Path(os.environ["MOT_WEIGHTS"])] if os.environ.get("MOT_WEIGHTS") else []
    folders.append(SHARED / "data" / "weights")
    wanted = name.removesuffix("_real") + ".weights"
    for folder in folders:
        if (folder / wanted).is_file():
            return folder / wanted
    raise WeightsError(f"needs {wanted} in {' or '.join(map(str, folders))}")


def public_name(family: Family, name: str, golden: Arrays) -> str:
    """What the file would be called, with the input size of JDE that its anchors are for."""
    anchors = golden["anchors"].tolist() if "anchors" in golden else []
    sizes = (re.fullmatch(r"jde_(\d+x\d+)", row) for row in MODELS)
    size = next((size[1] for size in sizes if size and anchors_of(size[0]) == anchors), "1088x608")
    return family.file.format(name=name.removeprefix("paddle_"), anchors=size)


def anchors_of(row: str) -> list[list[float]]:
    """Of a network that has any."""
    with torch.device("meta"):
        network: Any = MODELS[row].build(1)
    return [list(pair) for pair in network.anchors]


def use_anchors(loaded: Loaded, golden: Arrays) -> str:
    """JDE's anchors are in no weights file; those that no row of `MODELS` has are the golden's."""
    network: Any = loaded.network
    if "anchors" not in golden or [list(pair) for pair in network.anchors] == golden["anchors"].tolist():
        return ""
    network.anchors = tuple(map(tuple, golden["anchors"].tolist()))
    return " with the golden's anchors"


def scores_of(golden: Arrays, classes: int) -> Arrays:
    """The scores, which a YOLO golden holds in two parts: of an object, and of its class."""
    scores = {}
    for name, values in golden.items():
        if step := re.fullmatch(r"classes_every_(\d+)..", name):
            objects = np.repeat(golden["boxes"][..., 4].ravel(), classes)[:: int(step[1])]
            if objects.shape == values.shape:
                scores[name.replace("classes", "scores")] = objects * values
    return scores


def differences(loaded: Loaded, golden: Arrays, family: Family) -> Iterator[Difference]:
    """Of every output, of one picture and of four at a time."""
    x = normalise(torch.from_numpy(golden["image"]), PREPROCESS[loaded.preprocess])
    for answers in (alone(loaded.network, x), of_four(loaded.network, x)):
        seen = Seen(loaded, golden, *answers)
        for name, wanted in (golden | scores_of(golden, loaded.classes)).items():
            if name not in NO_OUTPUTS:
                yield from compared(seen, family, name, wanted)


NO_OUTPUTS = ("image", "confidence")


def answer(network: nn.Module, x: Tensor) -> Any:
    """Raw maps, and what comes of them; the maps are overheard, so that they need not be computed again."""
    model: Any = network
    compute = model.maps
    heard: list[tuple[Tensor, ...]] = []

    def maps(x: Tensor) -> tuple[Tensor, ...]:
        heard.append(compute(x))
        return heard[-1]

    model.maps = maps
    with torch.inference_mode():
        out = model(x)
        del model.maps
        return (heard or [compute(x)])[0], out


def alone(network: nn.Module, x: Tensor) -> Any:
    """Of (n, 3, H, W) picture by picture."""
    return each(torch.cat, *(answer(network, x[i : i + 1]) for i in range(len(x))))


def of_four(network: nn.Module, x: Tensor) -> Any:
    """As the last of four (if they are fewer), after others."""
    others = x.flip(3).repeat(4, 1, 1, 1)[: max(0, 4 - len(x))]
    return each(lambda outputs: outputs[0][len(others) :], answer(network, torch.cat([others, x])))


def each(apply: Callable[[tuple[Tensor, ...]], Tensor], *trees: Any) -> Any:
    """Puts together the tensors that have the same place in every tree of tuples."""
    if isinstance(trees[0], Tensor):
        return apply(trees)
    parts = [each(apply, *branches) for branches in zip(*trees, strict=True)]
    return Joint(*parts) if isinstance(trees[0], Joint) else tuple(parts)


def compared(seen: Seen, family: Family, name: str, wanted: Array) -> list[Difference]:
    """Ours against one array of the file; `X_every_Nth(_row)` is every N-th value (or row) of `X`."""
    thinned = re.fullmatch(r"(.+)_every_(\d+)(?:st|nd|rd|th)(_row)?", name)
    base = thinned[1] if thinned else name
    allowed = 3 * family.floors.get(base, family.floors[""])
    try:
        ours = ours_of(seen, family, base)
        rows = ours if isinstance(ours, Rows) else Rows(ours, first=-1)
        values = rows.values
        if thinned:
            step = int(thinned[2])
            values = values[..., ::step, :] if thinned[3] else values.flatten()[::step]
        if values.shape == (1, *wanted.shape):
            values = values[0]
        if values.shape != wanted.shape:
            raise InputError(f"is {tuple(values.shape)}, expected {wanted.shape}")
    except InputError as error:
        return [Difference(base, np.inf, allowed, str(error))]
    off = np.abs(values.double().numpy() - wanted)
    if rows.first < 0:
        return [Difference(base, float(off.max() / np.abs(wanted).max()), allowed)]
    box = slice(rows.first, rows.first + 4)
    px = np.maximum(off[..., box] * rows.px - rows.slack, 0).max()
    # each other column beside its own largest: a label says nothing of a score
    down = tuple(range(wanted.ndim - 1))
    others = np.delete(off.max(down) / np.maximum(np.abs(wanted).max(down), TINY), box).max()
    return [Difference(f"{base} px", float(px), BOXES_PX), Difference(base, float(others), allowed)]


def ours_of(seen: Seen, family: Family, base: str) -> Tensor | Rows:
    """What the file calls `base`."""
    for pattern, output in family.outputs.items():
        if found := re.fullmatch(pattern, base):
            return output(seen, *found.groups())
    raise InputError(f"is no known output, expected one of {', '.join(family.outputs)}")


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="tools/parity_networks", description=inspect.cleandoc(__doc__).splitlines()[0]
    )
    parser.add_argument("goldens", type=Path, metavar="GOLDEN_DIR")
    paths = sorted(parser.parse_args().goldens.glob("*.npz"))
    failed = 0
    for path in paths:
        try:
            network, found = compare(path)
            failed += not all(each.fine for each in found)
            print(f"{path.stem} ({network}):", ", ".join(map(str, found)), flush=True)
        except Exception as error:  # the other goldens are to be seen all the same
            failed += 1
            kind = "" if isinstance(error, MotError) else f"{type(error).__name__}: "
            print(f"{path.stem}: FAILED: {kind}{error}", flush=True)
    print(
        f"{len(paths)} goldens, {failed} beyond tolerance or not handled" if paths else "no golden file there"
    )
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
