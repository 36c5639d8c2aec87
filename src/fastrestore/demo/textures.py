"""Paints for the scene: textures that are functions of world coordinates, filtered to the pixel they are drawn at."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.canvas import Grey, Paint

_LATTICE = 128


def apply(paint: Paint, x: Grey, y: Grey, pixel: float) -> Grey:
    """Return the tones of any paint on the grid, float32 that broadcasts to ``(h, w)``."""
    return paint(x, y, pixel) if callable(paint) else np.full((1, 1), paint, np.float32)


def vertical(top: float, bottom: float, y0: float, y1: float) -> Paint:
    """Return a tone running from ``top`` at ``y0`` to ``bottom`` at ``y1``."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        share = np.clip((y - np.float32(y0)) / np.float32(y1 - y0), 0, 1)
        return np.asarray(top + (bottom - top) * share + x * 0, np.float32)

    return paint


def barrel(dark: float, light: float, y0: float, y1: float) -> Paint:
    """Return the shading of a lying cylinder lit from above: bright at a quarter of its height, dark below."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        height = np.clip((y - np.float32(y0)) / np.float32(y1 - y0), 0, 1)
        shine = np.exp(-(((height - 0.24) / 0.17) ** 2)) + 0.25 * np.exp(-(((height - 0.93) / 0.07) ** 2))
        return np.asarray(dark + (light - dark) * shine + x * 0, np.float32)

    return paint


def column(dark: float, light: float, x0: float, x1: float) -> Paint:
    """Return the shading of a standing cylinder lit from the left."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        across = np.clip((x - np.float32(x0)) / np.float32(x1 - x0), 0, 1)
        shine = np.exp(-(((across - 0.28) / 0.22) ** 2))
        return np.asarray(dark + (light - dark) * shine + y * 0, np.float32)

    return paint


def rough(paint: Paint, amount: float, cell: float, seed: int, stretch: float = 1.0) -> Paint:
    """Return ``paint`` with noise of ``cell`` world units added, ``amount`` to either side, wider by ``stretch``."""

    def roughened(x: Grey, y: Grey, pixel: float) -> Grey:
        total = apply(paint, x, y, pixel)
        weight = amount
        size = cell
        for octave in range(4):
            fade = float(np.clip(size / pixel / 2 - 0.5, 0, 1))
            if fade > 0:
                total = total + np.float32(weight * fade) * noise(x / (size * stretch), y / size, seed + octave)
            weight, size = weight * 0.6, size / 2
        return np.asarray(np.clip(total, 0, 1), np.float32)

    return roughened


def bricks(base: float, width: float, height: float, joint: float, spread: float, seed: int) -> Paint:
    """Return brickwork in running bond: tone ``base``, joints lighter by ``joint``, single bricks off by ``spread``."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        row = np.floor(y / height)
        shifted = x / width + 0.5 * np.mod(row, 2) + 0.13 * _scatter(row, row * 0, seed + 7)
        tones = base + spread * _scatter(np.floor(shifted), row, seed)
        flat = _pulse(y / height, 0.16, pixel / height)
        upright = _pulse(shifted, 0.16 * height / width, pixel / width)
        return np.asarray(tones + joint * np.maximum(flat, upright), np.float32)

    return paint


def setts(base: float, y0: float, y1: float, rows: int, seed: int) -> Paint:
    """Return paving stones seen at a slant between ``y0`` and ``y1``: the rows grow taller towards the viewer."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        depth = np.clip((y - np.float32(y0)) / np.float32(y1 - y0), 0, 1)
        place = rows * np.log1p(1.6 * depth) / np.log(2.6)
        row = np.floor(place)
        pitch = (y1 - y0) / rows * (1 + 1.6 * depth) * np.log(2.6) / 1.6
        length = (y1 - y0) / rows * 1.15 * 1.6 ** (row / rows * 1.6)
        along = x / length + 0.37 * row + 0.2 * _scatter(row, row * 0, seed + 3)
        across, down = 2 * (along - np.floor(along)) - 1, 2 * (place - row) - 1
        edge = np.abs(across) ** 3 + np.abs(down) ** 3
        gap = np.clip(0.5 + (edge - 0.8) / (0.2 + 5 * pixel / np.minimum(pitch, length)), 0, 1)
        tones = base + 0.07 * _scatter(np.floor(along), row, seed) - 0.07 * down - 0.05 * across * np.abs(across)
        return np.asarray(np.clip(tones - 0.26 * gap, 0, 1), np.float32)

    return paint


def planks(base: float, width: float, gap: float, seed: int, upright: bool = True) -> Paint:
    """Return boards ``width`` wide with joints darker by ``gap``."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        across, along = (x, y) if upright else (y, x)
        place = across / width
        tones = base + 0.035 * _scatter(np.floor(place), place * 0, seed)
        return np.asarray(tones - gap * _pulse(place, 0.14, pixel / width) + along * 0, np.float32)

    return paint


def stripes(first: float, second: float, width: float) -> Paint:
    """Return upright stripes, each ``width`` wide."""

    def paint(x: Grey, y: Grey, pixel: float) -> Grey:
        share = _pulse(x / (2 * width), 0.5, pixel / (2 * width))
        return np.asarray(first + (second - first) * share + y * 0, np.float32)

    return paint


def _pulse(place: Grey, share: float, pixel: Grey | float) -> Grey:
    """Return a periodic pulse (period 1, on for ``share`` around whole numbers) averaged over one pixel."""
    width = np.maximum(pixel, 1e-6)

    def integral(at: Grey) -> Grey:
        at = at + share / 2
        whole = np.floor(at)
        return np.asarray(whole * share + np.minimum(at - whole, share))

    place = np.asarray(place, np.float64)
    return np.asarray((integral(place + width / 2) - integral(place - width / 2)) / width, np.float32)


def _scatter(x: Grey, y: Grey, seed: int) -> Grey:
    """Return a fixed value in ``[-1, 1]`` for each whole-number cell."""
    first = np.mod(np.asarray(x, np.int64), _LATTICE)
    second = np.mod(np.asarray(y, np.int64), _LATTICE)
    return np.asarray(_lattice(seed)[second, first], np.float32)


@lru_cache(maxsize=64)
def _lattice(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (_LATTICE, _LATTICE)).astype(np.float32)


def noise(x: Grey, y: Grey, seed: int) -> Grey:
    """Return smooth noise in about ``[-1, 1]`` with one cell per unit, the same at every size."""
    columns, rows = np.broadcast_arrays(np.mod(x, _LATTICE), np.mod(y, _LATTICE))
    values: Any = cv2.remap(
        _lattice(seed),
        np.array(columns, np.float32),
        np.array(rows, np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(values, np.float32)
