"""First shot: a train pulls into a station; a gentleman walks past a lamp post; the camera pans slowly right."""

import math
from functools import lru_cache

import numpy as np

from fastrestore.demo import platform_items as items
from fastrestore.demo.canvas import Canvas, Point, sheet_scale
from fastrestore.demo.figures import bystander, gentleman, lady
from fastrestore.demo.sky import plume, sky, tree
from fastrestore.demo.textures import bricks, planks, rough, setts, vertical
from fastrestore.demo.train import CHIMNEY, CYLINDER, DOME, draw_train

PAN_UNITS = 0.22
PAN_S = 3.25
WHISTLE_S = (0.75, 1.45)
"""From when to when the whistle blows."""
CHUFF_S = 0.125
"""Time between two puffs of smoke."""

_TRAIN_START, _TRAIN_SPEED, _TRAIN_BRAKE = -0.16, 0.33, 0.068
_RAIL_Y = 0.742
_CITY, _STATION, _TRACK, _PLATFORM = 0.3, 0.62, 0.9, 1.12
_WALK_START, _WALK_SPEED, _WALK_Y = 0.66, 0.215, 0.945
_LAMPS = (-0.50, 0.34)


def draw_station(time_s: float, size: tuple[int, int]) -> Canvas:
    """Draw the shot ``time_s`` seconds into the film; ``size`` is (width, height) in pixels."""
    width, height = size
    wide = width / height
    pan = PAN_UNITS * _eased(time_s / PAN_S)
    frame = Canvas.opaque(size, 0.0)
    frame.moved(-0.05 * pan).place(sky(height, wide + 0.1, 5))
    frame.moved(-_CITY * pan).place(_city(height, wide))
    station = frame.moved(-_STATION * pan)
    station.place(_building(height, wide))
    _clock(station, (0.085, 0.225), time_s)
    lady(station.moved(0.47, 0.672), (0, 0), 0.165, 0.55 * math.sin(time_s * 5.2), 0.34)
    _train(frame.moved(-_TRACK * pan), time_s, height, wide)
    platform = frame.moved(-_PLATFORM * pan)
    platform.place(_ground(height, wide))
    _stroll(platform, time_s)
    platform.place(_lamps(height))
    return frame


def train_front(time_s: float) -> float:
    """Return where the front buffer is on the track, in world units."""
    return _TRAIN_START + _TRAIN_SPEED * time_s - _TRAIN_BRAKE * time_s * abs(time_s) / 2


def _eased(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return 0.75 * share + 0.25 * share * share * (3 - 2 * share)


def _train(track: Canvas, time_s: float, height: int, wide: float) -> None:
    track.place(_rails(height, wide))
    front = train_front(time_s)
    plume(track, _smoke(time_s), 0.36, 0.97)
    track.ellipse((front - 0.9, _RAIL_Y - 0.004), (0.92, 0.013), 0.18)
    draw_train(track.moved(front, _RAIL_Y), front, height)
    plume(track, _steam(time_s), 0.80, 1.0)


def _smoke(time_s: float) -> list[tuple[Point, float, float, int, float]]:
    puffs = []
    newest = math.floor(time_s / CHUFF_S)
    for number in range(newest - 26, newest + 1):
        born = number * CHUFF_S
        age = time_s - born
        drift = -0.045 * age + 0.10 * (1 - math.exp(-1.2 * age))
        rise = 0.135 * (1 - math.exp(-2.2 * age)) + 0.035 * age
        place = (train_front(born) + CHIMNEY[0] + drift, _RAIL_Y + CHIMNEY[1] - rise)
        jitter = 0.012 * math.sin(number * 12.9898) * min(1.0, age * 2)
        strength = min(1.0, age * 8 + 0.2) * max(0.0, 1 - age / 3.3) ** 0.8 * 0.92
        puffs.append(((place[0] + jitter, place[1] + jitter * 0.7), 0.021 + 0.062 * age**0.62, age, number, strength))
    return puffs


def _steam(time_s: float) -> list[tuple[Point, float, float, int, float]]:
    puffs = []
    newest = math.floor(time_s / 0.07)
    for number in range(newest - 10, newest + 1):
        born = number * 0.07
        age = time_s - born
        fade = max(0.0, 1 - age / 0.75)
        at = train_front(born)
        if number % 4 == 0:
            place = (at + CYLINDER[0] + 0.02 - 0.02 * age, _RAIL_Y - 0.028 - 0.03 * age)
            puffs.append((place, 0.014 + 0.05 * age, age, number, 0.55 * fade))
        if WHISTLE_S[0] <= born <= WHISTLE_S[1]:
            place = (at + DOME[0] - 0.03 * age, _RAIL_Y + DOME[1] - 0.012 - 0.16 * age)
            puffs.append((place, 0.011 + 0.045 * age, age, number, 0.9 * fade))
    return puffs


def _stroll(platform: Canvas, time_s: float) -> None:
    walked = _WALK_SPEED * time_s
    x = _WALK_START - walked
    platform.ellipse((x + 0.01, _WALK_Y + 0.006), (0.095, 0.011), 0.20)
    gentleman(platform, (x, _WALK_Y), 0.385, walked)


def _clock(station: Canvas, centre: Point, time_s: float) -> None:
    x, y = centre
    station.disc(centre, 0.040, 0.18)
    station.disc(centre, 0.034, 0.95)
    for hour in range(12):
        angle = hour * math.pi / 6
        inner = 0.024 if hour % 3 == 0 else 0.027
        station.line(
            (x + inner * math.cos(angle), y + inner * math.sin(angle)),
            (x + 0.031 * math.cos(angle), y + 0.031 * math.sin(angle)),
            0.004 if hour % 3 == 0 else 0.0025,
            0.1,
        )
    for length, width, angle in ((0.017, 0.0055, 5.35), (0.027, 0.004, 2.2 + time_s * 0.35)):
        station.line(centre, (x + length * math.cos(angle), y + length * math.sin(angle)), width, 0.06)
    station.disc(centre, 0.004, 0.06)


@lru_cache(maxsize=4)
def _city(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.12
    canvas = Canvas.clear((-half, 0.10, half, 0.74), sheet_scale(height))
    rng = np.random.default_rng(17)
    items.steeple(canvas, -0.36, 0.70)
    x = -1.6
    while x < 1.7:
        wide_house = float(rng.uniform(0.075, 0.13))
        items.house(canvas, (x, float(rng.uniform(0.36, 0.45))), wide_house, float(rng.uniform(0.68, 0.77)), rng)
        x += wide_house * 0.97
    for number, at in enumerate((-0.66, -0.53, 0.52, 0.66, 0.83)):
        tree(canvas, (at, 0.70), 0.25 + 0.03 * (number % 3), 0.62, 60 + number)
    return canvas


@lru_cache(maxsize=4)
def _building(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.16
    canvas = Canvas.clear((-half, 0.02, half, 0.72), sheet_scale(height))
    items.telegraph(canvas, (-0.46, -1.05, 0.78, 1.4))
    canvas.rect(-2, 0.655, 2, 0.72, rough(vertical(0.52, 0.36, 0.655, 0.72), 0.05, 0.01, 41, 2.0))
    _facade(canvas)
    items.canopy(canvas, -0.34, 0.50)
    for x, tone, hat in ((-0.245, 0.16, "top"), (-0.17, 0.24, "flat"), (0.285, 0.15, "flat"), (0.375, 0.2, "top")):
        bystander(canvas, (x, 0.672), 0.18, tone, hat)
    lady(canvas, (-0.115, 0.672), 0.16, 2.6, 0.42)
    items.crates(canvas, (0.57, 0.672))
    canvas.rect(-2, 0.672, 2, 0.684, vertical(0.78, 0.6, 0.672, 0.684))
    canvas.rect(-2, 0.684, 2, 0.72, bricks(0.36, 0.022, 0.009, 0.16, 0.05, 43))
    return canvas


def _facade(canvas: Canvas) -> None:
    wall = rough(bricks(0.56, 0.021, 0.0105, 0.20, 0.06, 47), 0.035, 0.05, 49)
    left, right, eave = -0.29, 0.45, 0.285
    canvas.rect(left, eave, right, 0.672, wall)
    slate = rough(bricks(0.30, 0.016, 0.010, -0.10, 0.05, 51), 0.03, 0.04, 53)
    for x in (-0.20, 0.37):
        items.chimney(canvas, x, 0.135)
    canvas.polygon([(left - 0.02, eave), (left + 0.05, 0.185), (right - 0.05, 0.185), (right + 0.02, eave)], slate)
    canvas.polygon([(-0.055, eave), (0.085, 0.115), (0.225, eave)], wall)
    canvas.path([(-0.066, eave + 0.004), (0.085, 0.112), (0.236, eave + 0.004)], 0.014, 0.80)
    canvas.path([(-0.066, eave + 0.012), (0.085, 0.121), (0.236, eave + 0.012)], 0.005, 0.24)
    canvas.line((0.085, 0.115), (0.085, 0.075), 0.007, 0.2)
    canvas.rect(left - 0.022, eave - 0.004, right + 0.022, eave + 0.01, vertical(0.85, 0.42, eave, eave + 0.01))
    for x in (left + 0.006, right - 0.006):
        for row in range(13):
            reach = 0.017 if row % 2 else 0.011
            canvas.rect(x - reach, 0.297 + 0.029 * row, x + reach, 0.324 + 0.029 * row, rough(0.72, 0.04, 0.01, 55))
    items.board(canvas, (0.085, 0.334), (0.285, 0.058), "BELLEVUE", 0.036)
    for x in (-0.215, -0.135, 0.305, 0.385):
        items.arched_window(canvas, x, 0.312, 0.046, 0.075)
    for x in (-0.215, -0.12, 0.29, 0.385):
        items.arched_window(canvas, x, 0.49, 0.056, 0.12)
    items.door(canvas, 0.03, 0.47)
    items.door(canvas, 0.14, 0.47)


@lru_cache(maxsize=4)
def _rails(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.22
    canvas = Canvas.clear((-half, 0.70, half, 0.84), sheet_scale(height))
    canvas.rect(-3, 0.712, 3, 0.84, rough(vertical(0.60, 0.42, 0.71, 0.80), 0.13, 0.007, 61, 1.6))
    for number in range(-40, 41):
        x = number * 0.052
        canvas.polygon(
            [(x, 0.737), (x + 0.024, 0.737), (x + 0.027, 0.766), (x - 0.001, 0.766)], vertical(0.3, 0.17, 0.737, 0.766)
        )
    for y, tone in ((0.7405, 0.8), (0.757, 0.92)):
        canvas.rect(-3, y, 3, y + 0.0045, tone)
        canvas.rect(-3, y + 0.0045, 3, y + 0.0085, 0.15)
    return canvas


@lru_cache(maxsize=4)
def _ground(height: int, wide: float) -> Canvas:
    half = wide / 2 + 0.26
    canvas = Canvas.clear((-half, 0.66, half, 1.0), sheet_scale(height))
    canvas.rect(-3, 0.792, 3, 0.81, bricks(0.30, 0.03, 0.009, 0.10, 0.04, 71))
    canvas.rect(-3, 0.808, 3, 0.828, rough(planks(0.74, 0.085, 0.30, 73), 0.03, 0.012, 75, 2.0))
    canvas.rect(-3, 0.828, 3, 0.833, 0.24)
    canvas.rect(-3, 0.833, 3, 1.0, rough(setts(0.62, 0.833, 1.0, 8, 77), 0.045, 0.012, 79))
    items.trolley(canvas, (-0.16, 0.885))
    return canvas


@lru_cache(maxsize=4)
def _lamps(height: int) -> Canvas:
    canvas = Canvas.clear((_LAMPS[0] - 0.09, 0.30, _LAMPS[-1] + 0.09, 1.0), sheet_scale(height))
    for x in _LAMPS:
        items.lamp(canvas, (x, 0.972), 0.62)
    return canvas
