"""`models`: the networks that fastrestore knows, has and can fetch."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from fastrestore.cli.options import AsJson, app
from fastrestore.errors import FastRestoreError, ModelError

if TYPE_CHECKING:
    from fastrestore.models.fetch import Fetched
    from fastrestore.models.spec import ModelSpec, Publication

models_app = typer.Typer(help="The networks that fastrestore knows, has and can fetch.", rich_markup_mode=None)
app.add_typer(models_app, name="models")

Name = Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a model of yours that has this name.")]
Facts = dict[str, object]
_EXPORTER_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List every model: shipped, yours, pullable."""
    rows = list(_rows())
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        scale = f"x{row['scale']}" if row.get("scale", 1) != 1 else "-"
        text = row.get("summary") or row.get("problem")
        print(f"{row['name']:<{width}} {row['origin']:<8} {row.get('task', '-'):<8} {scale:<4} {text}")


@models_app.command("show")
def models_show(name: Name, as_json: AsJson = False) -> None:
    """Show what is known of one model, with its card."""
    from fastrestore.models import store
    from fastrestore.models.catalog import find

    pullable = {row["name"]: row for row in _rows() if row["origin"] == "pullable"}
    facts = pullable[name] if name in pullable else _model_facts(find(name))
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        print(f"{key:<22} {value}")
    if name in pullable:
        print(f"not here: `fastrestore models pull {name}` fetches it", file=sys.stderr)
    elif card := store.card(find(name)):
        print(f"\n{card}")


@models_app.command("add")
def models_add(
    package: Annotated[Path, typer.Argument(help="A model package: a folder with a model.toml.", metavar="FOLDER")],
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Add a model package to yours."""
    from fastrestore.models import store
    from fastrestore.models.package import install

    _tell_added(install(package, store.user_folder(), overwrite=overwrite), as_json)


@models_app.command("pull")
def models_pull(name: Name, overwrite: Overwrite = False, as_json: AsJson = False) -> None:
    """Fetch a published network, check it, and export it."""
    from fastrestore.models import catalog, store
    from fastrestore.models.fetch import fetch

    publication = catalog.publication(name)
    here = next((spec for spec in catalog.catalog() if spec.name == name), None)
    if here is not None and not overwrite:
        print(f"`{name}` is here already; `--overwrite` makes it anew", file=sys.stderr)
        _tell_added(here, as_json)
        return
    with _Meter(publication.filename) as meter:
        fetched = fetch(publication, store.user_folder(), on_bytes=meter.show)
    _tell_fetched(publication, fetched)
    _tell_added(_exported(publication, fetched.path, overwrite), as_json)


@models_app.command("verify")
def models_verify(
    names: Annotated[
        Optional[list[str]], typer.Argument(help="Models; all, if none is named.", metavar="MODEL")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the files of models and open them.

    Hashes are compared, and ONNX Runtime opens each network, if it is installed. Exit code 1 if anything is wrong.
    """
    from fastrestore.models.catalog import broken, catalog, find

    specs = [find(name) for name in names] if names else catalog()
    results = [_verified(spec) for spec in specs if not spec.classical]
    if not names:
        results += [
            {"name": found.name, "ok": False, "files": 0, "opened": False, "problem": found.error.message}
            for found in broken()
        ]
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            opened = "opened" if result["opened"] else "not opened"
            detail = result["problem"] or f"{result['files']} files, {opened}"
            print(f"{'ok' if result['ok'] else 'no':<3} {result['name']:<26} {detail}")
    if not all(result["ok"] for result in results):
        raise typer.Exit(1)


def _rows() -> Iterator[Facts]:
    from fastrestore.models.catalog import broken, catalog, publications

    specs, failed = catalog(), broken()
    yield from map(_model_facts, specs)
    here = {spec.name for spec in specs} | {found.name for found in failed}
    for publication in publications():
        if publication.name not in here:
            yield {**asdict(publication), "origin": "pullable"}
    for found in failed:
        problem = {"problem": found.error.message, "hint": found.error.hint}
        yield {"name": found.name, "origin": "broken", "folder": str(found.folder), **problem}


def _model_facts(spec: ModelSpec) -> Facts:
    facts: Facts = asdict(spec)
    facts["artifacts"] = {k: {"path": str(a.path), "sha256": a.sha256} for k, a in spec.artifacts.items()}
    facts["folder"] = None if spec.folder is None else str(spec.folder / spec.name)
    return {**facts, "origin": "shipped" if spec.folder is None else "yours"}


def _tell_added(spec: ModelSpec, as_json: bool) -> None:
    facts = _model_facts(spec)
    print(json.dumps(facts, indent=2) if as_json else f"{spec.name} is in {facts['folder']}")


def _tell_fetched(publication: Publication, fetched: Fetched) -> None:
    kind = "as documented" if publication.sha256 else "as pinned when first pulled"
    if fetched.newly_pinned:
        kind = "documented nowhere: pinned now, and any later pull must give the same"
    state = "fetched" if fetched.downloaded else "here already"
    print(f"{fetched.path.name}: {state}, sha256 {fetched.sha256}, {kind}", file=sys.stderr)


def _exported(publication: Publication, path: Path, overwrite: bool) -> ModelSpec:
    """Make a model of a download.

    Raises:
        ModelError: If a package that exporting needs is missing; the download is kept.
    """
    from fastrestore.models import store

    missing = [package for package in _EXPORTER_PACKAGES if find_spec(package) is None]
    if missing:
        extras = "cpu,export" if "onnxruntime" in missing else "export"
        raise ModelError(
            f"{path} is here, but making a model of it needs {', '.join(missing)}",
            f"`pip install 'fastrestore[{extras}]'`, then `fastrestore models pull {publication.name}` goes on",
        )
    from fastrestore.export.exporter import export_checkpoint

    return export_checkpoint(
        path,
        store.user_folder(),
        name=publication.name,
        licence=publication.licence,
        source=f"{publication.source}, {publication.url}",
        overwrite=overwrite,
        on_step=lambda step: print(step, file=sys.stderr),
    )


def _verified(spec: ModelSpec) -> Facts:
    from fastrestore.models import store

    opened, problem = False, ""
    try:
        store.verify(spec)
        opened = _opens(spec)
    except FastRestoreError as error:
        problem = error.message
    return {"name": spec.name, "ok": not problem, "files": len(spec.artifacts), "opened": opened, "problem": problem}


def _opens(spec: ModelSpec) -> bool:
    """Return whether what runs a model opened it: ONNX Runtime, or OpenCV for a detector; False if it is not installed.

    Raises:
        EngineError: If it refuses the model.
        ModelError: If OpenCV does.
    """
    from fastrestore.models.spec import Task
    from fastrestore.runtime.engine import load_backend

    if spec.task is Task.DETECT:
        from fastrestore.runtime.treatments.faces.detector import open_detector

        open_detector(spec, score=0.5)
        return True
    backend = load_backend("onnxruntime")
    if backend.unavailable_because() is not None:
        return False
    with backend.open(spec, threads=1):
        return True


class _Meter:
    """Shows how much of a download is here, on a terminal only."""

    def __init__(self, what: str) -> None:
        self._what, self._shown = what, ""

    def __enter__(self) -> _Meter:
        return self

    def show(self, here: int, total: int) -> None:
        """Show it, if the figure changes."""
        text = f"{self._what}: {here / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB")
        if text != self._shown and sys.stderr.isatty():
            self._shown = text
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            print(file=sys.stderr)
