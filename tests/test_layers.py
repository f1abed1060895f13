"""The design's layering, held by a test: imports go down only, and strangers enter by named doors."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "mot"

# Module or package (the longest name counts) -> its layer, and the third parties that it may import besides
# numpy. It may import lower layers and its own package. `""` is mot/__init__.py.
LAYERS: dict[str, tuple[int, set[str]]] = {
    "errors": (-1, set()),
    "kernels": (0, set()),
    "kernels.jit": (0, {"numba"}),
    "resources": (0, set()),
    "timing": (0, set()),
    "structures": (1, set()),
    "boxes": (1, set()),
    "motion": (1, set()),
    "appearance": (1, set()),
    "assignment": (1, {"scipy"}),
    "config": (1, {"yaml"}),
    "opencv": (1, {"cv2"}),  # a stranger as well: see OPENCV_USERS
    "trackers": (2, set()),
    "metrics": (2, {"scipy"}),
    "formats": (2, set()),
    "postprocess": (2, set()),
    "adapters": (2, set()),
    "weights": (2, set()),
    "weights.manifest": (2, {"yaml"}),
    "weights.containers": (2, {"torch"}),
    "weights.pickles": (2, {"torch"}),
    "weights.fetch": (2, {"pooch", "rich"}),
    "models": (3, {"torch"}),
    "models.__init__": (3, set()),
    "models.labels": (3, set()),
    "models.inputs": (3, set()),
    "draw": (3, set()),
    "stream": (3, set()),
    "video_clock": (2, set()),
    "video_file": (3, {"av"}),
    "video_writer": (3, {"av"}),
    "video": (4, set()),
    "perception": (4, {"torch"}),
    "perception.__init__": (4, set()),
    "perception.files": (4, set()),
    "perception.card": (4, {"yaml"}),
    "perception.backends.onnx": (4, {"torch", "onnxruntime"}),
    "perception.backends.openvino": (4, {"torch", "openvino"}),
    "perception.settings": (4, set()),
    "camera": (5, set()),
    "engine": (6, set()),
    "engine.networks": (6, {"torch"}),
    "cli": (7, {"rich"}),
    "cli.doctor": (7, {"rich", "torch", "av"}),
    "__init__": (7, set()),
}
# Modules that must work where neither torch nor cv2 nor av is installed, imports inside functions aside.
LIGHT: tuple[str, ...] = (
    "errors",
    "structures",
    "config",
    "trackers",
    "metrics",
    "formats",
    "perception.files",
    "perception.settings",
)
LIGHT += (
    "models.__init__",
    "models.inputs",
    "engine.tracker",
    "engine.session",
    "engine.config",
    "engine.outputs",
    "cli.track",
    "__init__",
)
HEAVY = {"torch", "cv2", "av", "mot.opencv", "mot.video", "mot.models", "mot.draw", "mot.camera"}

# The modules with pixels; nothing else may import mot.opencv.
OPENCV_USERS = {
    "camera",
    "draw",
    "video",
    "video_writer",
    "perception.preprocess",
    "engine.pictures",
    "cli.doctor",
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))
}


def rule(module: str) -> tuple[int, set[str]]:
    """The row of the table for `module`: its own, or that of the package around it."""
    name = module
    while name not in LAYERS:
        name, dot, _ = name.rpartition(".")
        assert dot, f"{module} has no row in the table"
    return LAYERS[name]


def imports(path: Path, top_only: bool = False) -> Iterator[str]:
    """Full names of the modules a file imports; not those for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in tree.body if top_only else ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from (
                f"{module}.{alias.name}"
                if f"{module}.{alias.name}".removeprefix("mot.") in MODULES
                else module
                for alias in node.names
            )


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    layer, strangers = rule(module)
    for name in imports(MODULES[module]):
        top, _, inner = name.partition(".")
        if top == "mot":
            inner = inner or "__init__"
            same_package = inner.partition(".")[0] == module.partition(".")[0]
            assert inner != "opencv" or module in OPENCV_USERS, f"mot.{module} imports {name}"
            assert same_package or rule(inner)[0] < layer or inner == "__init__", (
                f"mot.{module} imports {name}"
            )
        else:
            allowed = {"numpy"} | strangers
            assert top in sys.stdlib_module_names or top in allowed, f"mot.{module} imports {name}"


@pytest.mark.parametrize("module", LIGHT)
def test_the_core_needs_no_torch_and_no_cv2(module: str) -> None:
    found = [path for name, path in MODULES.items() if name == module or name.startswith(f"{module}.")]
    for path in found:
        for name in imports(path, top_only=True):
            assert name.removeprefix("mot.") in LIGHT or not any(
                name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY
            ), (path, name)


def test_every_row_of_the_table_is_used() -> None:
    packages = {name.rpartition(".")[0] for name in MODULES}
    unknown = {name for name in LAYERS if name not in MODULES and name not in packages}
    assert not unknown


def test_functions_and_files_stay_short() -> None:
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"mot.{module} is longer than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                limit = 45 if node.name == "update" else 60
                assert size <= limit, f"mot.{module}.{node.name} is {size} lines long"
