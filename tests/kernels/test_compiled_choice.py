"""Who chooses between numpy and numba, and when."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mot import kernels
from mot.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = kernels.fast, kernels._chosen
    yield
    kernels.fast, kernels._chosen = before


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints; warnings are errors there."""
    command = [sys.executable, "-W", "error", "-c", code]
    settings = {"PYTHONPATH": str(ROOT), "PATH": "", **environment}
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_does_not_import_numba() -> None:
    code = "import sys, mot, mot.kernels, mot.boxes; print('numba' in sys.modules, mot.kernels.available())"
    assert python(code) == f"False {kernels.available()}"


def test_numpy_on_demand() -> None:
    code = "from mot import kernels; kernels.choose(); print(kernels.fast)"
    assert python(code, MOT_KERNELS="numpy") == "None"


def test_the_first_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.use("numpy")
    monkeypatch.setenv(kernels.VARIABLE, "numba")
    kernels.choose()
    assert kernels.fast is None


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match="MOT_KERNELS: expected one of auto, numpy, numba, got 'cython'"):
        kernels.use("cython")


def test_numba_asked_for_but_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ConfigError, match=r"mot-tracking\[fast\]"):
        kernels.use("numba")
    assert kernels.fast is None


def test_numba_that_does_not_import_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr(kernels, "available", lambda: True)
    kernels.use("auto")
    assert kernels.fast is None


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="WITHOUT numba: no kernels to compile")
    # no place for a cache: not beside the source, not in a home
    (tmp_path / "file").write_text("")
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from mot import kernels; kernels.use('numba')\n"
        "import numpy as np; print(kernels.fast.sound(np.ones((1, 4)), np.ones(1), np.zeros(1, np.int64)))"
    )
    assert python(code, HOME=str(tmp_path / "file")) == "True"


def test_every_kernel_is_where_the_table_says() -> None:
    pytest.importorskip("numba", reason="WITHOUT numba: no kernels to compile")
    from mot.kernels import compiled

    for name in compiled.HOME:
        assert callable(getattr(compiled, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        compiled.nothing  # noqa: B018
