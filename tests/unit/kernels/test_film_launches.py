"""Builders of the old-film launches check what they are given and count bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.kernels.film_launched import BASE, SIZE, every_film_launch, picture, site_taps, view

from fastrestore.errors import DeviceError
from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.kernels.params import GrainParams, MendParams

LUMA, FLOATS, FLOW = view(), view(32), view(32, floats=2)
GRAIN, TONES, TENS = k.Grain(LUMA, BASE, 6, 8), k.Tones(BASE, 8), k.Tones(BASE, 10)
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])
SMALL, UHD = Size(32, 24), Size(3840, 2160)

REFUSED: dict[str, Callable[[], object]] = {
    "grain on a smaller target": lambda: k.lay_grain(LUMA, GRAIN, view(size=SMALL), (0, 0), 1),
    "grain on another depth": lambda: k.lay_grain(LUMA, GRAIN, view(10), (0, 0), 1),
    "gains of another depth": lambda: k.lay_grain(view(10), GRAIN, view(10), (0, 0), 1),
    "a texture of words": lambda: k.lay_grain(LUMA, replace(GRAIN, texture=view(16)), LUMA, (0, 0), 1),
    "gains shifted too far": lambda: k.lay_grain(LUMA, replace(GRAIN, shift=15), LUMA, (0, 0), 1),
    "a sign of two": lambda: k.lay_grain(LUMA, GRAIN, LUMA, (0, 0), 2),
    "a plane of floats": lambda: k.lay_grain(FLOATS, GRAIN, FLOATS, (0, 0), 1),
    "a pitch below the row": lambda: k.tone(replace(LUMA, pitch=63), TONES, LUMA, 16, 219),
    "half a sample": lambda: k.tone(replace(view(10), address=BASE + 1), TENS, view(10), 64, 876),
    "a plane too large": lambda: k.tone(view(size=Size(40_000, 2)), TONES, view(size=Size(40_000, 2)), 16, 219),
    "a table of another depth": lambda: k.tone(LUMA, TENS, LUMA, 16, 219),
    "a field of bytes": lambda: k.tone(LUMA, replace(TONES, field=LUMA), LUMA, 16, 219),
    "a field with gaps": lambda: k.tone(LUMA, replace(TONES, field=replace(FLOATS, pitch=512)), LUMA, 16, 219),
    "a field of too many cells": lambda: k.tone(LUMA, replace(TONES, field=view(32, Size(5000, 2))), LUMA, 16, 219),
    "chroma of a grey picture": lambda: k.tone_chroma(picture(name="gray"), TONES, [], picture(name="gray")),
    "chroma of another size": lambda: k.tone_chroma(picture(), TONES, site_taps(picture()), picture(SMALL)),
    "chroma of another depth": lambda: k.tone_chroma(
        picture(), TONES, site_taps(picture()), picture(name="yuv420p10le")
    ),
    "weights of another picture": lambda: k.tone_chroma(picture(), TONES, site_taps(picture(SMALL)), picture()),
    "a similarity of no number": lambda: k.resample(LUMA, STILL * np.nan, BASE, LUMA),
    "a projection": lambda: k.resample(LUMA, np.eye(3), BASE, LUMA),
    "weights out of line": lambda: k.resample(LUMA, STILL, BASE + 4, LUMA),
    "resampled to another depth": lambda: k.resample(LUMA, STILL, BASE, view(10)),
    "a flow of single numbers": lambda: k.warp(LUMA, FLOATS, LUMA),
    "a flow of another size": lambda: k.warp(LUMA, FLOW, view(size=SMALL)),
    "warped to another depth": lambda: k.warp(LUMA, FLOW, FLOATS),
    "a mask of bytes": lambda: k.mend(LUMA, (FLOATS, FLOATS), LUMA, LUMA, 0.5),
    "a side of another size": lambda: k.mend(LUMA, (FLOATS, view(32, SMALL)), FLOATS, LUMA, 0.5),
    "a share of more than all": lambda: k.mend(LUMA, (FLOATS, FLOATS), FLOATS, LUMA, 1.5),
    "a share of no number": lambda: k.mend(LUMA, (FLOATS, FLOATS), FLOATS, LUMA, float("nan")),
    "agreement in ten bits": lambda: k.agreement(view(10), view(10), FLOATS, FLOATS),
    "variance in bytes": lambda: k.agreement(LUMA, LUMA, LUMA, FLOATS),
    "three neighbours": lambda: k.average(LUMA, [(LUMA, FLOATS)] * 3, FLOATS),
    "a neighbour of another depth": lambda: k.average(LUMA, [(view(10), FLOATS)], FLOATS),
    "a mean of bytes": lambda: k.average(LUMA, [], LUMA),
    "calm of another size": lambda: k.calm(view(32, SMALL), 4.0, None, LUMA),
    "calm to floats": lambda: k.calm(FLOATS, 4.0, None, FLOATS),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    with pytest.raises(DeviceError):
        REFUSED[case]()


def test_the_largest_picture_is_within_the_grid() -> None:
    for launch in every_film_launch(Size(32_767, 32_767)):
        assert launch.grid[0] < 1 << 31 and max(launch.grid[1:]) < 1 << 16, launch.kernel


def test_bytes_of_a_4k_frame() -> None:
    """Luma in, luma out, and a texture as large: next to nothing is read beside them."""
    made = {launch.kernel: k.bytes_moved(launch) for launch in every_film_launch(UHD)}
    luma = UHD.pixels
    assert made["fr_lay_grain"] == (3 * luma + 512, 3 * luma)
    assert made["fr_tone"] == (2 * luma + 1024, 2 * luma)
    assert made["fr_tone_chroma"][1] == 2 * luma
    assert made["fr_tone_chroma"][0] < 1.05 * made["fr_tone_chroma"][1]
    assert made["fr_resample"] == (2 * luma + 1024, 2 * luma)
    assert made["fr_warp"] == (10 * luma, 10 * luma)
    assert made["fr_average"] == (19 * luma, 11 * luma)
    assert made["fr_calm"] == (13 * luma, 5 * luma)


def test_offsets_are_within_the_texture() -> None:
    launch = k.lay_grain(LUMA, GRAIN, LUMA, (SIZE.height * 9 + 3, SIZE.width * 5 + 7), -1)
    params = GrainParams.from_buffer_copy(launch.params)
    assert (params.row, params.column, params.sign) == (3, 7, -1)


def test_the_side_that_fits_better_gives_the_detail() -> None:
    sides = replace(FLOATS, address=BASE), replace(FLOATS, address=2 * BASE)
    for share, better in ((0.7, BASE), (0.3, 2 * BASE)):
        params = MendParams.from_buffer_copy(k.mend(LUMA, sides, FLOATS, LUMA, share).params)
        assert params.better == better
        assert params.share == pytest.approx(0.3)
        assert params.centre + 2 * (params.beside + params.beyond) == pytest.approx(1)


def test_lanczos_weights_add_up_and_mirror_each_other() -> None:
    weights = k.lanczos_weights()
    assert np.allclose(weights.sum(1), 1, atol=1e-6)
    assert np.allclose(weights[1:, :], weights[:0:-1, ::-1], atol=1e-6)
    assert np.argmax(weights[0]) == 3 and weights[0, 3] == 1
