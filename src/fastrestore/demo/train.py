"""The locomotive with its tender and carriages: fixed bodies as cached sheets, wheels and rods drawn at their angle."""

import math
from functools import lru_cache

from fastrestore.demo.canvas import Canvas, Point, sheet_scale
from fastrestore.demo.textures import barrel, column, planks, rough, vertical

DRIVER_RADIUS = 0.062
CRANK = 0.026
CHIMNEY: Point = (-0.0825, -0.315)
"""The mouth of the chimney, seen from the foot of the front buffer on the rail."""
DOME: Point = (-0.262, -0.275)
"""The whistle on the cab-side dome, seen from the same point."""
CYLINDER: Point = (-0.05, -0.06)

_DRIVERS = (-0.315, -0.178)
_BOGIE = (-0.118, -0.045)
_TENDER = (-0.715, -0.625, -0.54)
_CARRIAGES = (-1.27, -1.83)
_CARRIAGE_LENGTH = 0.53


def draw_train(canvas: Canvas, travelled: float, height: int) -> None:
    """Draw the train with its front buffer at ``x = 0`` and the rail at ``y = 0``, having ``travelled`` so far."""
    for left in _CARRIAGES:
        canvas.moved(left).place(_carriage(height))
        for x in (0.07, 0.13, 0.40, 0.46):
            _wheel(canvas, left + x, 0.028, travelled, 6)
    for x in _TENDER:
        _wheel(canvas, x, 0.034, travelled, 8)
    for x in _BOGIE:
        _wheel(canvas, x, 0.03, travelled, 8)
    for x in _DRIVERS:
        _driver(canvas, x, travelled)
    canvas.place(_engine(height))
    _rods(canvas, travelled)


def _wheel(canvas: Canvas, x: float, radius: float, travelled: float, spokes: int) -> None:
    centre = (x, -radius)
    canvas.disc(centre, radius * 0.9, 0.2)
    canvas.wheel(centre, (radius, radius * 0.80), (spokes, radius * 0.14), travelled / radius, 0.07)
    canvas.disc(centre, radius * 0.92, 0.5, radius * 0.84)
    canvas.disc(centre, radius * 0.24, 0.42)
    canvas.disc(centre, radius * 0.12, 0.1)


def _driver(canvas: Canvas, x: float, travelled: float) -> None:
    radius, angle = DRIVER_RADIUS, travelled / DRIVER_RADIUS
    centre = (x, -radius)
    canvas.disc(centre, radius * 0.9, 0.3)
    canvas.wheel(centre, (radius, radius * 0.84), (10, 0.0062), angle, 0.06)
    canvas.disc(centre, radius * 0.935, 0.6, radius * 0.885)
    weight = [
        (
            x + radius * 0.86 * math.cos(angle + math.pi + a),
            -radius + radius * 0.86 * math.sin(angle + math.pi + a),
        )
        for a in (-0.65, -0.4, -0.2, 0.0, 0.2, 0.4, 0.65)
    ]
    canvas.polygon(weight, 0.1)
    canvas.disc(centre, radius * 0.2, 0.5)
    canvas.disc(centre, radius * 0.1, 0.12)


def _crank(x: float, travelled: float) -> Point:
    angle = travelled / DRIVER_RADIUS
    return x + CRANK * math.cos(angle), -DRIVER_RADIUS + CRANK * math.sin(angle)


def _rods(canvas: Canvas, travelled: float) -> None:
    pins = [_crank(x, travelled) for x in _DRIVERS]
    reach = 0.105
    slide_y = CYLINDER[1]
    crosshead = (pins[1][0] + math.sqrt(reach**2 - (slide_y - pins[1][1]) ** 2), slide_y)
    canvas.line((-0.15, slide_y - 0.012), (-0.08, slide_y - 0.012), 0.005, 0.55)
    canvas.line((-0.15, slide_y + 0.012), (-0.08, slide_y + 0.012), 0.005, 0.55)
    canvas.line(crosshead, (-0.06, slide_y), 0.006, 0.8)
    canvas.rect(crosshead[0] - 0.01, slide_y - 0.012, crosshead[0] + 0.008, slide_y + 0.012, 0.45)
    canvas.line(pins[1], crosshead, 0.0135, 0.12)
    canvas.line(pins[1], crosshead, 0.008, 0.74)
    canvas.line(pins[0], pins[1], 0.0145, 0.1)
    canvas.line(pins[0], pins[1], 0.009, 0.82)
    for pin in pins:
        canvas.disc(pin, 0.0105, 0.14)
        canvas.disc(pin, 0.0065, 0.75)
    canvas.rect(-0.085, slide_y - 0.022, -0.022, slide_y + 0.02, barrel(0.12, 0.6, slide_y - 0.022, slide_y + 0.02))
    canvas.rect(-0.088, slide_y - 0.024, -0.080, slide_y + 0.022, 0.4)
    canvas.rect(-0.027, slide_y - 0.024, -0.019, slide_y + 0.022, 0.4)


@lru_cache(maxsize=4)
def _engine(height: int) -> Canvas:
    canvas = Canvas.clear((-0.77, -0.34, 0.04, 0.02), sheet_scale(height))
    _tender_body(canvas)
    _frame(canvas)
    _boiler(canvas)
    _cab(canvas)
    return canvas


def _frame(canvas: Canvas) -> None:
    canvas.rect(-0.475, -0.112, -0.015, -0.099, vertical(0.42, 0.14, -0.112, -0.099))
    canvas.rect(-0.475, -0.099, -0.02, -0.094, 0.08)
    for x in _DRIVERS:
        arch = [
            (x + 0.075 * math.cos(a / 16 * math.pi), -0.098 - 0.030 * math.sin(a / 16 * math.pi)) for a in range(17)
        ]
        canvas.polygon(arch, rough(vertical(0.36, 0.2, -0.13, -0.095), 0.02, 0.01, 3))
        canvas.path(arch, 0.004, 0.62)
    canvas.rect(-0.03, -0.105, 0.0, -0.045, vertical(0.34, 0.12, -0.105, -0.045))
    canvas.rect(-0.004, -0.083, 0.014, -0.067, barrel(0.12, 0.7, -0.083, -0.067))
    canvas.line((0.014, -0.094), (0.014, -0.056), 0.008, 0.22)
    canvas.line((-0.012, -0.050), (0.012, -0.012), 0.007, 0.14)
    canvas.line((-0.33, -0.083), (-0.16, -0.083), 0.01, 0.1)


def _boiler(canvas: Canvas) -> None:
    top, bottom = -0.225, -0.112
    canvas.rect(-0.385, top, -0.10, bottom, rough(barrel(0.13, 0.66, top, bottom), 0.02, 0.006, 5, 6.0))
    for x in (-0.33, -0.275, -0.225, -0.165, -0.118):
        canvas.rect(x, top, x + 0.005, bottom, barrel(0.3, 0.92, top, bottom))
    canvas.rect(-0.118, top - 0.006, -0.04, bottom, barrel(0.07, 0.40, top, bottom))
    canvas.rect(-0.048, top - 0.008, -0.036, bottom + 0.002, barrel(0.16, 0.62, top, bottom))
    canvas.line((-0.37, -0.178), (-0.06, -0.178), 0.005, 0.85)
    for x in (-0.35, -0.25, -0.19, -0.09):
        canvas.disc((x, -0.178), 0.0052, 0.35)
    canvas.polygon(
        [(-0.098, -0.228), (-0.094, -0.285), (-0.071, -0.285), (-0.067, -0.228)],
        column(0.07, 0.5, -0.099, -0.066),
    )
    canvas.polygon(
        [(-0.096, -0.282), (-0.106, -0.313), (-0.059, -0.313), (-0.069, -0.282)],
        column(0.08, 0.62, -0.108, -0.057),
    )
    canvas.line((-0.106, -0.313), (-0.059, -0.313), 0.007, column(0.25, 0.95, -0.11, -0.055))
    _dome(canvas, -0.262, 0.026, 0.052)
    _dome(canvas, -0.165, 0.019, 0.036)
    canvas.rect(-0.213, -0.247, -0.209, -0.222, 0.2)
    canvas.polygon(
        [(-0.221, -0.232), (-0.217, -0.251), (-0.205, -0.251), (-0.201, -0.232)],
        column(0.3, 0.95, -0.222, -0.2),
    )
    canvas.rect(-0.043, -0.257, -0.021, -0.229, 0.12)
    canvas.disc((-0.026, -0.243), 0.0125, 0.95)
    canvas.disc((-0.026, -0.243), 0.0125, 0.3, 0.0095)


def _dome(canvas: Canvas, x: float, half: float, tall: float) -> None:
    shade = column(0.3, 0.97, x - half, x + half)
    canvas.ellipse((x, -0.222 - tall + half), (half, half), shade)
    canvas.rect(x - half, -0.222 - tall + half, x + half, -0.219, shade)
    canvas.rect(x - half - 0.006, -0.228, x + half + 0.006, -0.220, column(0.2, 0.8, x - half, x + half))


def _cab(canvas: Canvas) -> None:
    canvas.rect(-0.47, -0.285, -0.365, -0.105, rough(vertical(0.36, 0.22, -0.285, -0.105), 0.02, 0.01, 9))
    canvas.rect(-0.464, -0.176, -0.371, -0.116, 0.5)
    canvas.rect(-0.461, -0.173, -0.374, -0.119, 0.26)
    canvas.text("27", (-0.4175, -0.146), 0.034, 0.9)
    for left, right in ((-0.46, -0.421), (-0.412, -0.375)):
        canvas.rect(left - 0.003, -0.262, right + 0.003, -0.19, 0.6)
        canvas.rect(left, -0.259, right, -0.193, vertical(0.75, 0.92, -0.26, -0.19))
    canvas.ellipse((-0.395, -0.222), (0.011, 0.014), 0.6)
    canvas.ellipse((-0.396, -0.234), (0.015, 0.007), 0.08)
    canvas.polygon([(-0.411, -0.193), (-0.408, -0.207), (-0.382, -0.207), (-0.378, -0.193)], 0.15)
    roof = [(-0.495, -0.282), (-0.48, -0.296), (-0.42, -0.305), (-0.36, -0.297), (-0.345, -0.283)]
    canvas.polygon(roof, vertical(0.5, 0.1, -0.305, -0.282))
    canvas.line((-0.472, -0.11), (-0.472, -0.24), 0.004, 0.75)


def _tender_body(canvas: Canvas) -> None:
    coal = [(-0.735, -0.2)] + [
        (-0.73 + 0.0155 * i, -0.215 - 0.012 * ((i * 7) % 5) / 4 - 0.02 * math.sin(i / 15 * math.pi)) for i in range(16)
    ]
    canvas.polygon([*coal, (-0.50, -0.2)], rough(0.13, 0.12, 0.011, 21))
    canvas.rect(-0.75, -0.205, -0.49, -0.088, rough(vertical(0.36, 0.2, -0.205, -0.088), 0.02, 0.012, 11))
    canvas.rect(-0.754, -0.212, -0.486, -0.202, vertical(0.62, 0.2, -0.212, -0.202))
    for inset, tone in ((0.014, 0.62), (0.0175, 0.27)):
        canvas.rect(-0.75 + inset, -0.205 + inset, -0.49 - inset, -0.088 - inset, tone)
    canvas.text("G. J. R.", (-0.62, -0.147), 0.036, 0.9, 0.16)
    canvas.rect(-0.76, -0.09, -0.48, -0.076, vertical(0.36, 0.1, -0.09, -0.076))
    canvas.rect(-0.49, -0.10, -0.46, -0.088, 0.1)
    for x in _TENDER:
        canvas.rect(x - 0.014, -0.078, x + 0.014, -0.042, 0.13)
        canvas.disc((x, -0.034), 0.009, 0.4)


@lru_cache(maxsize=4)
def _carriage(height: int) -> Canvas:
    canvas = Canvas.clear((-0.03, -0.30, _CARRIAGE_LENGTH + 0.03, 0.01), sheet_scale(height))
    right = _CARRIAGE_LENGTH
    canvas.rect(0.0, -0.255, right, -0.07, rough(planks(0.40, 0.0125, 0.10, 31), 0.02, 0.01, 33))
    canvas.rect(0.0, -0.262, right, -0.252, 0.2)
    canvas.rect(-0.008, -0.075, right + 0.008, -0.058, vertical(0.3, 0.09, -0.075, -0.058))
    roof = [
        (-0.018, -0.262),
        (-0.008, -0.278),
        (0.03, -0.288),
        (right - 0.03, -0.288),
        (right + 0.008, -0.278),
        (right + 0.018, -0.262),
    ]
    canvas.polygon(roof, vertical(0.72, 0.25, -0.288, -0.262))
    for number in range(6):
        _compartment(canvas, 0.012 + number * 0.0855, number)
    canvas.rect(0.008, -0.139, right - 0.008, -0.133, 0.66)
    canvas.line((-0.025, -0.068), (right + 0.025, -0.068), 0.008, 0.12)
    return canvas


def _compartment(canvas: Canvas, x: float, number: int) -> None:
    canvas.rect(x, -0.243, x + 0.076, -0.152, 0.68)
    canvas.rect(x + 0.004, -0.239, x + 0.072, -0.156, 0.2)
    for left in (x + 0.007, x + 0.040):
        canvas.rect(left, -0.236, left + 0.029, -0.159, vertical(0.62, 0.32, -0.236, -0.159))
    if number % 3 != 1:
        head = (x + 0.024 + 0.03 * (number % 2), -0.186)
        canvas.ellipse(head, (0.0115, 0.014), 0.78)
        canvas.ellipse((head[0], head[1] - 0.012), (0.017, 0.008), 0.08)
        canvas.polygon(
            [
                (head[0] - 0.017, -0.159),
                (head[0] - 0.011, -0.173),
                (head[0] + 0.011, -0.173),
                (head[0] + 0.017, -0.159),
            ],
            0.12,
        )
    canvas.rect(x + 0.036, -0.243, x + 0.040, -0.075, 0.12)
    canvas.disc((x + 0.045, -0.146), 0.0035, 0.92)
