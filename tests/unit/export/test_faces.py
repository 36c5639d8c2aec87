"""Networks for faces: those that rebuild them, of spandrel's with random weights; and the detector, as it is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.unit.runtime.treatments.faces.face_samples import detector

from fastrestore.errors import ExportError
from fastrestore.export import onnx_export, onnx_file, parity, probe
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.exporter import export_checkpoint
from fastrestore.export.session import Graph
from fastrestore.models import store
from fastrestore.models.spec import FACE_PX, ModelSpec, Task, Tensor

SEED = 5
SMALL = {"ch": 32, "ch_mult": (1, 1, 1, 1, 1, 1), "num_res_blocks": 1, "z_channels": 32, "embed_dim": 32, "n_embed": 16}


def checked(spec: ModelSpec) -> Path:
    """Return the file of a face network whose facts are those of one."""
    assert (spec.task, spec.scale, spec.multiple_px, set(spec.artifacts)) == (Task.FACE, 1, FACE_PX, {"fp32"})
    shapes = [tensor.shape(1, FACE_PX, FACE_PX) for tensor in (*spec.inputs, *spec.outputs)]
    assert shapes == [(1, 3, FACE_PX, FACE_PX)] * 2
    assert spec.working_bytes_per_px > 0
    return store.locate(spec, "fp32")


@pytest.mark.slow
def test_restoreformer_takes_and_yields_ordinary_pictures(spandrel: Any, tmp_path: Path) -> None:
    torch.manual_seed(SEED)
    network = import_module("spandrel.architectures.RestoreFormer").RestoreFormer(**SMALL).eval()
    torch.save(network.state_dict(), tmp_path / "RestoreFormer.pth")
    spec = export_checkpoint(tmp_path / "RestoreFormer.pth", tmp_path / "models")
    graph = Graph(checked(spec))
    image = np.random.default_rng(1).random((1, 3, FACE_PX, FACE_PX), dtype=np.float32)
    with torch.inference_mode():  # as its authors run it
        wanted = (network(torch.from_numpy(image * 2 - 1))[0].numpy() + 1) / 2
    assert np.abs(graph([image])[0] - wanted).max() < 1e-3
    card = store.card(spec)
    assert "rebuilds faces" in card and "[-1, 1]" in card


@pytest.mark.slow
def test_gfpgan_answers_the_same_each_time(spandrel: Any, tmp_path: Path) -> None:
    torch.manual_seed(SEED)
    network = import_module("spandrel.architectures.GFPGAN").GFPGAN().eval()
    torch.save({"params_ema": network.state_dict()}, tmp_path / "GFPGANv1.4.pth")
    spec = export_checkpoint(tmp_path / "GFPGANv1.4.pth", tmp_path / "models")
    graph = Graph(checked(spec))
    image = np.random.default_rng(2).random((1, 3, FACE_PX, FACE_PX), dtype=np.float32)
    assert np.array_equal(graph([image])[0], graph([image])[0])
    assert "noise" in store.card(spec)


@pytest.mark.parametrize("fixed_px", [0, 640])
def test_a_detector_is_taken_in_as_it_is(fixed_px: int, tmp_path: Path) -> None:
    path = tmp_path / "face_detection_yunet.onnx"
    onnx.save(detector(fixed_px), path)
    spec = export_checkpoint(path, tmp_path / "models", name="yunet", licence="MIT")
    assert (spec.task, spec.outputs, spec.licence) == (Task.DETECT, (), "MIT")
    assert store.locate(spec, "fp32").read_bytes() == path.read_bytes()
    assert "finds faces" in spec.summary


def test_what_only_has_a_detectors_names_is_refused(tmp_path: Path) -> None:
    model = detector()
    for node in model.graph.node:  # scores of one number for each place become four
        if node.output[0] == "cls_8":
            node.input[0] = "bbox_8_turned"
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(ExportError, match="refused"):
        export_checkpoint(path, tmp_path / "models")
    assert not (tmp_path / "models" / "other").exists()


class Shading(torch.nn.Module):
    """Darkens the corners of the one picture that it takes."""

    def __init__(self) -> None:
        super().__init__()
        along = torch.linspace(-1, 1, FACE_PX)
        self.register_buffer("shade", 1 - 0.2 * (along[:, None] ** 2 + along[None, :] ** 2))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return `(1, 3, 512, 512)` shaded."""
        shaded: torch.Tensor = image * self.shade
        return shaded


def test_a_network_of_one_size_is_exported_and_proved_at_that(tmp_path: Path) -> None:
    tensors = (Tensor("image", 3),), (Tensor("restored", 3),)
    network = LoadedNetwork(Shading().eval(), "Shading", Task.FACE, *tensors, multiple_px=FACE_PX, fixed_px=FACE_PX)
    exported = onnx_export.write(network, tmp_path / "model.fp32.onnx", "fp32")
    (agreement,) = parity.prove(network, exported)
    assert agreement.trial == parity.Trial(1, FACE_PX, FACE_PX) and agreement.max_abs < 1e-5
    model = onnx.load(exported.path)
    assert probe.working_bytes_per_px(model, network.inputs, probe.SizeRule(FACE_PX, FACE_PX), FACE_PX) >= 24
    with pytest.raises(ExportError, match="frozen"):
        onnx_file.check_interface(exported.path, model, *tensors, "fp32")
    with pytest.raises(ExportError, match="wanted"):
        onnx_file.check_interface(exported.path, model, *tensors, "fp32", 2 * FACE_PX)
