"""How the two libraries are found and loaded, and what they have to say; with the real one for RTX cards, no card."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.fake_tensorrt import library as fake
from tests.fake_tensorrt.bench import Bench

from fastrestore.errors import EngineError, EngineIncompatibleError
from fastrestore.export.engines.building import build_all
from fastrestore.export.engines.plan import Wish, plan_engines
from fastrestore.export.engines.targets import find_targets
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.runtime.backends import tensorrt_library
from fastrestore.runtime.backends.tensorrt import Surroundings, TensorRtBackend
from fastrestore.runtime.backends.tensorrt_library import (
    FLAVOURS,
    installed,
    load,
    make_logger,
    make_recorder,
    require,
    translated,
)
from fastrestore.runtime.backends.tensorrt_session import Session
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.memory import Card, DriverFacts, usable_cards
from fastrestore.runtime.seal import Seal

RTX = FLAVOURS["tensorrt-rtx"]
HINT = "build it again"


@pytest.fixture(scope="module")
def trt() -> Any:
    if installed(RTX) is None:
        pytest.skip("package tensorrt-rtx is not installed")
    return load(RTX)


class TestLoading:
    def test_a_package_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tensorrt_library, "installed", lambda _: None)
        with pytest.raises(EngineError, match="package tensorrt-rtx is not installed") as raised:
            load(RTX)
        assert raised.value.hint == "`pip install 'fastrestore[rtx]'`"

    def test_a_package_that_is_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tensorrt_library, "installed", lambda _: "10.9.0.34")
        with pytest.raises(EngineError, match=r"tensorrt 10\.9\.0\.34 is too old: wanted 10\.13 or later"):
            load(FLAVOURS["tensorrt"])

    def test_a_package_whose_parts_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tensorrt_library, "installed", lambda _: "11.4.0")
        monkeypatch.setitem(sys.modules, "tensorrt", None)  # makes the import fail
        with pytest.raises(EngineError, match=r"tensorrt 11\.4\.0 cannot be loaded"):
            load(FLAVOURS["tensorrt"])

    def test_bindings_alone_do_not_count(self) -> None:
        assert not any(package.endswith("-bindings") for flavour in FLAVOURS.values() for package in flavour.packages)


class TestWitnesses:
    def test_a_logger_keeps_what_is_severe_enough(self, trt: Any) -> None:
        logger, severity = make_logger(trt, "warning"), trt.ILogger.Severity
        for kind, text in ((severity.ERROR, "e"), (severity.INFO, "i"), (severity.WARNING, "w"), (severity.ERROR, "e")):
            logger.log(kind, text)  # type: ignore[attr-defined]
        assert logger.tail(9) == ["[ERROR] e", "[WARNING] w", "[ERROR] e"]
        assert logger.tail(1) == ["[ERROR] e"]
        assert logger.tail(0) == []
        assert logger.text() == "e"

    def test_a_recorder_has_what_the_library_asks_for(self, trt: Any) -> None:
        recorder: Any = make_recorder(trt)
        assert recorder.text() == ""
        assert recorder.report_error(trt.ErrorCodeTRT.INVALID_ARGUMENT, "wrong") is False
        assert (recorder.num_errors(), recorder.get_error_desc(0), recorder.has_overflowed()) == (1, "wrong", False)
        for number in range(1000):
            recorder.report_error(trt.ErrorCodeTRT.INVALID_ARGUMENT, f"wrong {number} " * 20)
        assert recorder.has_overflowed()
        assert len(recorder.text()) < 2000
        recorder.clear()
        assert (recorder.num_errors(), recorder.text(), recorder.has_overflowed()) == (0, "", False)

    def test_the_first_that_knows_something_is_quoted(self, trt: Any) -> None:
        logger, recorder = make_logger(trt), make_recorder(trt)
        logger.log(trt.ILogger.Severity.ERROR, "from the log")  # type: ignore[attr-defined]
        with pytest.raises(EngineError, match="it failed: from the log"):
            require(None, "it failed", recorder, logger)
        with pytest.raises(EngineError, match="it failed: it gave no reason") as raised:
            require(False, "it failed", recorder, hint="do something")
        assert raised.value.hint == "do something"
        assert require(0, "it failed") == 0
        with (
            pytest.raises(EngineError, match=r"no runtime: from the log \(a null pointer\)"),
            translated("no runtime", logger),
        ):
            raise TypeError("a null pointer")


class TestWithoutACard:
    """What the real library for RTX cards answers where there is no driver; the device it is told of is a fake one."""

    @pytest.fixture
    def session(self, trt: Any) -> Session:
        if not isinstance(usable_cards(), str):
            pytest.skip("there is a card here")
        return Session(trt, CountingDevice())

    def test_a_plan_is_refused_with_its_own_words(self, session: Session, tmp_path: Path) -> None:
        key = Bench(tmp_path, "tensorrt-rtx").key(find("film-x2-tiny"))
        with session, session.device.current():
            with pytest.raises(
                EngineIncompatibleError, match=r"malformed engine.*wanted one for Counting Device"
            ) as bad:
                session.deserialize(b"no plan at all" * 100, key, HINT)
            assert bad.value.hint == HINT

    def test_none_is_an_error(
        self, session: Session, trt: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        key = Bench(tmp_path, "tensorrt-rtx").key(find("film-x2-tiny"))
        monkeypatch.setattr(Session, "_check_header", lambda *_: None)
        with session, session.device.current():
            for content in (b"no plan at all", b"nor is this"):
                with pytest.raises(EngineError, match=r"cannot be loaded: IRuntime::deserializeCudaEngine") as raised:
                    session.deserialize(content * 100, key, HINT)
            assert raised.value.hint == HINT
            assert raised.value.message.count("magicTag") == 1, "what was wrong with the one before is forgotten"

    def test_what_was_built_is_what_is_looked_for(self, session: Session, tmp_path: Path) -> None:
        """From the real builder to the real runtime, which has no card to load it on and says so."""
        session.close()
        spec, seal = find("film-x2-tiny"), Seal(tmp_path / "seal.key")
        around = Surroundings(
            cards=lambda: DriverFacts("13.0", "580.65", (Card(0, "Some Card", "8.9", 1 << 30),)),
            open_device=lambda _: CountingDevice(),
            cache=lambda: EngineCache(tmp_path / "engines", seal=seal),
        )
        backend = TensorRtBackend(RTX, around)
        assert backend.missing(spec, Size(800, 600)) is not None
        planned = plan_engines(Wish((spec.name,), ("tile",)), RTX, find_targets(RTX, ["sm_89"]), around.cache())
        build_all(planned, around.cache(), Unwatched())
        assert backend.missing(spec, Size(800, 600)) is None
        assert backend.largest(spec, Size(800, 600)) == Size(1088, 1088)
        with pytest.raises(EngineIncompatibleError, match=r"film-x2-tiny` for 8\.9 .*wanted one for Counting Device"):
            backend.open(spec, threads=1, size=Size(800, 600))


class Unwatched:
    def progress(self, place: int, progress: object) -> None:
        pass

    def finished(self, place: int, outcome: object) -> None:
        pass


@pytest.mark.parametrize(
    "name",
    [
        "DataType",
        "DynamicShapesKernelSpecializationStrategy",
        "EngineInvalidityDiagnostics",
        "EngineValidity",
        "ErrorCodeTRT",
        "ExecutionContextAllocationStrategy",
        "TensorIOMode",
    ],
)
def test_the_fakes_constants_are_the_real_ones(trt: Any, name: str) -> None:
    real = getattr(trt, name)
    assert {member.name: int(member) for member in getattr(fake, name)}.items() <= {
        key: int(value) for key, value in real.__members__.items()
    }.items()


@pytest.mark.parametrize(
    "name", ["Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "ILogger", "IErrorRecorder"]
)
def test_the_fakes_methods_are_the_real_ones(trt: Any, name: str) -> None:
    made_up = {
        method
        for method, _ in inspect.getmembers(getattr(fake, name))
        if not method.startswith("_") and not hasattr(getattr(trt, name), method)
    }
    assert made_up == set()
