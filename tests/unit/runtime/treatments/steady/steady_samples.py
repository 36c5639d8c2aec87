"""Shots whose camera path is known: a drawn world seen through a shaking camera, and what age did to the print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import FORMATS, Colour, Matrix, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.steady.global_motion import Similarity
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Probe, Shot, Window

SIZE = Size(320, 240)
FPS = Fraction(16)
COLOUR = Colour(Matrix.SMPTE170M)
_MARGIN = 160


def world(seed: int = 0, size: Size = SIZE) -> NDArray[np.float32]:
    """Return a drawn world, larger than a frame by a margin on each side: `(H, W)` float32, 0 to 255."""
    rng = np.random.default_rng(seed)
    height, width = size.height + 2 * _MARGIN, size.width + 2 * _MARGIN
    noise = rng.normal(size=(height, width)).astype(np.float32)
    total = np.sum([cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 12.0)], axis=0)
    tone = np.asarray(118 + 22 * total / total.std(), np.float32)
    for _ in range(40):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = (int(v) for v in rng.integers(10, 50, 2))
        tone[y : y + h, x : x + w] += rng.uniform(-45, 45)
    return np.asarray(np.clip(cv2.GaussianBlur(tone, (0, 0), 0.7), 12, 235), np.float32)


def poses(places: NDArray[np.float64]) -> list[Similarity]:
    """Return the maps from the world's middle frame to each frame, of `(n, 4)` places: px, px, log scale, radians."""
    return [Similarity(complex(np.exp(s + 1j * a)), complex(x, y)) for x, y, s, a in places]


def seen(scene: NDArray[np.float32], pose: Similarity, size: Size = SIZE) -> NDArray[np.float32]:
    """Return what a camera sees of the world, `(H, W)` float32."""
    matrix = pose.inverse.matrix(size.width, size.height)
    matrix[:, 2] += _MARGIN
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(scene, matrix, (size.width, size.height), flags=flags), np.float32)


@dataclass(frozen=True)
class Damage:
    """What is wrong with the print besides its shake."""

    flicker: float = 0.0
    grain: float = 0.0
    specks: int = 0
    walker: bool = False
    """Whether something large walks through the picture."""


def damaged(frame: NDArray[np.float32], index: int, damage: Damage) -> NDArray[np.uint8]:
    """Return a frame as it is on the print."""
    rng = np.random.default_rng([index, 7])
    height, width = frame.shape
    frame = frame.copy()
    if damage.walker:
        x = int(width * (0.1 + 0.02 * index))
        body = np.random.default_rng(3).uniform(10, 200, (height // 2, width // 4)).astype(np.float32)
        body = cv2.GaussianBlur(body, (0, 0), 2) * 2 - 100
        part = frame[height // 3 : height // 3 + body.shape[0], x : x + body.shape[1]]
        part[:] = body[: part.shape[0], : part.shape[1]]
    frame *= np.float32(1 + damage.flicker * rng.uniform(-1, 1))
    for _ in range(damage.specks):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(frame, at, int(rng.integers(1, 5)), float(rng.choice([5.0, 245.0])), -1, cv2.LINE_AA)
    if damage.specks:
        cv2.line(frame, (width // 3, 0), (width // 3 + 2, height), 250.0, 1)
    if damage.grain:
        frame += cv2.GaussianBlur(rng.normal(size=frame.shape).astype(np.float32), (0, 0), 0.7) * 2.5 * damage.grain
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def weave(count: int, px: float, seed: int = 5, turn: float = 0.0) -> NDArray[np.float64]:
    """Return places of a shaking camera, `(n, 4)`: quick and slow weave of `px` RMS on either axis."""
    rng = np.random.default_rng(seed)
    places = np.zeros((count, 4))
    time = np.arange(count)
    for axis in (0, 1):
        quick = rng.normal(size=count)
        slow = np.sin(time * (0.9 - 0.25 * axis) + axis) * 1.0
        both = quick + slow
        places[:, axis] = px * (both - both.mean()) / both.std()
    places[:, 3] = turn * rng.normal(size=count)
    return places


def grey(luma: NDArray[np.uint8]) -> Picture:
    """Return luma as a picture."""
    return Picture((luma,), FORMATS["gray"], COLOUR)


def studied(pictures: Sequence[Picture], probes: Sequence[Probe], cuts: Sequence[int] = ()) -> Film:
    """Return a film with what the probes find in it."""
    ops, begins = open_ops(), [0, *cuts]
    previous = None
    found: dict[str, list[Sequence[float]]] = {probe.name: [] for probe in probes}
    for index, picture in enumerate(pictures):
        luma = ops.luma8(picture)
        glimpse = Glimpse(index, picture, luma, None if index in begins else previous)
        for probe in probes:
            found[probe.name].append(probe.look(glimpse))
        previous = luma
    ends = [*begins[1:], len(pictures)]
    shots = tuple(Shot(n, begin, end) for n, (begin, end) in enumerate(zip(begins, ends, strict=True)))
    info = StreamInfo(pictures[0].size, pictures[0].format, pictures[0].colour, FPS)
    pts = tuple(index / FPS for index in range(len(pictures)))
    return Film(info, pts, shots, {name: np.asarray(rows, np.float64) for name, rows in found.items()})


def window(film: Film, pictures: Sequence[Picture], index: int, radius: int) -> Window:
    """Return what a treatment is given of a frame."""
    shot = film.shot_of(index)
    around = range(index - radius, index + radius + 1)
    return Window(index, shot, tuple(pictures[i] if shot.begin <= i < shot.end else None for i in around))


def residual_px(steadied: Sequence[Similarity], meant: Sequence[Similarity], size: Size = SIZE) -> float:
    """Return how far pixels lie off where they should, RMS, up to one constant shift and one even drift of the shot.

    Shake itself cannot be told from a drift by a fraction of a pixel: what it does to pans is measured as such.
    """
    x = np.linspace(-0.5, 0.5, 5) * size.width
    y = np.linspace(-0.5, 0.5, 5) * size.height
    grid = (x[None, :] + 1j * y[:, None]).ravel()
    off = np.array(
        [(s.factor * grid + s.shift) - (m.factor * grid + m.shift) for s, m in zip(steadied, meant, strict=True)]
    )
    time = np.arange(len(off)) - (len(off) - 1) / 2
    off -= off.mean()
    off -= time[:, None] * (time @ off.mean(1)) / max(1.0, time @ time)
    return float(np.sqrt((np.abs(off) ** 2).mean()))
