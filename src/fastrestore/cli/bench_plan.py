"""`bench plan`: what converting a catalogue on a fleet will take."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.batch.settings import auto_int
from fastrestore.cli.bench import Codec, Crf, Fps, Sr, To, Vfi, bench_app
from fastrestore.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastrestore.bench.catalogue import Films
    from fastrestore.bench.fleet import Fleet
    from fastrestore.bench.forecast import Forecast, Range
    from fastrestore.bench.rates import Rates
    from fastrestore.config import ConvertOptions


@bench_app.command("plan")
def bench_plan(
    films: Annotated[
        Optional[list[Path]], typer.Argument(help="Videos, and lists of films (.toml).", metavar="FILM")
    ] = None,
    machines: Annotated[
        Optional[Path], typer.Option(help="The fleet; without one, this machine.", metavar="SPEC.toml")
    ] = None,
    rates: Annotated[
        Optional[list[Path]],
        typer.Option(help="Measured rates, for machines that name none; may be repeated.", metavar="FILE.json"),
    ] = None,
    measure: Annotated[
        Optional[Path], typer.Option(help="Convert this clip three times, and keep the rates.", metavar="CLIP")
    ] = None,
    to: To = "4k",
    fps: Fps = "60",
    sr: Sr = "film",
    vfi: Vfi = "dis",
    plan: Annotated[str, typer.Option(help="As for convert.", metavar="ORDER")] = "guided",
    codec: Codec = "x264",
    crf: Crf = None,
    preset: Annotated[Optional[str], typer.Option(help="As for convert.", metavar="NAME")] = None,
    backend: Annotated[str, typer.Option(help="As for convert.", metavar="NAME")] = "auto",
    tile: Annotated[str, typer.Option(help="As for convert.", metavar="N")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="As for convert.", metavar="N")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How often the fleet is played.", metavar="N")] = 11,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict time, cost and storage for films on a fleet, from rates that were measured.

    With --measure and no films, the rates are kept for this machine, and written to the file of --rates if that is
    given.
    """
    from fastrestore.api import parse_plan
    from fastrestore.bench.catalogue import read_films
    from fastrestore.bench.forecast import forecast
    from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target

    options = ConvertOptions(
        to=Target.parse(to),
        fps=RateTarget.parse(fps),
        sr=sr,
        vfi=vfi,
        backend=backend,
        plan=parse_plan(plan),
        encode=EncodeOptions(codec, crf, preset),
        tile=auto_int(tile, "--tile"),
        threads=threads,
    )
    if measure is not None:
        known = _measured(measure, options, rates or [], films or [])
        if not films:
            return
    else:
        known = _known(rates or [])
    listed = read_films(films or [], options)
    fleet = _fleet(machines, known, listed, options)
    found = forecast(listed, options, fleet, seeds, _tell_play)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1, allow_nan=False))
    else:
        _show(found, priced=any(kind.price_per_hour for kind in fleet.machines))


def _known(files: Sequence[Path]) -> list[Rates]:
    from fastrestore.bench.rates import read_rates

    return [each for path in files for each in read_rates(path)]


def _measured(clip: Path, options: ConvertOptions, files: Sequence[Path], films: Sequence[Path]) -> list[Rates]:
    """Measure this machine; keep the rates, and write them if a file for them is given."""
    from fastrestore.bench.calibration import calibrate
    from fastrestore.bench.document import to_json
    from fastrestore.bench.estimate import keep_rates
    from fastrestore.bench.rates import rates_of
    from fastrestore.files import write_whole

    if len(files) > 1 or (files and films):
        raise UsageError("`--measure` writes one file of `--rates`", "measure first, then plan")
    if files and (files[0].is_dir() or not files[0].parent.is_dir()):
        raise UsageError(f"cannot write {files[0]}", "give a file in a folder that exists")
    document = calibrate(clip, options, lambda run: _note(f"{run.counts.output} frames in {run.wall_s:.1f} s"))
    found = rates_of(document, str(clip))
    keep_rates(found)
    if files:
        write_whole(files[0], to_json(document))
    for each in found:
        _note(f"kept for {', '.join(f'{key} {value}' for key, value in each.way.items())}")
    return found


def _fleet(machines: Path | None, known: list[Rates], films: Sequence[Films], options: ConvertOptions) -> Fleet:
    from fastrestore.bench.estimate import kept_rates
    from fastrestore.bench.fleet import read_fleet, this_machine
    from fastrestore.bench.workload import way
    from fastrestore.runtime.plan import make_plan

    if not known:  # what was kept here, for each way that the films will take
        ways = [way(make_plan(each.info, options), options) for each in films]
        kept = [kept_rates(asked) for asked in {json.dumps(each): each for each in ways}.values()]
        known = [each for each in kept if each is not None]
    return this_machine(known) if machines is None else read_fleet(machines, known)


def _show(found: Forecast, *, priced: bool) -> None:
    from fastrestore.bench.estimate import duration_words, size_words

    for films in found.films:
        each = ", ".join(
            f"{duration_words(seconds)} on `{kind}`" for kind, seconds in zip(found.kinds, films.worker_s, strict=True)
        )
        print(f"{films.name}: {films.count}, {films.hours:.1f} h in all, to {films.target}; one takes a worker {each}")
    lines = {"time": _words(found.wall_s, duration_words)}
    lines |= {kind: f"{_words(hours, _figure)} machine hours" for kind, hours in found.machine_hours.items()}
    if priced:
        lines["cost"] = _words(found.cost, _figure)
    lines |= {
        "output": _words(found.output_bytes, size_words),
        "work": f"{_words(found.work_peak_bytes, size_words)} at most in work folders",
        "moved": f"{_words(found.moved_bytes, size_words)} read and written",
        "first film": _words(found.first_film_s, duration_words),
        "efficiency": f"{_words(found.efficiency, _share)} of {found.workers} workers' time is work that counts",
        "trouble": f"{_words(found.failures, _figure)} failures, {_words(found.losses, _figure)} machines lost, "
        f"{_words(found.copies, _figure)} second runs, {_words(found.given_up, _figure)} tasks given up",
    }
    for key, value in lines.items():
        print(f"{key:<12} {value}")


def _words(found: Range, told: Callable[[float], str]) -> str:
    """Return the middle, and in brackets what one in ten and nine in ten stay below."""
    low, middle, high = told(found.p10), told(found.p50), told(found.p90)
    return middle if low == high else f"{middle} ({low} to {high})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _tell_play(seed: int) -> None:
    if sys.stderr.isatty():
        _note(f"play {seed + 1}")


def _note(words: str) -> None:
    print(words, file=sys.stderr)
