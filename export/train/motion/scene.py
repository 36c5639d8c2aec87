"""Drawn motion: photographs as ground and as shapes that move over it, with the grain and flicker of film."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from fastrestore.export.train.degrade import LUMA
from fastrestore.export.train.resize import Bytes, Floats, to_bytes

Doubles = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

PATCH_PX = 256
"""Side of a triplet's pictures."""
SCENE_PX = 352
"""Side of the scene that they are cut from."""
ROOM_PX = 80
"""How much more of the ground there is on every side."""
SPEEDS = (0.15, 0.4, 1.0, 1.6)
SPEED_SHARES = (0.25, 0.3, 0.3, 0.15)
MOST_SHAPES = 3


class _Path(NamedTuple):
    """Turn, growth and way from the left picture to the right one."""

    turn: float
    """Radians."""
    growth: float
    way: Doubles
    """`(2,)`, px, x and y."""

    def matrix(self, u: float, centre: Doubles) -> Doubles:
        """Return the `(2, 3)` affine matrix at `u` between the pictures, 0 being where nothing has moved."""
        scale = self.growth**u
        cos, sin = scale * np.cos(self.turn * u), scale * np.sin(self.turn * u)
        linear = np.asarray([[cos, -sin], [sin, cos]])
        return np.column_stack([linear, centre - linear @ centre + self.way * u])


class _Shape(NamedTuple):
    """Something that moves over the ground."""

    picture: Floats
    cover: Floats
    centre: Doubles
    path: _Path


def drawn_triplet(stills: Sequence[Bytes], rng: np.random.Generator) -> tuple[Bytes, Bytes, Bytes, float]:
    """Draw two frames and the one between: `(P, P, 3)` uint8 RGB each, and the instant of the one between.

    The neighbours have grain, coding artefacts and flicker, each sometimes; the frame between is what a film without
    them would show, at the brightness that lies between.
    """
    t = 0.5 if rng.random() < 0.7 else float(rng.choice([0.2, 0.4, 0.6, 0.8]))
    speed = float(rng.choice(SPEEDS, p=SPEED_SHARES))
    ground, ground_path = _texture(stills, rng), _path(rng, 0.7 * speed)
    shapes = [_shape(stills, rng, 1.5 * speed) for _ in range(int(rng.integers(MOST_SHAPES + 1)))]
    flicker = float(rng.choice([0.0, 0.0, 0.03, 0.08]))
    first, last = (1.0 + rng.normal(0.0, flicker) for _ in range(2))
    grey, film = rng.random() < 0.4, _Film(rng)
    frames = []
    for u, gain in ((-t, first), (0.0, (1.0 - t) * first + t * last), (1.0 - t, last)):
        scene = gain * _rendered(ground, ground_path, shapes, u)
        if grey:
            scene = np.repeat((scene @ LUMA)[..., None], 3, axis=2)
        frames.append(to_bytes(scene) if u == 0.0 else film.exposed(scene, rng))
    rim = (SCENE_PX - PATCH_PX) // 2
    left, middle, right = (frame[rim:-rim, rim:-rim] for frame in frames)
    return left, middle, right, t


class _Film:
    """What a neighbour's frame suffers: grain, and coding."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._grain = float(rng.choice([0.0, 0.0, 2.0, 5.0, 9.0]))
        self._grain_px = float(rng.uniform(0.4, 1.0))
        self._quality = int(rng.integers(40, 95)) if rng.random() < 0.5 else None

    def exposed(self, scene: Floats, rng: np.random.Generator) -> Bytes:
        """Return a scene, `(H, W, 3)` in `[0, 255]`, as the film shows it."""
        if self._grain:
            noise = cv2.GaussianBlur(rng.normal(0.0, 1.0, scene.shape[:2]).astype(np.float32), (0, 0), self._grain_px)
            scene = scene + (noise * (self._grain / noise.std()))[..., None]
        frame = to_bytes(scene)
        if self._quality is None:
            return frame
        stored = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
        coded = cv2.imdecode(stored, cv2.IMREAD_COLOR)
        assert coded is not None  # it was encoded just now
        return np.asarray(coded[..., ::-1], np.uint8)


def _path(rng: np.random.Generator, speed: float) -> _Path:
    turn, growth = rng.normal(0.0, 0.02 * speed, size=2)
    return _Path(float(turn), float(1.0 + growth), rng.normal(0.0, 8.0 * speed, size=2))


def _texture(stills: Sequence[Bytes], rng: np.random.Generator) -> Floats:
    """Cut a part of a photograph, 1 to 2.5 px of it per pixel: `(S, S, 3)`, with room for motion."""
    still, side = stills[int(rng.integers(len(stills)))], SCENE_PX + 2 * ROOM_PX
    cut = min(int(side / rng.uniform(0.4, 1.1)), *still.shape[:2])
    y, x = (int(rng.integers(length - cut + 1)) for length in still.shape[:2])
    part = cv2.resize(still[y : y + cut, x : x + cut], (side, side), interpolation=cv2.INTER_AREA)
    return part.astype(np.float32)


def _shape(stills: Sequence[Bytes], rng: np.random.Generator, speed: float) -> _Shape:
    """Draw a blob with the texture of a photograph; its edge is sharp, or soft as out of focus."""
    centre = rng.uniform(40.0, SCENE_PX - 40.0, size=2)
    y, x = np.mgrid[0:SCENE_PX, 0:SCENE_PX].astype(np.float32)
    angle, distance = np.arctan2(y - centre[1], x - centre[0]), np.hypot(y - centre[1], x - centre[0])
    waves = sum(rng.uniform(0.0, 0.25) * np.cos(k * angle + rng.uniform(0.0, 2 * np.pi)) for k in range(1, 6))
    softness = float(rng.choice([0.7, 1.5, 4.0], p=[0.6, 0.3, 0.1]))
    cover = np.clip((rng.uniform(25.0, 90.0) * (1.0 + waves) - distance) / softness + 0.5, 0.0, 1.0)
    inside = np.s_[ROOM_PX:-ROOM_PX, ROOM_PX:-ROOM_PX]
    return _Shape(_texture(stills, rng)[inside], cover.astype(np.float32), centre, _path(rng, speed))


def _rendered(ground: Floats, path: _Path, shapes: Sequence[_Shape], u: float) -> Floats:
    """Return the scene at `u`: `(S, S, 3)`, float32, about `[0, 255]`."""
    middle = np.full(2, SCENE_PX / 2 + ROOM_PX)
    matrix = path.matrix(u, middle)
    matrix[:, 2] -= ROOM_PX
    scene = _moved(ground, matrix)
    for shape in shapes:
        matrix = shape.path.matrix(u, shape.centre)
        cover = cv2.warpAffine(shape.cover, matrix, (SCENE_PX, SCENE_PX))[..., None]
        scene = scene + cover * (_moved(shape.picture, matrix) - scene)
    return scene


def _moved(picture: Floats, matrix: Doubles) -> Floats:
    size = (SCENE_PX, SCENE_PX)
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)
