"""The camera's own motion, from one picture to the next: what the trackers take as `warp`.

    camera = Camera()
    for frame, detections in ...:
        tracks = tracker.update(detections, warp=camera(frame.image, detections.xyxy))

When a camera pans, zooms and turns, what stands still goes by  x' = a x - b y + s,  y' = b x + a y + t.

`flow` follows corners by sparse optical flow (Lucas and Kanade 1981, in pyramids: Bouguet 2000) and lets them vote
(RANSAC), as the official BoT-SORT does. `ecc` aligns whole pictures by their correlation (Evangelidis and Psarakis
2008), as StrongSORT does; here from coarse to fine, and over affine maps, since rigid ones (official) miss zooms.
Both look at a reduced grey picture, leave out the boxes of what moves by itself, and give the same numbers in
every run. `tests/test_camera.py` holds both to half a pixel, `tools/bench/camera.py` measures them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mot.errors import InputError
from mot.opencv import cv2
from mot.perception.settings import CameraConfig

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Mat = cv2.typing.MatLike

LIBRARY = f"opencv {cv2.__version__}"  # another one may find other numbers

STILL = 0.05  # reduced pixels: what flow finds where nothing moved is below; a camera on a tripod stays one
MAX_SHIFT = 0.25  # of the longer side, for a corner of the picture: neither method follows as far

CORNERS = 200  # with more the answer is no more exact
CORNER_QUALITY = 0.01  # of the strongest corner's: official BoT-SORT
CORNER_DISTANCE = 12  # reduced pixels: corners spread over the picture, where the official 1 heaps them up
WINDOW = (11, 11)  # reduced pixels; more is slower, and less exact where the picture turns
PYRAMID = 4  # halvings, as far as the window fits: follows a tenth of the width
TOLERANCE = 0.5  # reduced pixels off the common motion; more lets slow walkers vote
MIN_INLIERS = 10  # corners; fewer agree by chance
MIN_SHARE = 0.2  # of the corners looked for: 0.08 at most after a cut, from 0.6 in a crowd without boxes

ECC_LEVELS = 3  # the coarsest is a quarter as wide: 60 pixels, where 3 % of the width is 2
ECC_SMALLEST = 16  # pixels of the shorter side; below, nothing is left to align
ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)  # steps, least gain of correlation
ECC_BLUR = 1  # pixels, odd: none, because the pyramid has smoothed, and blurred people pull the picture along
MIN_CORRELATION = 0.8  # 0.76 at most after a cut, from 0.83 in a crowd without boxes
MAX_SHEAR = 0.02  # what an affine map has beyond a similarity; where the search went astray it is 0.1


class View(NamedTuple):
    """What is kept of a picture."""

    shape: tuple[int, ...]  # of the picture
    factor: int  # picture pixels in one reduced pixel, each way
    grey: Mat  # (h, w) uint8, reduced
    still: Mat  # (h, w) uint8, 255 where nothing moves by itself, else 0


class Camera:
    """The camera of one source.

    Attributes:
        failures: pictures whose motion could not be told: a scene cut, nothing to hold on to, or an unlikely
            answer. They give the identity, and the next motion is told from them.
    """

    def __init__(self, config: CameraConfig | None = None) -> None:
        self.config = config or CameraConfig()
        self.failures = 0
        self._last: View | None = None

    def __call__(self, image: Image, boxes: ArrayLike) -> Array:
        """The motion from the last call's picture to this one.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) xyxy, in its pixels, of what moves by itself; they may lie outside of it.

        Returns:
            (2, 3) affine, between pixels as `cv2.warpAffine` counts them: the first one's centre is (0, 0). The
            identity for the first picture, after a change of size, where no motion could be told, and where it is
            so small that it may be none.

        Raises:
            InputError: another shape or type of the picture, no pixels, or boxes that are not finite.
        """
        find, max_side = METHODS[self.config.method]
        last, now = self._last, _view(image, boxes, self.config.max_side or max_side)
        self._last = now
        if last is None or last.shape != now.shape:
            return np.eye(2, 3)
        try:
            warp = find(last, now)
        except cv2.error:  # how OpenCV says that there is too little to see, or no end to the search
            warp = None
        shift = math.inf if warp is None or not np.isfinite(warp).all() else _shift(warp, now.grey.shape)
        if warp is None or shift > MAX_SHIFT * max(now.grey.shape):
            self.failures += 1
            return np.eye(2, 3)
        return np.eye(2, 3) if shift < STILL else _in_pixels(warp, now.factor)


def _view(image: Image, boxes: ArrayLike, max_side: int) -> View:
    """The picture in grey, reduced by a whole number, and what stands still in it."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size or image.dtype != np.uint8:
        raise InputError(f"image: expected (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    factor = min(math.ceil(max(height, width) / max_side), height, width)
    size = width // factor, height // factor
    # what is left over on the right and below is cut off, so that every reduced pixel is a mean of whole ones
    whole = image[: size[1] * factor, : size[0] * factor]
    grey = cv2.resize(cv2.cvtColor(whole, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA)
    return View(image.shape, factor, grey, _still(grey.shape, boxes, factor))


def _still(shape: tuple[int, ...], boxes: ArrayLike, factor: int) -> Mat:
    """(h, w), reduced: 0 in every pixel that a box touches, else 255."""
    xyxy = np.asarray(boxes, np.float64)
    if xyxy.size and (xyxy.ndim != 2 or xyxy.shape[1] != 4 or not np.isfinite(xyxy).all()):
        raise InputError(f"boxes: expected (N, 4) finite numbers, got shape {xyxy.shape}")
    still, reduced = np.full(shape, 255, np.uint8), xyxy.reshape(-1, 4) / factor
    touched = np.hstack([np.floor(reduced[:, :2]), np.ceil(reduced[:, 2:])])
    for left, top, right, bottom in np.clip(touched, 0, max(shape)).astype(np.int64).tolist():
        still[top:bottom, left:right] = 0
    return still


def _flow(last: View, now: View) -> Array | None:
    """(2, 3) between reduced pixels: the similarity that most corners followed."""
    corners = cv2.goodFeaturesToTrack(last.grey, CORNERS, CORNER_QUALITY, CORNER_DISTANCE, mask=last.still)
    if corners is None or len(corners) < MIN_INLIERS:
        return None
    found, seen, _ = cv2.calcOpticalFlowPyrLK(
        last.grey, now.grey, corners, np.empty_like(corners), winSize=WINDOW, maxLevel=PYRAMID
    )
    kept = seen.ravel() == 1
    warp, voted = cv2.estimateAffinePartial2D(corners[kept], found[kept], ransacReprojThreshold=TOLERANCE)
    if warp is None or voted.sum() < max(MIN_INLIERS, MIN_SHARE * len(corners)):
        return None
    return np.asarray(warp, np.float64)


def _ecc(last: View, now: View) -> Array | None:
    """(2, 3) between reduced pixels: the similarity next to the affine map of the greatest correlation."""
    correlation = 0.0
    warp: Mat = np.eye(2, 3, dtype=np.float32)
    for before, after in reversed(list(zip(_pyramid(last), _pyramid(now), strict=True))):
        warp[:, 2] *= 2  # pixels (0, 0) of all levels lie on each other; at first it is 0
        correlation, warp = _aligned(before, after, warp)
    (a, b), (c, d) = warp[:, :2].tolist()
    if correlation < MIN_CORRELATION or max(abs(a - d), abs(b + c)) > MAX_SHEAR:
        return None
    return _similarity(np.asarray(warp, np.float64), last.grey.shape)


def _aligned(last: View, now: View, warp: Mat) -> tuple[float, Mat]:
    """The correlation reached, and `warp` (2, 3) float32 improved; (0, identity) where the search went astray."""
    moved = cv2.warpAffine(last.still, warp, last.still.shape[::-1], flags=cv2.INTER_NEAREST)
    still = cv2.bitwise_and(moved, now.still)
    try:
        return cv2.findTransformECC(last.grey, now.grey, warp, cv2.MOTION_AFFINE, ECC_STOP, still, ECC_BLUR)
    except cv2.error:  # a finer level may show what this one does not
        return 0.0, np.eye(2, 3, dtype=np.float32)


def _pyramid(view: View) -> list[View]:
    """The view, its half, and so on as long as there is something to see: perhaps none at all."""
    levels: list[View] = []
    while len(levels) < ECC_LEVELS and min(view.grey.shape) >= ECC_SMALLEST:
        levels.append(view)
        # a pixel that has anything of what moves in it is not still
        still = np.where(cv2.pyrDown(view.still) < 255, 0, 255).astype(np.uint8)
        view = view._replace(grey=cv2.pyrDown(view.grey), still=still)
    return levels


def _similarity(warp: Array, shape: tuple[int, ...]) -> Array:
    """The similarity next to `warp`, moving the middle of a picture of `shape` alike: cameras do not shear."""
    (a, b), (c, d) = warp[:, :2]
    linear = np.array([[a + d, b - c], [c - b, a + d]]) / 2
    middle = np.array([shape[1] - 1, shape[0] - 1]) / 2
    return np.column_stack([linear, warp[:, 2] + (warp[:, :2] - linear) @ middle])


def _shift(warp: Array, shape: tuple[int, ...]) -> float:
    """How far the corner of a picture of `shape` goes that goes furthest."""
    height, width = shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    return float(np.hypot(*((warp - np.eye(2, 3)) @ corners)).max())


def _in_pixels(warp: Array, factor: int) -> Array:
    """`warp` between the pixels of the picture, where reduced ones are `factor` wide.

    With x = factor x' + o, o = (factor - 1) / 2: y' = A x' + t'  becomes  y = A x + factor t' + o - A o.
    """
    linear, middle = warp[:, :2], np.full(2, (factor - 1) / 2)
    return np.column_stack([linear, factor * warp[:, 2] + middle - linear @ middle])


# Name -> how, and the longer side it takes unless told otherwise: the least that is exact to half a pixel of 1920.
METHODS = {"flow": (_flow, 480), "ecc": (_ecc, 240)}
