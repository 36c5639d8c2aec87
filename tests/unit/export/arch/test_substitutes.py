"""What stands in for parts of others' networks computes the same, and goes away again."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.export.small_networks import CASES, build, lively
from torch import nn

from fastrestore.errors import ExportError, ParityError
from fastrestore.export import foreign_arch
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.substitutes import overlap, table, windows
from fastrestore.export.arch.substitutes.table import ADAPTATIONS, Adaptation, substituted
from fastrestore.export.exporter import export_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")
SIZES = ((40, 56), (41, 71))
"""Multiples of windows, and what has to be padded, where the network does that."""
CLOSE = 2e-5
"""Difference allowed, as a share of the range: the same sums in another order."""


def arch(package: str, module: str) -> Any:
    return import_module(f"spandrel.architectures.{package}.__arch.{module}")


def loaded(name: str) -> LoadedNetwork:
    found = foreign_arch.load(lively(build(name)).state_dict())
    assert found is not None
    return found


def parts_of(architecture: str) -> list[Any]:
    places = [table._owner(architecture, place) for place in ADAPTATIONS[architecture].substitutes]
    return [vars(owner)[name] for owner, name in places]


@pytest.mark.parametrize("name", [name for name, (package, _, _) in CASES.items() if package in ADAPTATIONS])
def test_networks_compute_the_same_with_substitutes(name: str, spandrel: Any) -> None:
    network, architecture = loaded(name), CASES[name][0]
    module = network.module
    call = ADAPTATIONS[architecture].call or module._call
    for size in SIZES:
        height, width = (side - side % network.multiple_px for side in size)
        image = torch.rand(2, 3, height, width)
        with torch.inference_mode():
            wanted = module(image.clone())
            with substituted(architecture):
                found = call(module.network, image.clone())
        assert found.shape == wanted.shape
        share = (found - wanted).abs().max() / (wanted.max() - wanted.min())
        assert share <= CLOSE, (name, height, width, share)


def test_masks_matter_to_these_networks(spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, image = loaded("SwinIR").module, torch.rand(1, 3, 40, 56)
    with torch.inference_mode():
        wanted = module(image)
        monkeypatch.setattr(windows, "_APART", 0.0)
        with substituted("SwinIR"):
            found = module(image)
    assert (found - wanted).abs().max() > 100 * CLOSE * (wanted.max() - wanted.min())


def test_masks_are_those_of_the_authors(spandrel: Any) -> None:
    block = arch("SwinIR", "SwinIR").SwinTransformerBlock(8, (64, 64), 2, window_size=8, shift_size=4)
    strips = arch("DAT", "DAT").Adaptive_Spatial_Attention(32, 2, split_size=[8, 16], shift_size=[4, 8], b_idx=2)
    for size in ((8, 8), (24, 40), (16, 64)):
        assert torch.equal(windows.mask_of_block(block, size), block.calculate_mask(size))
    for size in ((16, 16), (32, 64)):
        for found, wanted in zip(windows.masks_of_strips(strips, *size), strips.calculate_mask(*size), strict=True):
            assert torch.equal(found, wanted)


def test_masks_are_of_the_type_that_is_computed_in(spandrel: Any) -> None:
    block = arch("SwinIR", "SwinIR").SwinTransformerBlock(8, (64, 64), 2, window_size=8, shift_size=4).half()
    assert windows.mask_of_block(block, (16, 24)).dtype is torch.float16
    assert block.calculate_mask((16, 24)).dtype is torch.float32, "why SwinIR does not run in half precision"


def test_windows_are_cut_and_put_together_as_by_the_authors(spandrel: Any) -> None:
    picture = torch.rand(3, 16, 24, 5)
    for reverse, partition in ((arch("SwinIR", "SwinIR").window_reverse, arch("SwinIR", "SwinIR").window_partition),):
        parts = partition(picture, 8)
        assert torch.equal(windows.windows_of(picture, 8, 8), parts.reshape(-1, 64, 5))
        assert torch.equal(windows.picture_of_windows(parts, 8, 16, 24), reverse(parts, 8, 16, 24))
    strips = arch("DAT", "DAT").img2windows(picture.permute(0, 3, 1, 2), 8, 4)
    assert torch.equal(windows.windows_of(picture, 8, 4), strips)
    assert torch.equal(windows.picture_of_strips(strips, 8, 4, 16, 24), picture)


@pytest.mark.parametrize(("side", "reach"), [(8, 12), (4, 6), (16, 24)])
def test_overlapping_windows_are_what_unfolding_gives(side: int, reach: int) -> None:
    picture = torch.rand(2, 3 * side, 2 * side, 5)
    unfold = nn.Unfold(reach, stride=side, padding=(reach - side) // 2)
    columns = unfold(picture.permute(0, 3, 1, 2))
    wanted = columns.reshape(2, 5, reach * reach, -1).permute(0, 3, 2, 1).reshape(-1, reach * reach, 5)
    assert torch.equal(overlap.overlapping(picture, side, reach), wanted)


@pytest.mark.parametrize("architecture", list(ADAPTATIONS))
def test_nothing_stays_replaced(architecture: str, spandrel: Any) -> None:
    before = parts_of(architecture)
    with substituted(architecture):
        assert parts_of(architecture) == list(ADAPTATIONS[architecture].substitutes.values())
    assert parts_of(architecture) == before
    with pytest.raises(ZeroDivisionError), substituted(architecture):
        raise ZeroDivisionError
    assert parts_of(architecture) == before


def test_a_spandrel_without_such_a_part_is_told_of(spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = {"SwinIR:window_reverse": windows.picture_of_windows, "SwinIR:Gone.forward": windows.mask_of_block}
    monkeypatch.setitem(ADAPTATIONS, "SwinIR", Adaptation(replaced))  # type: ignore[arg-type]
    before = arch("SwinIR", "SwinIR").window_reverse
    with pytest.raises(ExportError, match=r"no `Gone\.forward`"), substituted("SwinIR"):
        pass
    assert arch("SwinIR", "SwinIR").window_reverse is before


def test_exports_are_held_against_the_authors_own_code(
    spandrel: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forward = arch("SPAN", "span").SPAN.forward

    def brighter(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = forward(network, image) + 0.01
        return result

    monkeypatch.setitem(ADAPTATIONS, "SPAN", Adaptation({"span:SPAN.forward": brighter}))  # type: ignore[arg-type]
    path = tmp_path / "span.pth"
    torch.save(build("SPAN").state_dict(), path)
    with pytest.raises(ParityError):
        export_checkpoint(path, tmp_path / "models", precisions=("fp32",))
    assert not (tmp_path / "models").exists()
    assert arch("SPAN", "span").SPAN.forward is forward


def test_substitutes_run_in_half_precision_only(spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def marked(*arguments: Any) -> torch.Tensor:
        ran.append(arguments)
        return windows.picture_of_windows(*arguments)

    parts = {**ADAPTATIONS["SwinIR"].substitutes, "SwinIR:window_reverse": marked}
    monkeypatch.setitem(ADAPTATIONS, "SwinIR", Adaptation(parts))  # type: ignore[arg-type]
    module, image = loaded("SwinIR").module, torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        module(image)
        assert not ran
        assert module.half()(image.half()).dtype is torch.float16
    assert ran


def test_pictures_of_a_batch_do_not_meet(spandrel: Any) -> None:
    module = loaded("SeemoRe").module
    images = torch.rand(3, 3, 24, 40) * torch.tensor([0.1, 0.5, 1.0])[:, None, None, None]
    with torch.inference_mode():
        one_by_one = torch.cat([module(image[None]) for image in images])
        assert torch.equal(module(images), one_by_one)
        with substituted("SeemoRe"):
            together = module.network(images)
    assert torch.allclose(together, one_by_one, atol=1e-5)
