"""Tracks drawn on a picture: box, id, class and the path walked. Pure functions on a BGR array.

    trails = Trails()
    for frame, tracks in ...:
        picture = draw_tracks(frame.image, tracks, label_names=("person",), trails=trails.update(tracks))

Boxes and points may lie anywhere, also far outside the picture. Lines and text grow with its height.
"""

from __future__ import annotations

import colorsys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mot.opencv import cv2
from mot.structures import Tracks

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # blue, green, red, 0..255
Point = tuple[int, int]  # x, y in whole pixels

GOLDEN_RATIO = 0.618033988749895  # multiples of it, modulo 1, lie as far apart as n points on a circle can
SHADES = ((0.75, 1.0), (0.95, 0.8), (0.55, 0.95))  # saturation, value: in turn, so that near hues differ too
FONT = cv2.FONT_HERSHEY_SIMPLEX
LINE_PER_HEIGHT = 1 / 360  # line width 2 on a picture of 720 rows, 3 on 1080
FONT_PER_HEIGHT = 1 / 1080  # of OpenCV's font, whose capitals are 22 pixels high at scale 1
SMALLEST_FONT = 0.4  # below, digits can no longer be told apart
DASH = 4  # line widths
OLDEST_TRAIL = 0.15  # opacity of a trail's first point; the newest has 1
NO_TRAILS: Mapping[int, NDArray[np.float64]] = {}


class Style(NamedTuple):
    """Sizes for one picture."""

    line: int  # pixels
    font: float  # OpenCV's font scale
    stroke: int  # of the letters, pixels
    margin: int  # around the letters, pixels


def style_for(height: int) -> Style:
    """Line width and font for a picture of `height` rows."""
    font = max(SMALLEST_FONT, height * FONT_PER_HEIGHT)
    line = max(1, round(height * LINE_PER_HEIGHT))
    return Style(line=line, font=font, stroke=max(1, round(1.5 * font)), margin=max(2, round(5 * font)))


def colour_of(track_id: int) -> Colour:
    """The id's colour, the same in every run; ids that follow each other differ clearly."""
    saturation, value = SHADES[track_id % len(SHADES)]
    red, green, blue = colorsys.hsv_to_rgb(track_id * GOLDEN_RATIO % 1, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


class Trails:
    """Where each id has stood: its last `length` foot points; gone after `length` frames unseen."""

    def __init__(self, length: int = 30) -> None:
        self._length = max(1, length)
        self._frame = 0
        self._points: dict[int, deque[tuple[float, float]]] = {}
        self._seen: dict[int, int] = {}  # id -> number of the last frame that had it

    def update(self, tracks: Tracks) -> Mapping[int, NDArray[np.float64]]:
        """Take in one frame, and give the trails of the ids in it: id -> (K, 2) points, oldest first."""
        self._frame += 1
        feet = np.column_stack([tracks.xyxy[:, [0, 2]].mean(axis=1), tracks.xyxy[:, 3]])
        for track_id, (x, y) in zip(tracks.ids.tolist(), feet.tolist(), strict=True):
            self._points.setdefault(track_id, deque(maxlen=self._length)).append((x, y))
            self._seen[track_id] = self._frame
        for track_id in [i for i, seen in self._seen.items() if self._frame - seen >= self._length]:
            del self._points[track_id], self._seen[track_id]
        return {track_id: np.array(self._points[track_id]) for track_id in tracks.ids.tolist()}

    def __len__(self) -> int:
        """How many ids are remembered."""
        return len(self._points)


def draw_tracks(
    image: Image,
    tracks: Tracks,
    *,
    label_names: Sequence[str] = (),
    trails: Mapping[int, NDArray[np.float64]] = NO_TRAILS,
) -> Image:
    """A new picture with the tracks on it; `image` stays as it is.

    Args:
        image: (H, W, 3) uint8 BGR.
        tracks: rows with `det_index` -1, which are predicted and not seen, get a dashed box.
        label_names: class names by label, written before the id; () writes the id alone.
        trails: id -> (K, 2) points in pixels, oldest first, as `Trails.update` gives them.
    """
    picture = image.copy()
    style = style_for(image.shape[0])
    _draw_trails(picture, trails, style)
    boxes = _pixels(tracks.xyxy.reshape(-1, 2), picture.shape, style).reshape(-1, 4).tolist()
    ids, labels = tracks.ids.tolist(), tracks.labels.tolist()
    for track_id, (x1, y1, x2, y2), seen in zip(ids, boxes, tracks.det_index >= 0, strict=True):
        outline = _rectangle if seen else _dashed_rectangle
        outline(picture, (x1, y1), (x2, y2), colour_of(track_id), style.line)
    # tags last, so that no box crosses a number
    for track_id, label, box in zip(ids, labels, boxes, strict=True):
        if box[0] < picture.shape[1] and box[1] < picture.shape[0] and box[2] >= 0 and box[3] >= 0:
            name = f"{label_names[label]} " if 0 <= label < len(label_names) else ""
            _draw_tag(picture, f"{name}{track_id}", (box[0], box[1]), colour_of(track_id), style)
    return picture


def _pixels(points: NDArray[np.float64], shape: tuple[int, ...], style: Style) -> NDArray[np.int32]:
    """(N, 2) points as whole pixels that OpenCV takes, those far outside moved to just out of sight."""
    beyond = 4 * style.line
    limits = np.array([shape[1], shape[0]]) + beyond
    whole: NDArray[np.int32] = np.rint(np.clip(points, -beyond, limits)).astype(np.int32)
    return whole


def _rectangle(picture: Image, start: Point, end: Point, colour: Colour, line: int) -> None:
    cv2.rectangle(picture, start, end, colour, line)


def _dashed_rectangle(picture: Image, start: Point, end: Point, colour: Colour, line: int) -> None:
    """A rectangle whose sides are dashes with gaps of the same length."""
    (x1, y1), (x2, y2) = start, end
    dash = DASH * line
    for x in range(x1, x2 + 1, 2 * dash):
        for y in (y1, y2):
            cv2.line(picture, (x, y), (min(x + dash, x2), y), colour, line)
    for y in range(y1, y2 + 1, 2 * dash):
        for x in (x1, x2):
            cv2.line(picture, (x, y), (x, min(y + dash, y2)), colour, line)


def _draw_tag(picture: Image, text: str, corner: Point, colour: Colour, style: Style) -> None:
    """`text` on a filled field above the box's corner, moved as far as it takes to stay in the picture."""
    (width, height), below = cv2.getTextSize(text, FONT, style.font, style.stroke)
    width, height = width + 2 * style.margin, height + below + 2 * style.margin
    left = max(0, min(corner[0], picture.shape[1] - width))
    top = max(0, min(corner[1] - height, picture.shape[0] - height))
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), colour, cv2.FILLED)
    base = (left + style.margin, top + height - below - style.margin)
    cv2.putText(picture, text, base, FONT, style.font, _ink_on(colour), style.stroke, cv2.LINE_AA)


def _ink_on(colour: Colour) -> Colour:
    """Black or white, whichever is read more easily on `colour` (luma of ITU-R BT.601)."""
    blue, green, red = colour
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else (255, 255, 255)


def _draw_trails(picture: Image, trails: Mapping[int, NDArray[np.float64]], style: Style) -> None:
    """Each path in its id's colour, the older the fainter."""
    for track_id, points in trails.items():
        if len(points) > 1:
            path = _pixels(np.asarray(points, np.float64), picture.shape, style)
            _draw_path(picture, path, colour_of(track_id), style.line)


def _draw_path(picture: Image, path: NDArray[np.int32], colour: Colour, line: int) -> None:
    """Lay one fading path over the part of the picture that it crosses."""
    left, top = np.maximum(path.min(axis=0) - line, 0).tolist()
    right, bottom = (path.max(axis=0) + line + 1).tolist()
    part = picture[top : max(top, bottom), left : max(left, right)]
    if not part.size:
        return
    opacity = np.zeros(part.shape[:2], np.uint8)
    strengths = np.rint(255 * np.linspace(OLDEST_TRAIL, 1, len(path) - 1)).tolist()
    corners = (path - (left, top)).tolist()
    for start, end, strength in zip(corners, corners[1:], strengths, strict=False):
        cv2.line(opacity, start, end, strength, line)
    rows, columns = np.nonzero(opacity)
    share = opacity[rows, columns, None].astype(np.float32) / 255
    old = part[rows, columns].astype(np.float32)
    part[rows, columns] = np.rint(old + (np.array(colour) - old) * share).astype(np.uint8)
