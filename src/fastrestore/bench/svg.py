"""Drawing primitives for plots: scales, ticks and escaped SVG text. Colours are names of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_FEW_DECADES = 3
"""Up to so many powers of ten, there is room for 2 and 5 between them."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to pixels along one axis, linearly or by their logarithm."""

    low: float
    high: float
    first_px: float
    last_px: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.first_px + (at - low) / ((high - low) or 1) * (self.last_px - self.first_px)

    def ticks(self) -> list[float]:
        """Return round values in the range: steps of 1, 2 or 5 times a power of ten, or its powers alone."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first <= _FEW_DECADES else (1,)
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            return [value for value in values if self.low <= value <= self.high]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return a number in few digits, without an exponent where it can be avoided."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def bins(values: Sequence[float], count: int = 40) -> tuple[list[int], list[float]]:
    """Return a histogram up to the 99th percentile and half as far again; what lies beyond goes into the last bin."""
    array = np.asarray(values, float)
    low, high = float(array.min()), float(np.percentile(array, 99))
    high = max(high + (high - low) / 2, low * 1.001 + 1e-6)
    counts, edges = np.histogram(np.minimum(array, high), bins=count, range=(low, high))
    return counts.tolist(), edges.tolist()


def figure(width: int, height: int, label: str, parts: Sequence[str]) -> str:
    """Return an SVG element that scales with the page; `label` is what a screen reader says."""
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">' + "".join(parts) + "</svg>"


def rect(box: tuple[float, float, float, float], kind: str, title: str = "") -> str:
    """Return a rectangle from x, y, width and height, with a text that is shown when one points at it."""
    x, y, width, height = (f"{value:.2f}" for value in box)
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}">{inside}</rect>'


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(points: Sequence[tuple[float, float]], kind: str, title: str = "") -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<polyline class="{kind}" points="{path}">{inside}</polyline>'


def dot(x: float, y: float, kind: str, title: str) -> str:
    """Return a point with a text that is shown when one points at it."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{escape(title)}</title></circle>'
