"""RIFE: every published version is recognised, yields flow as promised, exports. Weights are seeded, not published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.export.arch.exported import (
    TORCH_WARNINGS,
    assert_kept_in_float,
    assert_parses,
    assert_symbolic,
    compare,
    export,
)
from tests.unit.export.engines.builds import assert_builds, spec_of
from torch.nn.functional import interpolate

from fastrestore.errors import ModelError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.rife import load
from fastrestore.export.arch.rife.checkpoint import INPUTS, OUTPUTS, shapes_of
from fastrestore.export.arch.rife.facts import GRAPHS, Facts
from fastrestore.export.arch.rife.network import IFNet
from fastrestore.export.arch.rife.warp import warp
from fastrestore.models.spec import Task

VERSIONS = [(version, facts) for facts in GRAPHS for version in facts.versions]
LEFTOVERS = ("teacher.conv0.0.0.weight", "block_tea.conv0.0.0.weight", "caltime.0.weight", "contextnet.conv1.conv1.0")
PUBLISHED: dict[str, dict[str, tuple[int, ...]]] = {
    # As the public definitions of each version give them, without `module.`
    "4.1": {"block0.conv0.0.1.weight": (96,), "block3.convblock.7.1.weight": (64,), "block0.lastconv.bias": (5,)},
    "4.4": {"block1.conv0.0.0.weight": (64, 12, 3, 3), "block2.lastconv.weight": (96, 5, 4, 4)},
    "4.5": {"block1.convblock.7.beta": (1, 128, 1, 1), "block0.lastconv.0.weight": (192, 20, 4, 4)},
    "4.6": {"block0.conv0.0.0.weight": (96, 7, 3, 3), "block3.lastconv.0.weight": (64, 24, 4, 4)},
    "4.9": {"encode.0.weight": (16, 3, 3, 3), "encode.1.weight": (16, 4, 4, 4), "block0.conv0.0.0.bias": (96,)},
    "4.12": {"encode.6.weight": (32, 8, 4, 4), "block3.conv0.0.0.weight": (32, 28, 3, 3)},
    "4.13 lite": {"encode.6.bias": (4,), "block0.conv0.1.0.weight": (128, 64, 3, 3), "block3.conv0.1.0.bias": (48,)},
    "4.14 lite": {"encode.cnn3.bias": (8,), "block0.convblock.0.conv.weight": (192, 96, 3, 3)},
    "4.15": {"encode.cnn0.weight": (32, 3, 3, 3), "block1.conv0.0.0.weight": (64, 28, 3, 3)},
    "4.17 lite": {"encode.cnn2.weight": (16, 16, 3, 3), "block1.conv0.0.0.weight": (48, 20, 3, 3)},
    "4.20": {"block0.conv0.1.0.bias": (384,), "block3.lastconv.0.weight": (48, 24, 4, 4)},
    "4.22": {"block0.conv0.1.0.bias": (256,), "block1.conv0.0.0.weight": (96, 36, 3, 3)},
    "4.22 lite": {"block0.conv0.1.0.bias": (192,), "block3.lastconv.0.weight": (32, 52, 4, 4)},
    "4.25": {"block4.lastconv.0.bias": (52,), "block4.conv0.0.0.weight": (16, 28, 3, 3), "encode.cnn3.bias": (4,)},
    "4.25 lite": {"block4.conv0.1.0.bias": (24,), "block3.conv0.1.0.bias": (64,)},
    "4.25 heavy": {"block0.conv0.1.0.bias": (384,), "block4.conv0.0.0.weight": (32, 28, 3, 3)},
    "4.26 heavy": {"encode.cnn3.weight": (16, 16, 4, 4), "block4.conv0.0.0.weight": (16, 52, 3, 3)},
}


def graph(version: str) -> Facts:
    return next(facts for name, facts in VERSIONS if name == version)


def seeded(facts: Facts) -> IFNet:
    """A network whose flow is some pixels long, so that its warps do something."""
    torch.manual_seed(0)
    network = IFNet(facts)
    network.eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".lastconv." in name:
                parameter.mul_(4.0)
            if name.endswith(".beta"):
                parameter.uniform_(0.5, 1.5)
    return network


def as_published(network: IFNet) -> dict[str, torch.Tensor]:
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    return state | {f"module.{name}": torch.zeros(1) for name in LEFTOVERS}


def loaded(network: IFNet) -> LoadedNetwork:
    return LoadedNetwork(network, "RIFE", Task.MOTION, INPUTS, OUTPUTS, multiple_px=network.facts.multiple_px)


def drawn(count: int, height: int, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(height + width)
    coarse = torch.rand(2, count, 3, height // 8, width // 8, generator=generator)
    left, right = (interpolate(picture, size=(height, width), mode="bicubic").clamp(0, 1) for picture in coarse)
    return [left, right, torch.linspace(0.2, 0.7, count).reshape(count, 1, 1, 1)]


def constant(facts: Facts, flow: tuple[float, float, float, float], block: int, logit: float = 0.0) -> IFNet:
    """A network whose every block yields nothing, but one: that flow, in pixels, and that logit of the mask."""
    network = seeded(facts)
    factor = facts.scales[block] * (1 if facts.shuffled else 2)
    with torch.no_grad():
        for index in range(len(facts.scales)):
            last = network.get_submodule(f"block{index}.lastconv" + (".0" if facts.shuffled else ""))
            last.weight.zero_()
            last.bias.zero_()
            if index == block:
                values = torch.tensor([*(value / factor for value in flow), logit])
                last.bias[: 5 * (4 if facts.shuffled else 1)] = values.repeat_interleave(4 if facts.shuffled else 1)
    return network


# -- which version it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "facts"), VERSIONS, ids=[version for version, _ in VERSIONS])
def test_every_version_is_told_by_its_names_and_shapes(version: str, facts: Facts) -> None:
    names = shapes_of(facts)
    for name, shape in PUBLISHED.get(version, {}).items():
        assert names[name] == shape
    assert [other for other in GRAPHS if shapes_of(other) == names] == [facts]


@pytest.mark.parametrize("version", ["4.0", "4.6", "4.7", "4.14 lite", "4.22 lite", "4.26 heavy"])
def test_loading_takes_the_published_names_and_ignores_what_training_left(version: str) -> None:
    facts = graph(version)
    network = seeded(facts)
    found = load(as_published(network))
    assert found is not None
    assert found.architecture == f"RIFE {facts.title}" and version in found.architecture
    assert (found.task, found.multiple_px, found.least_px) == (Task.MOTION, 4 * facts.scales[0], 4 * facts.scales[0])
    assert not found.module.training
    side = facts.multiple_px
    inputs = drawn(1, side, 2 * side)
    with torch.no_grad():
        flow, mask = found.module(*inputs)
        assert flow.shape == (1, 4, side, 2 * side) and mask.shape == (1, 1, side, 2 * side)
        assert torch.equal(flow, network(*inputs)[0])
    assert flow.abs().max() > 1 and 0 <= mask.min() < mask.max() <= 1


def test_names_without_the_prefix_load_too() -> None:
    assert load(dict(seeded(graph("4.6")).state_dict())) is not None


def test_versions_of_one_graph_are_named_by_the_hint() -> None:
    state = as_published(seeded(graph("4.26")))
    told, hinted = load(state), load(state, version="4.26")
    assert told is not None and told.architecture == "RIFE 4.25 or 4.26"
    assert any("4.25, 4.26 share" in note for note in told.notes)
    assert hinted is not None and hinted.architecture == "RIFE 4.26" and len(hinted.notes) < len(told.notes)


@pytest.mark.parametrize("spelt", ["4.22.lite", "4.22-lite", "4.22_Lite", " 4.22 lite"])
def test_a_version_may_be_spelt_as_others_do(spelt: str) -> None:
    found = load(as_published(seeded(graph("4.22 lite"))), version=spelt)
    assert found is not None and found.architecture == "RIFE 4.22 lite"


def test_a_wrong_hint_says_what_does_not_fit() -> None:
    with pytest.raises(
        ModelError, match=r"not a checkpoint of RIFE 4\.7: `block0.conv0.0.0.weight` is \(96, 7, 3, 3\)"
    ):
        load(as_published(seeded(graph("4.6"))), version="4.7")


def test_an_unknown_version_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"`5\.0` is not known") as caught:
        load(as_published(seeded(graph("4.6"))), version="5.0")
    assert "4.25 lite" in caught.value.hint


def test_what_is_no_ifnet_is_left_to_others() -> None:
    assert load({"body.0.weight": torch.zeros(64, 3, 3, 3)}) is None


def test_a_changed_ifnet_is_refused() -> None:
    state = as_published(seeded(graph("4.6")))
    del state["module.block3.convblock.7.beta"]
    with pytest.raises(ModelError, match="4 blocks, the first seeing 7 channels, fits no version"):
        load(state)


def test_the_large_motion_restart_is_told_to_be_missing() -> None:
    found = load(as_published(seeded(graph("4.0"))))
    assert found is not None and any("starts over" in note for note in found.notes)


# -- what the flow means ---------------------------------------------------------------------------------------------


def test_warp_takes_the_picture_at_x_plus_flow_and_repeats_the_border() -> None:
    picture = torch.rand(2, 3, 9, 14)
    flow = torch.zeros(2, 2, 9, 14)
    flow[0, 0], flow[1, 1] = 4.0, -2.0
    found = warp(picture, flow)
    torch.testing.assert_close(found[0, :, :, :10], picture[0, :, :, 4:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0, :, :, 10:], picture[0, :, :, 13:].expand(3, 9, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1, :, 2:], picture[1, :, :7], atol=1e-5, rtol=0)


def test_warp_of_a_wide_half_picture_is_exact_to_its_own_precision() -> None:
    picture = (torch.arange(3840) % 2).half().reshape(1, 1, 1, 3840).expand(1, 1, 2, 3840)
    flow = torch.zeros(1, 2, 2, 3840)
    flow[:, 0] = 101.0
    found = warp(picture, flow)
    assert found.dtype is torch.float16
    torch.testing.assert_close(found[..., :-101], picture[..., 101:], atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("version", "block"), [("4.0", 0), ("4.0", -1), ("4.6", 0), ("4.7", 0), ("4.7", -1), ("4.25", 0), ("4.25 lite", -1)]
)
def test_flow_has_the_promised_sign_and_unit(version: str, block: int) -> None:
    """A scene that moves right by 4 pixels each half interval: both warped neighbours are the frame between."""
    facts = graph(version)
    side = facts.multiple_px
    scene = torch.rand(1, 3, side, side + 16, generator=torch.Generator().manual_seed(1))
    left, middle, right = (scene[..., 16 - shift : 16 - shift + side] for shift in (0, 4, 8))
    network = constant(facts, (-4.0, 0.0, 4.0, 0.0), block % len(facts.scales), logit=30.0)
    seen: list[torch.Tensor] = []
    network.block1.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        flow, mask = network(left, right, torch.full((1, 1, 1, 1), 0.5))
    torch.testing.assert_close(flow, torch.tensor([-4.0, 0.0, 4.0, 0.0]).reshape(1, 4, 1, 1).expand_as(flow))
    # the mask of an earlier block is added to from 4.0 to 4.6, and replaced by later ones from 4.7 on
    share = 1.0 if block == -1 or facts.mask_adds else 0.5
    torch.testing.assert_close(mask, torch.full_like(mask, share))
    for warped in (warp(left, flow[:, :2]), warp(right, flow[:, 2:])):
        torch.testing.assert_close(warped[..., 4:-4], middle[..., 4:-4], atol=1e-4, rtol=0)
    if block == 0:  # and the next block saw the pictures so, in the order that it was trained on
        torch.testing.assert_close(seen[0][:, :3, :, 4:-4], middle[..., 4:-4], atol=1e-4, rtol=0)
        torch.testing.assert_close(seen[0][:, 3:6, :, 4:-4], middle[..., 4:-4], atol=1e-4, rtol=0)


def test_each_picture_of_a_batch_has_its_own_instant() -> None:
    network = seeded(graph("4.6"))
    left, right, t = drawn(2, 32, 32)
    with torch.no_grad():
        together, _ = network(left, right, t)
        alone = [network(left[i : i + 1], right[i : i + 1], t[i : i + 1])[0] for i in range(2)]
        swapped, _ = network(left, right, t.flip(0))
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)
    assert (together - swapped).abs().max() > 1e-3


@pytest.mark.parametrize("version", ["4.6", "4.22 lite"])
def test_in_half_precision_flow_stays_float(version: str) -> None:
    network, half = seeded(graph(version)), seeded(graph(version)).half()
    side = network.facts.multiple_px
    left, right, t = drawn(1, side, side)
    with torch.no_grad():
        flow, mask = network(left, right, t)
        half_flow, half_mask = half(left.half(), right.half(), t)
    assert half_flow.dtype is torch.float32 and half_mask.dtype is torch.float16
    assert (half_flow - flow).abs().max() < 0.05  # pixels, where flow is up to 10 long
    assert (half_mask.float() - mask).abs().max() < 2e-3


# -- as ONNX ---------------------------------------------------------------------------------------------------------


def small(version: str) -> Facts:
    """A graph with all of a version's parts, but two thin blocks: exporting it takes seconds."""
    return replace(graph(version), widths=(16, 16), scales=(4, 1), layers=2)


@pytest.mark.parametrize(
    ("facts", "dtype"),
    [
        pytest.param(small("4.0"), torch.float32, id="4.0 small"),
        pytest.param(small("4.7"), torch.float16, id="4.7 small half", marks=pytest.mark.slow),
        pytest.param(small("4.22 lite"), torch.float32, id="4.22 lite small"),
        pytest.param(small("4.25"), torch.float16, id="4.25 small half"),
        pytest.param(graph("4.6"), torch.float32, id="4.6", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings(*TORCH_WARNINGS)
def test_it_exports_with_symbolic_sizes_and_agrees(facts: Facts, dtype: torch.dtype, tmp_path: Path) -> None:
    reference, path = loaded(seeded(facts)), tmp_path / "network.onnx"
    side = facts.multiple_px
    export(loaded(seeded(facts).to(dtype)), drawn(2, 2 * side, 3 * side), path)
    assert_symbolic(reference, path)
    assert_kept_in_float(path)
    for count, height, width in ((1, side, side), (2, 3 * side, 2 * side), (3, side, 4 * side)):
        flow, mask = compare(reference, path, dtype, drawn(count, height, width))
        assert flow.max() < (1e-3 if dtype is torch.float32 else 0.05)  # pixels, where flow is up to 10 long
        assert mask.max() < (1e-4 if dtype is torch.float32 else 2e-3)
    assert_parses(path)
    if dtype is torch.float16:
        assert_builds(spec_of(reference), path)
