"""What a sweep found is used by later conversions, where a user left it open and no interrupted run is in the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.media_samples import Clip, write_clip
from typer.testing import CliRunner

from fastrestore.api import convert, plan_job
from fastrestore.cli import shell  # noqa: F401  (adds the commands)
from fastrestore.cli.options import app
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, Plan, RateTarget, Spans, Target
from fastrestore.errors import JobError
from fastrestore.runtime import tuning
from fastrestore.runtime.cache.folder import FOLDER_VARIABLE
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.job import Job
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.report import Progress
from fastrestore.runtime.tuning import Way

OPTIONS = ConvertOptions(
    Target.parse("x2"),
    RateTarget(),
    sr="clean-x2-tiny",
    encode=EncodeOptions("x264", preset="ultrafast"),
    spans=Spans(Fraction(1, 5), Fraction(1, 5)),
)
COUNT = 24


def row(fps: float, **changes: Any) -> dict[str, Any]:
    """Return a row of a sweep's result."""
    usual = {"plan": "guided", "backend": "onnxruntime", "tile": None, "threads": 1, "preset": "ultrafast"}
    return {**usual, "batch": None, "streams": None, "memory_bytes": 100 << 20, "fps": fps, **changes}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip."""
    return write_clip(tmp_path_factory.mktemp("source") / "clip.mkv", Clip(COUNT))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "engines"))


@pytest.fixture
def job(source: Path, tmp_path: Path) -> Iterator[Job]:
    with VideoReader(source) as reader:
        yield plan_job(reader, tmp_path / "out.mkv", OPTIONS)


def keep(job: Job, *rows: dict[str, Any]) -> None:
    tuning.keep(rows, tuning.job_facts(job.plan, job.options))


def way_of(job: Job) -> Way:
    options = job.tuned().options
    return Way(options.backend, options.tile, options.threads, options.batch, options.streams)


def as_asked(job: Job) -> bool:
    return job.tuned().options == job.options


def test_nothing_is_changed_where_nothing_was_measured(job: Job) -> None:
    assert as_asked(job)


def test_the_fastest_way_is_taken_and_told(job: Job) -> None:
    keep(job, row(3, tile=40), row(5, tile=48, threads=2), row(4))
    found = job.tuned()
    assert way_of(job) == Way("onnxruntime", 48, 2, None, None)
    assert replace(found.options, backend="auto", tile=None, threads=0, tuned="") == job.options, "all else is kept"
    told = found.describe()["backend"]
    assert told.startswith("onnxruntime, fastest here by `bench sweep` of 20")
    assert told.endswith("tile 48 px, threads 2")
    assert "backend" not in job.describe()
    report = found.run()
    assert report.backend_reason == found.options.tuned
    assert report.backend.startswith("onnxruntime")


def test_order_and_preset_stay_as_asked_for(job: Job) -> None:
    keep(job, row(9, plan="interpolate-first", tile=40), row(8, preset="veryfast", tile=48), row(5, tile=56))
    assert way_of(job).tile == 56, "measured with the preset that is asked for"
    keep(job, row(9, plan="interpolate-first", tile=40), row(8, preset="veryfast", tile=48))
    assert way_of(job).tile == 48
    assert job.tuned().options.encode == job.options.encode
    keep(job, row(9, plan="interpolate-first", tile=40))
    assert as_asked(job)


@pytest.mark.parametrize(
    "changes",
    [{"backend": "onnxruntime"}, {"tile": 64}, {"threads": 2}, {"batch": 2}, {"streams": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_user_says_goes(job: Job, changes: dict[str, Any]) -> None:
    keep(job, row(3, tile=40))
    assert as_asked(replace(job, options=replace(job.options, **changes)))


@pytest.mark.parametrize(
    "changes",
    [{"sr": "clean"}, {"vfi": "raft"}, {"encode": EncodeOptions("x264", 30)}, {"film": FilmOptions(clean="low")}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_job_has_ways_of_its_own(job: Job, changes: dict[str, Any]) -> None:
    keep(job, row(3, tile=40))
    assert as_asked(replace(job, options=replace(job.options, **changes)))


def test_another_machine_or_other_software_has_ways_of_its_own(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(job, row(3, tile=40))
    assert not as_asked(job)
    with monkeypatch.context() as changed:
        changed.setattr(tuning, "machine", lambda: {"cores": 1000})
        assert as_asked(job)
    with monkeypatch.context() as changed:
        changed.setattr(tuning, "software", lambda: {"fastrestore": "0"})
        assert as_asked(job)


def test_a_way_that_needs_too_much_memory_is_passed_over(job: Job) -> None:
    keep(job, row(5, tile=40, memory_bytes=900 << 20), row(4, tile=48, memory_bytes=300 << 20))
    assert way_of(job).tile == 40
    assert way_of(replace(job, options=replace(job.options, max_memory=500 << 20))).tile == 48


@pytest.mark.parametrize(
    "broken",
    [
        {"backend": "none"},
        {"backend": "auto"},
        {"backend": 3},
        {"tile": 3},
        {"tile": "large"},
        {"tile": True},
        {"threads": -1},
        {"threads": None},
        {"batch": 0},
        {"streams": "two"},
        {"fps": "fast"},
        {"memory_bytes": None},
        {"plan": 1},
    ],
    ids=str,
)
def test_a_way_that_cannot_be_gone_is_passed_over(job: Job, broken: dict[str, Any]) -> None:
    keep(job, row(9) | broken, row(5, tile=48))
    assert way_of(job).tile == 48
    keep(job, row(9) | broken)
    assert as_asked(job)


def test_backends_that_cannot_run_here_are_passed_over(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "unable", lambda plan, options: "gone" if options.backend == "openvino" else None)
    keep(job, row(9, backend="openvino"), row(5, tile=48))
    assert way_of(job).backend == "onnxruntime"


def test_a_damaged_file_is_no_choice(job: Job) -> None:
    keep(job, row(5, tile=48))
    (path,) = tuning.kept_choices().folder.iterdir()
    for content in (b"", b"[]", path.read_bytes().replace(b'"ways": [', b'"ways": [[], ')):
        path.write_bytes(content)
        assert way_of(job).tile == (48 if b"ways" in content else None)


def test_workers_are_not_told_what_is_best_here(job: Job) -> None:
    keep(job, row(5, tile=48))

    class Workers(Crew):
        def __init__(self) -> None:
            """Nobody is at work."""

    assert as_asked(replace(job, crew=Workers()))


class _StopError(Exception):
    """Ends a run."""


def interrupted(job: Job) -> None:
    """Run a job until some segments are on record."""

    def stop(progress: Progress) -> None:
        if progress.frames >= 3 * COUNT // 4:
            raise _StopError

    with pytest.raises(_StopError):
        job.run(stop)


def opened(source: Path, output: Path, options: ConvertOptions = OPTIONS) -> Job:
    """Return the job as another process would."""
    reader = VideoReader(source)
    return plan_job(reader, output, options)


def test_an_interrupted_run_goes_on_as_it_was_begun(job: Job, source: Path, tmp_path: Path) -> None:
    keep(job, row(5, tile=40))
    begun = job.tuned()
    whole = convert(source, tmp_path / "whole.mkv", OPTIONS)
    assert whole.backend_reason == begun.options.tuned
    interrupted(begun)
    keep(job, row(9, tile=48, threads=2))
    with VideoReader(source) as reader:
        again = plan_job(reader, job.output, OPTIONS).tuned()
        assert again.options == begun.options
        with_workers = replace(again, options=OPTIONS)
        assert tuning.as_begun(OPTIONS, job.output) == begun.options == with_workers.tuned().options
        report = again.run()
    assert report.resumed_segments > 0 and report.backend_reason == begun.options.tuned
    assert job.output.read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_a_run_begun_before_anything_was_measured_goes_on_without(job: Job, source: Path) -> None:
    interrupted(job.tuned())
    keep(job, row(9, tile=40))
    with VideoReader(source) as reader:
        again = plan_job(reader, job.output, OPTIONS)
        assert as_asked(again)
        assert way_of(replace(again, options=replace(OPTIONS, restart=True))).tile == 40
        assert again.tuned().run().resumed_segments > 0


def test_whoever_chooses_another_way_meanwhile_is_refused(job: Job, source: Path) -> None:
    keep(job, row(5, tile=40))
    interrupted(job.tuned())
    with VideoReader(source) as reader:
        other = plan_job(reader, job.output, replace(OPTIONS, tile=48)).tuned()
        with pytest.raises(JobError, match="begun with other settings"):
            other.run()


def test_a_conversion_without_networks_asks_for_nothing(source: Path, tmp_path: Path) -> None:
    with VideoReader(source) as reader:
        job = plan_job(reader, tmp_path / "out.mkv", replace(OPTIONS, to=Target.parse("x1"), plan=Plan.GUIDED))
        keep(job, row(5, tile=40))
        assert as_asked(job)


def test_a_dry_run_shows_what_would_be_taken(job: Job, source: Path, tmp_path: Path) -> None:
    keep(job, row(5, tile=40))
    command = ["convert", str(source), "-o", str(tmp_path / "out.mkv"), "--to", "x2", "--fps", "source", "--dry-run"]
    command += ["--sr", "clean-x2-tiny", "--preset", "ultrafast"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0
    assert re.search(r"^backend +onnxruntime, fastest here by .* tile 40 px, threads 1$", told.stdout, re.MULTILINE)
    told = CliRunner().invoke(app, [*command, "--backend", "onnxruntime"])
    assert told.exit_code == 0
    assert not re.search(r"^backend ", told.stdout, re.MULTILINE)
