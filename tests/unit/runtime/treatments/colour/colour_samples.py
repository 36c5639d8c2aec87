"""Films whose colours are known: the sample's station in colour, and a small scene that moves by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo import station
from fastrestore.demo.ageing import age
from fastrestore.demo.canvas import Canvas
from fastrestore.demo.figures import lady
from fastrestore.demo.scene import CUT_INDEX, FPS
from fastrestore.demo.sky import plume, sky
from fastrestore.demo.train import draw_train
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture, Siting, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.film_colour import split_rgb
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments import study
from fastrestore.runtime.treatments.colour.stage import ColourSettings, ColourStage
from fastrestore.runtime.treatments.table import Tools
from fastrestore.runtime.treatments.treatment import Film, Treatment, Window

Grey = NDArray[np.uint8]
Chroma = NDArray[np.float32]
COLOUR = Colour(Matrix.SMPTE170M, siting=Siting.CENTER)
RATE = Fraction(16)
BLUE, RED = np.array([24, -10], np.float32), np.array([-14, 38], np.float32)
"""Chroma of the wall and the ball of `ball_film`."""
PIGMENTS = {
    "sky": (22, -14),
    "city": (-14, 10),
    "building": (-12, 26),
    "clock": (-6, 4),
    "lady": (6, 30),
    "rails": (-8, 6),
    "smoke": (0, 0),
    "train": (-10, -24),
    "steam": (0, 0),
    "ground": (-20, 8),
    "man": (26, -6),
    "lamps": (-4, -12),
}
"""Cb and Cr of what the station shows where its tone is 5/8; darker parts of a pigment have less, lighter ones more."""


@dataclass(frozen=True)
class ColourFilm:
    """Grey frames, full range, and the colours that they had."""

    luma: list[Grey]
    chroma: list[Chroma]
    """`(H, W, 2)` float32, 8-bit levels above the middle."""


def station_film(size: tuple[int, int], frames: int = CUT_INDEX) -> ColourFilm:
    """Draw the first shot of the embedded sample, aged, `size` (width, height), and its colours, which have not."""
    luma, chroma = [], []
    for index in range(frames):
        time_s = float(index / FPS)
        tone, colours = np.zeros(size[::-1], np.float32), np.zeros((*size[::-1], 2), np.float32)
        for name, sheet in _layers(time_s, size):
            assert sheet.cover is not None
            tone = tone * (1 - sheet.cover) + sheet.tone
            pigment = np.array(PIGMENTS[name], np.float32) * np.float32(1.6)
            colours = colours * (1 - sheet.cover[..., None]) + sheet.tone[..., None] * pigment
        luma.append(age(np.clip(tone, 0, 1), index).pixels)
        chroma.append(shown(luma[-1], colours)[1])
    return ColourFilm(luma, chroma)


def _layers(time_s: float, size: tuple[int, int]) -> Iterator[tuple[str, Canvas]]:
    """Draw what `draw_station` draws, each thing on a sheet of its own, from the back to the front."""
    width, height = size
    wide, pan = width / height, station.PAN_UNITS * station._eased(time_s / station.PAN_S)

    def sheet(depth: float, draw: Callable[[Canvas], object]) -> Canvas:
        clear = Canvas.opaque(size, 0.0)
        clear = Canvas(clear.tone, np.zeros_like(clear.tone), clear.left, clear.top, clear.scale)
        draw(clear.moved(-depth * pan))
        return clear

    front = station.train_front(time_s)
    yield "sky", sheet(0.05, lambda c: c.place(sky(height, wide + 0.1, 5)))
    yield "city", sheet(station._CITY, lambda c: c.place(station._city(height, wide)))
    yield "building", sheet(station._STATION, lambda c: c.place(station._building(height, wide)))
    yield "clock", sheet(station._STATION, lambda c: station._clock(c, (0.085, 0.225), time_s))
    sway = 0.55 * math.sin(time_s * 5.2)
    yield "lady", sheet(station._STATION, lambda c: lady(c.moved(0.47, 0.672), (0, 0), 0.165, sway, 0.34))
    yield "rails", sheet(station._TRACK, lambda c: c.place(station._rails(height, wide)))
    yield "smoke", sheet(station._TRACK, lambda c: plume(c, station._smoke(time_s), 0.36, 0.97))
    yield "train", sheet(station._TRACK, lambda c: draw_train(c.moved(front, station._RAIL_Y), front, height))
    yield "steam", sheet(station._TRACK, lambda c: plume(c, station._steam(time_s), 0.80, 1.0))
    yield "ground", sheet(station._PLATFORM, lambda c: c.place(station._ground(height, wide)))
    yield "man", sheet(station._PLATFORM, lambda c: station._stroll(c, time_s))
    yield "lamps", sheet(station._PLATFORM, lambda c: c.place(station._lamps(height)))


def ball_film(size: tuple[int, int], frames: int, *, speed: float = 3.0, flicker: float = 0.0) -> ColourFilm:
    """Draw a blue textured wall that is panned over, and a red textured ball that crosses it."""
    width, height = size
    rng = np.random.default_rng(5)
    noise = cv2.GaussianBlur(rng.standard_normal((height, width + 4 * frames), np.float32), (0, 0), 1.6)
    wall = 110 + 34 * noise / noise.std()
    spots = cv2.GaussianBlur(rng.standard_normal((height, height), np.float32), (0, 0), 2.0)
    ball = 165 + 26 * spots / spots.std()
    luma, chroma = [], []
    for index in range(frames):
        shift = index * 0.8
        matrix = np.array([[1, 0, -shift], [0, 1, 0]], np.float64)
        tone = cv2.warpAffine(wall, matrix, size, flags=cv2.INTER_CUBIC)
        at, radius = width * 0.3 + speed * index, height * 0.22
        move = np.array([[1, 0, at - height / 2], [0, 1, 0]], np.float64)
        moved = cv2.warpAffine(ball, move, size, flags=cv2.INTER_CUBIC)
        away = np.hypot(np.arange(width) - at, (np.arange(height) - height / 2)[:, None])
        cover = np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
        gain = 1 + flicker * math.sin(2.4 * index)
        luma.append(np.clip(np.rint((tone * (1 - cover) + moved * cover) * gain), 16, 235).astype(np.uint8))
        colours = BLUE * (1 - cover[..., None]) + RED * cover[..., None]
        chroma.append(shown(luma[-1], colours)[1])
    return ColourFilm(luma, chroma)


def picture(luma: Grey, name: str = "gray", colour: Colour = COLOUR) -> Picture:
    """Return a grey picture of a layout, of 8-bit luma."""
    layout = FORMATS[name]
    unit = 1 << (layout.bits - 8)
    size = Size(luma.shape[1], luma.shape[0])
    plane = (luma.astype(np.uint32) * unit).astype(layout.dtype)
    if layout.kind == "rgb":
        return Picture((plane, plane, plane), layout, colour)
    shape = layout.plane_size(size, 1)
    middle = np.full((shape.height, shape.width), 128 * unit, layout.dtype)
    return Picture((plane, *[middle] * (layout.planes - 1)), layout, colour)


def shown(luma: Grey, chroma: Chroma, colour: Colour = COLOUR) -> tuple[NDArray[np.uint8], Chroma]:
    """Return a frame in colour as a screen shows it, `(H, W, 3)` uint8 R'G'B', and the chroma that is left of it."""
    planes = [np.clip(np.rint(chroma[..., i] + 128), 0, 255).astype(np.uint8) for i in range(2)]
    rgb = open_ops("cpu").to_rgb(Picture((luma, *planes), FORMATS["yuv444p"], colour))
    stored = np.clip(np.rint(rgb.transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
    return stored, split_rgb(stored, colour)[1]


def write_example(path: Path, luma: Grey, chroma: Chroma, colour: Colour = COLOUR) -> Path:
    """Write a frame in colour as a PNG file."""
    assert cv2.imwrite(str(path), shown(luma, chroma, colour)[0][..., ::-1])
    return path


@dataclass(frozen=True)
class Opened:
    """A colour stage ready for a film."""

    film: Film
    treatment: Treatment
    pictures: Sequence[Picture]
    reads: list[tuple[int, int]]
    """What was read of the film to prepare it."""

    def apply(self, index: int) -> Picture:
        """Return a frame in colour."""
        return self.treatment.apply(Window(index, self.film.shot_of(index), (self.pictures[index],))).picture


def open_stage(
    pictures: Sequence[Picture], folder: Path, words: Sequence[str] = (), guess: str = "", **info: object
) -> Opened:
    """Look a film over and open the colour stage on it."""
    first = pictures[0]
    known = StreamInfo(first.size, first.format, first.colour, RATE, **info)  # type: ignore[arg-type]
    stage = ColourStage(ColourSettings.parse(words, guess))
    frames = (Frame(each, index / RATE, 1 / RATE) for index, each in enumerate(pictures))
    ops = open_ops("cpu")
    film = study.look_over(frames, known, stage.probes(known), ops)
    reads: list[tuple[int, int]] = []

    def read(begin: int, end: int) -> Iterator[Picture]:
        reads.append((begin, end))
        return iter(pictures[begin:end])

    treatment = stage.open(film, Tools(ops, read, folder)).treatment
    assert treatment is not None
    return Opened(film, treatment, pictures, reads)


def chroma_of(found: Picture) -> Chroma:
    """Return a picture's chroma planes, `(h, w, 2)` float32, 8-bit levels above the middle."""
    unit = 1 << (found.format.bits - 8)
    return np.stack([plane.astype(np.float32) / unit - 128 for plane in found.planes[1:]], axis=-1)


def distance(given: Picture, truth: Chroma) -> float:
    """Return the mean distance of a picture's chroma from the truth, 8-bit levels."""
    found = chroma_of(given)
    wanted = cv2.resize(truth, found.shape[1::-1], interpolation=cv2.INTER_AREA)
    return float(np.linalg.norm(found - wanted, axis=2).mean())
