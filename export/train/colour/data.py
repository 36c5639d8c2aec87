"""Pictures to learn colour from: stills made grey, worn like old film, with the chroma that they had."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.export.arch.colournet.network import BLUE_FROM_CB, LUMA, RED_FROM_CR
from fastrestore.export.train.resize import Bytes, Floats

STORED_PX = 288
"""Long side at which the stills are kept in memory."""


@dataclass(frozen=True)
class ColourBatch:
    """Grey pictures and their chroma."""

    luma: Floats
    """`(N, 1, P, P)`, float32, range `[0, 1]`: worn."""
    chroma: Floats
    """`(N, 2, P/2, P/2)`, float32, Cb and Cr, range `[-0.5, 0.5]`: of the clean picture."""


class ColourSampler:
    """Cuts of stills, each shown at a height and tone of its own.

    Args:
        stills: `(H, W, 3)` uint8 RGB each.
        batch: Cuts in a batch.
        patch_px: Side of a cut once reduced; even.
    """

    LEAST_SHARE = 0.55
    """Of a still's sides that a cut shows: colour is guessed from what a picture is of, so most of it must be seen."""

    def __init__(self, stills: list[Bytes], batch: int, patch_px: int) -> None:
        self._stills = [reduced(still, STORED_PX) for still in stills]
        self._batch, self._patch_px = batch, patch_px

    def sample(self, rng: np.random.Generator) -> ColourBatch:
        """Draw a batch; everything random comes from `rng`."""
        cuts = [self._cut(self._stills[index], rng) for index in rng.integers(len(self._stills), size=self._batch)]
        luma, chroma = zip(*(split(cut) for cut in cuts), strict=True)
        half = (self._patch_px // 2, self._patch_px // 2)
        small = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA).transpose(2, 0, 1) for plane in chroma]
        worn = [wear(plane, rng)[None] for plane in luma]
        return ColourBatch(np.stack(worn), np.ascontiguousarray(np.stack(small), np.float32))

    def _cut(self, still: Bytes, rng: np.random.Generator) -> Floats:
        height, width = still.shape[:2]
        share = rng.uniform(self.LEAST_SHARE, 1.0, 2)
        tall, wide = max(16, round(height * share[0])), max(16, round(width * share[1]))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        cut = still[top : top + tall, left : left + wide]
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
        side = (self._patch_px, self._patch_px)
        small = cv2.resize(np.ascontiguousarray(cut), side, interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / np.float32(255)


def reduced(still: Bytes, long_side_px: int) -> Bytes:
    """Return a still, `(H, W, 3)`, no longer than `long_side_px`."""
    factor = min(1.0, long_side_px / max(still.shape[:2]))
    size = (max(1, round(still.shape[1] * factor)), max(1, round(still.shape[0] * factor)))
    return np.asarray(cv2.resize(still, size, interpolation=cv2.INTER_AREA), np.uint8)


def split(rgb: Floats) -> tuple[Floats, Floats]:
    """Return luma, `(H, W)`, and Cb and Cr, `(H, W, 2)` in `[-0.5, 0.5]`, of R'G'B' `(H, W, 3)` in `[0, 1]`."""
    luma = (rgb @ np.asarray(LUMA, np.float32)).astype(np.float32)
    blue, red = (rgb[..., 2] - luma) / BLUE_FROM_CB, (rgb[..., 0] - luma) / RED_FROM_CR
    return luma, np.stack([blue, red], axis=-1).astype(np.float32)


def wear(luma: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a picture's luma, `(H, W)` in `[0, 1]`, as a film might show it: other tones, soft, with grain."""
    tone = np.power(luma, np.float32(np.exp(rng.uniform(-0.45, 0.45))))
    contrast = rng.uniform(0.65, 1.0)
    tone = tone * np.float32(contrast) + np.float32(rng.uniform(0.0, 1.0 - contrast))
    if rng.random() < 0.5:
        tone = cv2.GaussianBlur(tone, (0, 0), float(rng.uniform(0.3, 1.2)))
    grain = rng.standard_normal(tone.shape, np.float32) * np.float32(rng.uniform(0.0, 0.04))
    return np.asarray(np.clip(tone + grain, 0, 1), np.float32)
