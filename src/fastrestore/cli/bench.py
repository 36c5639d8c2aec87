"""`bench`: how fast engines and whole conversions are here, and whether one version is slower than another."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.batch.settings import auto_int
from fastrestore.cli import measurements
from fastrestore.cli.options import AsJson, app
from fastrestore.errors import UsageError

if TYPE_CHECKING:
    from fastrestore.bench.cases import EngineCase
    from fastrestore.bench.conditions import Condition
    from fastrestore.bench.document import Document
    from fastrestore.bench.sweeps import Outcome
    from fastrestore.config import ConvertOptions
    from fastrestore.geometry import Size

bench_app = typer.Typer(
    help="Measure speed: engines, whole conversions, one version against another.", rich_markup_mode=None
)
app.add_typer(bench_app, name="bench")

Clip = Annotated[Path, typer.Argument(help="A video.", metavar="CLIP")]
JsonFile = Annotated[
    Optional[Path], typer.Option("--json", help="Write everything measured as JSON; - is stdout.", metavar="FILE")
]
Append = Annotated[bool, typer.Option("--append", help="Add to what the JSON file holds already.")]
Page = Annotated[Optional[Path], typer.Option(help="Write a page with plots.", metavar="FILE.html")]
Gate = Annotated[
    Optional[str],
    typer.Option(help="Conditions; exit code 1 if one is not met: p99<8ms,throughput>120.", metavar="CONDITIONS"),
]
To = Annotated[str, typer.Option(help="As for convert.", metavar="SIZE")]
Fps = Annotated[str, typer.Option(help="As for convert.", metavar="RATE")]
Sr = Annotated[str, typer.Option(help="As for convert.", metavar="MODEL")]
Vfi = Annotated[str, typer.Option(help="As for convert.", metavar="MODEL")]
Codec = Annotated[str, typer.Option(help="As for convert.", metavar="NAME")]
Crf = Annotated[Optional[int], typer.Option(help="As for convert.", metavar="N")]
Start = Annotated[Optional[str], typer.Option(help="As for convert.", metavar="TIME")]
End = Annotated[Optional[str], typer.Option(help="As for convert.", metavar="TIME")]
_SWEPT_PRESETS = ("ultrafast", "superfast", "veryfast")


@bench_app.command("engine")
def bench_engine(
    models: Annotated[
        Optional[list[str]], typer.Argument(help="Networks; without any, the one that 4x takes.", metavar="[MODEL...]")
    ] = None,
    backend: Annotated[
        Optional[list[str]], typer.Option(help="What runs them; may be repeated.", metavar="NAME")
    ] = None,
    precision: Annotated[
        Optional[str], typer.Option(help="fp32 or fp16; without it, the backend chooses.", metavar="P")
    ] = None,
    size: Annotated[Optional[list[str]], typer.Option(help="Input picture; may be repeated.", metavar="WxH")] = None,
    batch: Annotated[
        Optional[list[int]], typer.Option(min=1, help="Pictures at once; may be repeated.", metavar="N")
    ] = None,
    streams: Annotated[
        Optional[list[int]], typer.Option(min=1, help="Engines side by side; may be repeated.", metavar="N")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="For each engine, warming up not counted.", metavar="S")
    ] = 5.0,
    repeats: Annotated[int, typer.Option(min=1, help="Turns that each engine takes.", metavar="N")] = 10,
    threads: Annotated[int, typer.Option(min=0, max=1024, help="As for convert.", metavar="N")] = 0,
    graph: Annotated[bool, typer.Option("--graph", help="Replay a recorded graph of the device.")] = False,
    transfers: Annotated[
        bool, typer.Option("--transfers/--no-transfers", help="Copy pictures to the device and back.")
    ] = True,
    gate: Gate = None,
    json_file: JsonFile = None,
    append: Append = False,
    page: Page = None,
) -> None:
    """Measure networks: throughput, latency of each phase, memory, arithmetic, and what limits them."""
    from time import perf_counter

    from fastrestore.bench.cases import EngineCase, EngineSettings
    from fastrestore.bench.document import document
    from fastrestore.bench.engines import measure_engines, padded
    from fastrestore.bench.peak import measure_peak
    from fastrestore.config import cpu_count
    from fastrestore.models.catalog import find, restoration_chain
    from fastrestore.runtime.engine import choose_backend

    conditions = _conditions(gate)
    _check_files(json_file, page, append=append)
    names = models or [restoration_chain("film", Fraction(4))[0].name]
    sizes = [_size(text) for text in size or ["640x480"]]
    networks = [(spec, padded(each, spec)) for spec in map(find, names) if not spec.classical for each in sizes]
    backends = [choose_backend(name, networks).backend.name for name in backend or ["auto"]]
    cases = [
        EngineCase(model, name, picture, precision, pictures, side_by_side, graph, transfers)
        for model, name, picture, pictures, side_by_side in itertools.product(
            names, dict.fromkeys(backends), sizes, batch or [1], streams or [1]
        )
    ]
    settings = EngineSettings(seconds, repeats, threads)
    peak, results = measure_engines(
        cases, settings, lambda: measure_peak(perf_counter, cpu_count()), on_block=_tell_block
    )
    told = {"seconds": seconds, "repeats": repeats, "threads": threads}
    found = document("engine", told, [result.as_dict() for result in results], peak)
    _warn_if_busy(found)
    if json_file != Path("-"):
        measurements.show_engines(results)
    _write(found, json_file, page, append=append)
    _judge([(result.case.label, result.metrics()) for result in results], conditions)


@bench_app.command("pipeline")
def bench_pipeline(
    clip: Clip,
    to: To = "4k",
    fps: Fps = "60",
    sr: Sr = "film",
    vfi: Vfi = "dis",
    backend: Annotated[str, typer.Option(help="As for convert.", metavar="NAME")] = "auto",
    plan: Annotated[str, typer.Option(help="As for convert.", metavar="ORDER")] = "guided",
    codec: Codec = "x264",
    crf: Crf = None,
    preset: Annotated[Optional[str], typer.Option(help="As for convert.", metavar="NAME")] = None,
    tile: Annotated[str, typer.Option(help="As for convert.", metavar="N")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="As for convert.", metavar="N")] = 0,
    start: Start = None,
    end: End = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="As for convert.")] = True,
    encoder: Annotated[str, typer.Option(help="real, or null: frames are made and dropped.", metavar="KIND")] = "real",
    repeats: Annotated[int, typer.Option(min=1, help="Runs; the one of median speed is shown.", metavar="N")] = 1,
    gate: Gate = None,
    json_file: JsonFile = None,
    append: Append = False,
    page: Page = None,
) -> None:
    """Measure a whole conversion: what every stage does and waits for, and what limits it. Nothing is kept."""
    from dataclasses import replace

    from fastrestore.api import parse_plan
    from fastrestore.bench.document import document
    from fastrestore.bench.pipelines import Encoder, measure_pipeline

    if encoder not in tuple(Encoder):
        raise UsageError(f"unknown encoder kind `{encoder}`", "use `real` or `null`")
    conditions = _conditions(gate)
    _check_files(json_file, page, append=append)
    options = replace(
        _convert_options(to, fps, sr, vfi, codec, crf, start, end),
        backend=backend,
        plan=parse_plan(plan),
        tile=auto_int(tile, "--tile"),
        threads=threads,
        verify=verify,
    )
    options = replace(options, encode=replace(options.encode, preset=preset))
    result = measure_pipeline(
        clip, options, Encoder(encoder), repeats, lambda run: _note(f"{run.counts.output} frames in {run.wall_s:.1f} s")
    )
    found = document("pipeline", {"encoder": encoder, "repeats": repeats}, [result.as_dict()], None)
    _warn_if_busy(found)
    if json_file != Path("-"):
        measurements.show_pipeline(result)
    _write(found, json_file, page, append=append)
    _judge([(result.label, result.metrics())], conditions)


@bench_app.command("sweep")
def bench_sweep(
    clip: Clip,
    to: To = "4k",
    fps: Fps = "60",
    sr: Sr = "film",
    vfi: Vfi = "dis",
    codec: Codec = "x264",
    crf: Crf = None,
    start: Start = None,
    seconds: Annotated[str, typer.Option(help="How much of the film to convert.", metavar="S")] = "2",
    plan: Annotated[Optional[list[str]], typer.Option(help="Orders to try; may be repeated.", metavar="ORDER")] = None,
    backend: Annotated[
        Optional[list[str]], typer.Option(help="Backends; without any, all that run here.", metavar="NAME")
    ] = None,
    tile: Annotated[Optional[list[str]], typer.Option(help="Tiles; may be repeated.", metavar="N")] = None,
    threads: Annotated[Optional[list[int]], typer.Option(min=0, max=1024, help="For the network.", metavar="N")] = None,
    batch: Annotated[
        Optional[list[int]], typer.Option(min=1, max=64, help="Tiles at once, on a card.", metavar="N")
    ] = None,
    streams: Annotated[
        Optional[list[int]], typer.Option(min=1, max=64, help="Pictures side by side, on a card.", metavar="N")
    ] = None,
    preset: Annotated[
        Optional[list[str]], typer.Option(help="Encoder presets; may be repeated.", metavar="NAME")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each way, taken in turns.", metavar="N")] = 1,
    json_file: JsonFile = None,
    page: Page = None,
) -> None:
    """Try a conversion in many ways; keep those that no other beats, for later conversions too."""
    from dataclasses import replace

    from fastrestore.api import open_source, parse_plan, plan_job
    from fastrestore.bench import sweeps
    from fastrestore.bench.document import document
    from fastrestore.config import parse_time
    from fastrestore.runtime.tuning import job_facts

    _check_files(json_file, page, append=False)
    options = _convert_options(to, fps, sr, vfi, codec, crf, start, None)
    options = replace(options, end=(options.start or Fraction(0)) + parse_time(seconds))
    ways = sweeps.variants(
        [parse_plan(text) for text in plan or ["guided"]],
        backend or _usable_backends(),
        [auto_int(text, "--tile") for text in tile or ["auto"]],
        threads or [0],
        preset or _usable_presets(codec),
        batch or [None],
        streams or [None],
    )
    with open_source(clip, options) as reader:
        planned = plan_job(reader, "sweep.mkv", options).plan
    job = job_facts(planned, options)
    outcomes = sweeps.sweep(clip, options, ways, repeats, _tell_outcome)
    settings = {"clip": clip.name, "seconds": seconds, "repeats": repeats, "job": job}
    found = document("sweep", settings, list(sweeps.rows(outcomes)), None)
    if json_file != Path("-"):
        measurements.show_sweep(sweeps.pareto(outcomes))
    if share := sweeps.disturbed(outcomes):
        _note(f"warning: other programs took {share:.0%} of the cores meanwhile: not kept for later conversions")
    else:
        sweeps.keep(outcomes, job)
    _write(found, json_file, page, append=False)


@bench_app.command("diff")
def bench_diff(
    old: Annotated[Path, typer.Argument(help="What `bench --json` wrote before.", metavar="OLD.json")],
    new: Annotated[Path, typer.Argument(help="And after.", metavar="NEW.json")],
    least: Annotated[float, typer.Option(min=0, help="Smallest change of interest, in per cent.", metavar="P")] = 3.0,
    fail: Annotated[bool, typer.Option("--fail", help="Exit code 1 if anything became slower.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what became slower or faster, and what is only noise."""
    from fastrestore.bench.difference import Verdict, diff
    from fastrestore.bench.document import read_document

    found = diff(read_document(old), read_document(new), least / 100)
    if as_json:
        print(
            json.dumps({"schema": "fastrestore.bench-diff/1", "results": [each.as_dict() for each in found]}, indent=2)
        )
    else:
        for each in found:
            measurements.show_difference(each)
    if fail and any(each.verdict is Verdict.SLOWER for each in found):
        raise typer.Exit(1)


def _convert_options(
    to: str, fps: str, sr: str, vfi: str, codec: str, crf: int | None, start: str | None, end: str | None
) -> ConvertOptions:
    from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target, parse_time

    return ConvertOptions(
        to=Target.parse(to),
        fps=RateTarget.parse(fps),
        sr=sr,
        vfi=vfi,
        encode=EncodeOptions(codec, crf),
        start=None if start is None else parse_time(start),
        end=None if end is None else parse_time(end),
    )


def _usable_backends() -> list[str]:
    from fastrestore.runtime.engine import BACKENDS, load_backend

    return [name for name in BACKENDS if load_backend(name).unavailable_because() is None]


def _usable_presets(codec: str) -> list[str | None]:
    from fastrestore.config import EncodeOptions
    from fastrestore.runtime.media.encoders import find_encoder

    known = find_encoder(EncodeOptions(codec)).presets
    return [preset for preset in _SWEPT_PRESETS if preset in known] or [None]


def _size(text: str) -> Size:
    from fastrestore.config import MAX_DIMENSION_PX
    from fastrestore.geometry import Size

    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None or max(int(match[1]), int(match[2])) > MAX_DIMENSION_PX:
        raise UsageError(f"`--size {text}` is not understood", "use WIDTHxHEIGHT, such as 640x480")
    return Size(int(match[1]), int(match[2]))


def _conditions(gate: str | None) -> tuple[Condition, ...]:
    from fastrestore.bench.conditions import parse_conditions

    return parse_conditions(gate) if gate is not None else ()


def _check_files(json_file: Path | None, page: Path | None, *, append: bool) -> None:
    """Refuse what could not be written or added to, before anything is measured."""
    from fastrestore.bench.document import read_document
    from fastrestore.bench.page import check_page

    if page is not None:
        check_page(page)
    if append and (json_file is None or json_file == Path("-")):
        raise UsageError("`--append` needs a file to add to", "add `--json FILE`")
    if json_file is not None and json_file != Path("-"):
        if not json_file.parent.is_dir() or json_file.is_dir():
            raise UsageError(f"cannot write {json_file}", "give a file in a folder that exists")
        if append and json_file.exists():
            read_document(json_file)


def _write(found: Document, json_file: Path | None, page: Path | None, *, append: bool) -> None:
    from fastrestore.bench.document import appended, read_document, to_json
    from fastrestore.bench.page import write_page
    from fastrestore.files import write_whole

    if json_file == Path("-"):
        print(to_json(found), end="")
    elif json_file is not None:
        whole = appended(read_document(json_file), found) if append and json_file.exists() else found
        write_whole(json_file, to_json(whole))
    if page is not None:
        write_page(found, page)
        _note(f"{page} written")


def _judge(figures: Iterable[tuple[str, Mapping[str, float]]], conditions: Sequence[Condition]) -> None:
    """Set the exit code by the gate."""
    failures = [
        f"{label}: {failure}"
        for label, metrics in figures
        for condition in conditions
        if (failure := condition.failure(metrics))
    ]
    for failure in failures:
        _note(f"gate not met: {failure}")
    if failures:
        raise typer.Exit(1)


def _warn_if_busy(found: Document) -> None:
    cores = found["machine"]["cores"]
    shares = [block["others"] for result in found["results"] for block in result.get("blocks", ())]
    known = [share for share in shares if share is not None]
    if known and (share := sum(known) / len(known)) > 0.1:
        _note(f"warning: other programs took {share:.0%} of the {cores} cores meanwhile: times are too long")


def _note(words: str) -> None:
    print(words, file=sys.stderr)


def _tell_block(case: EngineCase, number: int) -> None:
    if sys.stderr.isatty():
        _note(f"{case.label}: turn {number + 1}")


def _tell_outcome(outcome: Outcome) -> None:
    _note(f"{outcome.variant.label}: {outcome.problem or f'{outcome.fps:.2f} fps'}")
