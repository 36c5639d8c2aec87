"""Second shot: a fairground. A wheel and a carousel turn, a flag flutters, a child runs a hoop along behind a fence."""

import math
from functools import lru_cache

from fastrestore.demo import fair_items as items
from fastrestore.demo.canvas import Canvas, sheet_scale
from fastrestore.demo.figures import bystander, child, lady
from fastrestore.demo.sky import sky, tree
from fastrestore.demo.textures import planks, rough, setts, vertical

FAIR_START_S = 3.25
_PAN = 0.10
_TREES, _WHEEL, _CAROUSEL, _BOOTH, _FENCE = 0.3, 0.55, 0.75, 0.88, 1.0
_RUN_START, _RUN_SPEED, _RUN_Y = -0.62, 0.33, 0.862
_HOOP_RADIUS = 0.066


def draw_fair(time_s: float, size: tuple[int, int]) -> Canvas:
    """Draw the shot ``time_s`` seconds into the film; ``size`` is (width, height) in pixels."""
    width, height = size
    wide = width / height
    pan = _PAN * ((time_s - FAIR_START_S) / 2.75 - 0.5)
    frame = Canvas.opaque(size, 0.0)
    frame.moved(-0.05 * pan).place(sky(height, wide + 0.1, 8))
    items.balloon(frame.moved(-0.1 * pan), (-0.08 + 0.012 * time_s, 0.17 - 0.008 * time_s), 0.062)
    frame.moved(-_TREES * pan).place(_trees(height, wide))
    items.big_wheel(frame.moved(-_WHEEL * pan), (0.27, 0.372), 0.29, 0.42 * time_s)
    _carousel(frame.moved(-_CAROUSEL * pan), time_s, height)
    frame.moved(-_BOOTH * pan).place(_booths(height, wide))
    _crowd(frame.moved(-_BOOTH * pan), time_s)
    near = frame.moved(-_FENCE * pan)
    near.place(_ground(height, wide))
    _run(near, time_s - FAIR_START_S)
    near.place(_fence(height, wide))
    return frame


def _carousel(canvas: Canvas, time_s: float, height: int) -> None:
    place = canvas.moved(-0.315, 0.0)
    items.carousel_floor(place)
    items.horses(place, 0.62 * time_s)
    place.place(_tent(height))
    items.flag(place, (0.0, 0.095), time_s)
    items.bunting(canvas, (-0.315, 0.115), (0.52, 0.465), time_s)


def _crowd(canvas: Canvas, time_s: float) -> None:
    bystander(canvas, (0.06, 0.765), 0.225, 0.16, "top")
    lady(canvas, (0.155, 0.768), 0.21, 0.45 * math.sin(time_s * 4.4), 0.4)
    bystander(canvas, (0.33, 0.764), 0.215, 0.26, "flat")


def _run(near: Canvas, since_cut_s: float) -> None:
    run = _RUN_SPEED * since_cut_s
    x = _RUN_START + run
    hoop_x, hoop_y = x + 0.155, _RUN_Y - _HOOP_RADIUS + 0.003
    near.ellipse((x + 0.03, _RUN_Y + 0.004), (0.13, 0.010), 0.28)
    near.wheel((hoop_x, hoop_y), (_HOOP_RADIUS, _HOOP_RADIUS - 0.009), (4, 0.0035), run / _HOOP_RADIUS, 0.14)
    near.disc((hoop_x, hoop_y), _HOOP_RADIUS - 0.002, 0.7, _HOOP_RADIUS - 0.0045)
    child(near, (x, _RUN_Y), 0.27, run)


@lru_cache(maxsize=4)
def _trees(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.1
    canvas = Canvas.clear((-half, 0.25, half, 0.80), sheet_scale(height))
    hills = [
        (-2.0, 0.80),
        *((x / 10, 0.55 + 0.035 * math.sin(x * 0.9) + 0.02 * math.sin(x * 0.37)) for x in range(-20, 21)),
        (2.0, 0.80),
    ]
    canvas.polygon(hills, rough(vertical(0.80, 0.66, 0.52, 0.75), 0.05, 0.03, 111, 2.0))
    for number, x in enumerate((-1.1, -0.86, -0.70, -0.52, 0.0, 0.08, 0.47, 0.60, 0.72, 0.9, 1.15)):
        tree(canvas, (x, 0.72), 0.25 + 0.035 * ((number * 3) % 4), 0.50, 120 + number)
    canvas.rect(-3, 0.69, 3, 0.80, rough(vertical(0.70, 0.60, 0.69, 0.78), 0.07, 0.012, 131, 2.5))
    return canvas


@lru_cache(maxsize=4)
def _tent(height: int) -> Canvas:
    canvas = Canvas.clear((-0.37, 0.07, 0.37, 0.76), sheet_scale(height))
    items.tent(canvas)
    return canvas


@lru_cache(maxsize=4)
def _booths(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.12
    canvas = Canvas.clear((-half, 0.28, half, 0.88), sheet_scale(height))
    canvas.rect(-3, 0.755, 3, 0.88, rough(vertical(0.66, 0.72, 0.755, 0.86), 0.07, 0.012, 133, 2.5))
    items.booth(canvas, (0.505, 0.757))
    return canvas


@lru_cache(maxsize=4)
def _ground(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.12
    canvas = Canvas.clear((-half, 0.80, half, 1.0), sheet_scale(height))
    canvas.rect(-3, 0.825, 3, 0.90, rough(vertical(0.60, 0.74, 0.825, 0.87), 0.06, 0.01, 135, 2.5))
    canvas.rect(-3, 0.895, 3, 1.0, rough(setts(0.60, 0.895, 1.0, 6, 137), 0.045, 0.011, 139))
    canvas.rect(-3, 0.884, 3, 0.898, rough(planks(0.78, 0.09, 0.3, 141), 0.03, 0.01, 143))
    canvas.rect(-3, 0.896, 3, 0.900, 0.26)
    return canvas


@lru_cache(maxsize=4)
def _fence(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.12
    canvas = Canvas.clear((-half, 0.70, half, 0.90), sheet_scale(height))
    items.fence(canvas, 0.735, 0.886, half)
    return canvas
