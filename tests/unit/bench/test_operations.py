"""Operations are counted from the graph: against sums done by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from fastrestore.bench import operations
from fastrestore.bench.operations import Operations, Unknown, count_operations
from fastrestore.files import digest
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import Artifact, ModelSpec, Task, Tensor

onnx = pytest.importorskip("onnx")
SIZE = Size(8, 6)


def model(folder: Path, nodes: list[Any], weights: dict[str, tuple[int, ...]], scale: int = 1) -> ModelSpec:
    """Return a network of these layers, its input of unknown size."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    tensors = [helper.make_tensor(name, kind, dims, [0.0] * _count(dims)) for name, dims in weights.items()]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", kind, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("out", kind, None)],
        tensors,
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), str(path))
    return ModelSpec(
        "test",
        "test",
        Task.RESTORE,
        "a test",
        "Apache-2.0",
        "here",
        inputs=(Tensor("image", 3),),
        outputs=(Tensor("out", 3, scale),),
        artifacts={"fp32": Artifact(Path("model.onnx"), digest(path))},
        folder=folder,
    )


def _count(dims: tuple[int, ...]) -> int:
    product = 1
    for extent in dims:
        product *= extent
    return product


def test_a_convolution_in_groups_and_with_a_stride(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Conv", ["image", "a"], ["x"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        onnx.helper.make_node("Relu", ["x"], ["y"]),
        onnx.helper.make_node("Conv", ["y", "b"], ["out"], group=3, strides=[2, 2], kernel_shape=[1, 1]),
    ]
    found = count_operations(model(tmp_path, nodes, {"a": (6, 3, 3, 3), "b": (6, 2, 1, 1)}), SIZE)
    assert isinstance(found, Operations)
    assert found.flops == 2 * 48 * 6 * 27 + 2 * 12 * 6 * 2
    assert found.layer_bytes == 4 * ((48 * 3 + 162 + 48 * 6) + (48 * 6 + 12 + 12 * 6))
    assert found.least_bytes == 4 * (162 + 12 + 48 * 3 + 12 * 6)


def test_a_transposed_convolution(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("ConvTranspose", ["image", "a"], ["out"], strides=[2, 2], kernel_shape=[2, 2])]
    found = count_operations(model(tmp_path, nodes, {"a": (3, 5, 2, 2)}, 2), SIZE)
    assert isinstance(found, Operations)
    assert found.flops == 2 * (48 * 3) * 5 * 4


def test_matrix_products(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("MatMul", ["image", "a"], ["x"]),
        onnx.helper.make_node("Flatten", ["x"], ["flat"], axis=2),
        onnx.helper.make_node("Gemm", ["flat", "b"], ["out"], transB=1),
    ]
    found = count_operations(model(tmp_path, nodes, {"a": (8, 10), "b": (7, 60)}), SIZE)
    assert isinstance(found, Operations)
    assert found.flops == 2 * (3 * 6 * 10) * 8 + 2 * (3 * 7) * 60


def test_what_cannot_be_counted_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relu = model(tmp_path, [onnx.helper.make_node("Relu", ["image"], ["out"])], {})
    assert "no convolution" in _reason(count_operations(relu, SIZE))
    assert "without a network" in _reason(count_operations(find("dis"), SIZE))
    monkeypatch.setattr(operations, "find_spec", lambda name: None)
    assert "pip install onnx" in _reason(count_operations(relu, SIZE))


def test_shipped_networks_scale_with_the_picture() -> None:
    assert importlib.util.find_spec("onnx")
    small, large = (count_operations(find("film-x2-tiny"), size) for size in (Size(64, 32), Size(128, 64)))
    half = count_operations(find("film-x2-tiny"), Size(64, 32), "fp16")
    assert isinstance(small, Operations) and isinstance(large, Operations) and isinstance(half, Operations)
    assert large.flops == 4 * small.flops == 4 * half.flops
    assert half.layer_bytes * 2 == small.layer_bytes


def _reason(found: Operations | Unknown) -> str:
    assert isinstance(found, Unknown)
    return found.reason
