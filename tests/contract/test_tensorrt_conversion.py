"""A whole conversion on TensorRT's fake: pictures as the reference's, the plan true to what was run, nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.fake_tensorrt.bench import TILE, Bench
from tests.unit.kernels.host import host_kernels

from fastrestore import Frame, Interpolate, Picture, Pipeline, Restore
from fastrestore.config import EncodeOptions
from fastrestore.errors import DeviceError, EngineError
from fastrestore.frames import FORMATS
from fastrestore.models.catalog import find
from fastrestore.runtime import engine as engines
from fastrestore.runtime.devices.counting import CountingDevice

QUICK = EncodeOptions(preset="ultrafast")
CLOSE = 2
"""Steps of an 8-bit sample: half precision is off by a thousandth, and dither makes a step of some of that."""


@pytest.fixture
def bench(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made, real = Bench(tmp_path, execute=host_kernels(tmp_path_factory).run), engines.load_backend
    monkeypatch.setattr(engines, "load_backend", lambda name: made.backend if name == "tensorrt" else real(name))
    yield made
    assert made.left_behind == []


def frames(width: int = 160, height: int = 96, count: int = 3) -> list[Frame]:
    texture = np.kron(np.random.default_rng(0).integers(30, 220, (16, 24)), np.ones((8, 8))).astype(np.uint8)
    pictures = (np.roll(texture, 2 * i, 1)[:height, :width].copy() for i in range(count))
    return [Frame(Picture((p,), FORMATS["gray"]), Fraction(i, 12), Fraction(1, 12)) for i, p in enumerate(pictures)]


def pipeline(backend: str) -> Pipeline:
    return Pipeline(Restore(to="x2", backend=backend), Interpolate(fps="source"))


def test_pictures_are_those_of_the_reference(bench: Bench) -> None:
    bench.build(find("film-x2-tiny"))
    found, wanted = (list(pipeline(name).frames(frames())) for name in ("tensorrt", "onnxruntime"))
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            assert np.abs(plane.astype(int) - like).max() <= CLOSE


def test_the_report_says_what_ran_and_in_which_tiles(bench: Bench, tmp_path: Path) -> None:
    bench.build(find("film-x2-tiny"))
    report = pipeline("auto").write(frames(), tmp_path / "out.mkv", encode=QUICK)
    assert report.backend == "tensorrt 11.4.0, Fake Card, driver 580.65"
    assert report.plan["tiles"] == f"2 of 112x96, halo {find('film-x2-tiny').halo_px} px"
    assert TILE.most.width == 128, "wider pictures than that are cut, however much memory there is"


def test_a_missing_engine_is_no_conversion(bench: Bench, tmp_path: Path) -> None:
    """One asked for by name fails with the command that builds it; `auto` takes another backend and says so."""
    with pytest.raises(EngineError, match="no engine of `film-x2-tiny` for pictures of 160x96") as raised:
        pipeline("tensorrt").write(frames(), tmp_path / "out.mkv", encode=QUICK)
    assert raised.value.hint == "`fastrestore build-engines film-x2-tiny --backend tensorrt`"
    assert not (tmp_path / "out.mkv").exists()
    report = pipeline("auto").write(frames(), tmp_path / "out.mkv", encode=QUICK)
    assert "tensorrt" not in report.backend
    assert "fastrestore build-engines film-x2-tiny --backend tensorrt" in report.backend_reason


@pytest.mark.parametrize("plan", ["guided", "upscale-first", "interpolate-first"])
def test_between_frames_are_made_on_the_card(bench: Bench, tmp_path: Path, plan: str) -> None:
    bench.build(find("film-x2-tiny"))
    source = frames(64, 48, 5)
    found = [list(made_with(backend, plan).frames(source)) for backend in ("tensorrt", "onnxruntime")]
    assert len(found[0]) == len(found[1]) == 10
    for one, other in zip(*found, strict=True):
        assert one.pts == other.pts
        apart = np.abs(one.picture.planes[0].astype(int) - other.picture.planes[0])
        assert apart.mean() < 1 and np.quantile(apart, 0.99) <= 2 * CLOSE
    report = made_with("tensorrt", plan).write(source, tmp_path / "out.mkv", encode=QUICK)
    assert report.backend_reason.endswith("; frames stay on the card")
    assert (report.output_frames, report.warnings) == (10, [])
    assert report.restored_frames == (5 if plan != "interpolate-first" else 9)


def made_with(backend: str, plan: str) -> Pipeline:
    return Pipeline(Restore(to="x2", backend=backend), Interpolate(fps="24"), plan=plan)


def test_a_card_that_cannot_run_the_kernels_restores_all_the_same(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one whose driver is older than they are."""

    def refuse(device: CountingDevice, image: bytes) -> None:
        raise DeviceError("the provided PTX was compiled with an unsupported toolchain")

    monkeypatch.setattr(CountingDevice, "module", refuse)
    bench.build(find("film-x2-tiny"))
    report = pipeline("tensorrt").write(frames(64, 48), tmp_path / "out.mkv", encode=QUICK)
    assert "frames go through the host's memory: the provided PTX" in report.backend_reason
    assert report.output_frames == 3
