"""An OpenCV that cannot be imported: one line that names the cure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TRY = """
from mot.errors import MotError
try:
    import {module}
except MotError as error:
    print(error)
"""


NO_LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        ("mot.opencv", NO_LIBGL),
        ("mot.opencv", "No module named 'cv2'"),
        ("mot.opencv", "two\\nlines"),
        ("mot.draw", NO_LIBGL),
        ("mot.video", NO_LIBGL),
        ("mot.video_writer", NO_LIBGL),
    ],
)
def test_a_broken_opencv_names_the_headless_one(tmp_path: Path, module: str, broken: str) -> None:
    (tmp_path / "cv2.py").write_text(f'raise ImportError("{broken}")\n')
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-c", TRY.format(module=module)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert "opencv-python-headless" in line
    assert broken.partition("\\n")[0] in line
