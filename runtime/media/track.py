"""What the restored video stream of an output is to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from fastrestore.frames import Colour, PixelFormat, StreamInfo
from fastrestore.geometry import Size

FINEST_TIME_BASE = 10**9
"""Largest denominator of a time base; beyond it containers overflow."""


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """What the video stream is to be."""

    size: Size
    format: PixelFormat
    colour: Colour
    source: StreamInfo
    """For aspect, HDR metadata and clock."""
    rate: Fraction | None
    """Steady frames a second, or None if the instants vary."""
    first_pts: Fraction
    """Seconds of the first frame."""
    display_matrix: tuple[int, ...] | None = None

    @property
    def time_base(self) -> Fraction:
        """The coarsest unit 1/n in which every instant is a whole number."""
        step = self.source.time_base if self.rate is None else 1 / self.rate
        return Fraction(1, min(math.lcm(step.denominator, self.first_pts.denominator), FINEST_TIME_BASE))

    @property
    def scaled_matrix(self) -> tuple[int, ...] | None:
        """The display matrix for the new size: what it moves the picture by is in pixels, as shown."""
        matrix = self.display_matrix
        if matrix is None:
            return None
        across = Fraction(self.size.width, self.source.size.width)
        down = Fraction(self.size.height, self.source.size.height)
        if self.source.rotation % 180:
            across, down = down, across
        return (*matrix[:6], round(matrix[6] * across), round(matrix[7] * down), matrix[8])
