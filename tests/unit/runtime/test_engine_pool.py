"""Engines are taken over from run to run, each by one at a time, and closed in the end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace, TracebackType
from typing import Any, NoReturn, Self

import pytest

from fastrestore.config import ConvertOptions, Target
from fastrestore.errors import DecodeError, DeviceError, EngineError, OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import engine_pool, stages
from fastrestore.runtime.engine import BackendChoice
from fastrestore.runtime.engine_pool import EnginePool, EngineSet, Networks
from fastrestore.runtime.plan import make_plan

SMALL, LARGE = Size(64, 48), Size(640, 480)
TINY, WIDE = find("film-x2-tiny"), find("film-x4-tiny")


class FakeEngine:
    largest = None

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.closed = spec, False

    def run(self, inputs: Mapping[str, object], out: Mapping[str, object]) -> None:
        raise AssertionError("not run here")

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class FakeBackend:
    name = "fake"
    broken = ""
    engines: list[FakeEngine]

    def unavailable_because(self) -> str | None:
        return None

    def describe(self) -> str:
        return self.name

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> FakeEngine:
        if spec.name == self.broken:
            raise EngineError("it cannot be loaded")
        engine = FakeEngine(spec)
        self.engines.append(engine)
        return engine


class SizedBackend(FakeBackend):
    """One whose engines are built ahead for certain sizes."""

    def missing(self, spec: ModelSpec, size: Size | None) -> str | None:
        return None

    def largest(self, spec: ModelSpec, size: Size | None) -> Size | None:
        return size

    def opened(self) -> str:
        return ", ".join(engine.spec.name for engine in self.engines)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type[FakeBackend]:
    """The class of which each choice makes a backend of its own."""

    def choose(name: str, networks: Networks) -> BackendChoice:
        backend = SizedBackend() if name == "sized" else FakeBackend()
        backend.engines, backend.broken = [], FakeBackend.broken
        return BackendChoice(backend, "asked for")  # type: ignore[arg-type]

    monkeypatch.setattr(engine_pool, "choose_backend", choose)
    return FakeBackend


def use(pool: EnginePool, *networks: tuple[ModelSpec, Size], backend: str = "plain", threads: int = 0) -> EngineSet:
    with pool.lend(backend, networks, threads) as engines:
        assert list(engines.engines) == [spec.name for spec, _ in networks]
        assert not any(engine.closed for engine in engines.engines.values())  # type: ignore[attr-defined]
        return engines


def closed(engines: EngineSet) -> list[bool]:
    return [engine.closed for engine in engines.engines.values()]  # type: ignore[attr-defined]


def test_the_next_run_takes_them_over(kind: type[FakeBackend]) -> None:
    with EnginePool() as pool:
        first = use(pool, (TINY, SMALL))
        assert use(pool, (TINY, LARGE)) is first  # any size will do
        assert pool.opened == 1
        assert closed(first) == [False]
    assert closed(first) == [True]


def test_only_the_very_same_are_taken_over(kind: type[FakeBackend]) -> None:
    changed = replace(TINY, artifacts={p: replace(a, sha256="0" * 64) for p, a in TINY.artifacts.items()})
    with EnginePool(most_idle=9) as pool:
        first = use(pool, (TINY, SMALL))
        others = [
            use(pool, (WIDE, SMALL)),
            use(pool, (TINY, SMALL), (WIDE, LARGE)),
            use(pool, (TINY, SMALL), threads=1),
            use(pool, (changed, SMALL)),
            use(pool, (TINY, SMALL), backend="sized"),
            use(pool, (TINY, LARGE), backend="sized"),
        ]
        assert len({id(each) for each in (first, *others)}) == 7
        assert pool.opened == 8


def test_a_set_is_known_by_its_own_engines_alone(kind: type[FakeBackend]) -> None:
    with EnginePool() as pool:
        use(pool, (WIDE, SMALL), backend="sized")
        assert use(pool, (TINY, SMALL), backend="sized").choice.identity == "fake film-x2-tiny"


def test_two_runs_at_once_have_their_own(kind: type[FakeBackend]) -> None:
    with EnginePool() as pool:
        with pool.lend("plain", [(TINY, SMALL)], 0) as one:
            assert not pool.shared
            with pool.lend("plain", [(TINY, SMALL)], 0) as two:
                assert one is not two and pool.shared
        assert not pool.shared
        assert use(pool, (TINY, SMALL)) is one  # the one used last


def test_idle_ones_are_bounded(kind: type[FakeBackend]) -> None:
    with EnginePool(most_idle=1) as pool:
        first, second = use(pool, (TINY, SMALL)), use(pool, (WIDE, SMALL))
        assert (closed(first), closed(second)) == ([True], [False])
        pool.close_idle()
        assert closed(second) == [True]
    with EnginePool(most_idle=0) as pool:
        assert closed(use(pool, (TINY, SMALL))) == [True]


def test_what_failed_is_closed_and_what_a_file_broke_is_not(kind: type[FakeBackend]) -> None:
    with EnginePool() as pool:
        with pytest.raises(DecodeError), pool.lend("plain", [(TINY, SMALL)], 0) as first:
            raise DecodeError("no video")
        assert use(pool, (TINY, SMALL)) is first
        with pytest.raises(DeviceError), pool.lend("plain", [(TINY, SMALL)], 0) as second:
            raise DeviceError("the card fell off the bus")
        assert second is first and closed(first) == [True]
        assert use(pool, (TINY, SMALL)) is not first
        assert not pool.shared


def test_one_that_cannot_be_opened_closes_the_others(kind: type[FakeBackend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeBackend, "broken", WIDE.name)
    made: list[FakeEngine] = []
    original = FakeBackend.open

    def opened(self: FakeBackend, spec: ModelSpec, *, threads: int, size: Size | None = None) -> FakeEngine:
        made.append(original(self, spec, threads=threads, size=size))
        return made[-1]

    monkeypatch.setattr(FakeBackend, "open", opened)
    with EnginePool() as pool:
        with pytest.raises(EngineError):
            use(pool, (TINY, SMALL), (WIDE, SMALL))
        assert [engine.closed for engine in made] == [True]
        assert pool.opened == 0


def test_what_comes_back_late_is_closed(kind: type[FakeBackend]) -> None:
    pool = EnginePool()
    with pool.lend("plain", [(TINY, SMALL)], 0) as engines:
        pool.close()
        pool.close()
        assert closed(engines) == [False]
    assert closed(engines) == [True]


def test_too_little_memory_on_a_shared_card_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, frames would stay on the card: they must not take another way for want of a neighbour's memory."""

    def opened(*_: object, **__: object) -> NoReturn:
        raise OutOfDeviceMemoryError(2 << 30, 1 << 30, "the card")

    monkeypatch.setattr(stages, "open_steps", opened)
    options = ConvertOptions(to=Target(factor=Fraction(2)))
    plan = make_plan(StreamInfo(SMALL, FORMATS["yuv420p"], Colour(), Fraction(25)), options)
    engine: Any = SimpleNamespace(spec=TINY, device=object(), range=None, dtypes={}, slot=print)
    with ExitStack() as stack:
        with pytest.raises(OutOfDeviceMemoryError):
            stages._open_on_device(stack, [engine], plan, options, shared=True)
        steps, way = stages._open_on_device(stack, [engine], plan, options, shared=False)
    assert steps is None and way.startswith("frames go through the host's memory: not enough memory")
