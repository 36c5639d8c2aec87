"""Sparse weights equal the reference's dense ones, alone and in chains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fastrestore.frames import FORMATS, Colour
from fastrestore.geometry import Size
from fastrestore.kernels.launches import TapTable, TileSpan, frame_taps, resize_taps
from fastrestore.kernels.reference import move_to_siting, resize
from fastrestore.kernels.taps import TABLE_ALIGNMENT_BYTES, Taps, siting_taps, tile_taps


def dense(taps: Taps, length: int) -> NDArray[np.float64]:
    matrix = np.zeros((len(taps), length))
    for row in range(len(taps)):
        for entry in range(taps.begin[row], taps.begin[row + 1]):
            matrix[row, taps.offsets[entry]] += taps.weights[entry]
    return matrix


@pytest.mark.parametrize("target", [(40, 30), (20, 15), (7, 11), (1, 1), (80, 60), (41, 30), (33, 61), (97, 13)])
def test_resize_is_that_of_the_reference(target: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random((30, 40))
    across, down = resize_taps(Size(40, 30), Size(*target))
    got = dense(down, 30) @ plane @ dense(across, 40).T
    np.testing.assert_allclose(got, resize(plane, Size(*target)), atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_siting_is_that_of_the_reference(length: int) -> None:
    plane = np.random.default_rng(0).random((1, length))
    want = move_to_siting(plane, FORMATS["yuv422p"], Colour())
    np.testing.assert_allclose(plane @ dense(siting_taps(length), length).T, want, atol=1e-12)


def test_a_chain_is_the_product() -> None:
    inner, outer = resize_taps(Size(40, 1), Size(17, 1))[0], resize_taps(Size(17, 1), Size(23, 1))[0]
    chained = outer.of(inner)
    np.testing.assert_allclose(dense(chained, 40), dense(outer, 17) @ dense(inner, 40), atol=1e-12)
    for row in range(len(chained)):
        within = chained.offsets[chained.begin[row] : chained.begin[row + 1]]
        assert (np.diff(within) > 0).all(), "each element once, in order"


def test_overlapping_tiles_share_by_weight() -> None:
    spans = [TileSpan(0, 0, np.array([1.0, 1.0, 0.5])), TileSpan(2, 1, np.array([1.5, 1.0]))]
    taps = tile_taps(spans, stride=100, step=10)
    assert len(taps) == 4
    assert list(taps.offsets) == [0, 10, 20, 110, 120]
    np.testing.assert_allclose(taps.weights, [1, 1, 0.25, 0.75, 1])
    assert list(np.diff(taps.begin)) == [1, 1, 2, 1]


def test_a_gap_between_tiles_is_an_error() -> None:
    with pytest.raises(ValueError, match="gap at 2"):
        tile_taps([TileSpan(0, 0, np.ones(2)), TileSpan(3, 0, np.ones(2))], stride=9, step=1)


def test_weights_of_a_frame_add_up_to_one() -> None:
    columns = [TileSpan(0, 0, np.ones(40)), TileSpan(30, 6, np.linspace(0.1, 1, 34))]
    table = frame_taps(columns, [TileSpan(0, 0, np.ones(31))], Size(40, 32), Size(33, 47), FORMATS["yuv420p"], Colour())
    base = 1 << 20
    lengths = [33, 47, 17, 24]
    for placed, length in zip(table.at(base), lengths, strict=True):
        assert placed.targets == length
        assert placed.begin % TABLE_ALIGNMENT_BYTES == placed.entries % TABLE_ALIGNMENT_BYTES == 0
        begin = table.data[placed.begin - base :][: 4 * (length + 1)].view("<i4")
        entries = table.data[placed.entries - base :][: 8 * begin[-1]].view([("offset", "<i4"), ("weight", "<f4")])
        np.testing.assert_allclose(np.add.reduceat(entries["weight"], begin[:-1]), 1, atol=1e-6)
        assert placed.sources == len(np.unique(entries["offset"]))
    assert table.data.nbytes == sum(placed.nbytes for placed in table.at(base))


def test_a_table_is_made_in_no_more_than_its_own_size() -> None:
    """4K from 8K tiles: sparse all the way, where dense weights would take a quarter of a gigabyte."""
    across, down = resize_taps(Size(7680, 4320), Size(3840, 2160))
    assert across.longest == down.longest == 2
    assert TapTable(across, down).data.nbytes < 200_000
