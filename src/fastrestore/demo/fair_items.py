"""The things of the fairground: the big wheel, the carousel, flags, the booth, the fence."""

import itertools
import math

import numpy as np

from fastrestore.demo.canvas import Canvas, Grey, Paint, Point
from fastrestore.demo.platform_items import board
from fastrestore.demo.textures import bricks, column, planks, rough, stripes, vertical

_GONDOLAS = 12
_HORSES = 8
_EAVE_Y, _APEX_Y, _FLOOR_Y = 0.375, 0.165, 0.705
_EAVE_HALF = 0.305


def big_wheel(canvas: Canvas, hub: Point, radius: float, angle: float) -> None:
    """Draw a wheel with hanging gondolas, turned by ``angle`` radians."""
    x, y = hub
    for foot in (-0.15, 0.12):
        canvas.line((x, y), (x + foot, 0.77), 0.011, 0.34, 0.016)
    canvas.wheel(hub, (radius * 0.985, radius * 0.968), (_GONDOLAS, 0.0042), angle + 0.05, 0.42)
    canvas.disc(hub, radius * 0.56, 0.42, radius * 0.545)
    for number in range(_GONDOLAS):
        turn = angle + 2 * math.pi * number / _GONDOLAS
        _cross_stay(canvas, hub, radius, turn)
    canvas.wheel(hub, (radius, radius * 0.975), (_GONDOLAS, 0.0055), angle, 0.15)
    canvas.disc(hub, radius * 0.585, 0.15, radius * 0.565)
    for number in range(_GONDOLAS):
        turn = angle + 2 * math.pi * number / _GONDOLAS
        _gondola(canvas, (x + radius * math.cos(turn), y + radius * math.sin(turn)), number)
    for foot in (-0.12, 0.15):
        canvas.line((x, y), (x + foot, 0.775), 0.014, 0.12, 0.020)
    canvas.line((x - 0.075, 0.62), (x + 0.094, 0.62), 0.010, 0.16)
    canvas.disc(hub, 0.026, 0.12)
    canvas.disc(hub, 0.017, 0.72)
    canvas.disc(hub, 0.007, 0.14)


def _cross_stay(canvas: Canvas, hub: Point, radius: float, turn: float) -> None:
    step = 2 * math.pi / _GONDOLAS
    inner = (hub[0] + 0.575 * radius * math.cos(turn), hub[1] + 0.575 * radius * math.sin(turn))
    for side in (-0.5, 0.5):
        outer = (
            hub[0] + 0.98 * radius * math.cos(turn + side * step),
            hub[1] + 0.98 * radius * math.sin(turn + side * step),
        )
        canvas.line(inner, outer, 0.0032, 0.3)


def _gondola(canvas: Canvas, pivot: Point, number: int) -> None:
    x, y = pivot
    tone = (0.92, 0.35, 0.7)[number % 3]
    canvas.line((x, y), (x, y + 0.024), 0.004, 0.1)
    canvas.polygon(
        [(x - 0.032, y + 0.022), (x, y + 0.006), (x + 0.032, y + 0.022)], column(0.2, 0.75, x - 0.032, x + 0.032)
    )
    for side in (-0.026, 0.026):
        canvas.line((x + side, y + 0.02), (x + side, y + 0.045), 0.0035, 0.12)
    for rider in (-0.012, 0.011) if number % 4 else (0.0,):
        canvas.disc((x + rider, y + 0.0345), 0.0068, 0.62)
        canvas.line((x + rider - 0.008, y + 0.0285), (x + rider + 0.008, y + 0.0285), 0.0042, 0.08)
    tub = [(x - 0.032, y + 0.042), (x + 0.032, y + 0.042), (x + 0.025, y + 0.068), (x - 0.025, y + 0.068)]
    canvas.polygon(tub, column(tone * 0.5, tone, x - 0.032, x + 0.032))
    canvas.line((x - 0.033, y + 0.043), (x + 0.033, y + 0.043), 0.0045, 0.1)
    canvas.line((x - 0.028, y + 0.055), (x + 0.028, y + 0.055), 0.003, 0.15)


def carousel_floor(canvas: Canvas) -> None:
    """Draw the platform of the carousel around ``x = 0`` and the mirrored drum in the middle."""
    canvas.ellipse((0, _FLOOR_Y + 0.055), (0.33, 0.022), 0.24)
    canvas.rect(-0.30, _FLOOR_Y, 0.30, _FLOOR_Y + 0.04, planks(0.34, 0.03, 0.15, 151))
    canvas.ellipse((0, _FLOOR_Y + 0.04), (0.30, 0.018), planks(0.34, 0.03, 0.15, 151))
    canvas.ellipse((0, _FLOOR_Y), (0.30, 0.020), 0.66)
    canvas.ellipse((0, _FLOOR_Y), (0.285, 0.016), 0.50)
    canvas.rect(-0.30, _EAVE_Y, 0.30, _EAVE_Y + 0.06, vertical(0.10, 0.5, _EAVE_Y, _EAVE_Y + 0.09))
    canvas.rect(-0.085, _EAVE_Y, 0.085, _FLOOR_Y, column(0.30, 0.95, -0.085, 0.085))
    for x in (-0.08, -0.05, 0.0, 0.05, 0.08):
        canvas.rect(x - 0.003, _EAVE_Y, x + 0.003, _FLOOR_Y, 0.28)
    for y in (0.46, 0.52, 0.60, 0.66):
        canvas.rect(-0.085, y, 0.085, y + 0.005, 0.24)
    canvas.rect(-0.088, _FLOOR_Y - 0.02, 0.088, _FLOOR_Y + 0.006, 0.2)


def horses(canvas: Canvas, angle: float) -> None:
    """Draw the galloping horses of the carousel, turned by ``angle`` radians, the far ones first."""
    ring = [angle + 2 * math.pi * number / _HORSES for number in range(_HORSES)]
    order = sorted(range(_HORSES), key=lambda number: math.sin(ring[number]))
    for number in order:
        turn = ring[number]
        depth = math.sin(turn)
        x = 0.245 * math.cos(turn)
        size = 0.082 * (1 + 0.16 * depth)
        y = _FLOOR_Y - 0.085 + 0.012 * depth + 0.017 * math.sin(3 * turn + number * 2.1)
        if depth < 0 and abs(x) < 0.06:
            continue
        pole = 0.0035 * (1 + 0.3 * depth)
        canvas.rect(x - pole, _EAVE_Y, x + pole, _FLOOR_Y + 0.012 * depth, column(0.3, 0.95, x - pole, x + pole))
        squeeze = -math.copysign(max(0.35, abs(depth)), depth)
        _horse(canvas, (x, y), size, squeeze, (0.93, 0.30, 0.66, 0.16)[number % 4])


def _horse(canvas: Canvas, place: Point, size: float, squeeze: float, tone: float) -> None:
    def at(a: float, b: float) -> Point:
        return place[0] + a * size * squeeze, place[1] + b * size

    dark = tone * 0.62
    for root, knee, hoof in (
        ((0.30, 0.18), (0.52, 0.28), (0.44, 0.52)),
        ((0.26, 0.18), (0.36, 0.42), (0.58, 0.50)),
        ((-0.34, 0.16), (-0.52, 0.36), (-0.72, 0.46)),
        ((-0.30, 0.18), (-0.36, 0.42), (-0.54, 0.58)),
    ):
        canvas.line(at(*root), at(*knee), 0.13 * size, dark, 0.09 * size)
        canvas.line(at(*knee), at(*hoof), 0.085 * size, dark, 0.065 * size)
    body = [
        (-0.44, 0.02),
        (-0.36, -0.14),
        (-0.1, -0.12),
        (0.16, -0.15),
        (0.36, -0.06),
        (0.36, 0.14),
        (0.1, 0.22),
        (-0.2, 0.2),
        (-0.42, 0.2),
    ]
    shade = vertical(min(1.0, tone * 1.1), tone * 0.6, place[1] - 0.2 * size, place[1] + 0.24 * size)
    canvas.polygon([at(*p) for p in body], shade)
    canvas.polygon([at(*p) for p in ((0.12, -0.12), (0.40, -0.52), (0.56, -0.46), (0.38, 0.10))], shade)
    canvas.line(at(0.47, -0.47), at(0.72, -0.30), 0.15 * size, tone, 0.09 * size)
    canvas.path([at(0.42, -0.56), at(0.26, -0.36), at(0.12, -0.16)], 0.085 * size, tone * 0.4 if tone > 0.4 else 0.8)
    canvas.path([at(-0.42, -0.02), at(-0.62, 0.06), at(-0.66, 0.26)], 0.085 * size, tone * 0.4 if tone > 0.4 else 0.8)
    canvas.polygon(
        [at(*p) for p in ((-0.16, -0.14), (0.12, -0.15), (0.10, 0.06), (-0.14, 0.06))], 0.12 if tone > 0.4 else 0.9
    )
    canvas.disc(at(0.52, -0.43), 0.022 * size, 0.05)


def tent(canvas: Canvas) -> None:
    """Draw the striped roof of the carousel, its painted edge and the front posts, around ``x = 0``."""
    gores = 14
    edges = [-_EAVE_HALF * math.cos(math.pi * number / gores) for number in range(gores + 1)]
    for number, (left, right) in enumerate(itertools.pairwise(edges)):
        light = 0.80 + 0.2 * math.sin(math.pi * (number + 0.7) / gores)
        tone = (0.96 if number % 2 else 0.30) * light
        drop = 0.020 * math.sin(math.pi * (number + 0.5) / gores)
        sag = [
            (left * s, _APEX_Y + (_EAVE_Y - _APEX_Y) * (0.62 * s + 0.38 * s * s)) for s in (0.03, 0.25, 0.5, 0.75, 1.0)
        ]
        back = [
            (right * s, _APEX_Y + (_EAVE_Y - _APEX_Y) * (0.62 * s + 0.38 * s * s)) for s in (1.0, 0.75, 0.5, 0.25, 0.03)
        ]
        canvas.polygon([*sag, (left, _EAVE_Y + drop), (right, _EAVE_Y + drop), *back], rough(tone, 0.03, 0.02, 153))
    canvas.rect(-0.006, _APEX_Y - 0.075, 0.006, _APEX_Y + 0.01, column(0.1, 0.6, -0.006, 0.006))
    canvas.disc((0.0, _APEX_Y - 0.004), 0.014, column(0.3, 0.95, -0.014, 0.014))
    canvas.rect(
        -_EAVE_HALF - 0.008,
        _EAVE_Y - 0.003,
        _EAVE_HALF + 0.008,
        _EAVE_Y + 0.060,
        vertical(0.35, 0.18, _EAVE_Y, _EAVE_Y + 0.06),
    )
    for y in (_EAVE_Y - 0.003, _EAVE_Y + 0.055):
        canvas.rect(-_EAVE_HALF - 0.010, y, _EAVE_HALF + 0.010, y + 0.007, 0.92)
    canvas.text("GALLOPING HORSES", (0.0, _EAVE_Y + 0.0245), 0.026, 0.96, 0.44)
    for x in (-0.262, 0.262):
        canvas.disc((x, _EAVE_Y + 0.0245), 0.014, 0.92)
        canvas.wheel((x, _EAVE_Y + 0.0245), (0.014, 0.011), (6, 0.003), 0.4, 0.2)
    count = 26
    for number in range(count):
        left = -_EAVE_HALF + 2 * _EAVE_HALF * number / count
        middle = left + _EAVE_HALF / count
        shade = 0.95 if number % 2 else 0.42
        canvas.ellipse((middle, _EAVE_Y + 0.062), (_EAVE_HALF / count, 0.017), shade)
    for x in (-0.295, 0.295):
        canvas.rect(x - 0.007, _EAVE_Y + 0.06, x + 0.007, _FLOOR_Y + 0.03, stripes(0.9, 0.3, 0.0028))


def flag(canvas: Canvas, pole: Point, time_s: float) -> None:
    """Draw a striped flag that flutters from ``pole`` to the right."""
    x, y = pole
    steps, length, tall = 16, 0.125, 0.066
    for band in range(3):
        tops, bottoms = [], []
        for step in range(steps + 1):
            share = step / steps
            wave = 0.017 * share**0.8 * math.sin(9.0 * share - 7.5 * time_s) + 0.012 * share * share
            across = x + 0.006 + length * share * (0.96 + 0.03 * math.cos(9.0 * share - 7.5 * time_s))
            tops.append((across, y + wave + tall * band / 3))
            bottoms.append((across, y + wave + tall * (band + 1) / 3 + 0.0005))
        canvas.polygon([*tops, *reversed(bottoms)], _folds((0.25, 0.96, 0.42)[band], x, time_s, length))
    canvas.line((x, y - 0.02), (x, y + 0.09), 0.0075, 0.16)
    canvas.disc((x, y - 0.024), 0.008, 0.85)


def _folds(tone: float, x: float, time_s: float, length: float) -> Paint:
    def paint(columns: Grey, rows: Grey, pixel: float) -> Grey:
        share = (columns - x) / length
        fold = np.cos(9.0 * share - 7.5 * time_s + 0.6) * np.clip(share * 2, 0, 1)
        return np.asarray(np.clip(tone * (0.86 + 0.24 * fold), 0, 1) + rows * 0, np.float32)

    return paint


def bunting(canvas: Canvas, start: Point, end: Point, time_s: float) -> None:
    """Draw a sagging line of pennants that stir in the wind."""
    count = 19
    line = []
    for number in range(count + 1):
        share = number / count
        sag = 0.07 * 4 * share * (1 - share)
        line.append((start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share + sag))
    canvas.path(line, 0.0026, 0.2)
    for number, (left, right) in enumerate(itertools.pairwise(line)):
        sway = 0.007 * math.sin(5.0 * time_s + number * 1.3)
        tip = ((left[0] + right[0]) / 2 + sway + 0.003, (left[1] + right[1]) / 2 + 0.036)
        near = (left[0] + 0.004, left[1] + 0.001), (right[0] - 0.004, right[1] + 0.001)
        canvas.polygon([near[0], near[1], tip], (0.95, 0.22, 0.60)[number % 3])


def balloon(canvas: Canvas, centre: Point, radius: float) -> None:
    """Draw a gas balloon with its basket."""
    x, y = centre
    basket = y + radius * 1.75
    for side in (-0.62, -0.25, 0.25, 0.62):
        canvas.line((x + side * radius, y + radius * 0.72), (x + side * radius * 0.25, basket), 0.0022, 0.35)
    gores = 8
    for number in range(gores):
        reach = radius * math.cos(math.pi * number / (2 * gores))
        light = 0.62 + 0.32 * math.sin(math.pi * (number + 1) / gores)
        canvas.ellipse(
            (x, y), (reach if number else radius, radius * 1.04), column(light * 0.6, light, x - reach, x + reach * 1.1)
        )
    canvas.rect(
        x - radius * 0.94,
        y - 0.1 * radius,
        x + radius * 0.94,
        y + 0.12 * radius,
        column(0.16, 0.42, x - radius, x + radius),
    )
    canvas.polygon(
        [
            (x - 0.55 * radius, y + 0.86 * radius),
            (x + 0.55 * radius, y + 0.86 * radius),
            (x + 0.1 * radius, y + 1.3 * radius),
            (x - 0.1 * radius, y + 1.3 * radius),
        ],
        column(0.4, 0.75, x - 0.5 * radius, x + 0.5 * radius),
    )
    canvas.rect(x - 0.2 * radius, basket, x + 0.2 * radius, basket + 0.26 * radius, 0.3)


def booth(canvas: Canvas, foot: Point) -> None:
    """Draw a brick ticket booth with an awning, posters and a counter, around ``foot``."""
    x, y = foot
    wall = rough(bricks(0.50, 0.0235, 0.0115, 0.22, 0.06, 161), 0.035, 0.05, 163)
    canvas.rect(x - 0.155, y - 0.36, x + 0.5, y, wall)
    canvas.rect(x - 0.17, y - 0.378, x + 0.5, y - 0.358, vertical(0.92, 0.5, y - 0.378, y - 0.358))
    canvas.rect(x - 0.155, y - 0.03, x + 0.5, y, rough(0.62, 0.05, 0.01, 165))
    board(canvas, (x - 0.035, y - 0.322), (0.20, 0.056), "TICKETS", 0.034)
    canvas.rect(x - 0.115, y - 0.225, x + 0.035, y - 0.105, 0.80)
    canvas.rect(x - 0.107, y - 0.217, x + 0.027, y - 0.105, vertical(0.10, 0.26, y - 0.217, y - 0.1))
    canvas.ellipse((x - 0.04, y - 0.158), (0.016, 0.021), 0.74)
    canvas.line((x - 0.055, y - 0.178), (x - 0.025, y - 0.178), 0.010, 0.42)
    canvas.polygon([(x - 0.08, y - 0.105), (x - 0.065, y - 0.137), (x - 0.015, y - 0.137), (x, y - 0.105)], 0.62)
    canvas.rect(x - 0.125, y - 0.108, x + 0.045, y - 0.094, vertical(0.9, 0.45, y - 0.108, y - 0.094))
    count = 10
    for number in range(count):
        left = x - 0.135 + 0.19 * number / count
        drop = [
            (left, y - 0.258),
            (left + 0.019, y - 0.258),
            (left + 0.019 + 0.1 * (left - x + 0.04), y - 0.208),
            (left + 0.1 * (left - x + 0.04), y - 0.208),
        ]
        canvas.polygon(drop, vertical(0.95 if number % 2 else 0.32, 0.8 if number % 2 else 0.2, y - 0.26, y - 0.2))
    _poster(canvas, (x + 0.118, y - 0.165))


def _poster(canvas: Canvas, centre: Point) -> None:
    x, y = centre
    canvas.rect(x - 0.047, y - 0.085, x + 0.047, y + 0.085, 0.90)
    canvas.rect(x - 0.041, y - 0.079, x + 0.041, y + 0.079, 0.2)
    canvas.rect(x - 0.039, y - 0.077, x + 0.039, y + 0.077, 0.9)
    canvas.text("GRAND", (x, y - 0.062), 0.013, 0.1)
    canvas.text("CINEMA", (x, y - 0.036), 0.016, 0.1, 0.072)
    canvas.disc((x, y + 0.012), 0.026, 0.2)
    canvas.wheel((x, y + 0.012), (0.024, 0.020), (5, 0.006), 0.3, 0.88)
    canvas.text("TODAY AT 8", (x, y + 0.058), 0.010, 0.1, 0.07)


def fence(canvas: Canvas, top: float, bottom: float, half: float) -> None:
    """Draw a picket fence from ``top`` to ``bottom`` over ``x = -half`` to ``half``."""
    for y in (top + 0.035, bottom - 0.035):
        canvas.rect(-half, y, half, y + 0.013, vertical(0.86, 0.5, y, y + 0.013))
    pitch = 0.058
    for number in range(-round(half / pitch) - 1, round(half / pitch) + 2):
        x = number * pitch
        tall = top - (0.012 if number % 6 == 0 else 0.0)
        wide = 0.0155 if number % 6 == 0 else 0.0115
        picket = [(x - wide, bottom), (x - wide, tall + 0.018), (x, tall), (x + wide, tall + 0.018), (x + wide, bottom)]
        canvas.polygon([(a + 0.004, b) for a, b in picket], 0.34)
        canvas.polygon(picket, rough(column(0.70, 0.98, x - wide, x + wide), 0.03, 0.012, 171))
        for y in (top + 0.0415, bottom - 0.0285):
            canvas.disc((x, y), 0.0022, 0.3)
