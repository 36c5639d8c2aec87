from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from fastrestore.errors import ExportError
from fastrestore.export import pictures
from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.convention import ENCODINGS, apply_convention, find_convention
from fastrestore.export.findings import Findings
from fastrestore.export.foreign import export_foreign, read_foreign
from fastrestore.export.half import to_half
from fastrestore.export.session import Graph, Module


@pytest.fixture
def restorer(plainsr: PlainSR) -> PlainSR:
    """A network that enlarges, and adds next to nothing of its own."""
    nn.init.normal_(plainsr.last.weight, std=0.002)
    return plainsr


class InOwnNumbers(nn.Module):
    """Takes BGR in [0, 255], which it cuts off there, and yields RGB in [-1, 1]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(torch.clamp(image / 255, 0, 1).flip(1))
        return result * 2 - 1


def as_onnx(module: nn.Module, path: Path, *, size: tuple[int, int] | None = None, channels: int = 3) -> Path:
    """Write a module as a stranger would, under names of its own."""
    given = torch.rand(1 if size else 2, channels, *(size or (33, 39)))
    dynamic = None if size else ({0: "batch", 2: "height", 3: "width"},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about torch
        program = torch.onnx.export(
            module.eval(),
            (given,),
            dynamo=True,
            opset_version=18,
            input_names=["input.1"],
            output_names=["output"],
            dynamic_shapes=dynamic,
            verbose=False,
        )
    onnx.save(program.model_proto, path)
    return path


def taken_in(path: Path, folder: Path) -> Findings:
    folder.mkdir(exist_ok=True)
    return export_foreign(path, folder, ("fp32", "fp16"), lambda _: None)


def test_a_plain_network_is_taken_in_both_precisions(restorer: PlainSR, tmp_path: Path) -> None:
    found = taken_in(as_onnx(restorer, tmp_path / "net.onnx"), tmp_path / "package")
    assert (found.scale, found.rule.multiple_px) == (2, 1)
    assert found.reach is not None and found.reach.px == 3
    assert {agreement.precision for agreement in found.agreements} == {"fp32", "fp16"}
    image = pictures.picture(1, 30, 41)[None]
    (wanted,) = Module(restorer)([image])
    for name, most in (("fp32", 1e-5), ("fp16", 5e-3)):
        (result,) = Graph(tmp_path / "package" / f"model.{name}.onnx")([image])
        assert np.abs(result - wanted).max() <= most


def test_numbers_of_its_own_are_found_and_changed(restorer: PlainSR, tmp_path: Path) -> None:
    found = taken_in(as_onnx(InOwnNumbers(restorer), tmp_path / "net.onnx"), tmp_path / "package")
    # What takes one order and yields the other is known; which is which, such a network hardly shows.
    assert "takes RGB in [0, 255] and yields BGR in [-1, 1]" in found.notes[0]
    image = pictures.picture(1, 30, 41)[None]
    (result,) = Graph(tmp_path / "package" / "model.fp32.onnx")([image])
    assert np.abs(result - Module(restorer)([image])[0]).mean() < 0.01


def test_one_size_is_freed_where_parts_agree(restorer: PlainSR, tmp_path: Path) -> None:
    found = taken_in(as_onnx(restorer, tmp_path / "net.onnx", size=(40, 48)), tmp_path / "package")
    assert any("48x40 px only" in note for note in found.notes)
    model = onnx.load(tmp_path / "package" / "model.fp32.onnx")
    assert [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == ["n", "", "h", "w"]


class Placed(nn.Module):
    """Adds a pattern of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.pattern = nn.Parameter(0.01 * torch.rand(1, 3, 40, 48))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.pattern


def test_one_size_that_is_built_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"refused|no multiple|ONNX Runtime failed"):
        taken_in(as_onnx(Placed(), tmp_path / "net.onnx", size=(40, 48)), tmp_path / "package")


class Negative(nn.Module):
    """Does another job."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 1 - image


class TwoFaced(nn.Module):
    """As near to its input in [0, 255] as in [0, 1], but darker in one and brighter in the other."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if float(image.min()) < 0:
            return torch.zeros_like(image)
        return image - 7 if float(image.max()) > 2 else image + 7 / 255


def test_conventions_that_cannot_be_told_are_refused() -> None:
    with pytest.raises(ExportError, match="does not yield the picture"):
        find_convention(Module(Negative()), 1)
    found = find_convention(Module(nn.Identity()), 1)
    assert found.ours and found.order_effect == 0
    with pytest.raises(ExportError, match="cannot be told"):
        find_convention(Module(TwoFaced()), 1)


@pytest.mark.parametrize("taken", ENCODINGS)
def test_every_convention_is_undone(taken: object, tmp_path: Path) -> None:
    assert isinstance(taken, type(ENCODINGS[0]))
    given = read_foreign(as_onnx(nn.Conv2d(3, 3, 1), tmp_path / "net.onnx"))
    convention = find_convention(Module(nn.Identity()), 1)
    model = onnx.ModelProto()
    model.CopyFrom(given.model)
    changed = type(convention)(taken, ENCODINGS[4], 0.0, 0.0)
    apply_convention(model, changed)
    onnx.checker.check_model(model, full_check=True)
    image = pictures.picture(0, 20, 24)[None]
    wanted = ENCODINGS[4].decode(Graph(given.model)([taken.encode(image)])[0])
    assert np.abs(Graph(model)([image])[0] - wanted).max() < 1e-4


@pytest.mark.parametrize(
    ("channels", "said"), [(1, r"wanted \[n, 3, h, w\]: an RGB picture"), (4, r"wanted \[n, 3, h, w\]")]
)
def test_other_channels_are_refused(channels: int, said: str, tmp_path: Path) -> None:
    path = as_onnx(nn.Conv2d(channels, channels, 3, padding=1), tmp_path / "net.onnx", channels=channels)
    with pytest.raises(ExportError, match=said):
        read_foreign(path)


def test_half_precision_is_left_out_where_it_is_not_plain(restorer: PlainSR, tmp_path: Path) -> None:
    model = onnx.load(as_onnx(restorer, tmp_path / "net.onnx"))
    halved, reason = to_half(model)
    assert halved is not None and not reason
    assert {t.data_type for t in halved.graph.initializer} <= {TensorProto.FLOAT16, TensorProto.INT64}
    large = onnx.ModelProto()
    large.CopyFrom(model)
    weights = next(t for t in large.graph.initializer if t.data_type == TensorProto.FLOAT)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1e9), weights.name))
    assert to_half(large) == (None, "half precision is left out: a weight is beyond its range")
    model.graph.node[0].op_type = "LayerNormalization"
    halved, reason = to_half(model)
    assert halved is None and "LayerNormalization" in reason
