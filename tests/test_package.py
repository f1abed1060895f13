"""What `import mot` costs and offers."""

import subprocess
import sys

import pytest

import mot


def test_every_public_name_is_there() -> None:
    for name in mot.__all__:
        assert getattr(mot, name) is not None
    assert set(dir(mot)) == set(mot.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Trakcer'"):
        mot.Trakcer  # noqa: B018


@pytest.mark.parametrize("statement", ["import mot", "from mot import Detections", "from mot import Tracker"])
def test_importing_pulls_neither_torch_nor_cv2(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in ('torch', 'cv2', 'av', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
