"""The one place that imports OpenCV: `from mot.opencv import cv2`.

`opencv-python` needs libGL and other desktop libraries that slim servers lack, and then dies with a message
about a shared object. The cure is another distribution of the same module, so the error says so.
"""

from __future__ import annotations

from mot.errors import MotError

try:
    import cv2
except ImportError as error:
    reason = str(error).partition("\n")[0]
    raise MotError(
        f"OpenCV cannot be imported ({reason}): pip uninstall -y opencv-python opencv-contrib-python, "
        "then pip install --force-reinstall opencv-python-headless"
    ) from error

__all__ = ["cv2"]
