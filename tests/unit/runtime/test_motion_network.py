"""Where motion networks work, what they are given, what becomes of what they yield."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.motion_samples import panning

from fastrestore.errors import EngineError, EngineIncompatibleError
from fastrestore.frames import FORMATS, FloatImage, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.cpu import CpuOps
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec, Task, Tensor
from fastrestore.runtime.motion import DisEstimator, open_estimator
from fastrestore.runtime.motion_network import LEAST_PX, AnyInstantEstimator, FlowEstimator, NetworkGrid, network_grid

Arrays = Mapping[str, NDArray[np.float32]]
OPS = CpuOps()


def spec(*, any_instant: bool, multiple_px: int = 1) -> ModelSpec:
    inputs = [Tensor("a", 3), Tensor("b", 3)] + ([Tensor("t", 1, 0)] if any_instant else [])
    outputs = [Tensor("flow", 4), Tensor("mask", 1)] if any_instant else [Tensor("flow", 2)]
    return ModelSpec(
        "n", "n", Task.MOTION, "", "", "", multiple_px=multiple_px, inputs=tuple(inputs), outputs=tuple(outputs)
    )


class Scripted:
    """An engine that yields what a function of its inputs writes."""

    def __init__(self, facts: ModelSpec, write: Callable[[Arrays, Arrays], None]) -> None:
        self.spec, self._write = facts, write
        self.largest: Size | None = None
        self.buffers: set[int] = set()

    def run(self, inputs: Arrays, out: Arrays) -> None:
        self.buffers |= {array.ctypes.data for array in out.values()}
        self._write(inputs, out)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class CountingOps(CpuOps):
    """Kernels that remember which pictures became R'G'B'."""

    def __init__(self) -> None:
        super().__init__()
        self.converted: list[Picture] = []

    def to_rgb(self, picture: Picture) -> FloatImage:
        self.converted.append(picture)
        return super().to_rgb(picture)


def at_instant(inputs: Arrays, out: Arrays) -> None:
    t = float(inputs["t"][0, 0, 0, 0])
    out["flow"][:] = t
    out["mask"][:] = 1 - t


@pytest.mark.parametrize(
    ("any_instant", "multiple", "size", "shrink", "network"),
    [
        (True, 32, Size(640, 360), 1, Size(640, 384)),
        (True, 32, Size(641, 361), 1, Size(672, 384)),
        (True, 64, Size(1920, 1080), 1, Size(1920, 1088)),
        (True, 64, Size(3840, 2160), 2, Size(1920, 1088)),
        (True, 64, Size(7680, 4320), 4, Size(1920, 1088)),
        (True, 1, Size(2048, 9), 1, Size(2048, LEAST_PX)),
        (True, 1, Size(2049, 9), 2, Size(1025, LEAST_PX)),
        (False, 8, Size(1280, 720), 1, Size(1280, 720)),
        (False, 8, Size(1920, 1080), 2, Size(960, 544)),
        (False, 8, Size(1080, 1920), 2, Size(544, 960)),
        (False, 8, Size(3840, 2160), 4, Size(960, 544)),
        (False, 96, Size(1, 1), 1, Size(192, 192)),
    ],
)
def test_the_grid_depends_on_the_size_alone(
    any_instant: bool, multiple: int, size: Size, shrink: int, network: Size
) -> None:
    grid = network_grid(spec(any_instant=any_instant, multiple_px=multiple), size)
    assert (grid.shrink, grid.network) == (shrink, network)


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_a_place_is_the_same_going_in_and_coming_back(shrink: int) -> None:
    """Positions as pixel values: reduced and brought back, each pixel still says where it is."""
    picture, network = Size(45, 31), Size(60 // shrink, 40 // shrink)
    grid = NetworkGrid(picture, shrink, network)
    x, y = np.meshgrid(np.arange(45, dtype=np.float32), np.arange(31, dtype=np.float32))
    placed = grid.place(np.stack([x, y, x + y]))
    assert placed.shape == (1, 3, network.height, network.width)
    assert placed.flags.c_contiguous
    back = grid.flow(placed[0, :2])
    assert back.shape == (31, 45, 2)
    assert back.flags.c_contiguous
    inside = np.s_[shrink : -2 * shrink, shrink : -2 * shrink]  # the last reduced pixel is half padding
    np.testing.assert_allclose(back[..., 0][inside], shrink * x[inside], atol=1e-3)
    np.testing.assert_allclose(back[..., 1][inside], shrink * y[inside], atol=1e-3)


def test_padding_repeats_the_last_row_and_column() -> None:
    rgb = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    placed = NetworkGrid(Size(7, 5), 1, Size(12, 8)).place(rgb)[0]
    np.testing.assert_array_equal(placed[:, :5, :7], rgb)
    np.testing.assert_array_equal(placed[:, :5, 7:], np.repeat(rgb[:, :, -1:], 5, axis=2))
    np.testing.assert_array_equal(placed[:, 5:], np.repeat(placed[:, 4:5], 3, axis=1))


def test_a_mask_stays_within_its_range() -> None:
    found = NetworkGrid(Size(2, 2), 1, Size(2, 2)).mask(np.array([[-0.5, 0.25], [1.0, 1.001]], np.float32))
    np.testing.assert_array_equal(found, np.array([[0, 0.25], [1, 1]], np.float32))


@pytest.mark.parametrize("any_instant", [True, False])
def test_a_frame_is_converted_once(any_instant: bool) -> None:
    def write(inputs: Arrays, out: Arrays) -> None:
        for array in out.values():
            array[:] = 0

    ops, film = CountingOps(), panning(6, 2, 0)
    engine = Scripted(spec(any_instant=any_instant), write)
    estimator = open_estimator(engine.spec, ops, engine)
    for left, right in pairwise(film):
        pair = estimator.pair(left, right)
        for t in (0.2, 0.6):
            pair.at(t)
    assert [id(p) for p in ops.converted] == [id(p) for p in film]


def test_equal_pictures_are_not_mistaken_for_one_another() -> None:
    """Frames are known by identity, and one that is gone leaves its place in memory to others."""
    seen: list[float] = []

    def write(inputs: Arrays, out: Arrays) -> None:
        seen.append(float(inputs["a"].max()))
        at_instant(inputs, out)

    engine = Scripted(spec(any_instant=True), write)
    estimator = AnyInstantEstimator(engine, OPS)
    grey = FORMATS["gray"]
    for level in range(20, 220, 10):
        picture, other = (Picture((np.full((8, 8), v, np.uint8),), grey) for v in (level, level + 1))
        estimator.pair(picture, other).at(0.5)
    assert seen == sorted(seen)
    assert len(set(seen)) == 20


def test_results_are_the_callers_and_buffers_are_used_again() -> None:
    engine = Scripted(spec(any_instant=True), at_instant)
    pair = AnyInstantEstimator(engine, OPS).pair(*panning(2, 2, 0))
    kept = {t: pair.at(t) for t in (0.25, 0.5, 0.75)}
    assert len(engine.buffers) == 2
    for t, motion in kept.items():
        assert (motion.flow_to_left == t).all()
        assert (motion.flow_to_right == t).all()
        assert (motion.mask == 1 - t).all()


def test_sizes_may_change_from_pair_to_pair() -> None:
    estimator = AnyInstantEstimator(Scripted(spec(any_instant=True, multiple_px=16), at_instant), OPS)
    small, large = estimator.pair(*panning(2, 2, 0, 40, 30)), estimator.pair(*panning(2, 2, 0, 200, 150))
    assert [p.at(0.5).size for p in (small, large, small)] == [Size(40, 30), Size(200, 150), Size(40, 30)]


def test_films_of_any_length_leave_no_more_than_two_pictures_behind() -> None:
    estimator = AnyInstantEstimator(Scripted(spec(any_instant=True), at_instant), OPS)
    film = panning(12, 2, 0)
    planes = [weakref.ref(picture.planes[0]) for picture in film]
    for left, right in pairwise(film):
        estimator.pair(left, right).at(0.5)
    del film, left, right
    gc.collect()
    assert sum(plane() is not None for plane in planes) <= 2


def test_flow_beyond_all_bounds_is_kept_representable() -> None:
    def write(inputs: Arrays, out: Arrays) -> None:
        out["flow"][:] = 1e30

    motion = FlowEstimator(Scripted(spec(any_instant=False), write), OPS).pair(*panning(2, 2, 0)).at(0.5)
    for flow in (motion.flow_to_left, motion.flow_to_right):
        assert np.isfinite(flow).all()
        assert np.abs(flow).max() <= 96
    assert motion.disagreement is not None
    assert np.isfinite(motion.disagreement).all()


@pytest.mark.parametrize("output", ["flow", "mask"])
def test_one_number_that_is_not_finite_in_any_output_is_an_error(output: str) -> None:
    def write(inputs: Arrays, out: Arrays) -> None:
        at_instant(inputs, out)
        out[output][0, 0, 3, 5] = np.nan

    pair = AnyInstantEstimator(Scripted(spec(any_instant=True), write), OPS).pair(*panning(2, 2, 0))
    with pytest.raises(EngineError, match="`n` produced numbers that are not finite"):
        pair.at(0.5)


def test_networks_that_are_no_motion_networks_are_refused() -> None:
    flow, instant = (Scripted(spec(any_instant=value), at_instant) for value in (False, True))
    restoring = Scripted(find("film-x2-tiny"), at_instant)
    for estimator, engine in ((AnyInstantEstimator, flow), (FlowEstimator, instant), (FlowEstimator, restoring)):
        with pytest.raises(EngineIncompatibleError, match="motion network with channels"):
            estimator(engine, OPS)


def test_every_kind_of_model_finds_its_estimator() -> None:
    assert isinstance(open_estimator(find("dis"), OPS), DisEstimator)
    for any_instant, kind in ((True, AnyInstantEstimator), (False, FlowEstimator)):
        facts = spec(any_instant=any_instant)
        assert isinstance(open_estimator(facts, OPS, Scripted(facts, at_instant)), kind)
        with pytest.raises(ValueError, match="wanted its engine"):
            open_estimator(facts, OPS)
