"""`models`: the networks that fastrestore knows."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from fastrestore.cli.options import AsJson, app

models_app = typer.Typer(help="The networks that fastrestore knows.", rich_markup_mode=None)
app.add_typer(models_app, name="models")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List every model."""
    from fastrestore.models.catalog import catalog

    if as_json:
        print(json.dumps([_model_facts(spec.name) for spec in catalog()], indent=2))
        return
    for spec in catalog():
        scale = f"x{spec.scale}" if spec.scale > 1 else "-"
        print(f"{spec.name:<16} {spec.task:<8} {scale:<4} {spec.summary}")


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="A model's name.", metavar="MODEL")],
    as_json: AsJson = False,
) -> None:
    """Show what is known of one model, with its card."""
    from fastrestore.models import store
    from fastrestore.models.catalog import find

    facts = _model_facts(name)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        print(f"{key:<22} {value}")
    if card := store.card(find(name)):
        print(f"\n{card}")


def _model_facts(name: str) -> dict[str, object]:
    from fastrestore.models.catalog import find

    facts = asdict(find(name))
    facts["artifacts"] = {k: {"path": str(v["path"]), "sha256": v["sha256"]} for k, v in facts["artifacts"].items()}
    return facts
