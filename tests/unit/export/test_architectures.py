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

from fastrestore.export.exporter import export_checkpoint
from fastrestore.models import store

SEED = 11
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ESRGAN": ("ESRGAN", {"num_filters": 16, "num_blocks": 1, "scale": 4}),
    "SPAN": ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
    "SwiftSRGAN": ("SwiftSRGAN", {"num_channels": 16, "num_blocks": 1, "upscale_factor": 2}),
    "DnCNN": ("DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 16, "nb": 9, "act_mode": "R"}),
    "RCAN": ("RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "reduction": 4}),
    "PLKSR": ("PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "MoSR": ("MoSR", {"upscale": 2, "n_block": 1, "dim": 16}),
    "SAFMN": ("SAFMN", {"dim": 16, "n_blocks": 1, "upscaling_factor": 2}),
    "DITN": ("DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}),
    "NAFNet": (
        "NAFNet",
        {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    ),
    "MoESR": ("MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1, "upsample_dim": 16}),
    "RealCUGAN": ("RealCUGAN", {}),
}
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
    architecture, options = CASES[name]
    torch.manual_seed(SEED)
    module = import_module(f"spandrel.architectures.{architecture}")
    network = getattr(module, "UpCunet2x" if name == "RealCUGAN" else architecture)(**options)
    path = tmp_path / f"{name}.pth"
    torch.save(network.state_dict(), path)
    spec = export_checkpoint(path, tmp_path / "models")
    assert set(spec.artifacts) == {"fp32", "fp16"}
    for precision in spec.artifacts:
        assert parsed_by_tensorrt(store.locate(spec, precision))
    assert_builds(spec, store.locate(spec, "fp16"))
