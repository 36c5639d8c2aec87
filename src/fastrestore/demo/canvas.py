"""A small antialiased drawing surface in world units, for pictures that look the same at any size.

One world unit is the height of the picture. Every shape computes its own coverage of each pixel (a box filter one
pixel wide), so a picture drawn large and reduced is the picture drawn small.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.lettering import CAP_HEIGHT_PX, lettering

Grey = NDArray[np.float32]
"""``(H, W)`` or an open grid of it, float32."""
Paint = float | Callable[[Grey, Grey, float], Grey]
"""A tone in ``[0, 1]``, or a function of ``x (1, w)``, ``y (h, 1)`` and the pixel pitch giving ``(h, w)`` tones."""
Point = tuple[float, float]
"""A place ``(x, y)`` in world units, ``y`` downwards."""

_POLYGON_STEPS = 4
_SHIFT_BITS = 6


@dataclass(frozen=True)
class Window:
    """The part of a canvas that a shape may touch."""

    rows: slice
    columns: slice
    x: Grey
    """World ``x`` of the pixel centres, ``(1, w)`` float32."""
    y: Grey
    """World ``y`` of the pixel centres, ``(h, 1)`` float32."""


@dataclass(frozen=True)
class Canvas:
    """A surface to draw on, or, once drawn, a sheet to place on another one."""

    tone: Grey
    """Tones times coverage, ``(H, W)`` float32, range ``[0, 1]``; changed in place by drawing."""
    cover: Grey | None
    """Coverage, ``(H, W)`` float32, range ``[0, 1]``; ``None`` for an opaque canvas."""
    left: float
    """World ``x`` of the left edge."""
    top: float
    """World ``y`` of the upper edge."""
    scale: float
    """Pixels per world unit."""

    @classmethod
    def opaque(cls, size: tuple[int, int], centre: float) -> "Canvas":
        """Return a black canvas of ``size`` (width, height) pixels showing ``y`` 0 to 1 around ``x = centre``."""
        width, height = size
        return cls(np.zeros((height, width), np.float32), None, centre - width / height / 2, 0.0, float(height))

    @classmethod
    def clear(cls, box: tuple[float, float, float, float], scale: float) -> "Canvas":
        """Return a transparent canvas for the world box ``(left, top, right, bottom)``."""
        left, top, right, bottom = box
        shape = (max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale)))
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32), left, top, scale)

    @property
    def pixel(self) -> float:
        """The pitch of the pixels in world units."""
        return 1.0 / self.scale

    def moved(self, x: float, y: float = 0.0) -> "Canvas":
        """Return the same surface (shared, not copied) with the world moved: what is drawn at 0 lands at ``(x, y)``."""
        return replace(self, left=self.left - x, top=self.top - y)

    def window(self, x0: float, y0: float, x1: float, y1: float) -> Window | None:
        """Return the pixels that the world box touches, or ``None`` where it lies outside."""
        height, width = self.tone.shape
        first = max(0, int(np.floor((x0 - self.left) * self.scale)) - 1)
        last = min(width, int(np.ceil((x1 - self.left) * self.scale)) + 1)
        upper = max(0, int(np.floor((y0 - self.top) * self.scale)) - 1)
        lower = min(height, int(np.ceil((y1 - self.top) * self.scale)) + 1)
        if first >= last or upper >= lower:
            return None
        x = self.left + (np.arange(first, last, dtype=np.float64) + 0.5) / self.scale
        y = self.top + (np.arange(upper, lower, dtype=np.float64) + 0.5) / self.scale
        return Window(
            slice(upper, lower),
            slice(first, last),
            x.astype(np.float32)[None, :],
            y.astype(np.float32)[:, None],
        )

    def lay(self, window: Window, coverage: Grey, paint: Paint) -> None:
        """Lay ``paint`` over the window, ``coverage`` ``(h, w)`` float32 in ``[0, 1]``."""
        tones = paint(window.x, window.y, self.pixel) if callable(paint) else np.float32(paint)
        place = (window.rows, window.columns)
        rest = np.float32(1) - coverage
        self.tone[place] = self.tone[place] * rest + tones * coverage
        if self.cover is not None:
            self.cover[place] = self.cover[place] * rest + coverage

    def fill(self, paint: Paint) -> None:
        """Paint the whole canvas."""
        height, width = self.tone.shape
        self.rect(self.left, self.top, self.left + width * self.pixel, self.top + height * self.pixel, paint)

    def rect(self, x0: float, y0: float, x1: float, y1: float, paint: Paint) -> None:
        """Fill an upright rectangle."""
        window = self.window(x0, y0, x1, y1)
        if window is not None:
            across = _overlap(window.x, x0, x1, self.scale)
            down = _overlap(window.y, y0, y1, self.scale)
            self.lay(window, across * down, paint)

    def disc(self, centre: Point, radius: float, paint: Paint, hole: float = 0.0) -> None:
        """Fill a disc, or a ring when ``hole`` (its inner radius) is given."""
        x, y = centre
        window = self.window(x - radius, y - radius, x + radius, y + radius)
        if window is not None:
            distance = np.hypot(window.x - np.float32(x), window.y - np.float32(y))
            coverage = _inside(radius - distance, self.scale)
            if hole > 0:
                coverage = np.maximum(coverage - _inside(hole - distance, self.scale), 0)
            self.lay(window, coverage, paint)

    def ellipse(self, centre: Point, radii: Point, paint: Paint) -> None:
        """Fill an upright ellipse."""
        (x, y), (across, down) = centre, radii
        window = self.window(x - across, y - down, x + across, y + down)
        if window is not None:
            unit = np.hypot((window.x - np.float32(x)) / across, (window.y - np.float32(y)) / down)
            self.lay(window, _inside((1 - unit) * min(across, down), self.scale), paint)

    def line(self, start: Point, end: Point, width: float, paint: Paint, width_end: float | None = None) -> None:
        """Draw a round-ended bar, tapering from ``width`` to ``width_end``."""
        (ax, ay), (bx, by) = start, end
        last = width if width_end is None else width_end
        reach = max(width, last) / 2
        window = self.window(min(ax, bx) - reach, min(ay, by) - reach, max(ax, bx) + reach, max(ay, by) + reach)
        if window is None:
            return
        dx, dy = bx - ax, by - ay
        x, y = window.x - np.float32(ax), window.y - np.float32(ay)
        along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        distance = np.hypot(x - along * dx, y - along * dy)
        half = np.asarray((width + (last - width) * along) / 2, np.float32) if last != width else np.float32(width / 2)
        self.lay(window, _band(distance, half, self.scale), paint)

    def path(self, points: Sequence[Point], width: float, paint: Paint) -> None:
        """Draw bars from point to point."""
        for start, end in itertools.pairwise(points):
            self.line(start, end, width, paint)

    def polygon(self, points: Sequence[Point], paint: Paint) -> None:
        """Fill a polygon given by its corners."""
        corners = np.asarray(points, np.float64)
        (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
        window = self.window(float(x0), float(y0), float(x1), float(y1))
        if window is None:
            return
        rows, columns = window.y.shape[0], window.x.shape[1]
        steps = _POLYGON_STEPS if rows * columns < 400_000 else 2
        origin = (self.left + window.columns.start * self.pixel, self.top + window.rows.start * self.pixel)
        places = (corners - origin) * self.scale * steps - 0.5
        mask = np.zeros((rows * steps, columns * steps), np.uint8)
        cv2.fillPoly(mask, [np.rint(places * 2**_SHIFT_BITS).astype(np.int32)], 255, cv2.LINE_8, _SHIFT_BITS)
        coverage = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
        self.lay(window, coverage.astype(np.float32) / np.float32(255), paint)

    def wheel(self, centre: Point, radii: Point, spokes: tuple[int, float], angle: float, paint: Paint) -> None:
        """Draw a spoked wheel: ``radii`` outer and inner of the rim, ``spokes`` their number and width."""
        (x, y), (outer, inner), (count, width) = centre, radii, spokes
        window = self.window(x - outer, y - outer, x + outer, y + outer)
        if window is None:
            return
        dx, dy = np.broadcast_arrays(window.x - np.float32(x), window.y - np.float32(y))
        distance, phase = cv2.cartToPolar(np.ascontiguousarray(dx), np.ascontiguousarray(dy))
        rim = _inside(outer - distance, self.scale) - _inside(inner - distance, self.scale)
        pitch = 2 * np.pi / count
        off = np.mod(phase - np.float32(angle) + pitch / 2, pitch) - pitch / 2
        bars = _band(np.abs(distance * np.sin(off)), np.float32(width / 2), self.scale)
        bars = bars * _inside(outer - distance, self.scale)
        self.lay(window, np.maximum(rim, bars).astype(np.float32), paint)

    def text(self, words: str, centre: Point, height: float, paint: Paint, width: float = 0.0) -> None:
        """Letter ``words`` around ``centre``, capitals ``height`` tall, squeezed to ``width`` when that is given."""
        mask = lettering(words)
        ratio_y = CAP_HEIGHT_PX / (height * self.scale)
        across = width if width > 0 else height * mask.shape[1] / CAP_HEIGHT_PX
        ratio_x = mask.shape[1] / (across * self.scale)
        tall = height * mask.shape[0] / CAP_HEIGHT_PX
        soft = cv2.GaussianBlur(mask, (0, 0), sigmaX=max(0.3, 0.4 * ratio_x), sigmaY=max(0.3, 0.4 * ratio_y))
        x, y = centre
        window = self.window(x - across / 2, y - tall / 2, x + across / 2, y + tall / 2)
        if window is None:
            return
        columns = ((window.x - (x - across / 2)) / across * mask.shape[1] - 0.5).astype(np.float32)
        rows = ((window.y - (y - tall / 2)) / tall * mask.shape[0] - 0.5).astype(np.float32)
        grid = np.broadcast_arrays(columns, rows)
        coverage: Any = cv2.remap(soft, np.array(grid[0]), np.array(grid[1]), cv2.INTER_LINEAR)
        self.lay(window, coverage, paint)

    def stamp(self, sprite: tuple[Grey, Grey], centre: Point, radius: float, turn: float, strength: float) -> None:
        """Lay a square soft sprite (tones and coverage, ``(N, N)``), turned by ``turn`` radians, at ``strength``."""
        tones, coverage = sprite
        x, y = centre
        window = self.window(x - radius, y - radius, x + radius, y + radius)
        if window is None:
            return
        zoom = (tones.shape[0] - 1) / (2 * radius)
        cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
        dx, dy = float(window.x[0, 0]) - x, float(window.y[0, 0]) - y
        middle = (tones.shape[0] - 1) / 2
        matrix = np.array(
            [
                [cos * self.pixel, -sin * self.pixel, cos * dx - sin * dy + middle],
                [sin * self.pixel, cos * self.pixel, sin * dx + cos * dy + middle],
            ]
        )
        paint, mask = _warp(tones, window, matrix), _warp(coverage, window, matrix)
        self.lay(window, mask * np.float32(strength), lambda _x, _y, _p: paint)

    def place(self, sheet: "Canvas") -> None:
        """Lay a sheet drawn earlier where its own world coordinates put it (see `moved` for shifting it)."""
        if sheet.cover is None:
            raise ValueError("place: the sheet is opaque, wanted one made by Canvas.clear")
        rows, columns = sheet.tone.shape
        right, bottom = sheet.left + columns * sheet.pixel, sheet.top + rows * sheet.pixel
        window = self.window(sheet.left, sheet.top, right, bottom)
        if window is None:
            return
        zoom = sheet.scale / self.scale
        x0 = (self.left + (window.columns.start + 0.5) * self.pixel - sheet.left) * sheet.scale - 0.5
        y0 = (self.top + (window.rows.start + 0.5) * self.pixel - sheet.top) * sheet.scale - 0.5
        matrix = np.array([[zoom, 0.0, x0], [0.0, zoom, y0]])
        tones, cover = _warp(sheet.tone, window, matrix), _warp(sheet.cover, window, matrix)
        part = self.tone[window.rows, window.columns]
        part *= np.float32(1) - cover
        part += tones
        if self.cover is not None:
            under = self.cover[window.rows, window.columns]
            under *= np.float32(1) - cover
            under += cover


def sheet_scale(height: int) -> float:
    """Return the pixels per unit for sheets of a picture ``height`` pixels tall: twice as fine where that is cheap."""
    return float(height * 2 if height <= 800 else height)


def _warp(image: Grey, window: Window, matrix: NDArray[np.float64]) -> Grey:
    size = (window.x.shape[1], window.y.shape[0])
    warped: Any = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(warped, np.float32)


def _overlap(centres: Grey, first: float, last: float, scale: float) -> Grey:
    """Return the share of each pixel that lies between ``first`` and ``last`` along one axis."""
    start = np.clip((centres - np.float32(first)) * scale + 0.5, 0, 1)
    end = np.clip((np.float32(last) - centres) * scale + 0.5, 0, 1)
    return np.asarray(np.maximum(start + end - 1, 0), np.float32)


def _inside(depth: Grey, scale: float) -> Grey:
    return np.asarray(np.clip(depth * np.float32(scale) + np.float32(0.5), 0, 1), np.float32)


def _band(distance: Grey, half: Grey | np.float32, scale: float) -> Grey:
    """Return the share of a pixel inside a band, exact also for bands thinner than a pixel."""
    off, reach = distance * np.float32(scale), half * np.float32(scale)
    return np.asarray(np.clip(np.minimum(off + 0.5, reach) - np.maximum(off - 0.5, -reach), 0, 1), np.float32)
