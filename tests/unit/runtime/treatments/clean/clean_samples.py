"""A short drawn film with known dust and scratches over what tempts a cleaner: pans, occlusion, haste, a post."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.ageing import AgeingSettings, age
from fastrestore.demo.scene import FPS, draw
from fastrestore.frames import FORMATS, Colour, Matrix, Picture, PixelFormat, Plane, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.clean.dust import DustFinder
from fastrestore.runtime.treatments.clean.dust_sight import Limits
from fastrestore.runtime.treatments.clean.mending import mend
from fastrestore.runtime.treatments.clean.scratches import ScratchProbe
from fastrestore.runtime.treatments.short_motion import ShortMotion
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Shot, Window

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """What is filmed, and how the camera behaves; speeds in px a frame."""

    height: int = 240
    width: int = 320
    frames: int = 7
    pan: float = 1.6
    weave: float = 0.4
    disc: float = 9.0
    """Speed of a textured disc that covers and uncovers what is behind it; 0 leaves it out."""
    post: bool = True
    """Whether a thin post stands in the scene from top to bottom."""
    grain: float = 2.5
    flicker: float = 0.04
    seed: int = 7

    def frame(self, index: int) -> Image:
        """Draw a frame without damage, `(H, W)` float32 in `[0, 255]`."""
        rng = np.random.default_rng([self.seed, index])
        weave = rng.uniform(-self.weave, self.weave, 2)
        at = (index * self.pan + weave[0], weave[1])
        picture = self._ground(at)
        if self.post:
            self._draw_post(picture, at)
        if self.disc:
            self._draw_disc(picture, index)
        picture *= np.float32(1 + rng.uniform(-self.flicker, self.flicker))
        noise = cv2.GaussianBlur(rng.standard_normal(picture.shape, np.float32), (0, 0), 0.75)
        return np.asarray(picture + noise * np.float32(self.grain / noise.std()), np.float32)

    def _ground(self, at: tuple[float, float]) -> Image:
        noise = np.random.default_rng(self.seed).standard_normal((self.height + 40, self.width + 160), np.float32)
        layers = [cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 5.0, 14.0)]
        layers[1] = np.where(layers[1] > 0, 0.35, -0.35).astype(np.float32)  # edges, not only slopes
        world = np.asarray(125 + 22 * (layers[0] * 0.7 + layers[1] + layers[2]), np.float32)
        world = cv2.GaussianBlur(world, (0, 0), 0.8)
        matrix = np.array([[1, 0, at[0] + 20], [0, 1, at[1] + 20]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(world, matrix, (self.width, self.height), flags=flags), np.float32)

    def _draw_post(self, picture: Image, at: tuple[float, float]) -> None:
        place = self.width * 0.66 - at[0]
        away = np.abs(np.arange(self.width, dtype=np.float32) - place)
        share = np.clip(2.0 - away, 0, 1)[None, :]
        picture += share * (np.float32(45) - picture)

    def _draw_disc(self, picture: Image, index: int) -> None:
        middle = (self.width * 0.1 + index * self.disc, self.height * 0.6)
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        away = np.hypot(x - middle[0], y - middle[1])
        share = np.clip(self.height * 0.14 - away, 0, 1)
        skin = 165 + 25 * np.sin((x - middle[0]) * 0.55) * np.sin(y * 0.4)
        picture += share * (skin - picture)


@dataclass(frozen=True)
class Damage:
    """What happened to one frame."""

    dust: Mask
    """Where dust lies."""
    spots: tuple[Mask, ...]
    """Every grain of dust and hair by itself."""
    scratched: Mask
    """Where scratches run."""


def soil(picture: Image, index: int, *, spots: int = 12, hairs: int = 1, seed: int = 3) -> tuple[Image, Damage]:
    """Lay specks 1 to 30 px across and hairs on a frame, dark or white; return it and where they lie."""
    rng = np.random.default_rng([seed, index])
    height, width = picture.shape
    shapes: list[NDArray[np.uint8]] = []
    for number in range(spots + hairs):
        shape = np.zeros(picture.shape, np.uint8)
        x, y = rng.uniform(8, width - 8), rng.uniform(8, height - 8)
        if number < spots:
            reach = 0.5 * math.exp(rng.uniform(math.log(1.4), math.log(30)))
            turns = np.linspace(0, 2 * math.pi, 9)[:-1]
            corners = np.array([x, y]) + (reach * rng.uniform(0.7, 1.1, (8, 1))) * np.stack(
                [np.cos(turns), np.sin(turns)], 1
            )
            cv2.fillPoly(shape, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        else:
            bend = np.cumsum(rng.uniform(-0.3, 0.3, 20)) + rng.uniform(0, 2 * math.pi)
            way = np.array([x, y]) + np.cumsum(np.stack([np.cos(bend), np.sin(bend)], 1) * 2.4, 0)
            cv2.polylines(shape, [np.rint(way * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
        shapes.append(shape)
    soiled, seen = picture.copy(), []
    for shape in shapes:
        tone = np.float32(235.0 if rng.uniform() < 0.4 else 22.0)
        share = shape.astype(np.float32) * np.float32(rng.uniform(0.6, 0.95) / 255)
        change = share * (tone - soiled)
        soiled += change
        seen.append(np.abs(change) > 12)
    visible = tuple(mask for mask in seen if mask.any())
    nowhere = np.zeros(picture.shape, np.bool_)
    return soiled, Damage(np.logical_or.reduce([*visible, nowhere]), visible, nowhere)


def scratch(
    picture: Image, index: int, *, x: float, amount: float = 60.0, top: float = 0.0, bottom: float = 1.0
) -> Image:
    """Draw a vertical scratch that wanders by about a pixel from frame to frame; `top` and `bottom` as shares."""
    height, width = picture.shape
    rows = np.arange(height, dtype=np.float32)
    wander = np.random.default_rng([11, index]).uniform(-1.2, 1.2)
    place = x + wander + 0.6 * np.sin(rows * 0.02)
    share = np.clip(1.6 - np.abs(np.arange(width, dtype=np.float32)[None, :] - place[:, None]), 0, 1)
    share[(rows < top * height) | (rows > bottom * height)] = 0
    return np.asarray(picture + np.float32(amount) * share, np.float32)


def stored(picture: Image, name: str = "gray") -> Picture:
    """Store a grey picture in a layout; chroma follows luma a little so that it has something to keep."""
    layout: PixelFormat = FORMATS[name]
    scale = 1 << (layout.bits - 8)
    full = Colour(Matrix.SMPTE170M, full_range=True)
    luma = _samples(picture, scale, layout)
    planes = [luma]
    size = Size(picture.shape[1], picture.shape[0])
    for plane in range(1, layout.planes):
        wanted = layout.plane_size(size, plane)
        small = cv2.resize(picture, (wanted.width, wanted.height), interpolation=cv2.INTER_AREA)
        planes.append(_samples(small if layout.kind == "rgb" else 96 + 0.25 * small, scale, layout))
    return Picture(tuple(planes), layout, full)


def film_of(pictures: Sequence[Picture], findings: dict[str, NDArray[np.float64]] | None = None) -> Film:
    """Return what is known of a film of one shot."""
    first = pictures[0]
    info = StreamInfo(first.size, first.format, first.colour, Fraction(16), len(pictures))
    pts = tuple(Fraction(i, 16) for i in range(len(pictures)))
    return Film(info, pts, (Shot(0, 0, len(pictures)),), findings or {})


def window_of(pictures: Sequence[Picture], index: int, radius: int, film: Film) -> Window:
    """Return a frame and those around it."""
    shot = film.shot_of(index)
    around = tuple(
        pictures[i] if shot.begin <= i < shot.end else None for i in range(index - radius, index + radius + 1)
    )
    return Window(index, shot, around)


def _samples(picture: Image, scale: int, layout: PixelFormat) -> Plane:
    return np.clip(np.rint(picture * scale), 0, (1 << layout.bits) - 1).astype(layout.dtype)


def findings_of(pictures: Sequence[Picture]) -> dict[str, NDArray[np.float64]]:
    """Look at the pictures of one shot as the pass before a run does."""
    probe, ops, rows = ScratchProbe(), open_ops(), []
    previous = None
    for index, picture in enumerate(pictures):
        luma = ops.luma8(picture)
        rows.append(probe.look(Glimpse(index, picture, luma, previous)))
        previous = luma
    return {probe.name: np.array(rows)}


@dataclass(frozen=True)
class Figures:
    """How well dust was cleaned; see `test_clean_truth`."""

    spots: int
    recall: float
    precision: float
    clean_changed: float
    hits: int
    """Repaired samples on dust or within two samples of it."""
    misses: int
    """The others."""
    frames: int
    psnr_before_db: float
    psnr_after_db: float
    grain_before: float
    grain_after: float

    def __str__(self) -> str:
        return (
            f"{self.spots} spots, recall {self.recall:.3f}, precision {self.precision:.3f}, clean samples changed "
            f"{self.clean_changed:.3%}, repaired {self.psnr_before_db:.1f} -> {self.psnr_after_db:.1f} dB, "
            f"grain {self.grain_before:.2f} -> {self.grain_after:.2f}"
        )


def together(parts: Sequence[Figures]) -> Figures:
    """Return the figures of films taken together: each spot, each repaired sample and each frame counts once."""
    spots, hits, misses, frames = (
        sum(getattr(part, name) for part in parts) for name in ("spots", "hits", "misses", "frames")
    )
    means = {
        name: sum(getattr(part, name) * getattr(part, weight) for part in parts)
        / {"spots": spots, "frames": frames}[weight]
        for name, weight in (("recall", "spots"), ("clean_changed", "frames"))
    }
    rest = ("psnr_before_db", "psnr_after_db", "grain_before", "grain_after")
    plain = {name: float(np.mean([getattr(part, name) for part in parts])) for name in rest}
    return Figures(
        spots=spots, hits=hits, misses=misses, frames=frames, precision=hits / max(hits + misses, 1), **means, **plain
    )


@lru_cache
def measure(scene: Scene, spots: int, strength: float = 0.5, *, two_ways: bool = True) -> Figures:
    """Soil a scene, clean all frames but the first and last, and compare with the truth."""
    clean = [scene.frame(i) for i in range(scene.frames)]
    soiled = [soil(frame, i, spots=spots) for i, frame in enumerate(clean)]
    return _compared(
        [stored(frame) for frame, _ in soiled], clean, [damage for _, damage in soiled], strength, two_ways
    )


def sample_figures(frames: Sequence[int], strength: float = 0.5, *, seed: int = 1896) -> Figures:
    """Clean some frames of one shot of the embedded sample but the first and last, and compare with the truth.

    What scratches cover counts neither way.
    """
    settings = AgeingSettings(seed=seed)
    without = replace(settings, specks=0.0, hairs=0.0)
    pictures: list[Picture] = []
    clean: list[Image] = []
    damages: list[Damage] = []
    for index in frames:
        scene = draw(float(index / FPS))
        aged, plain = age(scene, index, settings), age(scene, index, without)
        change = cv2.absdiff(aged.pixels, plain.pixels) > 12
        count, labels = cv2.connectedComponents(change.view(np.uint8), connectivity=8)
        spots = tuple(np.asarray(labels == number) for number in range(1, count))
        pictures.append(stored(aged.pixels.astype(np.float32)))
        clean.append(plain.pixels.astype(np.float32))
        damages.append(Damage(change, spots, aged.scratched))
    return _compared(pictures, clean, damages, strength, two_ways=True)


def _compared(
    pictures: Sequence[Picture], clean: Sequence[Image], damages: Sequence[Damage], strength: float, two_ways: bool
) -> Figures:
    film = film_of(pictures)
    finder = DustFinder(ShortMotion(open_ops(), two_ways=two_ways), Limits.of(strength))
    found: list[bool] = []
    hits = misses = changed = 0
    errors: list[Image] = []
    grains: list[Image] = []
    for index in range(1, len(pictures) - 1):
        dust = finder.find(window_of(pictures, index, finder.radius, film).pictures)
        old, truth, damage = pictures[index].planes[0].astype(np.float32), clean[index], damages[index]
        picture, mask = mend(pictures[index], dust) if dust else (pictures[index], np.zeros(truth.shape, np.float32))
        new = picture.planes[0].astype(np.float32)
        near = cv2.dilate(damage.dust.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        far = ~near & ~(cv2.dilate(damage.scratched.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
        found += [bool(mask[spot].mean() >= 0.5) for spot in damage.spots]
        hits += int((mask[near] > 0).sum())
        misses += int((mask[far] > 0).sum())
        changed += int((new != old)[far].sum())
        here = damage.dust & (mask > 0)
        errors.append(np.stack([old - truth, new - truth])[:, here])
        grains.append(np.stack([_fine(truth), _fine(new)])[:, here])
    psnr = [10 * math.log10(255**2 / float(np.mean(part**2))) for part in np.concatenate(errors, 1)]
    grain = [float(part.std()) for part in np.concatenate(grains, 1)]
    share = changed / (clean[0].size * (len(pictures) - 2))
    frames = len(pictures) - 2
    precision = hits / max(hits + misses, 1)
    return Figures(len(found), float(np.mean(found)), precision, share, hits, misses, frames, *psnr, *grain)


def _fine(picture: Image) -> Image:
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), 1.2), np.float32)
