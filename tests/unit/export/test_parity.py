from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from fastrestore.errors import ExportError, ParityError
from fastrestore.export import onnx_export, parity
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.detect import detect
from fastrestore.models.spec import Task, Tensor


@pytest.fixture
def network(plainsr: PlainSR) -> LoadedNetwork:
    return detect(plainsr.state_dict())


def loaded(module: torch.nn.Module, **facts: Any) -> LoadedNetwork:
    known = {"inputs": (Tensor("image", 3),), "outputs": (Tensor("restored", 3),), **facts}
    return LoadedNetwork(module.eval(), "Test", Task.RESTORE, **known)


def test_trials_are_three_sizes_and_two_batches_within_the_rule() -> None:
    for multiple, least in ((1, 1), (1, 50), (8, 16), (64, 64)):
        tried = parity.trials(multiple, least)
        assert len({(trial.height, trial.width) for trial in tried}) == 3
        assert {trial.batch for trial in tried} == {1, 2}
        sides = [side for trial in tried for side in (trial.height, trial.width)]
        assert all(side % multiple == 0 and side >= least for side in sides)
        assert all(trial.height != trial.width for trial in tried)
        assert any(side // multiple % 2 for side in sides)


def test_both_precisions_agree_and_are_symbolic(network: LoadedNetwork, tmp_path: Path) -> None:
    for precision, element in (("fp32", onnx.TensorProto.FLOAT), ("fp16", onnx.TensorProto.FLOAT16)):
        exported = onnx_export.write(network, tmp_path / f"{precision}.onnx", precision)
        assert len(parity.prove(network, exported)) == (3 if precision == "fp32" else 4)
        model = onnx.load(exported.path)
        assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "restored"]
        assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {element}
        assert [used.version for used in model.opset_import] == [onnx_export.OPSET]
        assert str(tmp_path).encode() not in exported.path.read_bytes()
    assert next(network.module.parameters()).dtype == torch.float32, "the export changed the original"


def test_a_changed_weight_is_found_and_its_module_named(network: LoadedNetwork, tmp_path: Path) -> None:
    exported = onnx_export.write(network, tmp_path / "net.onnx", "fp32")
    model = onnx.load(exported.path)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("body.2.weight"))
    changed = numpy_helper.to_array(weights).copy()
    changed[3, 2, 1, 1] += 0.5
    weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
    onnx.save(model, exported.path)
    with pytest.raises(ParityError, match=r"part at module `body\.2`.*agrees is `body\.[01]`") as caught:
        parity.prove(network, exported)
    assert caught.value.max_abs > caught.value.tolerance > 0


class Positions(torch.nn.Module):
    """Adds the column's position."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + torch.linspace(0.0, 1.0, image.shape[-1])


def test_a_size_that_freezes_in_tracing_is_found(tmp_path: Path) -> None:
    network = loaded(Positions())
    with pytest.raises(ExportError, match=r"frozen|cannot be traced|ONNX Runtime failed") as caught:
        parity.prove(network, onnx_export.write(network, tmp_path / "net.onnx", "fp32"))
    assert caught.value.hint


def test_a_size_that_froze_unseen_is_found(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "position"], ["restored"], name="add_position")],
        "net",
        [value("image", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("restored", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [numpy_helper.from_array(np.linspace(0, 1, 55, dtype=np.float32), "position")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    with pytest.raises(ParityError, match=r"46x64.*add_position"):
        parity.prove(loaded(Positions()), onnx_export.Exported(path, "fp32", {}))


class Overflows(torch.nn.Module):
    """Fits in float32, not in float16."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = torch.nn.Conv2d(3, 3, 1)
        torch.nn.init.constant_(self.grow.weight, 60_000.0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.grow(image) / 60_000.0
        return result


def test_what_half_precision_cannot_hold_is_found(tmp_path: Path) -> None:
    network = loaded(Overflows())
    with pytest.raises(ParityError, match=r"fp16 in PyTorch.*`grow`") as caught:
        parity.prove(network, onnx_export.write(network, tmp_path / "net.onnx", "fp16"))
    assert "--precision fp32" in caught.value.hint


def test_networks_that_fail_on_natural_pictures_are_refused(tmp_path: Path) -> None:
    broken = Overflows()
    torch.nn.init.constant_(broken.grow.weight, float("inf"))
    network = loaded(broken)
    with pytest.raises(ExportError, match="yields NaN or infinity"):
        parity.prove(network, onnx_export.write(network, tmp_path / "net.onnx", "fp32"))


class DecidesByValue(torch.nn.Module):
    """Cannot be traced."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 2 if float(image.mean()) > 0.5 else image


def test_networks_that_cannot_be_traced_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="Test cannot be traced"):
        onnx_export.write(loaded(DecidesByValue()), tmp_path / "net.onnx", "fp32")
    with pytest.raises(ExportError, match="opset 21, wanted 18 to 20"):
        onnx_export.write(loaded(DecidesByValue()), tmp_path / "net.onnx", "fp32", opset=21)


class Pair(torch.nn.Module):
    """Flow and mask from two pictures and an instant, as a motion network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(7, 5, 3, padding=1)

    def forward(self, left: torch.Tensor, right: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        instant = t.to(left.dtype).expand(-1, -1, *left.shape[-2:])
        found = self.body(torch.cat([left, right, instant], 1)).float()
        return 10 * found[:, :4], torch.sigmoid(found[:, 4:]).to(left.dtype)


def test_motion_networks_keep_flow_and_time_in_single_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = replace(
        loaded(Pair()),
        task=Task.MOTION,
        inputs=(Tensor("left", 3), Tensor("right", 3), Tensor("t", 1, scale=0, half=False)),
        outputs=(Tensor("flow", 4, half=False), Tensor("mask", 1)),
    )
    for precision in ("fp32", "fp16"):
        agreements = parity.prove(network, onnx_export.write(network, tmp_path / "net.onnx", precision))
        assert {agreement.output for agreement in agreements} == {"flow", "mask"}
        assert all(agreement.max_abs < 0.05 and np.isfinite(agreement.rms) for agreement in agreements)
