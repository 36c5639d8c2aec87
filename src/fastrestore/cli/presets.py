"""`presets`: bundles of options, by what a film is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fastrestore.cli.options import AsJson, app

if TYPE_CHECKING:
    from fastrestore.presets.film import FilmPreset

presets_app = typer.Typer(help="Bundles of options, by what a film is.", rich_markup_mode=None)
app.add_typer(presets_app, name="presets")

Name = Annotated[str, typer.Argument(help="A preset's name, or a file of yours.", metavar="NAME|FILE.toml")]


@presets_app.command("list")
def presets_list(as_json: AsJson = False) -> None:
    """List the film presets."""
    from fastrestore.presets.film import presets

    known = presets()
    if as_json:
        print(json.dumps([_facts(preset) for preset in known], indent=2))
        return
    width = max(len(preset.name) for preset in known)
    for preset in known:
        print(f"{preset.name:<{width}}  {preset.summary}")


@presets_app.command("show")
def presets_show(name: Name, as_json: AsJson = False) -> None:
    """Show a film preset: its options, and why each has its value."""
    from fastrestore.presets.film import load_preset

    preset = load_preset(name)
    print(json.dumps(_facts(preset), indent=2) if as_json else preset.text.rstrip("\n"))


def _facts(preset: FilmPreset) -> dict[str, object]:
    return {"name": preset.name, "summary": preset.summary, "options": dict(preset.options)}
