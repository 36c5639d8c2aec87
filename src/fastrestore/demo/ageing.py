"""Age a clean picture the way a much-projected print ages, keeping a record of what was done to each frame."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_SCRATCH_EPOCH = 24
_GRAIN, _FLICKER, _DUST, _SCRATCH, _WEAVE = range(5)


@dataclass(frozen=True)
class AgeingSettings:
    """How worn the print is; zero (one for `contrast`) turns a fault off."""

    blur_px: float = 0.55
    """Sigma of the lens and printing blur, in pixels."""
    weave_px: float = 0.5
    """Largest wandering of the picture in the gate, in pixels along each axis, 0 to 1."""
    contrast: float = 0.88
    """Remaining contrast of the faded print, in ``(0, 1]``; 1 leaves the tones alone."""
    black: float = 0.085
    """Tone that black has faded to, in ``[0, 1 - contrast]``."""
    vignette: float = 0.22
    """Light lost in the corners, as a share."""
    flicker: float = 0.045
    """Largest change of exposure from frame to frame, as a share."""
    scratches: int = 2
    """Greatest number of vertical scratches at once."""
    specks: float = 2.2
    """Mean number of dust specks on a frame."""
    hairs: float = 0.07
    """Chance of a hair on a frame."""
    grain: float = 0.0165
    """Standard deviation of the grain in the mid-tones, in tones of ``[0, 1]``."""
    grain_px: float = 0.75
    """Size of the grain: sigma of its correlation in pixels."""
    seed: int = 1896
    """Which of many prints this is."""

    def __post_init__(self) -> None:
        """Refuse settings that describe no print."""
        if not 0 <= self.weave_px <= 1:
            raise ValueError(f"weave_px is {self.weave_px}, wanted 0 to 1")
        if not 0 < self.contrast <= 1:
            raise ValueError(f"contrast is {self.contrast}, wanted above 0 and at most 1")
        if not 0 <= self.black <= 1 - self.contrast + 1e-9:
            raise ValueError(f"black is {self.black}, wanted 0 to 1 - contrast = {1 - self.contrast:.3f}")

    @classmethod
    def off(cls) -> "AgeingSettings":
        """Return settings under which the picture stays as it is."""
        return cls(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class AgedFrame:
    """An aged picture and the truth about its faults."""

    pixels: NDArray[np.uint8]
    """The aged picture, grey, ``(H, W)``, uint8, full range 0 to 255."""
    gain: float
    """Exposure of this frame; 1 is normal."""
    shift_px: tuple[float, float]
    """How far the picture moved in the gate, right and down, in pixels."""
    dust: NDArray[np.bool_]
    """Where specks and hairs lie, ``(H, W)``."""
    scratched: NDArray[np.bool_]
    """Where scratches run, ``(H, W)``."""


def age(frame: NDArray[np.float32], index: int, settings: AgeingSettings | None = None) -> AgedFrame:
    """Age one picture.

    Args:
        frame: The clean picture, grey, ``(H, W)``, float32, range ``[0, 1]``; left unchanged.
        index: Number of the frame in the film: faults depend on it and on the seed, on nothing else.
        settings: How worn the print is; the defaults when absent.

    Returns:
        The aged picture with its true gain, shift and masks.
    """
    settings = AgeingSettings() if settings is None else settings
    if frame.ndim != 2 or frame.dtype != np.float32:
        raise ValueError(f"age: the frame is {frame.dtype} {frame.shape}, wanted float32 (H, W)")
    picture = frame
    if settings.blur_px > 0:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), settings.blur_px), np.float32)
    shift = _weave(index, settings)
    if shift != (0.0, 0.0):
        picture = _moved(picture, shift)
    gain = _gain(index, settings)
    picture = (picture * np.float32(settings.contrast) + np.float32(settings.black)) * np.float32(gain)
    if settings.vignette > 0:
        picture = picture * _vignette(frame.shape[0], frame.shape[1], settings.vignette)
    picture, scratched = _scratch(picture, index, settings)
    picture, dust = _soil(picture, index, settings)
    if settings.grain > 0:
        picture = picture + _grain(picture, index, settings)
    pixels = np.rint(np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)
    return AgedFrame(pixels, gain, shift, dust, scratched)


def _rng(settings: AgeingSettings, fault: int, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, fault, *numbers])


def _weave(index: int, settings: AgeingSettings) -> tuple[float, float]:
    if settings.weave_px <= 0:
        return 0.0, 0.0
    rng = _rng(settings, _WEAVE, index)
    slow = math.sin(index * 0.83 + settings.seed), math.sin(index * 0.57 + 1.7 * settings.seed)
    quick = rng.uniform(-1, 1, 2)
    return (
        settings.weave_px * (0.6 * slow[0] + 0.4 * float(quick[0])) * 0.7,
        settings.weave_px * (0.5 * slow[1] + 0.5 * float(quick[1])),
    )


def _moved(picture: NDArray[np.float32], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Return the picture moved by less than a pixel, by cubic interpolation (`cv2.warpAffine` rounds to 1/32 pixel)."""
    moved = cv2.sepFilter2D(picture, -1, _taps(shift[0]), _taps(shift[1]), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(moved, 0, 1), np.float32)


def _taps(shift: float) -> NDArray[np.float64]:
    """Return the five Catmull-Rom weights that move a row by ``shift``, -1 to 1 pixel."""
    away = np.abs(np.arange(-2, 3) + shift)
    near = 1.5 * away**3 - 2.5 * away**2 + 1
    far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
    return np.where(away < 1, near, np.where(away < 2, far, 0.0))


def _gain(index: int, settings: AgeingSettings) -> float:
    if settings.flicker <= 0:
        return 1.0
    quick = float(_rng(settings, _FLICKER, index).uniform(-1, 1))
    slow = math.sin(index * 1.31) * 0.5 + math.sin(index * 0.37 + 1.0) * 0.5
    return 1.0 + settings.flicker * (0.6 * quick + 0.4 * slow)


def _vignette(height: int, width: int, depth: float) -> NDArray[np.float32]:
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    away = np.clip((np.hypot(x[None, :] * 0.94, y[:, None]) - 0.45) / 0.92, 0, 1)
    return np.asarray(1 - depth * away * away * (3 - 2 * away), np.float32)


def _scratch(
    picture: NDArray[np.float32], index: int, settings: AgeingSettings
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw scratches: each slot holds one for part of an epoch, wandering a little from frame to frame."""
    height, width = picture.shape
    touched = np.zeros(picture.shape, np.bool_)
    for slot in range(settings.scratches):
        epoch, within = divmod(index + slot * _SCRATCH_EPOCH // 2, _SCRATCH_EPOCH)
        rng = _rng(settings, _SCRATCH, slot, epoch)
        first, length = int(rng.integers(0, 10)), int(rng.integers(5, 13))
        place, bright = float(rng.uniform(0.06, 0.94)) * width, float(rng.uniform()) < 0.65
        top, bottom = sorted(rng.uniform(-0.4, 1.4, 2) * height)
        if not first <= within < first + length or bottom - top < 0.35 * height:
            continue
        rows = np.arange(height, dtype=np.float32)
        x = place + 1.1 * math.sin(within * 1.7) + 0.8 * np.sin(rows * 0.021 * 360 / height + epoch)
        broken = np.sin(rows * 0.05 + slot) + np.sin(rows * 0.173 + epoch) > -1.2
        strength = np.where((rows >= top) & (rows <= bottom) & broken, 0.42, 0.0)
        distance = np.abs(np.arange(width, dtype=np.float32)[None, :] - x[:, None])
        weight = (np.clip(1.05 - distance, 0, 1) * strength[:, None]).astype(np.float32)
        picture = picture + weight * (np.float32(0.92 if bright else 0.06) - picture)
        touched |= weight > 0
    return picture, touched


def _soil(
    picture: NDArray[np.float32], index: int, settings: AgeingSettings
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Lay specks and hairs on one frame; most are dark (dirt), some bright (holes in the emulsion)."""
    touched = np.zeros(picture.shape, np.bool_)
    rng = _rng(settings, _DUST, index)
    count = int(rng.poisson(settings.specks)) if settings.specks > 0 else 0
    marks = [(_speck(picture.shape, rng), float(rng.uniform()) < 0.4) for _ in range(count)]
    if float(rng.uniform()) < settings.hairs:
        marks.append((_hair(picture.shape, rng), False))
    for weight, bright in marks:
        picture = picture + weight * (np.float32(0.95 if bright else 0.05) - picture)
        touched |= weight > 0
    return picture, touched


def _speck(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    size = height / 360 * float(rng.uniform(0.8, 2.6))
    x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    turns = np.linspace(0, 2 * math.pi, 9)[:-1]
    reach = size * rng.uniform(0.6, 1.3, 8)
    corners = np.stack([x + reach * np.cos(turns), y + reach * np.sin(turns)], 1)
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) * np.float32(float(rng.uniform(0.5, 0.95)) / 255), np.float32)


def _hair(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = shape
    mask = np.zeros(shape, np.uint8)
    bend = np.cumsum(rng.uniform(-0.28, 0.28, 20)) + float(rng.uniform(0, 2 * math.pi))
    step = height / 360 * float(rng.uniform(1.6, 3.4))
    start = rng.uniform(0.1, 0.9, 2) * (width, height)
    points = start + np.stack([np.cumsum(np.cos(bend)), np.cumsum(np.sin(bend))], 1) * step
    cv2.polylines(mask, [np.rint(points * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) * np.float32(0.62 / 255), np.float32)


def _grain(picture: NDArray[np.float32], index: int, settings: AgeingSettings) -> NDArray[np.float32]:
    """Return grain with the standard deviation asked for, strongest in the mid-tones."""
    noise = _rng(settings, _GRAIN, index).standard_normal(picture.shape, np.float32)
    if settings.grain_px > 0:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), settings.grain_px), np.float32)
        noise /= max(float(noise.std()), 1e-6)
    middle = 4 * np.clip(picture, 0, 1) * (1 - np.clip(picture, 0, 1))
    return np.asarray(noise * np.float32(settings.grain) * (0.45 + 0.55 * middle), np.float32)
