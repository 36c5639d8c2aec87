"""Laws of motion estimators: the classical one, and networks of both kinds on every backend that can run here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.motion_samples import (
    COLOUR,
    LEFT,
    RIGHT,
    YUV,
    CountingEngine,
    broken,
    echo,
    panning,
    shift_at_any_instant,
    shift_between_two,
)

from fastrestore.config import Plan
from fastrestore.errors import EngineError
from fastrestore.frames import FORMATS, Frame, Motion, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import BACKENDS, Backend, load_backend
from fastrestore.runtime.motion import MotionEstimator, open_estimator
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

OPS = open_ops("cpu")
DX, DY = 4, -8
"""Motion of the film; a quarter of it is whole pixels, so that frames between are exact."""
MULTIPLE_PX = 24
Make = Callable[[Path], ModelSpec]
NETWORKS: dict[str, Make] = {
    "any-instant": lambda folder: shift_at_any_instant(folder, DX, DY, multiple_px=MULTIPLE_PX),
    "flow": lambda folder: shift_between_two(folder, DX, DY, multiple_px=MULTIPLE_PX),
}


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    found = load_backend(request.param)
    if problem := found.unavailable_because():
        pytest.skip(problem)
    return found


@pytest.fixture(params=["dis", *NETWORKS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def estimator(kind: str, backend: Backend, tmp_path: Path) -> Iterator[MotionEstimator]:
    if kind == "dis":
        yield open_estimator(find("dis"), OPS)
        return
    with CountingEngine(backend.open(NETWORKS[kind](tmp_path), threads=1)) as engine:
        yield open_estimator(engine.spec, OPS, engine)


@pytest.fixture(params=list(NETWORKS))
def network(request: pytest.FixtureRequest, backend: Backend, tmp_path: Path) -> Iterator[CountingEngine]:
    with CountingEngine(backend.open(NETWORKS[request.param](tmp_path), threads=1)) as engine:
        yield engine


def arrays(motion: Motion) -> list[NDArray[np.float32]]:
    assert motion.disagreement is not None
    return [motion.flow_to_left, motion.flow_to_right, motion.mask, motion.disagreement]


def worst(one: Picture, other: Picture, border: int = 12) -> int:
    """Return the largest difference in luma, away from the edges, where what enters cannot be known."""
    inside = np.s_[border:-border, border:-border]
    return int(np.abs(one.planes[0][inside].astype(int) - other.planes[0][inside]).max())


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 90), (96, 80), (131, 129), (200, 33)])
def test_motion_has_the_pictures_size(estimator: MotionEstimator, size: tuple[int, int]) -> None:
    width, height = size
    motion = estimator.pair(*panning(2, DX, DY, width, height)).at(0.4)
    for array, channels in zip(arrays(motion), ((2,), (2,), (), ()), strict=True):
        assert array.shape == (height, width, *channels)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
    for share in arrays(motion)[2:]:
        assert share.min() >= 0
        assert share.max() <= 1


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p10le", "gray", "gbrp"])
def test_every_kind_of_picture_is_taken(estimator: MotionEstimator, layout: str) -> None:
    left, right = (OPS.from_rgb(OPS.to_rgb(p), p.size, FORMATS[layout], COLOUR) for p in panning(2, DX, DY))
    between = OPS.synthesize(left, right, estimator.pair(left, right).at(0.5), 0.5)
    assert (between.format, between.size) == (left.format, left.size)


def test_known_motion_gives_the_frame_between(estimator: MotionEstimator, kind: str) -> None:
    """Of five frames the first and the last are given; a network that knows the motion gives the others exactly."""
    film = panning(5, DX // 4, DY // 4)
    pair = estimator.pair(film[0], film[4])
    for step in (1, 2, 3):
        t = step / 4
        between = OPS.synthesize(film[0], film[4], pair.at(t), t)
        assert worst(between, film[step]) <= (12 if kind == "dis" else 0)


@pytest.mark.parametrize("t", [0.0, 1e-6, 1 - 1e-6, 1.0])
def test_close_to_a_frame_it_is_that_frame(estimator: MotionEstimator, t: float) -> None:
    left, right = panning(2, DX, DY)
    between = OPS.synthesize(left, right, estimator.pair(left, right).at(t), t)
    assert worst(between, left if t < 0.5 else right, border=1) <= 1


def test_a_picture_and_itself_agree_and_stand_still(estimator: MotionEstimator) -> None:
    left, copy = panning(1, DX, DY) + panning(1, DX, DY)
    for right in (left, copy):
        motion = estimator.pair(left, right).at(0.3)
        for flow in arrays(motion)[:2]:
            assert np.abs(flow).max() < 1e-3
        assert motion.disagreement is not None
        assert not motion.disagreement.any()


def test_disagreement_is_that_of_the_pictures_the_motion_was_found_on(estimator: MotionEstimator) -> None:
    left, right = panning(2, DX, DY)
    motion = estimator.pair(left, right).at(0.5)
    wanted = OPS.disagreement(OPS.luma8(left), OPS.luma8(right), Motion(*arrays(motion)[:3]))
    np.testing.assert_array_equal(arrays(motion)[3], wanted)


def test_pictures_are_not_written_to(estimator: MotionEstimator) -> None:
    film, untouched = panning(3, DX, DY), panning(3, DX, DY)
    for pictures in pairwise(film):
        estimator.pair(*pictures).at(0.5)
    assert all(a.same_samples(b) for a, b in zip(film, untouched, strict=True))


def test_what_cannot_be_meant_is_refused(estimator: MotionEstimator) -> None:
    left, right = panning(2, DX, DY)
    pair = estimator.pair(left, right)
    for t in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="wanted a value within"):
            pair.at(t)
    with pytest.raises(ValueError, match="wanted the size of left"):
        estimator.pair(left, panning(1, DX, DY, 40, 40)[0])


def test_threads_get_what_one_thread_gets(estimator: MotionEstimator) -> None:
    """Eight threads ask three pairs at once, each in another order, while a fourth pair is being found."""
    film = panning(5, DX, DY)
    pairs = [estimator.pair(*pictures) for pictures in pairwise(film[:4])]
    asked = [(pair, t) for pair in pairs for t in (0.2, 0.5, 0.7)]
    wanted = [[a.tobytes() for a in arrays(pair.at(t))] for pair, t in asked]
    begin = threading.Barrier(9)

    def ask(shift: int) -> bool:
        begin.wait()
        order = [(i + shift) % len(asked) for i in range(len(asked))]
        return all([a.tobytes() for a in arrays(asked[i][0].at(asked[i][1]))] == wanted[i] for i in order * 3)

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(ask, shift) for shift in range(8)]
        begin.wait()
        late = estimator.pair(film[3], film[4])
        assert all(answer.result() for answer in answers)
    again = estimator.pair(film[3], film[4])
    assert [a.tobytes() for a in arrays(late.at(0.5))] == [a.tobytes() for a in arrays(again.at(0.5))]


def test_networks_get_whole_padded_pictures_by_the_names_of_the_model(network: CountingEngine) -> None:
    left, right = panning(2, DX, DY, 131, 129)
    open_estimator(network.spec, OPS, network).pair(left, right).at(0.25)
    given = network.inputs[0]
    assert list(given) == [tensor.name for tensor in network.spec.inputs]
    for name, picture in ((LEFT, left), (RIGHT, right)):
        rgb = OPS.to_rgb(picture)
        wanted = np.pad(rgb, ((0, 0), (0, 144 - 129), (0, 144 - 131)), mode="edge")
        np.testing.assert_array_equal(given[name], wanted[None])


@pytest.mark.parametrize(("width", "height"), [(2100, 37), (37, 2100)])
def test_large_pictures_are_halved_and_their_motion_is_not(
    backend: Backend, tmp_path: Path, width: int, height: int
) -> None:
    """What the network calls `(DX, DY)` on its reduced grid is twice that on the picture's."""
    film = panning(2, DX, DY, width, height)
    for make in NETWORKS.values():
        with CountingEngine(backend.open(make(tmp_path), threads=1)) as engine:
            motion = open_estimator(engine.spec, OPS, engine).pair(*film).at(0.5)
            assert max(engine.inputs[0][LEFT].shape) == 1056
        assert motion.size == Size(width, height)
        np.testing.assert_allclose(motion.flow_to_right, np.broadcast_to([DX, DY], (height, width, 2)), atol=1e-4)
        np.testing.assert_allclose(motion.flow_to_left, -motion.flow_to_right, atol=1e-4)


def test_every_pixel_gets_its_own_answer(backend: Backend, tmp_path: Path) -> None:
    """A network that returns its pictures shows that nothing is displaced, turned or swapped on the way."""
    film = panning(2, DX, DY, 131, 67)
    left, right = (OPS.to_rgb(picture) for picture in film)
    with backend.open(echo(tmp_path, multiple_px=MULTIPLE_PX), threads=1) as engine:
        motion = open_estimator(engine.spec, OPS, engine).pair(*film).at(0.5)
    np.testing.assert_array_equal(motion.flow_to_left, left[:2].transpose(1, 2, 0))
    np.testing.assert_array_equal(motion.flow_to_right, right[:2].transpose(1, 2, 0))
    np.testing.assert_array_equal(motion.mask, left[2])


@pytest.mark.parametrize("any_instant", [True, False])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_an_error(
    backend: Backend, tmp_path: Path, value: float, any_instant: bool
) -> None:
    """It is found when it is computed; or before, where the gate looks at what a backend hands out."""
    spec = broken(tmp_path, value, any_instant=any_instant)
    wanted = r"`broken` produced numbers that are not finite|holds NaN or infinity; `broken`"
    with pytest.raises(EngineError, match=wanted), backend.open(spec, threads=1) as engine:
        open_estimator(spec, OPS, engine).pair(*panning(2, DX, DY)).at(0.5)


def test_a_closed_engine_is_an_error(network: CountingEngine) -> None:
    estimator = open_estimator(network.spec, OPS, network)
    network.close()
    with pytest.raises(EngineError, match="closed"):
        estimator.pair(*panning(2, DX, DY)).at(0.5)


def frames(count: int, rate: Fraction = Fraction(24)) -> list[Frame]:
    return [Frame(picture, index / rate, 1 / rate) for index, picture in enumerate(panning(count, DX, DY))]


def pipeline(engine: CountingEngine, source: list[Frame], plan: Plan = Plan.GUIDED) -> FramePipeline:
    size = source[0].picture.size.times(2)
    restorer = Restorer([], OPS, Output(size, YUV, COLOUR))
    estimator = open_estimator(engine.spec, OPS, engine)
    return FramePipeline(Stages(OPS, restorer, estimator, plan), source, Fraction(60))


@pytest.mark.parametrize("plan", list(Plan))
def test_in_a_film_the_network_runs_once_per_instant_or_twice_per_pair(network: CountingEngine, plan: Plan) -> None:
    """24 -> 60 frames a second, counted at the engine: ten frames are nine pairs, with 18 instants between them."""
    run = pipeline(network, frames(10), plan)
    made = list(run)
    assert len(made) == 25
    assert run.synthesized == 18
    assert network.runs == (run.synthesized if network.spec.any_instant else 2 * 9)


def test_in_a_film_frames_between_are_where_the_network_says(network: CountingEngine) -> None:
    """A frame between is its neighbours' content on its way: the same as asked directly of the estimator."""
    source = frames(4)
    made = {frame.pts: frame.picture for frame in pipeline(network, source)}
    restored = [Restorer([], OPS, Output(Size(192, 160), YUV, COLOUR)).restore(f.picture) for f in source]
    estimator = open_estimator(network.spec, OPS, network)
    for pts, index in ((Fraction(1, 60), 0), (Fraction(4, 60), 1), (Fraction(6, 60), 2)):
        t = float((pts - source[index].pts) * 24)
        motion = estimator.pair(source[index].picture, source[index + 1].picture).at(t)
        wanted = OPS.synthesize(restored[index], restored[index + 1], motion, t)
        assert made[pts].same_samples(wanted)


@pytest.mark.parametrize("any_instant", [True, False])
def test_in_a_film_a_failing_network_ends_the_run_with_its_error(
    backend: Backend, tmp_path: Path, any_instant: bool
) -> None:
    spec = broken(tmp_path, float("nan"), any_instant=any_instant)
    with pytest.raises(EngineError, match="`broken`"), CountingEngine(backend.open(spec, threads=1)) as engine:
        list(pipeline(engine, frames(6)))
    assert not [t for t in threading.enumerate() if t.name.startswith("fastrestore-")]
