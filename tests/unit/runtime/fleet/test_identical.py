"""Whoever makes the segments, in whatever order, and however often that goes wrong: the file is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.unit.runtime.fleet.samples import QUICK, Fate, OwnFleet, convert, faulty_film, film

from fastrestore.config import ConvertOptions, FilmOptions, OnError, RateTarget, Target
from fastrestore.errors import DecodeError, DeviceError, EngineError, JobCancelledError, JobError, UsageError
from fastrestore.runtime import job as job_module
from fastrestore.runtime.fleet.coordinator import Limits
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.fleet.order import Assignment, Facts
from fastrestore.runtime.fleet.policy import Policy
from fastrestore.runtime.fleet.worker import SegmentWorker
from fastrestore.runtime.journal import Journal
from fastrestore.runtime.report import Progress
from fastrestore.runtime.workfolder import folder_for

RANGE = replace(QUICK, start=Fraction(5, 4), end=Fraction(11, 2))


@pytest.mark.parametrize(
    ("make", "suffix", "options"),
    [
        (film, ".mkv", QUICK),
        (film, ".mp4", replace(QUICK, fps=RateTarget())),
        (film, ".mp4", RANGE),
        (film, ".mkv", replace(RANGE, fps=RateTarget())),
        (film, ".mkv", replace(QUICK, film=FilmOptions(deflicker="global", clean="low"))),
        (faulty_film, ".mkv", QUICK),
        (faulty_film, ".mp4", replace(QUICK, fps=RateTarget())),
    ],
    ids=["mkv", "mp4-source", "range", "range-source", "treated", "faulty", "faulty-source"],
)
def test_the_same_bytes(tmp_path: Path, make: Callable[[Path], Path], suffix: str, options: ConvertOptions) -> None:
    source = make(tmp_path / "film.mkv")
    alone = convert(source, tmp_path / f"alone{suffix}", options)
    assert alone.segments >= 3
    with OwnFleet(3) as fleet:
        together = convert(source, tmp_path / f"together{suffix}", options, Crew(fleet))
    assert (tmp_path / f"together{suffix}").read_bytes() == (tmp_path / f"alone{suffix}").read_bytes()
    counts = ("source_frames", "output_frames", "synthesized_frames", "cuts", "held_frames")
    for name in ("segments", *counts, "warnings", "film"):
        assert getattr(together, name) == getattr(alone, name), name
    assert not folder_for(tmp_path / f"together{suffix}").exists()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "film.mkv")


@pytest.fixture(scope="module")
def alone(source: Path) -> bytes:
    """What one process makes."""
    output = source.with_name("alone.mkv")
    convert(source, output)
    return output.read_bytes()


def first_time(number: int, fate: Fate) -> Callable[[str, Assignment], Fate | None]:
    """Let something happen to whoever is the first to begin a segment."""
    happened: list[str] = []

    def befalls(worker: str, assignment: Assignment) -> Fate | None:
        if assignment.number != number or happened:
            return None
        happened.append(worker)
        return fate

    return befalls


@pytest.mark.parametrize(
    "fate", [Fate(lost="it was ended by signal 9"), Fate(error=DeviceError("the card fell off the bus", "see"))]
)
def test_what_is_lost_is_made_by_another(tmp_path: Path, source: Path, alone: bytes, fate: Fate) -> None:
    with OwnFleet(2, first_time(2, fate)) as fleet:
        report = convert(source, tmp_path / "out.mkv", crew=Crew(fleet))
        assert len(fleet.workers) == 2
    assert (tmp_path / "out.mkv").read_bytes() == alone
    assert len(report.warnings) == 1 and (fate.lost or "the card fell off the bus") in report.warnings[0]


def test_a_segment_that_ends_every_worker_ends_the_run(tmp_path: Path, source: Path) -> None:
    def befalls(worker: str, assignment: Assignment) -> Fate | None:
        return Fate(lost="it was ended by signal 11") if assignment.number == 1 else None

    with OwnFleet(2, befalls) as fleet, pytest.raises(JobError, match=r"segment 1 was lost .* signal 11") as caught:
        convert(source, tmp_path / "out.mkv", crew=Crew(fleet, policy=Policy(losses=3)))
    assert "memory" in caught.value.hint
    assert not (tmp_path / "out.mkv").exists()


def test_workers_that_never_start(tmp_path: Path, source: Path) -> None:
    with (
        OwnFleet(2, opening=lambda worker, order: Fate(lost="it ended with exit code 1")) as fleet,
        pytest.raises(JobError, match=r"all workers were lost, and 6 .*exit code 1"),
    ):
        convert(source, tmp_path / "out.mkv", crew=Crew(fleet))
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_fails_whoever_uses_it_ends_the_run_with_its_error(tmp_path: Path, source: Path) -> None:
    error = DeviceError("the card fell off the bus", "put it back")

    def befalls(worker: str, assignment: Assignment) -> Fate | None:
        return Fate(error=error) if assignment.number == 2 else None

    with OwnFleet(2, befalls) as fleet, pytest.raises(DeviceError, match="fell off") as caught:
        convert(source, tmp_path / "out.mkv", crew=Crew(fleet))
    assert caught.value.hint == "put it back"


def test_a_fault_of_the_film_ends_the_run_once_with_the_same_words(tmp_path: Path) -> None:
    faulty, strict = faulty_film(tmp_path / "film.mkv"), replace(QUICK, on_error=OnError.FAIL)
    with pytest.raises(DecodeError) as wanted:
        convert(faulty, tmp_path / "alone.mkv", strict)
    with OwnFleet(2) as fleet, pytest.raises(DecodeError) as caught:
        convert(faulty, tmp_path / "out.mkv", strict, Crew(fleet))
    assert (caught.value.message, caught.value.hint) == (wanted.value.message, wanted.value.hint)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_interrupted_run_goes_on_with_any_number_of_workers(
    tmp_path: Path, source: Path, alone: bytes, workers: int
) -> None:
    """Segments 0, 2 and 3 are on record; the others are made, and only they."""

    def befalls(worker: str, assignment: Assignment) -> Fate | None:
        if assignment.number == 1:
            return Fate(hangs=True)
        return Fate(error=DecodeError("stop here", "")) if assignment.number > 3 else None

    output = tmp_path / "out.mkv"
    with OwnFleet(2, befalls) as fleet, pytest.raises(DecodeError, match="stop here"):
        convert(source, output, crew=Crew(fleet, policy=Policy(longest_run=1)))
    left = Journal(folder_for(output) / "journal").read()
    assert left is not None and len(left.done) == 1 and set(left.ahead) == {2, 3}
    assert sorted(path.name for path in folder_for(output).glob("*.nut*")) == ["000000.nut", "000002.nut", "000003.nut"]
    seen: list[Progress] = []
    if workers:
        with OwnFleet(workers) as fleet:
            report = convert(source, output, crew=Crew(fleet), on_progress=seen.append)
        made = {message.number for _, message in fleet.told if isinstance(message, Assignment)}
        assert made == set(range(report.segments)) - {0, 2, 3}
    else:
        report = convert(source, output, on_progress=seen.append)
    assert output.read_bytes() == alone and report.resumed_segments == 3
    assert seen[-1].frames == report.output_frames and seen[-1].earlier == left.frames
    assert [progress.frames for progress in seen] == sorted(progress.frames for progress in seen)
    assert report.synthesized_frames > 0


def test_a_run_without_workers_goes_on_with_them(tmp_path: Path, source: Path, alone: bytes) -> None:
    output = tmp_path / "out.mkv"

    def stop(progress: Progress) -> None:
        if progress.frames == 60:
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        convert(source, output, on_progress=stop)
    with OwnFleet(2) as fleet:
        report = convert(source, output, crew=Crew(fleet))
        seen = min(message.number for _, message in fleet.told if isinstance(message, Assignment))
    assert report.resumed_segments == seen > 0
    assert output.read_bytes() == alone


def test_films_one_after_the_other(tmp_path: Path, source: Path, alone: bytes) -> None:
    with OwnFleet(2) as fleet:
        crew = Crew(fleet)
        convert(source, tmp_path / "first.mkv", crew=crew)
        workers = fleet.workers
        with pytest.raises(DecodeError):
            convert(
                faulty_film(tmp_path / "film.mkv"), tmp_path / "no.mkv", replace(QUICK, on_error=OnError.FAIL), crew
            )
        convert(source, tmp_path / "second.mkv", crew=crew)
    assert (tmp_path / "first.mkv").read_bytes() == (tmp_path / "second.mkv").read_bytes() == alone
    assert len(workers) == 2


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, source: Path, alone: bytes) -> None:
    limits = Limits(silence_s=0.2, look_s=0.02)
    with OwnFleet(2, first_time(1, Fate(hangs=True))) as fleet:
        report = convert(source, tmp_path / "out.mkv", crew=Crew(fleet, limits, Policy(patience=None)))
    assert (tmp_path / "out.mkv").read_bytes() == alone
    assert ["no sign of life" in text for text in report.warnings] == [True]


def test_an_idle_worker_makes_what_takes_too_long_a_second_time(tmp_path: Path, source: Path, alone: bytes) -> None:
    """The one that hangs is not waited for."""
    policy = Policy(samples=1, patience=1.0)
    with OwnFleet(2, first_time(1, Fate(hangs=True))) as fleet:
        report = convert(source, tmp_path / "out.mkv", crew=Crew(fleet, Limits(look_s=0.02), policy))
        made = [message.number for _, message in fleet.told if isinstance(message, Assignment)]
        assert made.count(1) == 2 and len(fleet.workers) == 1
    assert (tmp_path / "out.mkv").read_bytes() == alone and report.warnings == []


@pytest.mark.parametrize("what", ["settings", "source"])
def test_a_worker_that_would_make_something_else_is_left_out(
    tmp_path: Path, source: Path, alone: bytes, what: str
) -> None:
    class Other(OwnFleet):
        def facts(self, worker: str, hired: SegmentWorker) -> Facts:
            if worker.startswith("w1."):
                return hired.facts
            if what == "source":
                return replace(hired.facts, source={**hired.facts.source, "bytes": 1})
            return replace(hired.facts, settings={**hired.facts.settings, "versions": "av 1"})

    with Other(2) as fleet:
        report = convert(source, tmp_path / "out.mkv", crew=Crew(fleet))
        assert {worker for worker, message in fleet.told if isinstance(message, Assignment)} == {"w1.0.1"}
    assert (tmp_path / "out.mkv").read_bytes() == alone
    assert len(report.warnings) == 1 and "w2.0.2 is left out" in report.warnings[0]


def test_more_memory_than_is_allowed_for_all_workers(tmp_path: Path, source: Path) -> None:
    options = replace(QUICK, max_memory=400 << 20)
    convert(source, tmp_path / "alone.mkv", options)
    with OwnFleet(3) as fleet, pytest.raises(UsageError, match=r"3 workers need about \d+ MiB .* allows 400"):
        convert(source, tmp_path / "out.mkv", options, Crew(fleet))


def test_settings_that_no_worker_can_open(tmp_path: Path, source: Path) -> None:
    with OwnFleet(2) as fleet, pytest.raises(EngineError, match="cannot run here"):
        convert(source, tmp_path / "out.mkv", replace(QUICK, to=Target.parse("x2"), backend="tensorrt"), Crew(fleet))


def test_the_encoders_threads_are_those_that_the_run_began_with(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x264 chooses them by the number of cores, and makes something else with another number."""
    monkeypatch.setattr(job_module, "cpu_count", lambda: 3)
    larger = replace(QUICK, to=Target.parse("256x192"), fps=RateTarget())
    whole, output = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    convert(source, whole, larger)

    def befalls(worker: str, assignment: Assignment) -> Fate | None:
        return Fate(error=DecodeError("stop here", "")) if assignment.number == 2 else None

    with OwnFleet(1, befalls) as fleet, pytest.raises(DecodeError, match="stop here"):
        convert(source, output, larger, Crew(fleet))
    monkeypatch.setattr(job_module, "cpu_count", lambda: 1)
    convert(source, output, larger)
    assert output.read_bytes() == whole.read_bytes()
    convert(source, tmp_path / "other.mkv", larger)
    assert (tmp_path / "other.mkv").read_bytes() != whole.read_bytes(), "or nothing was tested"
