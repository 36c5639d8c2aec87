"""ONNX files of others: inspected, brought to this package's conventions, and held against what they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from fastrestore.errors import ParityError
from fastrestore.export import bisection, onnx_file, parity, pictures, probe
from fastrestore.export.convention import Convention, apply_convention, find_convention
from fastrestore.export.findings import Findings
from fastrestore.export.half import to_half
from fastrestore.export.session import Graph
from fastrestore.files import digest
from fastrestore.models.spec import Task, Tensor

Array = NDArray[np.float32]
_LARGEST_SCALE = 16
_CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Foreign:
    """A stranger's graph with symbolic sizes, and what is known of it."""

    path: Path
    model: onnx.ModelProto
    """Takes `image` and yields `restored`, in its author's numbers."""
    size: tuple[int, int] | None
    """Height and width that it took alone, before they were made symbolic."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.path.name


def export_foreign(path: Path, folder: Path, precisions: Sequence[str], step: Callable[[str], None]) -> Findings:
    """Take in a restoration network that is an ONNX file.

    Args:
        path: The file. It is not trusted.
        folder: Where `model.fp32.onnx` and, where it proves out, `model.fp16.onnx` are written.
        precisions: Which are wanted.
        step: Told what is being done.

    Raises:
        ExportError: If the file is refused: see `docs/export.md` for what is.
        ParityError: If the graph made of it does not compute the same.
    """
    step(f"inspecting {path.name}")
    foreign = read_foreign(path)
    original = Graph(foreign.model)
    scale = _scale(original, foreign)
    convention = find_convention(original, scale, foreign.size)
    model = onnx.ModelProto()
    model.CopyFrom(foreign.model)
    apply_convention(model, convention)
    tensors = (Tensor("image", 3),), (Tensor("restored", 3, scale),)
    step("measuring")
    run = Graph(model)
    rule = probe.size_rule(run, *tensors, probe.SizeRule(1, 1))
    reach = probe.reach(run, *tensors, rule, structural=False)
    notes = [_convention_note(convention)]
    if foreign.size is not None:
        _check_freed(run, scale, rule, reach, foreign)
        notes.append(f"It took {foreign.size[1]}x{foreign.size[0]} px only; tiles of other sizes were seen to agree.")
    made = _Made(model, tensors, rule)
    agreements, found = _proved(made, partial(_one_by_one, original, convention), folder, precisions, step)
    return Findings(
        architecture=f"ONNX graph, {len(foreign.model.graph.node)} nodes",
        original=path.name,
        original_sha256=digest(path),
        parameters=onnx_file.weights_of(foreign.model),
        opset=next(used.version for used in model.opset_import if used.domain in onnx_file.DOMAINS),
        task=Task.RESTORE,
        inputs=tensors[0],
        outputs=tensors[1],
        scale=scale,
        rule=rule,
        reach=reach,
        working_bytes_per_px=probe.working_bytes_per_px(model, tensors[0], rule),
        agreements=agreements,
        reference="the given ONNX file in float32, picture by picture",
        notes=(*notes, *found),
        versions={name: version(name) for name in ("onnx", "onnxruntime")},
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """The graph that was made of a foreign one."""

    model: onnx.ModelProto
    tensors: tuple[tuple[Tensor], tuple[Tensor]]
    rule: probe.SizeRule


def _proved(
    made: _Made, original: parity.Run, folder: Path, precisions: Sequence[str], step: Callable[[str], None]
) -> tuple[tuple[parity.Agreement, ...], list[str]]:
    """Write the graph's files and hold them against the original; return how they agree, and notes for the card."""
    target = folder / "model.fp32.onnx"
    _save(made.model, target, made.tensors, "fp32")
    step("proving fp32")
    contest = parity.Contest(
        original=original,
        graph=lambda: Graph(target),
        inputs=made.tensors[0],
        outputs=made.tensors[1],
        task=Task.RESTORE,
        precision="fp32",
        locate=lambda _: "in what was added to change the range or the order of the channels",
    )
    tried = parity.trials(made.rule.multiple_px, made.rule.least_px)
    agreements = list(parity.compare(contest, tried))
    if "fp16" not in precisions:
        return tuple(agreements), []
    step("proving fp16")
    found, notes = _half(made.model, contest, folder / "model.fp16.onnx", tried)
    return (*agreements, *found), list(notes)


def read_foreign(path: Path) -> Foreign:
    """Read a stranger's ONNX file and make its batch, height and width symbolic.

    Raises:
        ExportError: If it is refused by `onnx_file.load`, or is not a network that takes one RGB picture in float32,
            planar, and yields one.
    """
    model = onnx_file.load(path)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in stored]
    if len(given) != 1 or len(graph.output) != 1:
        seen = f"{len(given)} inputs and {len(graph.output)} outputs"
        raise onnx_file.refused(
            path, f"{seen}, wanted one picture in and one out (motion networks: give the checkpoint)"
        )
    del graph.input[:]  # weights listed as inputs too, as old files have them, could be overridden
    graph.input.extend(given)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            found = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            raise onnx_file.refused(path, f"{value.name!a} is {found}, wanted FLOAT (a float32 picture)")
    dimensions = graph.input[0].type.tensor_type.shape.dim
    if len(dimensions) != 4 or dimensions[1].dim_value != 3:
        shape = [dimension.dim_value or dimension.dim_param or "?" for dimension in dimensions]
        raise onnx_file.refused(path, f"its input is {shape}, wanted [n, 3, h, w]: an RGB picture, planar")
    fixed = (dimensions[2].dim_value, dimensions[3].dim_value)
    size = (fixed[0], fixed[1]) if all(fixed) else None
    _rename_value(graph, graph.input[0].name, "image")
    _rename_value(graph, graph.output[0].name, "restored")
    _free_sizes(model)
    onnx_file.strip(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        raise onnx_file.refused(path, f"a size is built into it: {onnx_file.first_line(error)}") from error
    del model.graph.output[:]
    model.graph.output.extend(inferred.graph.output)
    _name_output_sizes(model)
    return Foreign(path, model, size)


def _scale(run: Graph, foreign: Foreign) -> int:
    height, width = foreign.size or (64, 96)
    given = pictures.picture(0, height, width)[None]
    (result,) = run([given])
    scale = result.shape[2] // height if result.ndim == 4 else 0
    if not 1 <= scale <= _LARGEST_SCALE or result.shape != (1, 3, height * scale, width * scale):
        raise onnx_file.refused(
            foreign.path, f"it makes {result.shape} of {given.shape}, wanted an RGB picture enlarged by a whole factor"
        )
    return scale


def _check_freed(run: Graph, scale: int, rule: probe.SizeRule, reach: probe.Reach, foreign: Foreign) -> None:
    """Hold the result for a part of a picture against the same part of the result for the whole.

    Raises:
        ExportError: If they differ beyond what the reach allows: then a size is built into the weights or the graph.
    """
    if reach.unbounded:
        raise onnx_file.refused(
            foreign.path, "it takes one size, and every pixel of it sees every other: it cannot be run in tiles"
        )
    step = rule.multiple_px
    border = -(-reach.px // step) * step
    part = -(-max(rule.least_px, 2 * border + 32) // step) * step
    whole = pictures.picture(1, part + 3 * step + border, part + 2 * step)[None]
    inner = np.ascontiguousarray(whole[:, :, step : step + part, step : step + part])
    ours, theirs = run([inner])[0], run([whole])[0]
    keep = slice(border * scale, (part - border) * scale)
    same = slice((step + border) * scale, (step + part - border) * scale)
    difference = float(np.abs(ours[:, :, keep, keep] - theirs[:, :, same, same]).max())
    if not difference <= _CLOSE:
        raise onnx_file.refused(
            foreign.path, f"it was made for one size, and a part of a picture comes out differently ({difference:.1e})"
        )


def _half(
    model: onnx.ModelProto, contest: parity.Contest, target: Path, tried: Sequence[parity.Trial]
) -> tuple[list[parity.Agreement], list[str]]:
    """Write the float16 file if it can be made and proves out; else say why not."""
    halved, reason = to_half(model)
    if halved is None:
        return [], [reason]
    try:
        _save(halved, target, (contest.inputs, contest.outputs), "fp16")
        half_contest = replace(
            contest,
            graph=lambda: Graph(target),
            precision="fp16",
            locate=lambda given: bisection.in_graph(model, halved, given, parity.PICTURE_TOLERANCE["fp16"]),
        )
        return list(parity.compare(half_contest, tried)), []
    except ParityError as error:
        target.unlink(missing_ok=True)
        return [], [f"half precision is left out: it differs by {error.max_abs:.1e} ({error.where})"]


def _save(
    model: onnx.ModelProto, target: Path, tensors: tuple[tuple[Tensor, ...], tuple[Tensor, ...]], precision: str
) -> None:
    onnx_file.check(target, model)
    onnx_file.check_interface(target, model, *tensors, precision)
    onnx.save(model, target)


def _one_by_one(original: Graph, convention: Convention, given: Sequence[Array]) -> list[Array]:
    """Run the given file as its author would: one picture at a time, in its own numbers."""
    (images,) = given
    results = [original([convention.taken.encode(image[None])])[0] for image in images]
    return [convention.yielded.decode(np.concatenate(results))]


def _convention_note(convention: Convention) -> str:
    seen = f"a drawn scene came out {convention.error:.3f} from a bicubic enlargement on average"
    order = f"red and blue exchanged, the result differs by {convention.order_effect:.4f}"
    if convention.ours:
        return f"It takes and yields RGB in [0, 1]: {seen}; {order}."
    return (
        f"It takes {convention.taken} and yields {convention.yielded}, found by trying ({seen}; {order}); nodes that "
        "change this were added."
    )


def _free_sizes(model: onnx.ModelProto) -> None:
    for axis, name in ((0, "n"), (2, "h"), (3, "w")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    model.graph.output[0].type.tensor_type.ClearField("shape")


def _name_output_sizes(model: onnx.ModelProto) -> None:
    """Give names to sizes that shape inference leaves open; that they are right is measured."""
    shape = model.graph.output[0].type.tensor_type.shape
    if len(shape.dim) == 0:
        shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in range(4))
        shape.dim[1].dim_value = 3
    for axis, name in ((0, "n"), (2, "h_out"), (3, "w_out")):
        if not shape.dim[axis].dim_value and not shape.dim[axis].dim_param:
            shape.dim[axis].dim_param = name


def _rename_value(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename an input or output, and whatever bore the new name before."""
    if old == new:
        return
    exchange = {old: new, new: f"{new}_before"}
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = exchange.get(name, name)
    for described in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        described.name = exchange.get(described.name, described.name)
