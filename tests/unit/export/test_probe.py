from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from fastrestore.errors import ExportError
from fastrestore.export import onnx_export, probe
from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.detect import detect
from fastrestore.export.probe import UNBOUNDED_HALO_PX, SizeRule
from fastrestore.export.session import Graph, Module
from fastrestore.models.spec import Tensor

IN, SAME, DOUBLE = (Tensor("image", 3),), (Tensor("restored", 3),), (Tensor("restored", 3, 2),)
ANY = SizeRule(1, 1)


class GlobalGain(nn.Module):
    """Every pixel depends, a little, on every other."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * (1 + 0.01 * image.mean((2, 3), keepdim=True))


class Windows(nn.Module):
    """Means of 8 x 8 windows that lie on a grid, padded to it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        padded = nn.functional.pad(image, (0, -width % 8, 0, -height % 8))
        means = nn.functional.avg_pool2d(padded, 8)
        return image + nn.functional.interpolate(means, scale_factor=8.0)[..., :height, :width]


class Halves(nn.Module):
    """Works at half size; what does not divide is lost."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(image, 2), scale_factor=2.0)


class Demanding(nn.Module):
    """Wants sides of 40 px at least."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if min(image.shape[-2:]) < 40:
            raise ValueError("too small")
        return image


@pytest.mark.parametrize("convs", [2, 3, 5])
def test_reach_of_plain_networks_is_their_depth(convs: int) -> None:
    torch.manual_seed(0)
    network = PlainSR(2, 16, convs).eval()
    nn.init.normal_(network.last.weight, std=0.02)
    found = probe.reach(Module(network), IN, DOUBLE, ANY, structural=True)
    assert (found.px, found.unbounded, found.even) == (convs, False, True)


def test_reach_of_a_graph_is_that_of_its_network(plainsr: PlainSR, tmp_path: Path) -> None:
    exported = onnx_export.write(detect(plainsr.state_dict()), tmp_path / "net.onnx", "fp32")
    found = probe.reach(Graph(exported.path), IN, DOUBLE, ANY, structural=False)
    assert (found.px, found.even) == (3, True)


def test_what_sees_all_is_unbounded() -> None:
    for structural in (True, False):
        found = probe.reach(Module(GlobalGain()), IN, SAME, ANY, structural=structural)
        assert found.unbounded and found.px == UNBOUNDED_HALO_PX


def test_grids_are_seen() -> None:
    found = probe.reach(Module(Windows()), IN, SAME, ANY, structural=True)
    assert (found.px, found.even, found.unbounded) == (7, False, False)


def test_weak_paths_count_where_nan_passes() -> None:
    far = nn.Conv2d(3, 3, 31, padding=15, groups=3, bias=False)
    nn.init.zeros_(far.weight)
    with torch.no_grad():
        far.weight[:, :, 15, 15] = 1.0
        far.weight[:, :, :, 0] = far.weight[:, :, :, 30] = 1e-12
    assert probe.reach(Module(far), IN, SAME, ANY, structural=True).px == 15


def test_size_rules_are_found() -> None:
    assert probe.size_rule(Module(Halves()), IN, SAME, ANY) == SizeRule(2, 2)
    assert probe.size_rule(Module(Windows()), IN, SAME, ANY) == SizeRule(1, 1)
    assert probe.size_rule(Module(Windows()), IN, SAME, SizeRule(8, 16)) == SizeRule(8, 16), "claims are not undercut"
    with pytest.raises(ExportError, match="on no multiple"):
        probe.size_rule(Module(Halves()), IN, DOUBLE, ANY)
    least = probe.size_rule(Module(Demanding()), IN, SAME, SizeRule(1, 33)).least_px
    assert 40 <= least <= 60


def test_working_memory_is_that_of_the_values_alive(plainsr: PlainSR, tmp_path: Path) -> None:
    exported = onnx_export.write(detect(plainsr.state_dict()), tmp_path / "net.onnx", "fp32")
    found = probe.working_bytes_per_px(onnx.load(exported.path), IN, ANY)
    # At the widest place: 16 channels in and out of a ReLU, and the picture; 12 channels and 12 more at the end.
    assert 4 * (16 + 16) <= found <= 4 * (16 + 16 + 3 + 12) * 1.3
