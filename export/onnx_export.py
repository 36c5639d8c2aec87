"""A torch network as an ONNX file whose batch, height and width are symbolic."""

from __future__ import annotations

import ast
import copy
import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch

from fastrestore.errors import ExportError
from fastrestore.export import onnx_file
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.models.spec import Tensor

OPSET = 18
OPSETS = (18, 19, 20)
"""Opset 18 is the least that the exporter writes without converting; from 21 on, backends disagree."""
_BATCH = 2
_LEAST_TRACED_PX = 36
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True, slots=True)
class Exported:
    """An ONNX file, and which of its values are the results of which modules."""

    path: Path
    precision: str
    values: Mapping[str, str]
    """Module path to value name, in the order of the graph; the last value that each module makes."""


def write(network: LoadedNetwork, path: Path, precision: str, *, opset: int = OPSET) -> Exported:
    """Export a network, and check the file.

    Args:
        network: What to export; it is not changed.
        path: File to write.
        precision: `fp32` or `fp16`. In an fp16 file tensors that are not `half` stay float32.
        opset: Version of the operators, 18 to 20.

    Raises:
        ExportError: If the network cannot be traced, or the file is not what it should be: a dimension that should be
            symbolic is frozen, an operator is not ONNX's own, the checker objects.
    """
    if opset not in OPSETS:
        raise ExportError(f"opset {opset}, wanted {OPSETS[0]} to {OPSETS[-1]}", f"use `--opset {OPSET}`")
    half = precision == "fp16"
    module = copy.deepcopy(network.module).half() if half else network.module
    model = _traced(network, module, half, opset)
    values = _values_of_modules(model)
    onnx_file.strip(model)
    onnx_file.check_operators(path, model)
    if model.ByteSize() > onnx_file.LARGEST_FILE:
        raise ExportError(f"{path.name} would have {model.ByteSize()} bytes, more than one ONNX file holds", "")
    onnx_file.check(path, model)
    onnx_file.check_interface(path, model, network.inputs, network.outputs, precision, network.fixed_px)
    onnx.save(model, path)
    return Exported(path, precision, values)


def traced_size(network: LoadedNetwork) -> tuple[int, int]:
    """Return a height and a width that the network can be traced at.

    They are unlike each other, and odd multiples: a network that pads to a grid of its own then pads, and is traced so.
    A network that takes one size only is traced at that.
    """
    if network.fixed_px:
        return network.fixed_px, network.fixed_px
    multiple = network.multiple_px
    first = -(-max(_LEAST_TRACED_PX, network.least_px) // multiple) | 1
    return first * multiple, (first + 2) * multiple


def _traced(network: LoadedNetwork, module: torch.nn.Module, half: bool, opset: int) -> onnx.ModelProto:
    height, width = traced_size(network)
    batch = 1 if network.fixed_px else _BATCH
    given = tuple(
        torch.rand(tensor.shape(batch, height, width), dtype=torch.float16 if half and tensor.half else torch.float32)
        for tensor in network.inputs
    )
    reasons = []
    for dynamic in [None] if network.fixed_px else _dynamic_shapes(network.inputs, network.multiple_px):
        try:
            with _quietly():
                program = torch.onnx.export(
                    module,
                    given,
                    dynamo=True,
                    opset_version=opset,
                    input_names=[tensor.name for tensor in network.inputs],
                    output_names=[tensor.name for tensor in network.outputs],
                    dynamic_shapes=dynamic,
                    verbose=False,
                )
            return program.model_proto
        except (
            torch.onnx.OnnxExporterError,
            RuntimeError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
        ) as error:
            reasons.append(_reason(error))
    raise ExportError(
        f"{network.architecture} cannot be traced{' in half precision' if half else ''}: {reasons[0]}",
        "try `--precision fp32`" if half else "the network decides by values or sizes in Python; give an ONNX file",
    )


def _dynamic_shapes(inputs: Sequence[Tensor], multiple_px: int) -> Iterator[tuple[dict[int, object], ...]]:
    """Yield ways to say what may vary: first free sides, then, if need be, sides that are multiples of something."""
    for names in itertools.chain([("h", "w")], _multiples(multiple_px)):
        height, width = names
        full = {0: "n", 2: height, 3: width}
        yield tuple({0: "n"} if tensor.scale == 0 else dict(full) for tensor in inputs)


def _multiples(multiple_px: int) -> Iterator[tuple[object, object]]:
    if multiple_px > 1:
        yield multiple_px * torch.export.Dim("h"), multiple_px * torch.export.Dim("w")


def _values_of_modules(model: onnx.ModelProto) -> dict[str, str]:
    values: dict[str, str] = {}
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
        if scopes and node.output:
            path = ast.literal_eval(scopes)[-2:][0]
            values.pop(path, None)  # so that the order is that of the last values
            values[path] = node.output[0]
    return values


def _reason(error: BaseException) -> str:
    """Return what torch met first, without its page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    frozen = "a size is frozen in it: " if "specialized" in text or "static value" in text else ""
    return frozen + ascii(text[:240])[1:-1]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's advice on how to trace from the user, who cannot follow it; what matters is raised or measured."""
    import logging

    names = ("torch", "torch.onnx", "torch.export", "torch._subclasses.fake_tensor", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
