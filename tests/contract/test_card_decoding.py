"""Laws of decoding on a card: the frames of the host's way, byte for byte, and nothing of the decoder's is kept."""

from __future__ import annotations

import copy
import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.media_samples import Clip, write_clip
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import OPS, SOURCE, DeviceBench, film
from tests.unit.runtime.on_device.played_decoder import PlayedDecoder, card_reading

from fastrestore.config import Plan, Spans
from fastrestore.errors import DecodeError, DeviceError
from fastrestore.frames import FORMATS, Frame, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.runtime import pipeline as pipelines
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.observation import Observer, Opening
from fastrestore.runtime.on_device.decoded import DecodedPicture
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer
from fastrestore.runtime.source import Source
from fastrestore.runtime.timeline import Rules, SegmentStart
from fastrestore.runtime.work import DECODE_AHEAD

FPS = Fraction(60)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


@pytest.fixture
def bench(tmp_path: Path, kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceBench]:
    monkeypatch.setattr(pipelines, "cpu_count", lambda: 2)
    made = DeviceBench(tmp_path, kernels)
    yield made
    made.close()
    assert made.left_behind == []
    assert_no_threads()


def assert_no_threads() -> None:
    assert [t.name for t in threading.enumerate() if t.name.startswith("fastrestore-")] == []


@dataclass
class Drawn(Clip):
    """A clip of frames that are given."""

    given: Sequence[Frame] = ()

    def picture(self, index: int) -> Picture:
        return self.given[index].picture


def clip(path: Path, given: Sequence[Frame], codec: str = "ffv1", **options: str) -> Path:
    """Write frames without loss; returns the file."""
    first = given[0].picture
    drawn = Drawn(len(given), codec, first.format.name, first.size, Fraction(24), options=options, given=given)
    return write_clip(path, drawn)


@dataclass
class Played:
    """A file, and a card to restore it on."""

    reader: VideoReader
    stages: Stages
    steps: DeviceSteps
    decoder: PlayedDecoder
    on_host: Stages
    """The same for frames that the host decodes."""

    @property
    def source(self) -> Source:
        return Source.of_file(self.reader)


@contextmanager
def played(bench: DeviceBench, path: Path, plan: Plan = Plan.GUIDED) -> Iterator[Played]:
    """Open a film and the stages of a card that decodes."""
    with VideoReader(path) as reader:
        info = reader.info
        output = Form(info.size.times(2), info.format, info.colour)
        task = Task(Form(info.size, info.format, info.colour), output, plan)
        restorer = Restorer([], OPS, Output(output.size, output.format, output.colour))
        engine = bench.engine()
        with (
            open_steps([engine], task) as from_host,
            open_steps([engine], replace(task, decodes=True)) as steps,
            closing(PlayedDecoder(bench.device)) as decoder,
        ):
            on_host = Stages(OPS, restorer, DisEstimator(OPS), plan, from_host)
            on_card = replace(on_host, on_device=steps, card=card_reading(decoder, steps))
            yield Played(reader, on_card, steps, decoder, on_host)
            assert decoder.outstanding == 0
            assert held(steps) == 0


def held(steps: DeviceSteps) -> int:
    """Return what was lent and not given back; each slot keeps its tiles, in and out."""
    assert steps.decoded is not None
    return steps.pool.on_loan - 2 * len(steps.pool._lanes.compute) + steps.decoded.surfaces


def made_on_card(film: Played, fps: Fraction | None, rules: Rules | None = None) -> list[Frame]:
    assert film.stages.card is not None
    with film.source.on_card(film.stages.card) as source:
        return list(FramePipeline(film.stages, source.frames, fps, rules))


def made_by_host(film: Played, fps: Fraction | None, rules: Rules | None = None) -> list[Frame]:
    with film.source.again() as source:
        return list(FramePipeline(film.on_host, source.frames, fps, rules))


def assert_same(found: list[Frame], wanted: list[Frame]) -> None:
    assert [(f.pts, f.duration) for f in found] == [(f.pts, f.duration) for f in wanted]
    assert all(a.picture.colour == b.picture.colour for a, b in zip(found, wanted, strict=True))
    assert all(a.picture.same_samples(b.picture) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("name", "grey", "size"),
    [
        ("yuv420p", False, SOURCE),
        ("yuv420p", True, SOURCE),
        ("yuv420p10le", False, Size(40, 28)),
        ("yuv420p10le", True, Size(41, 27)),
        ("yuv420p", False, Size(37, 31)),
    ],
    ids=["8-bit", "grey-in-yuv", "10-bit", "10-bit-odd-grey", "odd"],
)
def test_frames_are_those_of_the_host(bench: DeviceBench, tmp_path: Path, name: str, grey: bool, size: Size) -> None:
    path = clip(tmp_path / "source.mkv", film(12, size, name, grey=grey))
    with played(bench, path) as card:
        wanted = made_by_host(card, FPS)
        found = made_on_card(card, FPS)
        runs = card.steps.runs
    assert_same(found, wanted)
    assert runs == 11, "the exact repeat is not restored again"
    assert grey == all(frame.picture.neutral_chroma for frame in found)


@pytest.mark.parametrize("fps", [None, Fraction(30), Fraction(10)], ids=["source", "30", "10"])
@pytest.mark.parametrize("plan", list(Plan))
def test_plans_and_rates(bench: DeviceBench, tmp_path: Path, plan: Plan, fps: Fraction | None) -> None:
    with played(bench, clip(tmp_path / "source.mkv", film(14)), plan) as card:
        assert_same(made_on_card(card, fps), made_by_host(card, fps))


def on_twos() -> list[Frame]:
    """Return pictures of which every other one is held for two frames, with a cut."""
    drawn = film(30)
    order = [index for index in range(30) for _ in range(1 + index % 2)]
    return [Frame(drawn[index].picture, Fraction(at, 24), Fraction(1, 24)) for at, index in enumerate(order)]


def test_cuts_and_repeats_are_those_of_the_host(bench: DeviceBench, tmp_path: Path) -> None:
    spans = Spans(Fraction(1, 2), Fraction(1))
    with played(bench, clip(tmp_path / "source.mkv", on_twos())) as card:
        assert card.stages.card is not None
        with card.source.again() as source:
            wanted = list(Observer(OPS, spans, Opening()).observe(source.frames))
        with card.source.on_card(card.stages.card) as source:
            observer = Observer(card.stages.card.comparer, spans, Opening())
            for number, (seen, like) in enumerate(zip(observer.observe(source.frames), wanted, strict=True)):
                assert isinstance(seen.frame.picture, DecodedPicture)
                assert seen.frame.pts == like.frame.pts
                assert (seen.cut_before, seen.repeats, seen.index) == (like.cut_before, like.repeats, number)
                assert_alike(seen.opening, like.opening)
            del seen
    assert sum(each.cut_before for each in wanted) == 1
    assert sum(each.repeats for each in wanted) >= 10
    assert sum(each.opening is not None for each in wanted) >= 2


def assert_alike(found: Opening | None, wanted: Opening | None) -> None:
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert replace(found, recent=()) == replace(wanted, recent=()), "checksums included"
        for one, other in zip(found.recent, wanted.recent, strict=True):
            assert one.mean == other.mean
            assert one.peak_block == pytest.approx(other.peak_block, rel=1e-6)
            assert one.correlation == pytest.approx(other.correlation, rel=1e-5)


def test_held_pictures_are_evened_as_on_the_host(bench: DeviceBench, tmp_path: Path) -> None:
    with played(bench, clip(tmp_path / "source.mkv", on_twos())) as card:
        room = len(card.steps.pool._blocks["decoded"])
        assert_same(made_on_card(card, FPS), made_by_host(card, FPS))
        assert len(card.steps.pool._blocks["decoded"]) == room, "no more pictures are kept than there is room for"


def test_segments_are_entered_where_the_host_enters_them(bench: DeviceBench, tmp_path: Path) -> None:
    """H.264 with pictures out of order, and few places to enter."""
    path = clip(tmp_path / "source.mkv", film(40), "libx264", bf="2", g="12", qp="0")
    rules = Rules(spans=Spans(Fraction(1, 4), Fraction(1, 2)))
    with played(bench, path) as card:
        assert card.stages.card is not None
        with (
            card.source.again() as source,
            closing(FramePipeline(card.on_host, source.frames, FPS, rules).marked()) as f,
        ):
            starts = [mark.start for _, mark in f if mark is not None]
        assert len(starts) > 2
        wanted = entered(card, starts[2], rules, on_card=False)
        assert_same(entered(card, starts[2], rules, on_card=True), wanted)


def entered(film: Played, start: SegmentStart, rules: Rules, *, on_card: bool) -> list[Frame]:
    stages = film.stages if on_card else film.on_host
    card = film.stages.card
    assert card is not None
    with (
        film.source.on_card(card) if on_card else film.source.again() as source,
        source.entered(start.opening, None, sequential=False) as reading,
    ):
        return list(FramePipeline(stages, reading.frames, FPS, rules, start, one_segment=True))


@pytest.mark.parametrize("fps", [None, FPS], ids=["source", "60"])
def test_steady_state_allocates_nothing_and_waits_as_written(
    bench: DeviceBench, tmp_path: Path, fps: Fraction | None
) -> None:
    """Besides once for every output frame, the host waits for every source frame: until it has arrived, or what it
    differs by is known; and where motion is found on the host, until it is there."""
    with played(bench, clip(tmp_path / "source.mkv", film(60))) as card:
        assert card.stages.card is not None
        with (
            card.source.on_card(card.stages.card) as source,
            closing(FramePipeline(card.stages, source.frames, fps).marked()) as frames,
        ):
            for _ in range(20):
                next(frames)
            before, made = copy.copy(bench.device.counts), card.decoder.made
            for _ in range(25):
                next(frames)
            since, decoded = bench.device.counts.since(before), card.decoder.made - made
    assert decoded > 5
    assert since.allocations == 0
    each, on_their_way = (1 if fps is None else 2), 4 * DECODE_AHEAD
    assert 25 < since.host_waits <= 25 + each * decoded + on_their_way


@pytest.mark.parametrize("fps", [None, FPS], ids=["source", "60"])
@pytest.mark.parametrize("plan", list(Plan))
def test_errors_in_the_middle_give_everything_back(
    bench: DeviceBench, tmp_path: Path, plan: Plan, fps: Fraction | None
) -> None:
    def fault(number: int) -> None:
        if number == 9:
            raise DeviceError("planted failure")

    with played(bench, clip(tmp_path / "source.mkv", film(16)), plan) as card:
        card.decoder.fault = fault
        with pytest.raises(DecodeError, match="planted failure") as caught:
            made_on_card(card, fps)
        assert "--media host" in caught.value.hint
        assert card.decoder.outstanding == 0 and held(card.steps) == 0
        assert_no_threads()
        card.decoder.fault = lambda _: None
        assert len(made_on_card(card, None)) == 16


@pytest.mark.parametrize("kernel", ["fr_requantize", "fr_statistics", "fr_unequal"])
def test_a_card_that_fails_gives_everything_back(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    from fastrestore.kernels.launches import Launch
    from fastrestore.runtime.devices.counting_work import CountingStream
    from fastrestore.runtime.memory import Module

    real, done = CountingStream.launch, 0

    def failing(self: CountingStream, module: Module, launch: Launch) -> None:
        nonlocal done
        done += launch.kernel == kernel
        if launch.kernel == kernel and done == 6:
            raise DeviceError("planted failure")
        real(self, module, launch)

    with played(bench, clip(tmp_path / "source.mkv", film(16))) as card:
        monkeypatch.setattr(CountingStream, "launch", failing)
        with pytest.raises(DeviceError, match="planted failure"):
            made_on_card(card, FPS)
        monkeypatch.undo()
        assert card.decoder.outstanding == 0 and held(card.steps) == 0


@pytest.mark.parametrize("shown", [0, 1, 9])
def test_who_stops_early_leaves_nothing(bench: DeviceBench, tmp_path: Path, shown: int) -> None:
    with played(bench, clip(tmp_path / "source.mkv", film(30))) as card:
        assert card.stages.card is not None
        with (
            card.source.on_card(card.stages.card) as source,
            closing(FramePipeline(card.stages, source.frames, FPS).marked()) as frames,
        ):
            for _ in range(shown):
                next(frames)
        assert card.decoder.outstanding == 0 and held(card.steps) == 0


def test_a_picture_comes_to_the_host_when_asked_and_goes_when_forgotten(bench: DeviceBench, tmp_path: Path) -> None:
    given = film(3)
    with played(bench, clip(tmp_path / "source.mkv", given)) as card:
        assert card.stages.card is not None
        with card.source.on_card(card.stages.card) as source:
            frames = iter(source.frames)
            first = next(frames)
            before = bench.device.counts.downloaded_bytes
            picture = first.picture
            assert picture.size == SOURCE and picture.format is FORMATS["yuv420p"]
            assert not picture.neutral_chroma
            assert bench.device.counts.downloaded_bytes == before, "none of this takes the samples"
            assert picture.same_samples(given[0].picture) and given[0].picture.same_samples(picture)
            assert picture.crc32 == given[0].picture.crc32 and picture.nbytes == given[0].picture.nbytes
            assert bench.device.counts.downloaded_bytes > before
            second = next(frames).picture
            assert not picture.same_samples(second) and second.same_samples(second)
            frames.close()  # type: ignore[attr-defined]
            loans = card.steps.pool.on_loan
            del first, picture
            gc.collect()
            assert card.steps.pool.on_loan == loans - 1
            assert not second.neutral_chroma
        with pytest.raises(DeviceError, match="after it was closed"):
            second.planes  # noqa: B018 - the reading has ended


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_pictures_that_differ_in_little_are_not_the_same(bench: DeviceBench, tmp_path: Path, plane: int) -> None:
    """In two samples of one plane, by one step each, which even each other out."""
    first, second = film(2)[0], film(1)[0]
    samples = [each.copy() for each in second.picture.planes]
    samples[plane][20 if plane == 0 else 3, :2] += np.array([1, -1]).astype(np.uint8)
    changed = replace(second, picture=replace(second.picture, planes=tuple(samples)), pts=Fraction(1, 24))
    with played(bench, clip(tmp_path / "source.mkv", [first, changed, replace(first, pts=Fraction(2, 24))])) as card:
        assert card.stages.card is not None
        with card.source.on_card(card.stages.card) as source:
            pictures = [frame.picture for frame in source.frames]
            assert [pictures[0].same_samples(each) for each in pictures] == [True, False, True]
            assert all(isinstance(each, DecodedPicture) and each._planes is None for each in pictures)
            del pictures


def test_what_is_not_the_film_s_picture_ends_the_reading(bench: DeviceBench, tmp_path: Path) -> None:
    other = clip(tmp_path / "other.mkv", film(3, Size(24, 16)))
    with played(bench, clip(tmp_path / "source.mkv", film(3))) as card, VideoReader(other) as model:
        assert card.stages.card is not None
        model.seen = card.reader.seen  # as if the film's pictures had become smaller
        reading = pytest.raises(DecodeError, match="changes: a picture of 24x16 yuv420p")
        with reading as caught, Source.of_file(model).on_card(card.stages.card) as source:
            next(iter(source.frames))
        assert "--media host" in caught.value.hint
