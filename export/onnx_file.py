"""ONNX files: what may be in one, and what must be true of one that this package writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from fastrestore.errors import ExportError
from fastrestore.models.spec import Tensor

LARGEST_FILE = (1 << 31) - 1
"""Bytes; a protobuf message cannot be larger."""
LEAST_OPSET, MOST_OPSET = 11, 20
"""From 21 on, backends disagree; below 11, Resize means something else."""
DOMAINS = ("", "ai.onnx")
ELEMENTS = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}
"""Element type of a half-capable tensor, by precision of the file."""
_CHECK_ERRORS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError, TypeError)


def load(path: Path) -> onnx.ModelProto:
    """Read an ONNX file from anyone, with external data only from its own folder.

    Raises:
        ExportError: If it is missing, too large or damaged, names data elsewhere, or fails the checker.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise refused(path, f"{size} bytes, more than {LARGEST_FILE}")
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}", "check its name and permissions") from error
    except (DecodeError, ValueError) as error:
        raise refused(path, "it is no ONNX file") from error
    if not model.HasField("graph") or not model.graph.node:
        raise refused(path, "it is no ONNX file, or holds an empty graph")
    check_operators(path, model)
    _load_external(path, model)
    check(path, model)
    return model


def check(path: Path, model: onnx.ModelProto) -> None:
    """Have the checker of ONNX go through a model, shapes included.

    Raises:
        ExportError: If it finds anything.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except _CHECK_ERRORS as error:
        raise refused(path, f"the ONNX checker says: {first_line(error)}") from error


def check_operators(path: Path, model: onnx.ModelProto) -> None:
    """Refuse operators that only some runtime knows, and versions that backends disagree on.

    Raises:
        ExportError: If there are such.
    """
    for used in model.opset_import:
        if used.domain not in DOMAINS:
            raise refused(path, f"operators of the domain {used.domain!a}, wanted those of ONNX alone")
        if not LEAST_OPSET <= used.version <= MOST_OPSET:
            raise refused(path, f"opset {used.version}, wanted {LEAST_OPSET} to {MOST_OPSET}")
    if model.functions:
        raise refused(path, "functions of its own, wanted operators of ONNX alone")
    for node in all_nodes(model.graph):
        if node.domain not in DOMAINS:
            raise refused(path, f"operator {node.domain!a}::{node.op_type!a}, wanted those of ONNX alone")


def check_interface(
    path: Path,
    model: onnx.ModelProto,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    precision: str,
    fixed_px: int = 0,
) -> None:
    """Hold names, element types and dimensions of a graph against the tensors it should take and yield.

    Args:
        path: Its file.
        model: The graph.
        inputs: What it should take.
        outputs: What it should yield.
        precision: `fp32` or `fp16`.
        fixed_px: Both sides of the only picture it takes; 0 if sizes and batches should be symbolic.

    Raises:
        ExportError: If one differs; above all if a dimension that should be symbolic is a number, which means that the
            graph works for one size only.
    """
    for values, wanted in ((model.graph.input, inputs), (model.graph.output, outputs)):
        names = [value.name for value in values]
        if names != [tensor.name for tensor in wanted]:
            raise refused(path, f"tensors {names}, wanted {[tensor.name for tensor in wanted]}")
        for value, tensor in zip(values, wanted, strict=True):
            kind = value.type.tensor_type
            element = ELEMENTS[precision if tensor.half else "fp32"]
            if kind.elem_type != element:
                found = TensorProto.DataType.Name(kind.elem_type)
                raise refused(path, f"{value.name} is {found}, wanted {TensorProto.DataType.Name(element)}")
            _check_dimensions(path, value, tensor, fixed_px)


def _check_dimensions(path: Path, value: onnx.ValueInfoProto, tensor: Tensor, fixed_px: int) -> None:
    dimensions = value.type.tensor_type.shape.dim
    if fixed_px:
        found_sizes = tuple(dimension.dim_value for dimension in dimensions)
        if found_sizes != tensor.shape(1, fixed_px, fixed_px):
            raise refused(path, f"{value.name} is {found_sizes}, wanted {tensor.shape(1, fixed_px, fixed_px)}")
        return
    if len(dimensions) != 4:
        raise refused(path, f"{value.name} has {len(dimensions)} dimensions, wanted 4")
    symbolic = (0, 2, 3) if tensor.scale else (0,)
    if frozen := [axis for axis in symbolic if not dimensions[axis].dim_param]:
        sizes = [dimensions[axis].dim_value for axis in frozen]
        raise refused(path, f"dimensions {frozen} of {value.name} are frozen at {sizes}, wanted symbolic ones")
    if dimensions[1].dim_value != tensor.channels:
        found = dimensions[1].dim_value or dimensions[1].dim_param
        raise refused(path, f"{value.name} has {found} channels, wanted {tensor.channels}")


def strip(model: onnx.ModelProto) -> None:
    """Remove what only describes the machine and the source that the graph was traced from."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.producer_name, model.producer_version = "fastrestore", ""
    del model.graph.value_info[:]
    for graph in _graphs(model.graph):
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for described in (*graph.input, *graph.output, *graph.initializer):
            described.doc_string = ""
            del described.metadata_props[:]


def all_nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside its nodes."""
    for inner in _graphs(graph):
        yield from inner.node


def weights_of(model: onnx.ModelProto) -> int:
    """Return how many numbers the initialisers hold."""
    total = 0
    for tensor in model.graph.initializer:
        count = 1
        for length in tensor.dims:
            count *= length
        total += count
    return total


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says, as printable text of one line."""
    return ascii(str(error).strip().partition("\n")[0])[1:241] or type(error).__name__


def refused(path: Path, why: str) -> ExportError:
    """Return the error that refuses a file."""
    return ExportError(f"{path.name} is refused: {why}", "export the network anew, or use its checkpoint")


def _graphs(graph: onnx.GraphProto) -> Iterable[onnx.GraphProto]:
    waiting = [graph]
    while waiting:
        inner = waiting.pop()
        yield inner
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    waiting.append(attribute.g)
                elif attribute.type == onnx.AttributeProto.GRAPHS:
                    waiting.extend(attribute.graphs)


def _load_external(path: Path, model: onnx.ModelProto) -> None:
    """Read weights that lie beside the file, and nowhere else: a path is a stranger's word."""
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        relative = PurePosixPath(place)
        if not place or relative.is_absolute() or len(relative.parts) != 1 or ".." in place or "\\" in place:
            raise refused(path, f"its weights lie at {place!a}, wanted a file in its own folder")
        data = path.parent / place
        if data.is_symlink() or not data.is_file():
            raise refused(path, f"its weights file {place!a} is missing, or no plain file")
        if data.stat().st_size > LARGEST_FILE:
            raise refused(path, f"its weights file {place!a} has more than {LARGEST_FILE} bytes")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (*_CHECK_ERRORS, OSError) as error:
        raise refused(path, f"its weights cannot be read: {first_line(error)}") from error


def _tensors(model: onnx.ModelProto) -> Iterable[TensorProto]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
