"""The inner operations of the grain stage, held against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest

from fastrestore.kernels.film_grain import (
    BLOCK_PX,
    LAGS,
    STRONGEST,
    TEXTURE_UNIT,
    cut_blocks,
    gains,
    lag_products,
    laid_over,
    steps,
    unbiased,
)


def test_a_plane_is_taken_out_of_each_block() -> None:
    y, x = np.mgrid[0:40, 0:70].astype(np.float32)
    blocks = cut_blocks(3 + 0.5 * x - 0.25 * y)
    assert blocks.rest.shape == (8, BLOCK_PX, BLOCK_PX)
    assert np.abs(blocks.rest).max() < 1e-4
    assert blocks.mean[1] == pytest.approx(3 + 0.5 * 23.5 - 0.25 * 7.5)


def test_what_the_plane_took_of_the_grain_is_given_back() -> None:
    """Grain with a correlation that ends within reach: a kernel of 3x3 equal weights."""
    white = np.random.default_rng(0).standard_normal((1600, 1602))
    parts = [white[dy : 1598 + dy, dx : 1600 + dx] for dy in range(3) for dx in range(3)]
    smooth = np.sum(parts, axis=0) / 3
    found = unbiased(lag_products(cut_blocks(smooth).rest))
    wanted = np.array([max(0, 3 - dy) * max(0, 3 - abs(dx)) / 9 for dy, dx in LAGS])
    assert np.abs(found - wanted).max() < 0.02
    assert lag_products(cut_blocks(smooth).rest)[0] < 0.95


def test_steps_tell_coding_blocks_from_noise() -> None:
    rng = np.random.default_rng(1)
    noise = steps(cut_blocks(rng.normal(0, 3, (160, 160))).rest)
    assert float((noise.edge / noise.inner).mean()) == pytest.approx(1, abs=0.1)
    blocky = steps(cut_blocks(np.kron(rng.normal(0, 3, (20, 20)), np.ones((8, 8)))).rest)
    assert float(np.median(blocky.edge / blocky.inner)) > 10


def _texture() -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    noise = np.random.default_rng(2).normal(0, TEXTURE_UNIT, (200, 300))
    return np.clip(np.rint(noise), -127, 127).astype(np.int8)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("sigma", [0.6, 3.0, STRONGEST])
def test_a_texture_is_laid_over_as_its_definition_says(bits: int, sigma: float) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    unit = 1 << (bits - 8)
    stored = np.random.default_rng(3).integers(0, 1 << bits, (150, 250)).astype(dtype)
    plane = stored.astype(np.int64)
    low, high = 16 * unit, 235 * unit
    gain, texture = gains(np.full(256, sigma), bits, low, high), _texture()
    laid = laid_over(stored, texture, (170, 290), -1, gain).astype(np.int64)
    rows, columns = np.arange(170, 320) % 200, np.arange(290, 540) % 300
    grain = texture[rows][:, columns].astype(np.int64)
    wanted = plane + ((-grain * gain.table[plane >> (bits - 8)] + ((1 << gain.shift) >> 1)) >> gain.shift)
    assert np.array_equal(laid, wanted)
    within = (plane >= low) & (plane <= high)
    assert laid[within].min() >= low
    assert laid[within].max() <= high
    assert np.array_equal(laid[~within], plane[~within])
    middle = (plane > 100 * unit) & (plane < 150 * unit)
    added = (laid - plane)[middle] / unit
    assert added.std() == pytest.approx(min(sigma, 20), rel=0.08)


def test_no_gain_returns_the_very_plane() -> None:
    plane = np.zeros((4, 4), np.uint8)
    assert laid_over(plane, _texture(), (0, 0), 1, gains(np.zeros(256), 8, 0, 255)) is plane
