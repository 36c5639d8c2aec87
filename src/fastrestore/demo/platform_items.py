"""The fixed things of the station: houses, windows, canopy, lamp posts, luggage."""

import itertools
import math

import numpy as np

from fastrestore.demo.canvas import Canvas, Point
from fastrestore.demo.textures import bricks, column, planks, rough, vertical


def house(canvas: Canvas, corner: Point, width: float, tone: float, rng: np.random.Generator) -> None:
    """Draw a distant house from its upper left ``corner`` down to the ground, with a roof and rows of windows."""
    x, y = corner
    kind = int(rng.integers(3))
    ridge = y - float(rng.uniform(0.03, 0.06))
    for at in rng.uniform(0.15, 0.85, 2):
        stack = x + width * float(at)
        canvas.rect(stack - 0.008, ridge - 0.012, stack + 0.008, y, vertical(tone - 0.08, tone - 0.2, ridge, y))
        canvas.rect(stack - 0.010, ridge - 0.016, stack + 0.010, ridge - 0.010, tone - 0.22)
    roofs = (
        [(x - 0.004, y), (x + width / 2, ridge - 0.02), (x + width + 0.004, y)],
        [(x - 0.004, y), (x + 0.02, ridge), (x + width - 0.02, ridge), (x + width + 0.004, y)],
        [(x, y), (x, ridge + 0.03), (x + width, ridge + 0.03), (x + width, y)],
    )
    canvas.polygon(roofs[kind], rough(tone - 0.15, 0.03, 0.012, 81))
    canvas.rect(x, y, x + width, 0.74, rough(vertical(tone, tone + 0.10, y, 0.7), 0.02, 0.02, 83))
    canvas.rect(x, y, x + 0.004, 0.74, tone - 0.12)
    canvas.rect(x - 0.003, y - 0.003, x + width + 0.003, y + 0.005, tone + 0.14)
    count = max(2, int(width / 0.028))
    for row in range(6):
        for number in range(count):
            left = x + width * (number + 0.5) / count - 0.006
            top = y + 0.022 + row * 0.045
            canvas.rect(left - 0.0025, top - 0.0025, left + 0.0145, top + 0.026, tone + 0.13)
            canvas.rect(left, top, left + 0.012, top + 0.022, tone - 0.22)
            canvas.rect(left + 0.0052, top, left + 0.0068, top + 0.022, tone + 0.05)


def steeple(canvas: Canvas, x: float, tone: float) -> None:
    """Draw a church tower with spire and belfry."""
    canvas.rect(
        x - 0.04, 0.27, x + 0.04, 0.74, rough(column(tone - 0.12, tone + 0.10, x - 0.04, x + 0.04), 0.02, 0.01, 85)
    )
    canvas.polygon(
        [(x - 0.047, 0.272), (x, 0.115), (x + 0.047, 0.272)],
        rough(column(tone - 0.25, tone, x - 0.05, x + 0.05), 0.02, 0.01, 87),
    )
    canvas.rect(x - 0.046, 0.268, x + 0.046, 0.277, tone + 0.15)
    for left in (x - 0.024, x + 0.006):
        canvas.rect(left, 0.30, left + 0.017, 0.345, tone - 0.28)
        canvas.disc((left + 0.0085, 0.30), 0.0085, tone - 0.28)


def chimney(canvas: Canvas, x: float, top: float) -> None:
    """Draw a brick chimney with two pots."""
    canvas.rect(x - 0.028, top, x + 0.028, 0.24, rough(bricks(0.40, 0.019, 0.0095, 0.18, 0.05, 89), 0.03, 0.03, 91))
    canvas.rect(x - 0.034, top - 0.004, x + 0.034, top + 0.008, vertical(0.75, 0.35, top - 0.004, top + 0.008))
    for pot in (x - 0.014, x + 0.014):
        canvas.rect(pot - 0.008, top - 0.026, pot + 0.008, top - 0.004, column(0.25, 0.7, pot - 0.008, pot + 0.008))


def board(canvas: Canvas, centre: Point, size: Point, words: str, letters: float) -> None:
    """Draw an enamel sign with a double frame."""
    (x, y), (width, height) = centre, size
    for inset, tone in ((0.0, 0.10), (0.004, 0.93), (0.0075, 0.15), (0.0095, 0.93)):
        across, down = width / 2 - inset, height / 2 - inset
        canvas.rect(x - across, y - down, x + across, y + down, tone)
    canvas.text(words, centre, letters, 0.06, width * 0.86)


def arched_window(canvas: Canvas, x: float, top: float, width: float, height: float) -> None:
    """Draw a round-headed window with a stone surround and glazing bars; ``top`` is where the arch springs."""
    half = width / 2
    for grow, paint in ((0.009, 0.76), (0.0, vertical(0.14, 0.34, top - half, top + height))):
        canvas.disc((x, top), half + grow, paint)
        canvas.rect(x - half - grow, top, x + half + grow, top + height + grow / 2, paint)
    canvas.rect(
        x - half - 0.012,
        top + height,
        x + half + 0.012,
        top + height + 0.008,
        vertical(0.9, 0.55, top + height, top + height + 0.008),
    )
    canvas.rect(x - 0.0022, top - half, x + 0.0022, top + height, 0.85)
    for y in (top, top + height / 2):
        canvas.rect(x - half, y - 0.002, x + half, y + 0.002, 0.85)
    canvas.disc((x, top), half + 0.001, 0.85, half - 0.004)


def door(canvas: Canvas, x: float, top: float) -> None:
    """Draw a panelled double door under a fanlight."""
    canvas.disc((x, top), 0.046, 0.76)
    canvas.rect(x - 0.046, top, x + 0.046, 0.672, 0.76)
    canvas.disc((x, top), 0.037, vertical(0.2, 0.4, top - 0.04, top))
    for spoke in range(1, 6):
        angle = spoke * math.pi / 6
        canvas.line((x, top), (x - 0.036 * math.cos(angle), top - 0.036 * math.sin(angle)), 0.003, 0.85)
    canvas.rect(x - 0.037, top, x + 0.037, 0.672, planks(0.24, 0.0125, 0.08, 93))
    canvas.rect(x - 0.0015, top, x + 0.0015, 0.672, 0.06)
    canvas.rect(x - 0.040, top - 0.003, x + 0.040, top + 0.004, 0.85)


def canopy(canvas: Canvas, left: float, right: float) -> None:
    """Draw the platform roof: posts with brackets, sloping boards, a scalloped edge."""
    y = 0.425
    for x in np.linspace(left + 0.03, right - 0.03, 5):
        at = float(x)
        canvas.rect(at - 0.006, y, at + 0.006, 0.672, column(0.10, 0.5, at - 0.006, at + 0.006))
        canvas.rect(at - 0.010, 0.655, at + 0.010, 0.672, 0.16)
        canvas.rect(at - 0.010, 0.472, at + 0.010, 0.479, 0.3)
        for side in (-1, 1):
            bend = [
                (at + side * (0.005 + 0.036 * (1 - math.cos(a * 0.31))), 0.474 - 0.046 * math.sin(a * 0.31))
                for a in range(6)
            ]
            canvas.path(bend, 0.005, 0.14)
    slope = [(left + 0.025, 0.385), (right - 0.025, 0.385), (right, y), (left, y)]
    canvas.polygon(slope, rough(planks(0.46, 0.018, 0.16, 95), 0.03, 0.01, 97))
    canvas.rect(left - 0.004, y - 0.004, right + 0.004, y + 0.010, vertical(0.92, 0.7, y - 0.004, y + 0.010))
    count = round((right - left) / 0.021)
    for number in range(count):
        x0 = left + (right - left) * number / count
        width = (right - left) / count
        canvas.polygon(
            [
                (x0, y + 0.009),
                (x0 + width, y + 0.009),
                (x0 + width, y + 0.016),
                (x0 + width / 2, y + 0.030),
                (x0, y + 0.016),
            ],
            0.86,
        )
        canvas.disc((x0 + width / 2, y + 0.015), 0.0035, 0.25)
    board(canvas, (0.085, 0.404), (0.60, 0.032), "GRAND JUNCTION RAILWAY  ESTABLISHED 1896", 0.0135)


def telegraph(canvas: Canvas, places: tuple[float, ...]) -> None:
    """Draw telegraph poles with cross arms, joined by sagging wires."""
    ordered = sorted(places)
    for arm, y in enumerate((0.155, 0.19)):
        for first, second in itertools.pairwise(ordered):
            for side in (-0.026, 0.026):
                wire = [
                    (first + side + (second - first) * s / 14, y - 0.01 + (0.05 + 0.01 * arm) * (1 - (s / 7 - 1) ** 2))
                    for s in range(15)
                ]
                canvas.path(wire, 0.0022, 0.4)
    for x in ordered:
        canvas.rect(x - 0.0075, 0.125, x + 0.0075, 0.69, column(0.12, 0.42, x - 0.0075, x + 0.0075))
        for y in (0.155, 0.19):
            canvas.rect(x - 0.038, y - 0.004, x + 0.038, y + 0.004, 0.16)
            for side in (-0.026, 0.026):
                canvas.rect(x + side - 0.004, y - 0.015, x + side + 0.004, y - 0.003, 0.85)


def crates(canvas: Canvas, foot: Point) -> None:
    """Draw a stack of crates and a barrel."""
    x, y = foot
    for dx, dy, side in ((0.0, 0.0, 0.058), (0.062, 0.0, 0.05), (0.02, -0.06, 0.046)):
        left, top = x + dx, y + dy - side
        canvas.rect(
            left, top, left + side, top + side, rough(planks(0.56, 0.011, 0.2, 101, upright=False), 0.04, 0.008, 103)
        )
        canvas.rect(left, top, left + 0.006, top + side, 0.36)
        canvas.rect(left + side - 0.006, top, left + side, top + side, 0.3)
        canvas.line((left + 0.006, top + 0.004), (left + side - 0.006, top + side - 0.004), 0.006, 0.4)
    shade = column(0.16, 0.62, x - 0.062, x - 0.008)
    canvas.ellipse((x - 0.035, y - 0.036), (0.03, 0.05), shade)
    for hoop in (-0.058, -0.04, -0.018):
        canvas.rect(x - 0.063, y + hoop, x - 0.007, y + hoop + 0.005, 0.14)


def trolley(canvas: Canvas, foot: Point) -> None:
    """Draw a luggage trolley with trunks."""
    x, y = foot
    canvas.ellipse((x, y + 0.004), (0.13, 0.011), 0.2)
    for left, top, wide, tall, tone in (
        (-0.10, -0.15, 0.10, 0.085, 0.34),
        (0.005, -0.135, 0.085, 0.07, 0.5),
        (-0.07, -0.20, 0.09, 0.05, 0.6),
    ):
        x0, y0 = x + left, y + top
        canvas.rect(
            x0, y0, x0 + wide, y0 + tall, rough(vertical(tone + 0.1, tone - 0.12, y0, y0 + tall), 0.05, 0.008, 105)
        )
        canvas.rect(x0, y0 + tall * 0.3, x0 + wide, y0 + tall * 0.36, tone * 0.35)
        for strap in (0.2, 0.75):
            canvas.rect(x0 + wide * strap, y0, x0 + wide * strap + 0.008, y0 + tall, tone * 0.45)
        canvas.rect(x0 + wide * 0.47, y0 + tall * 0.26, x0 + wide * 0.56, y0 + tall * 0.46, 0.9)
    canvas.rect(x - 0.115, y - 0.066, x + 0.115, y - 0.056, vertical(0.5, 0.12, y - 0.066, y - 0.056))
    canvas.line((x + 0.11, y - 0.06), (x + 0.15, y - 0.17), 0.008, 0.14)
    for at in (x - 0.07, x + 0.07):
        canvas.wheel((at, y - 0.03), (0.031, 0.024), (8, 0.005), 0.3, 0.1)
        canvas.disc((at, y - 0.03), 0.007, 0.5)


def lamp(canvas: Canvas, foot: Point, height: float) -> None:
    """Draw a cast-iron gas lamp."""
    x, y = foot
    top = y - height
    canvas.ellipse((x, y), (0.045, 0.010), 0.14)
    for half, upper, lower in (
        (0.030, 0.02, 0.0),
        (0.022, 0.11, 0.018),
        (0.0115, height - 0.11, 0.10),
        (0.017, 0.125, 0.113),
    ):
        canvas.rect(x - half, y - upper, x + half, y - lower, column(0.05, 0.50, x - half, x + half))
    for at in (0.30, 0.46):
        canvas.rect(x - 0.016, y - at - 0.012, x + 0.016, y - at, column(0.08, 0.6, x - 0.016, x + 0.016))
    canvas.line((x - 0.05, top + 0.125), (x + 0.05, top + 0.125), 0.009, 0.1)
    canvas.polygon(
        [(x - 0.022, top + 0.11), (x - 0.043, top + 0.03), (x + 0.043, top + 0.03), (x + 0.022, top + 0.11)], 0.08
    )
    canvas.polygon(
        [(x - 0.018, top + 0.104), (x - 0.036, top + 0.035), (x - 0.003, top + 0.035), (x - 0.003, top + 0.104)],
        vertical(0.95, 0.72, top, top + 0.11),
    )
    canvas.polygon(
        [(x + 0.003, top + 0.104), (x + 0.003, top + 0.035), (x + 0.036, top + 0.035), (x + 0.018, top + 0.104)],
        vertical(0.85, 0.6, top, top + 0.11),
    )
    canvas.polygon(
        [(x - 0.05, top + 0.032), (x - 0.016, top), (x + 0.016, top), (x + 0.05, top + 0.032)],
        column(0.05, 0.45, x - 0.05, x + 0.05),
    )
    canvas.disc((x, top - 0.008), 0.009, 0.12)
