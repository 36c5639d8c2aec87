"""`build-engines`: compiles every engine that a machine will need, ahead of time."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fastrestore.cli.options import AsJson, app

if TYPE_CHECKING:
    from fastrestore.export.engines.building import Outcome
    from fastrestore.export.engines.plan import PlannedEngine
    from fastrestore.export.engines.request import BuildPlan, BuildRequest

SCHEMA = "fastrestore.build-engines/1"


class Precision(StrEnum):
    """Which of a model's files an engine is made of."""

    FP16 = "fp16"
    FP32 = "fp32"


@app.command("build-engines")
def build_engines(
    models: Annotated[
        Optional[list[str]],
        typer.Argument(help="Models or families; every network, if none is named.", metavar="MODEL"),
    ] = None,
    backend: Annotated[str, typer.Option(help="tensorrt, tensorrt-rtx or auto: what is installed.")] = "auto",
    size: Annotated[
        Optional[list[str]],
        typer.Option(help="An engine for pictures of exactly this size; may be repeated.", metavar="WxH"),
    ] = None,
    profile: Annotated[
        Optional[list[str]],
        typer.Option(help="A class of sizes: tile, sd, hd, fhd, uhd; all but uhd, if none is named.", metavar="NAME"),
    ] = None,
    precision: Annotated[
        Optional[Precision], typer.Option(help="fp16 or fp32; fp16 where a model has it.", metavar="KIND")
    ] = None,
    device: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Cards by their place (0) or architecture (sm_86,sm_89), or `all`; every card here.", metavar="CARD"
        ),
    ] = None,
    workspace: Annotated[
        Optional[str], typer.Option(help="Scratch memory a layer may use, such as 2G.", metavar="BYTES")
    ] = None,
    optimization_level: Annotated[int, typer.Option(help="0 (quick to build) to 5 (quick to run).", metavar="N")] = 3,
    aux_streams: Annotated[
        Optional[int], typer.Option(help="Further streams inside one run; 0 needs the least memory.", metavar="N")
    ] = None,
    tiling_level: Annotated[
        int, typer.Option(help="0 to 3: layers fused in parts that fit the card's cache.", metavar="N")
    ] = 0,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Engines that later versions of TensorRT run, too.")
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="Engines that later cards run, too.")
    ] = False,
    calibrate: Annotated[
        Optional[Path], typer.Option(help="Prove the engines on frames of this clip.", metavar="CLIP")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure on the card which batch and how many streams are best.")
    ] = False,
    jobs: Annotated[
        Optional[int], typer.Option(help="Processes at a time; one for each card.", metavar="N", min=1)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build what is there already, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be built, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compile networks for a card, ahead of time; conversions never wait for it."""
    from fastrestore.config import parse_bytes
    from fastrestore.export.engines.plan import Wish
    from fastrestore.export.engines.request import BuildRequest
    from fastrestore.runtime.engine_key import BuildOptions
    from fastrestore.runtime.profiles import parse_size

    options = BuildOptions(
        workspace_bytes=None if workspace is None else parse_bytes(workspace),
        optimization_level=optimization_level,
        aux_streams=aux_streams,
        tiling_level=tiling_level,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
    )
    wish = Wish(
        models=tuple(models or ()),
        profiles=tuple(profile or ()),
        sizes=tuple(map(parse_size, size or ())),
        precision=None if precision is None else precision.value,
        options=options,
    )
    request = BuildRequest(wish, backend, tuple(device or ()), force, jobs, calibrate, tune)
    _carry_out(request, dry_run, as_json)


def _carry_out(request: BuildRequest, dry_run: bool, as_json: bool) -> None:
    from fastrestore.export.engines.request import carry_out, make_plan, require_all
    from fastrestore.runtime.cache.engines import EngineCache

    with EngineCache() as cache:
        plan = make_plan(request, cache)
        if dry_run:
            _show(plan, None, cache.folder, as_json)
            return
        _tell_plan(plan)
        from fastrestore.cli.build_progress import watching

        with watching(plan) as watcher:
            outcomes = carry_out(plan, cache, watcher)
        for problem in cache.problems:
            print(f"warning: {problem}", file=sys.stderr)
        _show(plan, outcomes, cache.folder, as_json)
        require_all(plan, outcomes)


def _tell_plan(plan: BuildPlan) -> None:
    there = len(plan.engines) - plan.missing
    what = f"{len(plan.engines)} engines for {plan.flavour.name} {plan.version}"
    print(f"{what}: {plan.missing} to build, {there} in the cache", file=sys.stderr)


def _show(plan: BuildPlan, outcomes: Sequence[Outcome] | None, folder: Path, as_json: bool) -> None:
    rows = [
        _facts(engine, None if outcomes is None else outcomes[place], plan.request.anew)
        for place, engine in enumerate(plan.engines)
    ]
    if as_json:
        head = {"schema": SCHEMA, "backend": plan.flavour.name, "backend_version": plan.version}
        print(json.dumps({**head, "folder": str(folder), "engines": rows}, indent=2))
        return
    table = [_line(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())


def _facts(engine: PlannedEngine, outcome: Outcome | None, anew: bool) -> dict[str, Any]:
    key = engine.key
    if outcome is None:
        state, entry = ("cached" if engine.cached and not anew else "missing"), engine.cached
    else:
        state, entry = outcome.state, outcome.entry
    facts: dict[str, Any] = {
        "model": key.model,
        "profile": key.profile.name,
        "device": engine.target.label,
        "capability": key.capability,
        "precision": key.precision,
        "state": state,
        "name": key.stem,
        "key": key.as_dict(),
    }
    if entry is not None:
        facts |= {"path": str(entry.path), "bytes": entry.bytes, "sha256": entry.sha256, "build_s": entry.build_s}
        facts |= {"proved": entry.proof is not None, "warnings": list(entry.warnings)}
    if outcome is not None and outcome.tuning is not None:
        facts["tuning"] = dict(outcome.tuning)
    if outcome is not None and outcome.problem:
        facts |= {"problem": outcome.problem, "hint": outcome.hint}
    return facts


def _line(row: dict[str, Any]) -> list[str]:
    cells = [str(row[name]) for name in ("model", "profile", "device", "precision", "state")]
    if "bytes" not in row:
        return [*cells, "", "", str(row.get("problem", ""))]
    proved = "proved" if row["proved"] else "not proved yet"
    return [*cells, f"{row['bytes'] / 1e6:.1f} MB", f"{row['build_s']:.1f} s", proved]
