"""What both shots share: skies, foliage, puffs of smoke."""

import math
from functools import lru_cache

import cv2
import numpy as np

from fastrestore.demo.canvas import Canvas, Grey, Point
from fastrestore.demo.textures import noise, rough, vertical

PUFF_KINDS = 6
_PUFF_PX = 160


@lru_cache(maxsize=8)
def sky(height: int, width_units: float, seed: int) -> Canvas:
    """Return a sky sheet centred on 0: brighter towards the horizon, with drawn-out clouds."""
    half = width_units / 2 + 0.05
    canvas = Canvas.clear((-half, 0.0, half, 0.72), float(height))
    canvas.fill(rough(vertical(0.76, 0.95, 0.0, 0.55), 0.012, 0.02, seed + 40, 5.0))
    rng = np.random.default_rng(seed)
    for _ in range(9):
        x, y = float(rng.uniform(-half, half)), float(rng.uniform(0.05, 0.34))
        _cloud(canvas, (x, y), float(rng.uniform(0.10, 0.24)), rng)
    return canvas


def _cloud(canvas: Canvas, centre: Point, length: float, rng: np.random.Generator) -> None:
    for number in range(9):
        along = (number - 4) / 4
        radius = length * float(rng.uniform(0.16, 0.30)) * (1.1 - along * along * 0.7)
        place = (centre[0] + along * length * 0.8, centre[1] - radius * 0.35 + float(rng.uniform(-0.006, 0.006)))
        canvas.stamp(puff(int(rng.integers(PUFF_KINDS)), 0.84, 1.0), place, radius, 0.0, 0.6)


def tree(canvas: Canvas, foot: Point, height: float, tone: float, seed: int) -> None:
    """Draw a leafy tree: trunk, then clumps of foliage lit from the upper left."""
    rng = np.random.default_rng(seed)
    x, y = foot
    canvas.line((x, y), (x, y - height * 0.6), height * 0.06, tone * 0.6, height * 0.03)
    lobes = []
    for number in range(15):
        angle = 2.4 * number + float(rng.uniform(-0.4, 0.4))
        reach = 0.235 * height * math.sqrt((number + 0.3) / 15)
        spot = (x + reach * math.cos(angle), y - height * 0.64 + 1.05 * reach * math.sin(angle))
        lobes.append((spot, height * float(rng.uniform(0.085, 0.125))))
    for number, (spot, radius) in enumerate(sorted(lobes, key=lambda lobe: lobe[0][1] - 0.6 * lobe[0][0])):
        light = tone + 0.22 * (y - height * 0.64 - spot[1] + 0.4 * (x - spot[0])) / height
        _leaves(canvas, spot, radius, light, seed * 20 + number)


def _leaves(canvas: Canvas, centre: Point, radius: float, tone: float, seed: int) -> None:
    """Draw one clump of leaves: a ball with a ragged edge, lit from the upper left."""
    window = canvas.window(
        centre[0] - 1.35 * radius, centre[1] - 1.35 * radius, centre[0] + 1.35 * radius, centre[1] + 1.35 * radius
    )
    if window is None:
        return
    x, y = (window.x - np.float32(centre[0])) / radius, (window.y - np.float32(centre[1])) / radius
    leaf = 0.0085
    ragged = noise(window.x / leaf, window.y / leaf, seed % 40) + 0.5 * noise(
        2 * window.x / leaf, 2 * window.y / leaf, seed % 40 + 1
    )
    depth = 1 - np.hypot(x, y) + 0.24 * ragged
    coverage = np.clip(depth * radius * canvas.scale / 2.0 + 0.5, 0, 1).astype(np.float32)
    shade = tone - 0.16 * (x + 1.3 * y) / 1.6 + 0.10 * ragged

    def paint(_x: Grey, _y: Grey, _pixel: float) -> Grey:
        return np.asarray(np.clip(shade, 0.06, 0.95), np.float32)

    canvas.lay(window, coverage, paint)


@lru_cache(maxsize=32)
def puff(kind: int, dark: float, light: float) -> tuple[Grey, Grey]:
    """Return a billowing puff lit from the upper left: tones and coverage, ``(N, N)``, float32, ``[0, 1]``."""
    rng = np.random.default_rng(900 + kind)
    axis = np.linspace(-1, 1, _PUFF_PX, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    tones = np.full_like(x, dark)
    cover = np.zeros_like(x)
    for number in range(15):
        angle, reach = float(rng.uniform(0, 2 * math.pi)), 0.52 * math.sqrt(float(rng.uniform(0, 1)))
        radius = float(rng.uniform(0.24, 0.40)) * (1.15 if number < 5 else 0.85)
        dx, dy = (x - reach * math.cos(angle)) / radius, (y - reach * math.sin(angle)) / radius
        inside = np.clip((1 - np.hypot(dx, dy)) * 5, 0, 1)
        shade = np.clip(0.52 - 0.42 * dx - 0.5 * dy, 0, 1)
        tones = tones * (1 - inside) + (dark + (light - dark) * shade) * inside
        cover = np.maximum(cover, np.clip((1 - np.hypot(dx, dy)) * 2.2, 0, 1))
    return np.asarray(cv2.GaussianBlur(tones, (0, 0), 2.2), np.float32), np.asarray(cover, np.float32)


def plume(canvas: Canvas, puffs: list[tuple[Point, float, float, int, float]], dark: float, light: float) -> None:
    """Draw puffs given as ``(centre, radius, age_s, number, strength)``, the oldest first."""
    for centre, radius, age_s, number, strength in sorted(puffs, key=lambda item: -item[2]):
        sprite = puff(number % PUFF_KINDS, dark, light)
        canvas.stamp(sprite, centre, radius, number * 1.7 + age_s * (0.5 if number % 2 else -0.5), strength)
