"""The sample scene of ``fastrestore demo``: six seconds of a silent film that never was, drawn from numbers alone.

Two shots with one hard cut: a train pulls into a station, then a fairground. The picture is a pure function of time
and size, so a test can draw the 4K truth of what the small, aged sample shows.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.fair import FAIR_START_S, draw_fair
from fastrestore.demo.station import draw_station

WIDTH = 480
"""Width of the default sample in pixels."""
HEIGHT = 360
"""Height of the default sample in pixels."""
FPS = Fraction(16)
"""Frames a second, as cranked by hand."""
FRAME_COUNT = 96
"""Frames in the sample."""
CUT_INDEX = 52
"""The first frame of the second shot."""
DURATION_S = Fraction(FRAME_COUNT) / FPS
"""Length of the sample in seconds."""


def draw(time_s: float, size: tuple[int, int] = (WIDTH, HEIGHT)) -> NDArray[np.float32]:
    """Draw the clean scene at any instant and size.

    Args:
        time_s: Seconds from the start, 0 to `DURATION_S`; the cut is at ``CUT_INDEX / FPS``.
        size: Width and height in pixels. The height always shows the same; a wider picture shows more at the sides.

    Returns:
        The picture, grey, ``(height, width)``, float32, range ``[0, 1]`` (display tones, not linear light).

    Raises:
        ValueError: If the time is outside the film or the size is not positive.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"draw: size is {width}x{height}, wanted at least 1x1")
    if not (math.isfinite(time_s) and 0 <= time_s <= DURATION_S):
        raise ValueError(f"draw: time_s is {time_s}, wanted 0 to {float(DURATION_S)}")
    canvas = draw_station(time_s, size) if time_s < FAIR_START_S else draw_fair(time_s, size)
    return np.clip(canvas.tone, 0, 1, out=canvas.tone)
