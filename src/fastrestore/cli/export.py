"""`export`: a checkpoint or an ONNX file made into a model package, with proof."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from fastrestore.cli.options import AsJson, app


class Precision(StrEnum):
    """Which files a package gets."""

    FP16 = "fp16"
    FP32 = "fp32"
    BOTH = "both"


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(help="A .pth, .pt, .pkl, .ckpt, .safetensors or .onnx file.", metavar="CHECKPOINT")
    ],
    output: Annotated[
        Optional[Path],
        typer.Option("-o", "--output", help="Folder of packages; by default that of your models.", metavar="DIR"),
    ] = None,
    name: Annotated[
        Optional[str], typer.Option(help="The model's name; by default the file's.", metavar="NAME")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="fp16, fp32 or both; fp32 is always made.", metavar="KIND")
    ] = Precision.BOTH,
    opset: Annotated[int, typer.Option(help="ONNX operator set, 18 to 20.", metavar="N")] = 18,
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card.", metavar="TEXT")] = "",
    source: Annotated[str, typer.Option(help="Where they come from, for the card.", metavar="TEXT")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a package of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model of a network, and prove that it computes the same."""
    from fastrestore.models import package, store

    try:
        from fastrestore.export.exporter import export_checkpoint
    except ImportError as error:
        from fastrestore.errors import ExportError

        raise ExportError(
            f"package {error.name} is not installed", 'run `pip install "fastrestore[export,cpu]"`'
        ) from error
    root = output if output is not None else store.user_folder()
    spec = export_checkpoint(
        checkpoint,
        root,
        name=name,
        precisions=("fp32",) if precision is Precision.FP32 else ("fp32", "fp16"),
        opset=opset,
        licence=licence,
        source=source,
        overwrite=overwrite,
        on_step=lambda text: print(text, file=sys.stderr),
    )
    if as_json:
        facts = json.loads((root / spec.name / "proof.json").read_text(encoding="utf-8"))
        print(json.dumps({"name": spec.name, "folder": str(root / spec.name), **facts}, indent=2))
        return
    print(package.dump(spec), end="")
    print(f"# in {root / spec.name}")
