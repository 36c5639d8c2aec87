"""What time and cheap copies do to film: blur, reduction, grain, dirt, JPEG, in NumPy and OpenCV.

Every function draws from the generator it is given and from nothing else.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from fastrestore.export.train.recipe import RECIPES
from fastrestore.export.train.resize import Bytes, Floats, resize_bicubic, to_bytes

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""BT.601 weights of R, G, B."""


@dataclass(frozen=True)
class Degradation:
    """The table `[degradation]` of `recipes.toml`; pairs are the ends of uniform distributions."""

    grey_chance: float
    fade_chance: float
    fade_contrast: tuple[float, float]
    fade_lift: tuple[float, float]
    fade_gamma: tuple[float, float]
    blur_sigma_px: tuple[float, float]
    blur_uneven_chance: float
    grain_sigma: tuple[float, float]
    grain_size_px: tuple[float, float]
    grain_colour_chance: float
    scratch_chance: float
    speck_chance: float
    jpeg_chance: float
    jpeg_quality: tuple[int, int]

    @classmethod
    def load(cls, path: Path = RECIPES) -> Self:
        """Read the ranges from a TOML file."""
        table = tomllib.loads(path.read_text(encoding="utf-8"))["degradation"]
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return cls(**fields)


def degrade(picture: Bytes, scale: int, ranges: Degradation, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Age a picture and shrink it.

    Args:
        picture: `(H, W, 3)`, uint8, RGB; both sides multiples of `scale`.
        scale: Reduction factor.
        ranges: Strengths and chances.
        rng: Source of everything random.

    Returns:
        The degraded picture, `(H / scale, W / scale, 3)`, uint8, and what a perfect restoration of
        it would be: the input made grey and faded alike, `(H, W, 3)`, uint8.
    """
    original = picture.astype(np.float32) / 255.0
    grey = bool(rng.random() < ranges.grey_chance)
    if grey:
        original = np.repeat((original @ LUMA)[..., None], 3, axis=2)
    if rng.random() < ranges.fade_chance:
        original = _fade(original, ranges, rng)
    low = _shrink(_blur(original, scale, ranges, rng), scale, rng)
    if rng.random() < ranges.scratch_chance:
        low = _scratch(low, rng)
    if rng.random() < ranges.speck_chance:
        low = _specks(low, rng)
    low = _grain(low, grey, ranges, rng)
    degraded = to_bytes(low * 255.0)
    if rng.random() < ranges.jpeg_chance:
        degraded = _jpeg(degraded, grey, int(rng.integers(*ranges.jpeg_quality, endpoint=True)))
    return degraded, to_bytes(original * 255.0)


def _fade(picture: Floats, ranges: Degradation, rng: np.random.Generator) -> Floats:
    """Bend the tone curve, then lose contrast."""
    gamma, contrast = rng.uniform(*ranges.fade_gamma), rng.uniform(*ranges.fade_contrast)
    lift = min(rng.uniform(*ranges.fade_lift), 1.0 - contrast)
    faded: Floats = (np.power(picture, gamma) * contrast + lift).astype(np.float32)
    return faded


def _blur(picture: Floats, scale: int, ranges: Degradation, rng: np.random.Generator) -> Floats:
    """Convolve with a Gaussian, round or uneven and turned."""
    wide = narrow = rng.uniform(*ranges.blur_sigma_px) * scale
    angle = rng.uniform(0.0, np.pi)
    if rng.random() < ranges.blur_uneven_chance:
        narrow = rng.uniform(*ranges.blur_sigma_px) * scale
    radius = int(np.ceil(3.0 * max(wide, narrow)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / wide) ** 2 + (across / narrow) ** 2))
    return _floats(cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _shrink(picture: Floats, scale: int, rng: np.random.Generator) -> Floats:
    """Shrink by a whole factor with one of three filters."""
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    kind = rng.integers(3)
    if kind == 0:
        return resize_bicubic(picture, height, width)
    how = cv2.INTER_AREA if kind == 1 else cv2.INTER_LINEAR
    return _floats(cv2.resize(picture, (width, height), interpolation=how))


def _grain(picture: Floats, grey: bool, ranges: Degradation, rng: np.random.Generator) -> Floats:
    """Add noise that is correlated in space, strongest in the middle tones, mostly without colour."""
    sigma, size = rng.uniform(*ranges.grain_sigma), rng.uniform(*ranges.grain_size_px)
    colours = 3 if not grey and rng.random() < ranges.grain_colour_chance else 1
    noise = rng.standard_normal((*picture.shape[:2], colours)).astype(np.float32)
    noise = _floats(cv2.GaussianBlur(noise, (0, 0), size)).reshape(noise.shape)
    luma = np.clip(picture @ LUMA, 0.0, 1.0)[..., None]
    strength = 0.4 + 2.4 * luma * (1.0 - luma)
    return _floats(picture + noise / (noise.std() + 1e-6) * sigma * strength)


def _scratch(picture: Floats, rng: np.random.Generator) -> Floats:
    """Draw one thin line, nearly vertical, lighter or darker than what it crosses."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), dtype=np.float32)
    x = int(rng.integers(width))
    lean = int(rng.integers(-4, 5))
    y, length = int(rng.integers(height)), int(rng.integers(8, height + 1))
    cv2.line(mask, (x, y - length), (x + lean, y + length), 1.0, 1, cv2.LINE_AA)
    return _painted(picture, _floats(cv2.GaussianBlur(mask, (0, 0), 0.4)), rng)


def _specks(picture: Floats, rng: np.random.Generator) -> Floats:
    """Put a few specks of dust on the picture, about one per 1000 pixels at most."""
    height, width = picture.shape[:2]
    most = max(2, height * width // 1000)
    for _ in range(int(rng.integers(1, most + 1))):
        mask = np.zeros((height, width), dtype=np.float32)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(0, 3)), int(rng.integers(0, 2)))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        picture = _painted(picture, _floats(cv2.GaussianBlur(mask, (0, 0), 0.5)), rng)
    return picture


def _painted(picture: Floats, mask: Floats, rng: np.random.Generator) -> Floats:
    """Blend white or black, equally likely, over the picture where `(H, W)` `mask` is not zero."""
    share = (mask * rng.uniform(0.2, 0.8))[..., None]
    tone = float(rng.integers(2))
    return _floats(picture * (1.0 - share) + tone * share)


def _jpeg(picture: Bytes, grey: bool, quality: int) -> Bytes:
    """Compress and decompress; grey pictures with one component, so that they stay exactly grey."""
    stored = picture[..., 0] if grey else picture[..., ::-1]
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if read is None:
        raise ValueError(f"OpenCV cannot read its own JPEG of quality {quality}")
    return np.ascontiguousarray(read[..., ::-1], dtype=np.uint8)


def _floats(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Floats:
    """Return the array as float32, without a copy where it is that already."""
    return np.asarray(array, dtype=np.float32)
