"""Fixtures of the engine builder's tests: a cache of their own, and networks small enough to be written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.models.packages import tiny

from fastrestore.models.spec import ModelSpec, Tensor
from fastrestore.runtime.cache.engines import EngineCache

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the processes that are started."""
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("FASTRESTORE_SEAL", str(tmp_path / "seal.key"))


@pytest.fixture
def cache() -> Iterator[EngineCache]:
    with EngineCache() as opened:
        yield opened


@pytest.fixture
def same_size() -> ModelSpec:
    """What the files of `network` are: a restoration network that does not enlarge."""
    return replace(
        tiny(), name="small", scale=1, inputs=(Tensor("image", 3),), outputs=(Tensor("restored", 3),), artifacts={}
    )


@pytest.fixture
def network(tmp_path: Path) -> Write:
    """Write a network of one kind: `sound`, `mixed` (half and float added), `foreign` (an operator not known)."""

    def write(kind: str) -> Path:
        half, single = TensorProto.FLOAT16, TensorProto.FLOAT
        weights = np.zeros((3, 3, 1, 1), np.float16)
        weights[range(3), range(3)] = 1
        stored = [numpy_helper.from_array(weights, "weights")]
        nodes = [helper.make_node("Conv", ["image", "weights"], ["restored"], name="conv")]
        if kind == "mixed":
            nodes = [helper.make_node("Add", ["image", "one"], ["restored"], name="mixing")]
            stored = [numpy_helper.from_array(np.ones(1, np.float32), "one")]
        elif kind == "foreign":
            nodes = [
                helper.make_node("Cast", ["image"], ["wide"], to=single),
                helper.make_node("Bernoulli", ["wide"], ["drawn"], name="drawing"),
                helper.make_node("Cast", ["drawn"], ["restored"], to=half),
            ]
            stored = []
        ends = [helper.make_tensor_value_info(name, half, ["n", 3, "h", "w"]) for name in ("image", "restored")]
        graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        path = tmp_path / f"{kind}.onnx"
        onnx.save(model, path)
        return path

    return write
