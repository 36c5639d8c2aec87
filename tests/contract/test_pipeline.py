"""Laws of the pipeline: restored once, exact frames, errors surface, nothing outlives it, the three plans."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from fastrestore.config import Plan
from fastrestore.errors import EngineError, FastRestoreError
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import find
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.flowpair import FlowMotion
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

OPS = open_ops("cpu")
YUV = FORMATS["yuv420p"]
COLOUR = Colour(Matrix.SMPTE170M)
SIZE = Size(64, 48)


class CountingRestorer(Restorer):
    """Plain resampling to twice the size that remembers what it was given."""

    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__([], OPS, Output(SIZE.times(2), YUV, COLOUR))
        self.seen: list[Picture] = []
        self._fail_at = fail_at

    def restore(self, picture: Picture) -> Picture:
        self.seen.append(picture)
        if len(self.seen) - 1 == self._fail_at:
            raise EngineError("planted failure", "none")
        return super().restore(picture)


class CountingEstimator(DisEstimator):
    def __init__(self) -> None:
        super().__init__(OPS)
        self.sizes: list[Size] = []

    def pair(self, left: Picture, right: Picture) -> FlowMotion:
        self.sizes.append(left.size)
        return super().pair(left, right)


def film(count: int, rate: Fraction = Fraction(24)) -> list[Frame]:
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 210, (8, 20)), np.ones((8, 8))).astype(np.uint8)
    chroma = [rng.integers(100, 150, (24, 32)).astype(np.uint8) for _ in range(2)]
    frames = []
    for index in range(count):
        luma = np.roll(texture, 2 * index, 1)[:48, :64].copy()
        frames.append(Frame(Picture((luma, *chroma), YUV, COLOUR), index / rate, 1 / rate))
    return frames


def stages(plan: Plan = Plan.GUIDED, fail_at: int | None = None) -> tuple[Stages, CountingRestorer, CountingEstimator]:
    restorer, estimator = CountingRestorer(fail_at), CountingEstimator()
    return Stages(OPS, restorer, estimator, plan), restorer, estimator


def test_guided_restores_every_source_frame_exactly_once() -> None:
    parts, restorer, estimator = stages()
    source = film(12)
    frames = list(FramePipeline(parts, source, Fraction(60)))
    assert len(frames) == 30
    assert len(restorer.seen) == 12
    assert {id(p) for p in restorer.seen} == {id(f.picture) for f in source}
    assert len(estimator.sizes) == 11
    assert set(estimator.sizes) == {SIZE}, "motion is found at source size"


def test_the_network_runs_once_per_source_frame() -> None:
    """Guided, x2, 24 -> 60, with the shipped network: counted at the engine itself."""
    spec = find("film-x2-tiny")
    calls = 0
    with choose_backend("auto").backend.open(spec, threads=1) as engine:

        class Counting:
            def __init__(self) -> None:
                self.spec, self.largest = spec, None

            def run(self, inputs: dict[str, np.ndarray], out: dict[str, np.ndarray]) -> None:
                nonlocal calls
                calls += 1
                engine.run(inputs, out)

            def close(self) -> None:
                engine.close()

        restorer = Restorer([Counting()], OPS, Output(SIZE.times(2), YUV, COLOUR))  # type: ignore[list-item]
        frames = list(FramePipeline(Stages(OPS, restorer, DisEstimator(OPS)), film(10), Fraction(60)))
    assert (calls, len(frames)) == (10, 25)


@pytest.mark.parametrize(
    ("plan", "restorations", "motion_size"),
    # Interpolating first restores every output frame but the last, which shows the last source frame once more.
    [(Plan.GUIDED, 12, SIZE), (Plan.UPSCALE_FIRST, 12, SIZE.times(2)), (Plan.INTERPOLATE_FIRST, 29, SIZE)],
)
def test_plans_differ_only_in_what_runs_where(plan: Plan, restorations: int, motion_size: Size) -> None:
    parts, restorer, estimator = stages(plan)
    frames = list(FramePipeline(parts, film(12), Fraction(60)))
    assert [f.pts for f in frames] == [Fraction(k, 60) for k in range(30)]
    assert {f.picture.size for f in frames} == {SIZE.times(2)}
    assert len(restorer.seen) == restorations
    assert set(estimator.sizes) == {motion_size}


def test_a_source_instant_is_the_source_frame_restored() -> None:
    parts, _, _ = stages()
    source = film(9)
    alone = CountingRestorer()
    for frame in FramePipeline(parts, source, Fraction(60)):
        if (match := [s for s in source if s.pts == frame.pts]) != []:
            assert frame.picture.same_samples(alone.restore(match[0].picture))


def test_source_rate_only_restores() -> None:
    parts, restorer, estimator = stages()
    frames = list(FramePipeline(parts, film(7), None))
    assert len(frames) == len(restorer.seen) == 7
    assert estimator.sizes == []


def test_frames_that_are_not_shown_are_not_restored() -> None:
    parts, restorer, _ = stages()
    assert len(list(FramePipeline(parts, film(24), Fraction(6)))) == 6
    assert len(restorer.seen) == 6


def test_exact_repeats_cost_nothing() -> None:
    parts, restorer, estimator = stages()
    still = film(1)[0].picture
    source = [Frame(still, Fraction(i, 24), Fraction(1, 24)) for i in range(12)]
    frames = list(FramePipeline(parts, source, Fraction(60)))
    assert len(frames) == 30
    assert len(restorer.seen) == 1
    assert estimator.sizes == []
    assert all(f.picture is frames[0].picture for f in frames)


def test_same_size_passes_pictures_through_untouched() -> None:
    restorer = Restorer([], OPS, Output(SIZE, YUV, COLOUR))
    source = film(5)
    frames = list(FramePipeline(Stages(OPS, restorer, DisEstimator(OPS)), source, Fraction(24)))
    assert [f.picture for f in frames] == [f.picture for f in source]
    assert restorer.runs == 0


@pytest.fixture
def threads() -> Callable[[], list[str]]:
    """Tells which of our threads run that did not run before the test."""
    earlier = frozenset(threading.enumerate())
    return lambda: [t.name for t in threading.enumerate() if t not in earlier and t.name.startswith("fastrestore-")]


@pytest.mark.parametrize("fail_at", [0, 3, 8])
def test_an_error_in_a_stage_ends_the_run_with_that_error(fail_at: int, threads: Callable[[], list[str]]) -> None:
    parts, _, _ = stages(fail_at=fail_at)
    with pytest.raises(EngineError, match="planted failure"):
        list(FramePipeline(parts, film(12), Fraction(60)))
    assert threads() == []


def test_an_error_in_the_source_ends_the_run_with_that_error(threads: Callable[[], list[str]]) -> None:
    def broken() -> Iterator[Frame]:
        yield from film(5)
        raise FastRestoreError("the source broke")

    parts, _, _ = stages()
    with pytest.raises(FastRestoreError, match="the source broke"):
        list(FramePipeline(parts, broken(), Fraction(60)))
    assert threads() == []


def test_stopping_early_stops_every_thread(threads: Callable[[], list[str]]) -> None:
    parts, _, _ = stages()
    frames = iter(FramePipeline(parts, film(40), Fraction(60)))
    next(frames)
    assert threads()
    frames.close()
    assert threads() == []


@pytest.mark.parametrize("plan", list(Plan))
def test_work_in_flight_is_bounded(plan: Plan) -> None:
    """However long the film, only a bounded number of pictures is alive."""
    parts, _, _ = stages(plan)
    read = 0

    def source() -> Iterator[Frame]:
        nonlocal read
        for frame in film(120):
            read += 1
            yield frame

    farthest = 0
    for shown, _ in enumerate(FramePipeline(parts, source(), Fraction(48))):
        farthest = max(farthest, read - shown // 2)
    assert farthest <= 40


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for cores in (1, 4):
        monkeypatch.setattr("fastrestore.runtime.pipeline.cpu_count", lambda cores=cores: cores)
        parts, _, _ = stages()
        results.append(list(FramePipeline(parts, film(8), Fraction(60))))
    for a, b in zip(*results, strict=True):
        assert a.pts == b.pts
        assert a.picture.same_samples(b.picture)


def test_an_empty_source_yields_nothing() -> None:
    parts, _, _ = stages()
    assert list(FramePipeline(parts, [], Fraction(60))) == []
