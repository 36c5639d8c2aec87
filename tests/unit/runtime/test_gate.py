"""What the gate looks at, what it refuses, and that a verdict is kept until a fact changes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import motion_samples
from tests.media_samples import Clip, write_clip

from fastrestore.errors import DecodeError, EngineError, EngineProofError, UsageError
from fastrestore.frames import FORMATS, Colour, Picture
from fastrestore.geometry import Rect, Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import calibration, gate
from fastrestore.runtime.backends import onnxruntime_cpu
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.proofs import Proof, ProofStore

Array = NDArray[np.float32]
Change = Callable[[Mapping[str, Array], Mapping[str, Array]], None]
SMALL, BATCHED, LARGE = Shape(1, 64, 64), Shape(3, 64, 96), Shape(1, 384, 400)


class Changed:
    """An engine whose results are changed before they are handed out."""

    def __init__(self, engine: Engine, change: Change | None = None) -> None:
        self._engine, self._change = engine, change
        self.spec, self.largest = engine.spec, None
        self.runs = 0
        self.closed = False

    def run(self, inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        self.runs += 1
        self._engine.run(inputs, out)
        if self._change is not None:
            self._change(inputs, out)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return find("film-x2-tiny")


@pytest.fixture(scope="module")
def network(spec: ModelSpec) -> Engine:
    return gate.reference(spec, threads=1)


def prove(network: Engine, change: Change | None, shape: Shape = SMALL, precision: str = "fp16") -> Proof:
    changed = Changed(network, change)
    return gate.prove(changed, network, calibration.default_frames(), [shape], precision=precision)


def add(value: Callable[[Array], Array | np.float32 | float]) -> Change:
    def change(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        for array in out.values():
            array += np.asarray(value(array), np.float32)

    return change


def test_what_agrees_is_proved(network: Engine) -> None:
    proof = gate.prove(
        Changed(network), network, calibration.default_frames(), [SMALL, BATCHED, LARGE], precision="fp32"
    )
    assert proof.holds
    assert [each.shape for each in proof.agreements] == ["1x64x64", "3x96x64", "1x400x384"]
    assert all(each.peak <= 1e-5 for each in proof.agreements), "batches and spots equal the whole, to rounding"


@pytest.mark.parametrize(
    ("precision", "rms", "holds"),
    [
        ("fp32", 0.8e-4, True),
        ("fp32", 1.2e-4, False),
        ("fp16", 1.8e-3, True),
        ("fp16", 2.2e-3, False),
        ("bf16", 5.8e-3, True),
        ("bf16", 6.2e-3, False),
    ],
)
def test_the_tolerance_is_that_of_the_precision(network: Engine, precision: str, rms: float, holds: bool) -> None:
    if holds:
        (agreement,) = prove(network, add(lambda array: rms), precision=precision).agreements
        assert agreement.rms == pytest.approx(rms, rel=0.05)
        assert agreement.psnr_db == pytest.approx(-20 * np.log10(agreement.rms))
    else:
        with pytest.raises(EngineProofError) as caught:
            prove(network, add(lambda array: rms), precision=precision)
        assert caught.value.measured == pytest.approx(rms, rel=0.05)
        assert caught.value.allowed < caught.value.measured
        assert "film-x2-tiny" in caught.value.message and precision in caught.value.message and caught.value.hint


def spike(array: Array) -> Array:
    change = np.zeros_like(array)
    change[..., 7, 9] = 0.06
    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add(spike), "single values"),
        (add(lambda array: np.float32(np.nan)), "NaN or infinity"),
        (add(lambda array: np.where(array == array.max(), np.float32(np.inf), np.float32(0))), "NaN or infinity"),
        (add(lambda array: -array), "black"),
        (add(lambda array: 0.5 - array), "constant"),
        (add(lambda array: array[:, ::-1] - array), "on average"),
        (add(lambda array: np.roll(array, 1, axis=3) - array), "on average"),
        (add(lambda array: 0.02 * array), "on average"),
    ],
    ids=["spike", "NaN", "infinity", "black", "constant", "red and blue swapped", "a pixel off", "too bright"],
)
def test_what_is_wrong_is_refused(network: Engine, change: Change, words: str) -> None:
    with pytest.raises(EngineProofError, match=words):
        prove(network, change)


def test_what_is_not_written_is_refused(network: Engine) -> None:
    class Idle(Changed):
        def run(self, inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
            pass

    with pytest.raises(EngineProofError, match="NaN"):
        gate.prove(Idle(network), network, calibration.default_frames(), [SMALL])


def test_a_picture_of_a_batch_that_is_another_ones_is_refused(network: Engine) -> None:
    def first_everywhere(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        for array in out.values():
            array[1:] = array[:1]

    with pytest.raises(EngineProofError, match="3x96x64"):
        prove(network, first_everywhere, BATCHED)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (383, 399), (200, 0), (190, 210)])
def test_large_pictures_are_compared_at_their_edges_too(network: Engine, row: int, column: int) -> None:
    def far(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        for array in out.values():
            array[..., 2 * row, 2 * column] += 0.5

    with pytest.raises(EngineProofError, match="single values"):
        prove(network, far, LARGE)


def test_a_blank_part_between_the_spots_is_refused(network: Engine) -> None:
    def blank(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        for array in out.values():
            array[..., 192 : 2 * 144, :] = 0.4

    with pytest.raises(EngineProofError, match="constant"):
        prove(network, blank, LARGE)


def test_a_reference_that_yields_no_numbers_proves_nothing(network: Engine) -> None:
    broken = Changed(network, add(lambda array: np.float32(np.nan)))
    with pytest.raises(EngineProofError, match="reference's own"):
        gate.prove(Changed(network), broken, calibration.default_frames(), [SMALL])


def test_without_the_reference_nothing_can_be_proved(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_cpu, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="not installed, and that is the reference") as caught:
        gate.reference(spec)
    assert "pip install" in caught.value.hint


def test_spots_lie_on_the_grid_of_the_network(spec: ModelSpec) -> None:
    for read, keep in gate._spots(replace(spec, multiple_px=8, halo_px=13), Rect(0, 0, 1088, 512)):
        for rect in (read, keep):
            assert not any(side % 8 for side in (rect.x0, rect.y0, rect.x1, rect.y1))
        assert keep.x0 - read.x0 in (0, 16) and read.x0 >= 0 and read.x1 <= 1088


@pytest.mark.parametrize("halo", [0, 7, 300])
def test_the_reference_computes_no_more_than_the_picture(spec: ModelSpec, halo: int) -> None:
    regions = list(gate._regions(replace(spec, halo_px=halo), Shape(1, 512, 512)))
    assert sum(read.size.width * read.size.height for read, _ in regions) <= 512 * 512


def motion_engine(spec: ModelSpec, change: Change | None = None) -> Changed:
    return Changed(gate.reference(spec, threads=1), change)


@pytest.mark.parametrize("any_instant", [True, False])
def test_motion_is_held_in_pixels_and_its_mask_in_shares(tmp_path: Path, any_instant: bool) -> None:
    make = motion_samples.shift_at_any_instant if any_instant else motion_samples.shift_between_two
    spec = make(tmp_path, 20.0, -8.0)
    shapes = [Shape(1, 128, 128), Shape(2, 128, 160)]

    def attempt(output: str, error: float) -> Proof:
        def change(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
            out[output][:] += error

        engine, frames = motion_engine(spec, change), calibration.default_frames()
        return gate.prove(engine, motion_engine(spec), frames, shapes)

    reach = 10.0 if any_instant else 20.0
    assert attempt(motion_samples.FLOW, 0.009 * reach).holds
    with pytest.raises(EngineProofError, match=motion_samples.FLOW):
        attempt(motion_samples.FLOW, 0.03 * reach)
    if any_instant:
        assert attempt(motion_samples.MASK, 0.0015).holds
        with pytest.raises(EngineProofError, match=motion_samples.MASK):
            attempt(motion_samples.MASK, 0.003)


def test_what_moves_comes_second(tmp_path: Path) -> None:
    """Both pictures of a pair differ, and so do the pairs: an engine that mixes them up cannot agree."""
    spec = motion_samples.echo(tmp_path)
    given = calibration.arguments(spec, calibration.default_frames(), 3, 128, 160)
    pictures = [*given[motion_samples.LEFT], *given[motion_samples.RIGHT]]
    for left, right in itertools.combinations(pictures, 2):
        assert np.abs(left - right).mean() > 0.01
    with pytest.raises(ValueError, match="one frame"):
        calibration.arguments(spec, calibration.default_frames()[:1], 1, 128, 128)


def test_shapes_of_a_profile(spec: ModelSpec, tmp_path: Path) -> None:
    tile = Profile("tile", Shape(1, 64, 64), Shape(1, 512, 512), Shape(4, 1088, 1088))
    assert gate.shapes_of(tile, spec) == (tile.least, tile.best, tile.most)
    exact = Profile("640x480", *[Shape(1, 480, 640)] * 3)
    assert gate.shapes_of(exact, spec) == (exact.least,)
    motion = motion_samples.echo(tmp_path, multiple_px=64)
    wide = Profile("fhd", Shape(1, 128, 128), Shape(1, 1088, 1920), Shape(1, 2048, 2048))
    assert gate.shapes_of(wide, motion)[3:] == (Shape(1, 128, 2048), Shape(1, 2048, 128))
    assert Shape(2, 96, 128) in gate.usual_shapes(spec)
    assert all(not (s.width % 64 or s.height % 64) and s.batch == 1 for s in gate.usual_shapes(motion))
    assert max(s.width for s in gate.usual_shapes(motion)) > 2000 < max(s.height for s in gate.usual_shapes(motion))


class Case:
    """`require_proof` on one engine, counted."""

    def __init__(self, network: Engine, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.engine = Changed(network)
        self.references = 0

    def require(self, pictures: list[Array] | None = None, **facts: str) -> Proof:
        known = {"library": "1.0", "precision": "fp16", **facts}
        return gate.require_proof(
            self.engine, facts=known, reference=self._open, shapes=[SMALL], pictures=pictures, folder=self.folder
        )

    def _open(self) -> Engine:
        self.references += 1
        return Changed(self.network)


@pytest.fixture
def case(network: Engine, tmp_path: Path) -> Case:
    return Case(network, tmp_path / "proofs")


def test_a_proof_is_made_once_for_the_same_facts(case: Case) -> None:
    first = case.require()
    assert first.holds and first.facts["library"] == "1.0" and first.facts["shapes"] == "1x64x64"
    runs = case.engine.runs
    assert case.require() == first
    assert (case.engine.runs, case.references) == (runs, 1)
    case.require(library="1.1")
    assert case.references == 2
    case.require(pictures=list(calibration.default_frames()))
    assert case.references == 3, "pictures that are named are looked at, whatever is on record"


def test_a_refusal_is_kept_until_a_fact_changes(case: Case) -> None:
    case.engine = Changed(case.network, add(lambda array: 0.1))
    with pytest.raises(EngineProofError) as caught:
        case.require()
    runs = case.engine.runs
    with pytest.raises(EngineProofError) as again:
        case.require()
    assert (case.engine.runs, case.references) == (runs, 1)
    assert (again.value.measured, again.value.allowed, again.value.hint) == (
        caught.value.measured,
        caught.value.allowed,
        caught.value.hint,
    )
    assert caught.value.where in again.value.message
    case.engine = Changed(case.network)
    assert case.require(library="1.1").holds


def test_infinity_survives_being_kept(case: Case) -> None:
    case.engine = Changed(case.network, add(lambda array: np.float32(np.nan)))
    for _ in range(2):
        with pytest.raises(EngineProofError) as caught:
            case.require()
        assert caught.value.measured == np.inf


def test_an_engine_that_cannot_run_is_neither_proved_nor_refused_for_good(case: Case) -> None:
    def fail(inputs: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        raise EngineError("out of memory")

    case.engine = Changed(case.network, fail)
    with pytest.raises(EngineError, match="out of memory"):
        case.require()
    case.engine = Changed(case.network)
    assert case.require().holds


def test_where_nothing_can_be_kept_the_gate_still_judges(case: Case) -> None:
    case.folder.write_text("a file where the folder should be")
    assert case.require().holds
    assert case.require().holds
    assert case.references == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: json.dumps({**json.loads(text), "schema": "another"}),
        lambda text: json.dumps({**json.loads(text), "agreements": []}),
        lambda text: json.dumps({**json.loads(text), "facts": {"library": "2"}}),
        lambda text: text.replace('"rms": ', '"rms": 1', 1),
        lambda text: text + " " * (1 << 20),
    ],
)
def test_a_damaged_record_is_no_record(case: Case, damage: Callable[[str], str]) -> None:
    case.require()
    (path,) = case.folder.iterdir()
    path.write_text(damage(path.read_text()))
    assert case.require().holds
    assert case.references == 2


def test_a_proof_survives_being_written_down(case: Case) -> None:
    proof = case.require()
    assert Proof.from_dict(json.loads(json.dumps(proof.as_dict()))) == proof
    assert ProofStore(case.folder).find(proof.facts) == proof
    assert ProofStore(case.folder).find({**proof.facts, "library": "2"}) is None
    with pytest.raises(ValueError, match="no proof"):
        Proof.from_dict({})


def test_frames_are_cut_or_reflected_never_scaled() -> None:
    frame = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    np.testing.assert_array_equal(calibration.fitted(frame, 2, 4), frame[:, 1:3, 1:5])
    larger = calibration.fitted(frame, 20, 13)
    assert larger.shape == (3, 20, 13)
    np.testing.assert_array_equal(larger[:, :4, :6], frame)
    np.testing.assert_array_equal(larger[:, 4:8, :6], frame[:, ::-1])
    assert set(np.unique(larger)) <= set(np.unique(frame))


def test_the_sample_is_shown_in_colour_and_moves() -> None:
    frames = calibration.default_frames()
    assert len(frames) == calibration.DEFAULT_COUNT
    for frame in frames:
        assert frame.dtype == np.float32 and frame.min() >= 0 and frame.max() <= 1
        assert np.abs(frame[0] - frame[2]).mean() > 0.05
    assert calibration.digest(frames) != calibration.digest(frames[::-1])


def test_frames_of_a_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", Clip(frames=12, size=Size(80, 48)))
    frames = calibration.frames_of(clip, 3)
    assert [frame.shape for frame in frames] == [(3, 48, 80)] * 4
    means = [float(frame.mean()) for frame in frames]
    assert means == sorted(means) and means[2] - means[1] > 2 * (means[1] - means[0]) > 0, "two pairs, far apart"
    with pytest.raises(DecodeError):
        calibration.frames_of(tmp_path / "none.mkv")


def test_a_clip_that_shows_nothing(tmp_path: Path) -> None:
    class Dark(Clip):
        def picture(self, index: int) -> Picture:
            layout = FORMATS[self.layout]
            shapes = (layout.plane_size(self.size, plane) for plane in range(layout.planes))
            return Picture(tuple(np.full((s.height, s.width), 100, layout.dtype) for s in shapes), layout, Colour())

    with pytest.raises(UsageError, match="show anything"):
        calibration.frames_of(write_clip(tmp_path / "dark.mkv", Dark(frames=6)))
