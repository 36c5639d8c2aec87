from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fastrestore.errors import ExportError
from fastrestore.export import onnx_file
from fastrestore.models.spec import Tensor

INPUTS, OUTPUTS = (Tensor("image", 3),), (Tensor("restored", 3, 2),)


def small_graph(operator: str = "Conv", domain: str = "", opset: int = 18) -> onnx.ModelProto:
    """Return a graph that enlarges by a convolution and a pixel shuffle."""
    weights = numpy_helper.from_array(np.full((12, 3, 1, 1), 0.1, np.float32), "weights")
    nodes = [
        helper.make_node(operator, ["image", "weights"], ["features"], domain=domain),
        helper.make_node("DepthToSpace", ["features"], ["restored"], blocksize=2, mode="CRD"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, ["n", 3, "h2", "w2"])],
        [weights],
    )
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def saved(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_sound_files_are_read(tmp_path: Path) -> None:
    model = onnx_file.load(saved(small_graph(), tmp_path / "net.onnx"))
    onnx_file.check_interface(tmp_path / "net.onnx", model, INPUTS, OUTPUTS, "fp32")
    assert onnx_file.weights_of(model) == 36


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (small_graph(domain="com.example"), "domain 'com.example'"),
        (small_graph(opset=9), "opset 9, wanted 11 to 20"),
        (small_graph(opset=21), "opset 21"),
        (small_graph("Convolute"), "checker says"),
    ],
)
def test_unfit_operators_are_refused(tmp_path: Path, model: onnx.ModelProto, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        onnx_file.load(saved(model, tmp_path / "net.onnx"))


def test_operators_hidden_in_branches_are_found(tmp_path: Path) -> None:
    model = small_graph()
    branch = helper.make_graph(
        [helper.make_node("Secret", [], ["x"], domain="com.example")],
        "branch",
        [],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
    )
    model.graph.node.append(helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(ExportError, match="Secret"):
        onnx_file.check_operators(tmp_path / "net.onnx", model)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08", b"\x00" * 100])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="no ONNX file"):
        onnx_file.load(path)
    with pytest.raises(ExportError, match="cannot be read"):
        onnx_file.load(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "sub/weights.bin", "..\\secret.bin", "", "link.bin"]
)
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(144))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = small_graph()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ExportError, match=r"its own folder|no plain file"):
        onnx_file.load(saved(model, folder / "net.onnx"))


def test_weights_in_the_own_folder_are_read(tmp_path: Path) -> None:
    model = small_graph()
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    loaded = onnx_file.load(tmp_path / "net.onnx")
    assert numpy_helper.to_array(loaded.graph.initializer[0]).sum() == pytest.approx(3.6)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ExportError, match="missing"):
        onnx_file.load(tmp_path / "net.onnx")


def test_frozen_sizes_wrong_names_and_types_are_refused() -> None:
    path = Path("net.onnx")
    frozen = small_graph()
    frozen.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 48
    with pytest.raises(ExportError, match=r"dimensions \[3\] of restored are frozen at \[48\]"):
        onnx_file.check_interface(path, frozen, INPUTS, OUTPUTS, "fp32")
    with pytest.raises(ExportError, match="wanted FLOAT16"):
        onnx_file.check_interface(path, small_graph(), INPUTS, OUTPUTS, "fp16")
    with pytest.raises(ExportError, match="tensors"):
        onnx_file.check_interface(path, small_graph(), (Tensor("left", 3),), OUTPUTS, "fp32")
    with pytest.raises(ExportError, match="3 channels, wanted 1"):
        onnx_file.check_interface(path, small_graph(), (Tensor("image", 1),), OUTPUTS, "fp32")


def test_stripped_files_say_nothing_of_the_machine() -> None:
    model = small_graph()
    model.producer_name, model.doc_string = "someone", "/home/someone"
    model.graph.node[0].doc_string = "/home/someone/net.py"
    model.graph.node[0].metadata_props.add(key="stack", value="/home/someone/net.py")
    onnx_file.strip(model)
    assert b"someone" not in model.SerializeToString()
