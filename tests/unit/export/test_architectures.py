"""Architectures of spandrel's, small, with seeded random weights: exported, proved, read by TensorRT's parser."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from tests.unit.export.engines.builds import assert_builds
from tests.unit.export.small_networks import CASES, build, lively

from fastrestore.export import foreign_arch, onnx_export, parity
from fastrestore.export.exporter import export_checkpoint
from fastrestore.models import store

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")
QUICK = ("SPAN", "SwiftSRGAN")


def parsed_by_tensorrt(path: Path) -> bool:
    """Whether TensorRT for RTX reads a file, where it is installed. Its parser reads anything: checked first."""
    if find_spec("tensorrt_rtx") is None:
        return True
    trt = import_module("tensorrt_rtx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    logger = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    read = bool(parser.parse(path.read_bytes()))
    assert read, [parser.get_error(index).desc() for index in range(parser.num_errors)]
    return network.num_layers > 0 and [network.get_output(0).name] == ["restored"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES])
def test_spandrel_architectures_export_and_agree(name: str, spandrel: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pth"
    torch.save(build(name).state_dict(), path)
    spec = export_checkpoint(path, tmp_path / "models")
    assert set(spec.artifacts) == {"fp32", "fp16"}
    for precision in spec.artifacts:
        assert parsed_by_tensorrt(store.locate(spec, precision))
    assert_builds(spec, store.locate(spec, "fp16"))


def test_a_window_network_exports_with_weights_that_matter(spandrel: Any, tmp_path: Path) -> None:
    network = foreign_arch.load(lively(build("SwinIR")).state_dict())
    assert network is not None
    exported = onnx_export.write(network, tmp_path / "windows.onnx", "fp32")
    agreements = parity.prove(network, exported)
    assert {agreement.trial.batch for agreement in agreements} == {1, 2}
    assert any(agreement.trial.height % 8 for agreement in agreements)
    assert parsed_by_tensorrt(exported.path)
