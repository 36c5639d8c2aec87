"""Stills held in memory, and the samplers that cut training batches out of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fastrestore.export.train.degrade import LUMA
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.resize import Bytes, Floats, crop_to_multiple, resize_bicubic, to_bytes

HELD_OUT = Path(__file__).with_name("heldout.txt")
VALIDATION = Path(__file__).with_name("validation.txt")


@dataclass(frozen=True)
class Batch:
    """Corresponding patches of a batch."""

    low: Bytes
    """`(N, p, p, 3)`, uint8, RGB: what the network is given."""
    original: Bytes
    """`(N, p * scale, p * scale, 3)`, uint8, RGB: the undegraded picture."""
    teacher: Bytes | None
    """As `original`: the teacher's result, where there is one."""


class Sampler(Protocol):
    """A source of training batches."""

    def sample(self, rng: np.random.Generator) -> Batch:
        """Draw a batch; everything random comes from `rng`."""


class CleanSampler:
    """Aligned crops of stills and of their antialiased bicubic reductions.

    Args:
        stills: Full pictures, `(H, W, 3)` uint8 RGB each.
        recipe: Gives scale, batch, patch size, and how patches are chosen.
    """

    def __init__(self, stills: list[Bytes], recipe: Recipe) -> None:
        self._recipe = recipe
        self._high = [crop_to_multiple(still, recipe.scale) for still in stills]
        self._low = [reduce(high, recipe.scale) for high in self._high]
        areas = np.array([low.shape[0] * low.shape[1] for low in self._low], dtype=np.float64)
        self._chance = areas / areas.sum()
        pairs = zip(self._low, self._high, strict=True) if recipe.error_share > 0.0 else ()
        self._error = [np.cumsum(bicubic_error(low, high)) for low, high in pairs]

    def sample(self, rng: np.random.Generator) -> Batch:
        """Draw a batch; a still is chosen in proportion to its area."""
        p, s = self._recipe.lr_patch_px, self._recipe.scale
        low, high = [], []
        for index in rng.choice(len(self._low), size=self._recipe.batch, p=self._chance):
            if self._error and rng.random() < self._recipe.error_share:
                index = int(rng.integers(len(self._low)))
                y, x = self._corner_by_error(index, rng)
            else:
                y, x = self._corner(self._low[index], rng)
            turn = int(rng.integers(8))
            colours = rng.permutation(3) if self._recipe.permute_colours else np.arange(3)
            low.append(_turned(self._low[index][y : y + p, x : x + p], turn, colours))
            cut = self._high[index][y * s : (y + p) * s, x * s : (x + p) * s]
            high.append(_turned(cut, turn, colours))
        return Batch(np.stack(low), np.stack(high), None)

    def _corner(self, low: Bytes, rng: np.random.Generator) -> tuple[int, int]:
        """Choose the row and column where a patch begins."""
        p = self._recipe.lr_patch_px
        corners = [
            (int(rng.integers(low.shape[0] - p + 1)), int(rng.integers(low.shape[1] - p + 1)))
            for _ in range(self._recipe.candidates)
        ]
        return max(corners, key=lambda c: busyness(low[c[0] : c[0] + p, c[1] : c[1] + p]))

    def _corner_by_error(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Choose where a patch begins so that it holds a pixel drawn in proportion to its error."""
        p, low, error = self._recipe.lr_patch_px, self._low[index], self._error[index]
        pixel = divmod(int(np.searchsorted(error, rng.random() * error[-1], side="right")), low.shape[1])
        before = rng.integers(p, size=2)
        y, x = (int(np.clip(at - b, 0, side - p)) for at, b, side in zip(pixel, before, low.shape, strict=False))
        return y, x


class PoolSampler:
    """Crops out of a pool of degraded patches made beforehand (see `teacher.py`).

    Args:
        pool: `.npz` file with `low`, `original` and `teacher`, uint8, `(M, P, P, 3)` and
            `(M, P * scale, P * scale, 3)`.
        batch: Patches per batch.
        patch_px: Side of a low-resolution patch, smaller than `P`.
    """

    MARGIN_PX = 2
    """Border of a pool patch that is never used: blur and teacher see no neighbours there."""

    def __init__(self, pool: Path, batch: int, patch_px: int) -> None:
        with np.load(pool) as stored:
            self._low: Bytes = stored["low"]
            self._original: Bytes = stored["original"]
            self._teacher: Bytes = stored["teacher"]
        self._scale = self._original.shape[1] // self._low.shape[1]
        self._batch, self._patch_px = batch, patch_px

    def sample(self, rng: np.random.Generator) -> Batch:
        """Draw a batch, every patch of the pool equally likely."""
        p, s = self._patch_px, self._scale
        slack = self._low.shape[1] - p - 2 * self.MARGIN_PX
        low, original, teacher = [], [], []
        for index in rng.integers(len(self._low), size=self._batch):
            y, x = (int(v) for v in rng.integers(slack + 1, size=2) + self.MARGIN_PX)
            turn, colours = int(rng.integers(8)), rng.permutation(3)
            wide = np.s_[y * s : (y + p) * s, x * s : (x + p) * s]
            low.append(_turned(self._low[index][y : y + p, x : x + p], turn, colours))
            original.append(_turned(self._original[index][wide], turn, colours))
            teacher.append(_turned(self._teacher[index][wide], turn, colours))
        return Batch(np.stack(low), np.stack(original), np.stack(teacher))


def held_out_names() -> list[str]:
    """Return the file names of the stills that nothing is decided by: they are measured once, at the end."""
    return HELD_OUT.read_text(encoding="utf-8").split()


def validation_names() -> list[str]:
    """Return the file names of the stills that recipes are chosen by and no network is trained on."""
    return VALIDATION.read_text(encoding="utf-8").split()


def training_stills(folder: Path) -> list[Bytes]:
    """Decode every still that is neither held out nor for validation, in the order of the file names."""
    kept_back = {*held_out_names(), *validation_names()}
    return [read_rgb(path) for path in sorted(folder.glob("*.jpg")) if path.name not in kept_back]


def read_rgb(path: Path) -> Bytes:
    """Decode a picture to `(H, W, 3)`, uint8, RGB."""
    stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if stored is None:
        raise FileNotFoundError(f"{path.name}: no picture that OpenCV can read")
    return np.ascontiguousarray(stored[..., ::-1], dtype=np.uint8)


def reduce(high: Bytes, scale: int) -> Bytes:
    """Shrink by a whole factor with the antialiased bicubic kernel; both sides are multiples of it."""
    return to_bytes(resize_bicubic(high, high.shape[0] // scale, high.shape[1] // scale))


def bicubic_error(low: Bytes, high: Bytes) -> Floats:
    """Return bicubic's squared error of luma, summed over what each low-resolution pixel covers.

    Args:
        low: `(H, W, 3)`, uint8, RGB.
        high: `(H * scale, W * scale, 3)`, uint8, RGB.

    Returns:
        `(H, W)`, float32, not negative, in squared 8-bit levels.
    """
    height, width = low.shape[:2]
    error = ((resize_bicubic(low, *high.shape[:2]) - high) @ LUMA) ** 2
    cells: Floats = error.reshape(height, high.shape[0] // height, width, -1).sum(axis=(1, 3))
    return cells


def busyness(patch: Bytes) -> float:
    """Return the mean absolute difference of horizontal neighbours, in 8-bit levels."""
    return float(np.abs(np.diff(patch.astype(np.int16), axis=1)).mean())


def _turned(patch: Bytes, turn: int, colours: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Bytes:
    """Apply one of the eight symmetries of the square and a permutation of the colours."""
    patch = np.rot90(patch, turn % 4)[..., colours]
    return patch[:, ::-1] if turn >= 4 else patch
