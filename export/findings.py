"""What an export found out about a network: for the package's row, its card and its proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastrestore.export.parity import FLOW_TOLERANCE, PICTURE_TOLERANCE, SPIKE, Agreement
from fastrestore.export.probe import Reach, SizeRule
from fastrestore.models.spec import ModelSpec, Task, Tensor


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known of an exported network beside its files."""

    architecture: str
    original: str
    """Name of the file that it was made of."""
    original_sha256: str
    parameters: int
    opset: int
    task: Task
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    scale: int
    rule: SizeRule
    reach: Reach | None
    """None for networks that are given whole pictures."""
    working_bytes_per_px: int
    agreements: tuple[Agreement, ...]
    reference: str
    """What the files were held against."""
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] | None = None

    def noting(self, *notes: str) -> Findings:
        """Return these findings with more to say."""
        return replace(self, notes=(*self.notes, *notes))


def proof(spec: ModelSpec, findings: Findings) -> str:
    """Return the text of `proof.json`: every comparison that was made, and with what."""
    content: dict[str, Any] = {
        "original": {"file": findings.original, "sha256": findings.original_sha256},
        "files": {precision: artifact.sha256 for precision, artifact in spec.artifacts.items()},
        "reference": findings.reference,
        "pictures": "fastrestore.export.pictures",
        "size_rule": {"multiple_px": findings.rule.multiple_px, "least_px": findings.rule.least_px},
        "halo": None
        if findings.reach is None
        else {"px": findings.reach.px, "unbounded": findings.reach.unbounded, "even": findings.reach.even},
        "agreements": [
            {
                "precision": agreement.precision,
                "batch": agreement.trial.batch,
                "height": agreement.trial.height,
                "width": agreement.trial.width,
                "output": agreement.output,
                "max_abs": agreement.max_abs,
                "rms": agreement.rms,
                "tolerance": agreement.tolerance,
            }
            for agreement in findings.agreements
        ],
        "versions": dict(findings.versions or {}),
    }
    return json.dumps(content, indent=2) + "\n"


def card(spec: ModelSpec, findings: Findings) -> str:
    """Return the text of `card.md`."""
    rows = [
        ("task", spec.summary),
        ("network", f"{findings.architecture}, {findings.parameters:,} parameters"),
        *(("input", _tensor(tensor)) for tensor in findings.inputs),
        *(("output", _tensor(tensor)) for tensor in findings.outputs),
        ("sizes", _sizes(findings.rule)),
        ("halo", _halo(findings)),
        ("working memory", f"about {spec.working_bytes_per_px:,} bytes per input pixel in fp32, from its activations"),
        *(
            ("file", f"`{artifact.path.name}`, opset {findings.opset}, SHA-256 `{artifact.sha256}`")
            for artifact in spec.artifacts.values()
        ),
        ("licence", spec.licence),
        ("source", spec.source),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    notes = "\n".join(f"- {_cell(note)}" for note in findings.notes) or "- None."
    return (
        f"# {spec.name}\n\n| | |\n|---|---|\n{table}\n\n"
        f"Made by `fastrestore export` of `{_cell(findings.original)}` (SHA-256 `{findings.original_sha256}`).\n\n"
        f"## Proof\n{_proof_text(findings)}\n\n## Notes\n{notes}\n"
    )


def _proof_text(findings: Findings) -> str:
    picture, flow = (
        ", ".join(f"{precision} {tolerance:g}" for precision, tolerance in table.items())
        for table in (PICTURE_TOLERANCE, FLOW_TOLERANCE)
    )
    rule = f"Tolerances: pictures and masks {picture} of their range"
    if findings.task is Task.MOTION:
        rule += f"; flow {flow} of its largest displacement, 1 px at least"
    rule += f"; in fp32 for every value, in fp16 for their root mean square, and {SPIKE:g} times that for every value"
    lines = [
        f"Held against {findings.reference}, on drawn scenes in colour, by ONNX Runtime on a CPU. {rule}.",
        "",
        "| file | batch and size | output | largest difference | root mean square | tolerance |",
        "|---|---|---|---:|---:|---:|",
    ]
    lines += [
        f"| {a.precision} | {a.trial} | `{a.output}` | {a.max_abs:.1e} | {a.rms:.1e} | {a.tolerance:.1e} |"
        for a in findings.agreements
    ]
    return "\n".join(lines)


def _tensor(tensor: Tensor) -> str:
    shapes = {0: f"(N, {tensor.channels}, 1, 1)", 1: f"(N, {tensor.channels}, H, W)"}
    scaled = f"(N, {tensor.channels}, {tensor.scale}H, {tensor.scale}W)"
    kind = "R'G'B', `[0, 1]`" if tensor.channels == 3 else "see `ModelSpec`"
    kept = "" if tensor.half else ", float32 in every file"
    return f"`{tensor.name}`: `{shapes.get(tensor.scale, scaled)}`, {kind}{kept}"


def _sizes(rule: SizeRule) -> str:
    sides = "any sides" if rule.multiple_px == 1 else f"sides that are multiples of {rule.multiple_px} px"
    return f"{sides}, {rule.least_px} px or longer"


def _halo(findings: Findings) -> str:
    reach = findings.reach
    if reach is None:
        return f"not measured: a {findings.task} network is given whole pictures"
    if reach.unbounded:
        return f"without end (recorded as {reach.px} px): any pixel can influence any other, so that tiles are blended"
    grid = "" if reach.even else "; it depends on where a pixel lies, so the network works on a grid"
    return f"{reach.px} px of input, measured{grid}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'") if "\n" not in text else _cell(" ".join(text.splitlines()))
