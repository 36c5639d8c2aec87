"""Checkpoints and ONNX files in, proved model packages out: whole, or not there at all."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import onnx

from fastrestore.errors import ExportError
from fastrestore.export import findings as writing
from fastrestore.export import onnx_export, parity, probe
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.detect import load_network
from fastrestore.export.face_detector import is_detector, take_in_detector
from fastrestore.export.findings import Findings
from fastrestore.export.foreign import export_foreign
from fastrestore.export.session import Graph, Module
from fastrestore.files import digest
from fastrestore.models import package, shipped
from fastrestore.models.spec import LONGEST_TEXT, NAME, Artifact, ModelSpec, Task

PRECISIONS = ("fp32", "fp16")
UNKNOWN_LICENCE = "not stated: ask its author before passing it on"
Step = Callable[[str], None]


def export_checkpoint(  # noqa: PLR0913  (each is an option of the command, all but two with a default)
    path: Path,
    root: Path,
    *,
    name: str | None = None,
    precisions: Sequence[str] = PRECISIONS,
    opset: int = onnx_export.OPSET,
    licence: str = "",
    source: str = "",
    overwrite: bool = False,
    on_step: Step | None = None,
) -> ModelSpec:
    """Make a model package `root/<name>` of a checkpoint or an ONNX file, and prove that it computes the same.

    The package holds `model.toml`, `model.fp32.onnx`, `model.fp16.onnx`, `card.md` and `proof.json`.

    Args:
        path: A checkpoint (`.pth`, `.pt`, `.pkl`, `.ckpt`, `.safetensors`) or an `.onnx` file. It is not trusted.
        root: Folder of packages, made if need be.
        name: The model's name; by default that of the file.
        precisions: Which files to make. The fp32 one always is: it is what processors run.
        opset: Version of the operators, 18 to 20; an ONNX file keeps its own.
        licence: Under which the weights are published.
        source: Where they come from.
        overwrite: Replace a package of that name.
        on_step: Told what is being done, in a few words.

    Returns:
        The model as installed.

    Raises:
        ExportError: If the file is refused, or no model can be made of it.
        ParityError: If what was made does not compute the same. Nothing is left behind then, either.
        ModelError: If the package cannot be installed.
    """
    step = on_step or (lambda _: None)
    model_name = name if name is not None else name_for(path)
    _check_request(model_name, root, precisions, overwrite)
    with tempfile.TemporaryDirectory(prefix="fastrestore-export-") as working:
        folder = Path(working) / model_name
        folder.mkdir()
        if path.suffix.lower() == ".onnx":
            take_in = take_in_detector if is_detector(path) else export_foreign
            found = take_in(path, folder, precisions, step)
        else:
            found = _export_torch(path, folder, precisions, opset, step)
        spec = _spec(model_name, folder, found, licence, source)
        _write(folder, spec, found)
        step("installing")
        return package.install(folder, root, overwrite=overwrite)


def name_for(path: Path) -> str:
    """Return a model's name made of a file's name."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")
    return plain[:64] or "model"


def _check_request(name: str, root: Path, precisions: Sequence[str], overwrite: bool) -> None:
    if not NAME.fullmatch(name) or name == package.RESERVED:
        raise ExportError(f"`{name}` cannot be a model's name", "use a-z, 0-9, `.`, `_` and `-`, at most 64 of them")
    if name in shipped.reserved_names():
        raise ExportError(f"`{name}` ships with fastrestore", "choose another `--name`")
    if unknown := sorted(set(precisions) - set(PRECISIONS)):
        raise ExportError(f"precision {unknown[0]}, wanted {' or '.join(PRECISIONS)}", "see `--precision`")
    if (root / name).exists() and not overwrite:
        raise ExportError(f"there is a model `{name}` already, in {root}", "choose a `--name`, or use `--overwrite`")


def _export_torch(path: Path, folder: Path, precisions: Sequence[str], opset: int, step: Step) -> Findings:
    step(f"reading {path.name}")
    network = load_network(path)
    step(f"measuring {network.architecture}")
    network, notes = (network, list[str]()) if network.fixed_px else _measured_sizes(network)
    if network.task is Task.FACE:
        precisions, notes = ("fp32",), [*notes, "In fp32 only: in half precision these networks overflow."]
    exported = {}
    agreements: list[parity.Agreement] = []
    for precision in _in_order(precisions):
        step(f"exporting {precision}")
        exported[precision] = onnx_export.write(network, folder / f"model.{precision}.onnx", precision, opset=opset)
        if precision == "fp32" and not network.fixed_px:
            network, more = _sizes_of_graph(network, exported[precision])
            notes += more
        step(f"proving {precision}")
        agreements += parity.prove(network, exported[precision])
    rule = probe.SizeRule(network.multiple_px, network.least_px)
    reach = None
    if network.task is Task.RESTORE:
        step("measuring its reach")
        reach = probe.reach(Module(network.module), network.inputs, network.outputs, rule, structural=True)
    model = onnx.load(exported["fp32"].path)
    return Findings(
        architecture=network.architecture,
        original=path.name,
        original_sha256=digest(path),
        parameters=sum(parameter.numel() for parameter in network.module.parameters()),
        opset=opset,
        task=network.task,
        inputs=network.inputs,
        outputs=network.outputs,
        scale=network.scale,
        rule=rule,
        reach=reach,
        working_bytes_per_px=probe.working_bytes_per_px(model, network.inputs, rule, network.fixed_px),
        agreements=tuple(agreements),
        reference="the PyTorch network in float32",
        notes=(*network.notes, *notes),
        versions={name: version(name) for name in ("torch", "onnx", "onnxruntime")},
    )


def _measured_sizes(network: LoadedNetwork) -> tuple[LoadedNetwork, list[str]]:
    claim = probe.SizeRule(network.multiple_px, network.least_px)
    rule = probe.size_rule(Module(network.module), network.inputs, network.outputs, claim)
    notes = []
    if rule != claim and (claim.multiple_px, claim.least_px) != (1, 1):
        notes.append(
            f"Its author says sides of {claim.least_px} px, multiples of {claim.multiple_px}; measured: see above."
        )
    return replace(network, multiple_px=rule.multiple_px, least_px=rule.least_px), notes


def _sizes_of_graph(network: LoadedNetwork, exported: onnx_export.Exported) -> tuple[LoadedNetwork, list[str]]:
    """Find the sizes that the exported graph takes: tracing may have kept one of several branches."""
    claim = probe.SizeRule(network.multiple_px, network.least_px)
    try:
        rule = probe.size_rule(Graph(exported.path), network.inputs, network.outputs, claim)
    except ExportError:
        return network, []  # the proof, which follows, says where it fails
    if rule == claim:
        return network, []
    note = f"The network takes multiples of {claim.multiple_px} px, its export those of {rule.multiple_px} px only."
    return replace(network, multiple_px=rule.multiple_px, least_px=rule.least_px), [note]


def _spec(name: str, folder: Path, found: Findings, licence: str, source: str) -> ModelSpec:
    artifacts = {
        precision: Artifact(Path(name) / file.name, digest(file))
        for precision in PRECISIONS
        if (file := folder / f"model.{precision}.onnx").is_file()
    }
    what = {
        Task.MOTION: "motion between two frames",
        Task.COLOUR: "guesses the colours of grey pictures",
        Task.FACE: "rebuilds faces",
        Task.DETECT: "finds faces",
        Task.RESTORE: "restores" + (f", enlarges x{found.scale}" if found.scale > 1 else ""),
    }[found.task]
    return ModelSpec(
        name=name,
        family=name,
        task=found.task,
        summary=_text(f"{what} ({found.architecture})"),
        licence=_text(licence) or UNKNOWN_LICENCE,
        source=_text(source) or _text(f"file {found.original}, SHA-256 {found.original_sha256}"),
        scale=found.scale,
        halo_px=probe.UNBOUNDED_HALO_PX if found.reach is None else found.reach.px,
        multiple_px=found.rule.multiple_px,
        working_bytes_per_px=found.working_bytes_per_px,
        inputs=found.inputs,
        outputs=found.outputs,
        artifacts=artifacts,
    )


def _write(folder: Path, spec: ModelSpec, found: Findings) -> None:
    (folder / package.ROW_FILE).write_text(package.dump(spec), encoding="utf-8")
    (folder / "card.md").write_text(writing.card(spec, found), encoding="utf-8", errors="backslashreplace")
    (folder / "proof.json").write_text(writing.proof(spec, found), encoding="utf-8")


def _in_order(precisions: Sequence[str]) -> tuple[str, ...]:
    return tuple(precision for precision in PRECISIONS if precision == "fp32" or precision in precisions)


def _text(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text.strip())[:LONGEST_TEXT]
