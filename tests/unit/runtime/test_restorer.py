"""Tiles of engines that take no more than a certain size: never larger, few, and as the plan says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.restorer import TiledNetwork, network_tiles

SPEC = find("film-x2-tiny")


class Doubling:
    """An engine that repeats every pixel, takes no more than `largest`, and remembers what it was given."""

    def __init__(self, largest: Size | None, spec: ModelSpec = SPEC) -> None:
        self.spec, self.largest = spec, largest
        self.given: set[Size] = set()

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        (batch,), (result,) = inputs.values(), out.values()
        self.given.add(Size(batch.shape[3], batch.shape[2]))
        result[:] = batch.repeat(2, axis=2).repeat(2, axis=3)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


@given(
    st.builds(Size, st.integers(1, 500), st.integers(1, 500)),
    st.sampled_from([64, 128, 200]),
    st.sampled_from([None, 50, 90, 1000]),
    st.sampled_from([1, 8]),
)
def test_no_tile_is_larger_than_the_engine_takes(size: Size, most: int, tile: int | None, multiple: int) -> None:
    plan = network_tiles(replace(SPEC, multiple_px=multiple), size, tile, largest=Size(most, most))
    padded = [-(-side // multiple) * multiple for side in (plan.tile.width, plan.tile.height)]
    assert max(padded) <= most
    if tile is None and max(size.width, size.height) <= most:
        assert len(plan) == 1


def test_the_whole_picture_where_it_fits() -> None:
    """The engine's scratch memory was settled when it was built: the host's memory has no say."""
    assert len(network_tiles(SPEC, Size(1920, 1080), None, budget_bytes=1 << 20, largest=Size(2048, 2048))) == 1
    assert len(network_tiles(SPEC, Size(1920, 1080), None, budget_bytes=1 << 20)) > 1


@pytest.mark.parametrize(
    ("size", "tiles", "tile"),
    [
        (Size(1920, 1080), 2, Size(1088, 1080)),  # both of full height: 13 % is read twice, in four tiles it were 83 %
        (Size(3840, 2160), 28, Size(576, 576)),  # 12 %, in twelve tiles 37 %
        (Size(1100, 1100), 4, Size(576, 576)),
    ],
)
def test_tiles_read_little_twice(size: Size, tiles: int, tile: Size) -> None:
    plan = network_tiles(SPEC, size, None, largest=Size(1088, 1088))
    assert (len(plan), plan.tile) == (tiles, tile)


@pytest.mark.parametrize("size", [Size(150, 90), Size(64, 64), Size(65, 64), Size(300, 40)])
def test_a_picture_in_tiles_is_the_picture(size: Size) -> None:
    image = np.random.default_rng(1).random((3, size.height, size.width)).astype(np.float32)
    engine, whole = Doubling(Size(64, 64)), Doubling(None)
    np.testing.assert_array_equal(TiledNetwork(engine).run(image), TiledNetwork(whole).run(image))
    assert all(given.width <= 64 and given.height <= 64 for given in engine.given)
    assert whole.given == {size}


class OnAGrid(Doubling):
    """Sees pictures in cells of 4x4, each of which becomes one colour: as a network behind a pixel unshuffle may."""

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        (batch,), (result,) = inputs.values(), out.values()
        result[:] = batch[:, :, ::4, ::4].repeat(8, axis=2).repeat(8, axis=3)


@pytest.mark.parametrize("size", [Size(150, 90), Size(64, 64), Size(65, 66), Size(301, 43)])
def test_tiles_of_a_network_on_a_grid_are_the_picture(size: Size) -> None:
    image = np.random.default_rng(1).random((3, size.height, size.width)).astype(np.float32)
    in_tiles, whole = OnAGrid(Size(52, 52)), OnAGrid(None)
    for engine in (in_tiles, whole):
        engine.spec = replace(SPEC, multiple_px=4)
    np.testing.assert_array_equal(TiledNetwork(in_tiles).run(image), TiledNetwork(whole).run(image))


def test_a_tile_asked_for_is_kept_if_the_engine_takes_it() -> None:
    assert network_tiles(SPEC, Size(500, 500), 100, largest=Size(200, 200)).tile == Size(100, 100)
    assert network_tiles(SPEC, Size(500, 500), 400, largest=Size(200, 200)).tile == Size(200, 200)
    assert network_tiles(SPEC, Size(500, 500), 400, largest=Size(600, 600)).tile == Size(400, 400)
