"""A stroke alphabet of our own for the signs, so that they look the same under every version of OpenCV."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

CAP_HEIGHT_PX = 96
"""Height of a capital in the masks that `lettering` returns."""

_STROKE_PX = 17
_GAP = 1.75
# Each glyph: its width on a grid six units tall, then strokes "xy xy ..." (y downwards); a stroke that starts with ~ is
# rounded at its inner corners.
_GLYPHS: dict[str, str] = {
    "A": "4|06 20 46|14 34",
    "B": "4|00 06|~00 30 40 43 33 03|~03 33 43 46 36 06",
    "C": "4|~41 40 00 06 46 45",
    "D": "4|00 06|~00 20 40 46 26 06",
    "E": "4|40 00 06 46|03 33",
    "F": "4|40 00 06|03 33",
    "G": "4|~41 40 00 06 46 43|43 23",
    "H": "4|00 06|40 46|03 43",
    "I": "1|00 06",
    "J": "3|~30 33 36 06 04",
    "K": "4|00 06|40 03|03 46",
    "L": "4|00 06 46",
    "M": "5|06 00 24 50 56",
    "N": "4|06 00 46 40",
    "O": "4|~20 00 06 46 40 20",
    "P": "4|06 00|~00 30 40 43 33 03",
    "Q": "4|~20 00 06 46 40 20|24 46",
    "R": "4|06 00|~00 30 40 43 33 03|23 46",
    "S": "4|~41 40 00 03 43 46 06 05",
    "T": "4|00 40|20 26",
    "U": "4|~00 03 06 46 43 40",
    "V": "4|00 26 40",
    "W": "6|00 16 31 56 60",
    "X": "4|00 46|40 06",
    "Y": "4|00 23 40|23 26",
    "Z": "4|00 40 06 46",
    "0": "4|~20 00 06 46 40 20",
    "1": "2|01 20 26",
    "2": "4|~01 00 40 43 06|06 46",
    "3": "4|~01 00 40 43 23|~23 43 46 06 05",
    "4": "4|36 30 04 44",
    "5": "4|40 00 02|~02 42 46 06 05",
    "6": "4|~41 40 00 06 46 43 03",
    "7": "4|00 40 16",
    "8": "4|~20 00 03 43 40 20|~23 03 06 46 43 23",
    "9": "4|~43 03 00 40 46 06 05",
    ".": "1|16 16",
    "-": "2|03 23",
    "&": "4|~46 01 00 20 22 04 06 26 43",
    " ": "2|",
}


@lru_cache(maxsize=64)
def lettering(words: str) -> NDArray[np.float32]:
    """Return capitals as a coverage mask ``(H, W)``, float32 ``[0, 1]``, with a margin of half a stroke all round."""
    unit = CAP_HEIGHT_PX / 6
    margin = _STROKE_PX
    strokes: list[NDArray[np.float64]] = []
    pen = 0.0
    for letter in words.upper():
        width, lines = _glyph(letter)
        strokes += [(line + np.array([pen, 0.0])) * unit + margin for line in lines]
        pen += width + _GAP
    mask = np.zeros((CAP_HEIGHT_PX + 2 * margin, int((pen - _GAP) * unit) + 2 * margin), np.uint8)
    for stroke in strokes:
        points = np.rint(stroke * 16).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, _STROKE_PX, cv2.LINE_AA, 4)
        for x, y in (points[0], points[-1]):
            cv2.circle(mask, (int(x), int(y)), _STROKE_PX * 8, 255, cv2.FILLED, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / np.float32(255)


def _glyph(letter: str) -> tuple[float, list[NDArray[np.float64]]]:
    width, *strokes = _GLYPHS[letter].split("|")
    lines = []
    for stroke in filter(None, strokes):
        points = np.array([[int(pair[0]), int(pair[1])] for pair in stroke.lstrip("~").split()], np.float64)
        lines.append(_rounded(points) if stroke.startswith("~") else points)
    return float(width), lines


def _rounded(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the polyline with its inner corners replaced by quadratic curves of up to 1.4 units."""
    result = [points[0]]
    share = np.linspace(0, 1, 9)[:, None]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        start = corner + _reach(before - corner)
        end = corner + _reach(after - corner)
        result.extend((1 - share) ** 2 * start + 2 * share * (1 - share) * corner + share**2 * end)
    return np.array([*result, points[-1]])


def _reach(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.hypot(*direction))
    return direction * (min(2.0, length / 2) / length)
