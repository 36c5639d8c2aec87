"""Where two versions of one network part: the first value inside that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fastrestore.errors import ExportError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.onnx_export import Exported
from fastrestore.export.session import Graph, HalfModule, Module

Array = NDArray[np.float32]


def in_module(network: LoadedNetwork, exported: Exported, given: Sequence[Array], tolerance: float) -> str:
    """Say which module's result is the first to differ between a torch network and its export.

    Args:
        network: The original.
        exported: Its export.
        given: Inputs on which they differ.
        tolerance: Share of a value's largest magnitude by which it may differ.
    """
    wanted = module_results(Module(network.module), given)
    named = {path: exported.values[path] for path in wanted if path in exported.values}
    try:
        found = graph_values(onnx.load(exported.path), given, list(named.values()))
    except ExportError as error:
        return f"looked for the place, but {error.message}"
    pairs = {path: (found[value], wanted[path]) for path, value in named.items() if value in found}
    return _first_difference(pairs, tolerance, "module")


def in_modules(network: LoadedNetwork, halved: torch.nn.Module, given: Sequence[Array], tolerance: float) -> str:
    """Say which module's result is the first to differ between a torch network and itself after `.half()`."""
    wanted = module_results(Module(network.module), given)
    found = module_results(HalfModule(halved, network.inputs), given)
    return _first_difference(
        {path: (found[path], wanted[path]) for path in wanted if path in found}, tolerance, "module"
    )


def in_graph(original: onnx.ModelProto, changed: onnx.ModelProto, given: Sequence[Array], tolerance: float) -> str:
    """Say which value is the first to differ between two graphs that share the names of their values."""
    shared = {name for node in original.graph.node for name in node.output}
    names = [name for node in changed.graph.node for name in node.output if name in shared]
    try:
        wanted, found = graph_values(original, given, names), graph_values(changed, given, names)
    except ExportError as error:
        return f"looked for the place, but {error.message}"
    pairs = {name: (found[name], wanted[name]) for name in names if name in found and name in wanted}
    return _first_difference(pairs, tolerance, "value")


def module_results(run: Module, given: Sequence[Array]) -> dict[str, Array]:
    """Return what each innermost module yields, by path, in the order in which they run; those that run once only."""
    results: dict[str, Array] = {}
    calls: dict[str, int] = {}
    handles = []
    for path, child in run.module.named_modules():
        if not list(child.children()):

            def note(_: torch.nn.Module, __: object, result: object, path: str = path) -> None:
                calls[path] = calls.get(path, 0) + 1
                if isinstance(result, torch.Tensor) and result.is_floating_point():
                    results[path] = result.detach().float().numpy().copy()  # what follows may work in place

            handles.append(child.register_forward_hook(note))
    try:
        run(given)
    finally:
        for handle in handles:
            handle.remove()
    return {path: result for path, result in results.items() if calls[path] == 1}


def graph_values(model: onnx.ModelProto, given: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
    """Return values inside a graph, by name.

    Raises:
        ExportError: If the graph does not run with them as outputs.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {output.name for output in opened.graph.output}
    made = {name for node in opened.graph.node for name in node.output}
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name in made and name not in known
    )
    graph = Graph(opened)
    return dict(zip(graph.outputs, graph(given), strict=True))


def _first_difference(pairs: Mapping[str, tuple[Array, Array]], tolerance: float, kind: str) -> str:
    last = ""
    for name, (found, wanted) in pairs.items():
        if found.shape != wanted.shape:
            continue  # the exporter has merged it with its neighbour
        magnitude = float(np.abs(wanted).max(initial=0.0))
        difference = float(np.abs(found - wanted).max(initial=0.0))
        if not difference <= tolerance * max(magnitude, float(np.finfo(np.float32).tiny)):
            before = f"; the last before it that agrees is `{last}`" if last else ""
            share = difference / magnitude if magnitude else np.inf
            return f"they part at {kind} `{name}`: {share:.1e} of its magnitude{before}"
        last = name
    after = f" after {kind} `{last}`" if last else ""
    return f"they part{after}, in what no {kind} of its own computes"
