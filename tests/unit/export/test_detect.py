from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from fastrestore.errors import ExportError
from fastrestore.export import foreign_arch
from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.arch.srvgg.network import SRVGG
from fastrestore.export.detect import detect, load_network, load_plainsr, load_srvgg
from fastrestore.models.spec import Task


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_own_restoration_networks_are_found_by_their_weights(scale: int) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 9, 11)
    for network in (SRVGG(16, 3, scale).eval(), PlainSR(scale, 16, 4).eval(), PlainSR(scale, 16, 4, 8).eval()):
        found = detect(network.state_dict())
        assert type(found.module) is type(network)
        assert (found.task, found.scale, found.outputs[0].scale) == (Task.RESTORE, scale, scale)
        assert torch.equal(found.module(image), network(image))


def test_tables_that_only_look_alike_are_not_taken() -> None:
    state = SRVGG(16, 3, 2).state_dict()
    less = {name: tensor for name, tensor in state.items() if name != "body.3.weight"}
    assert load_srvgg(less) is None
    assert load_srvgg({**state, "body.99999999.weight": torch.zeros(1)}) is None
    assert load_srvgg({**state, "more": torch.zeros(1)}) is None
    assert load_srvgg({"body.0.weight": torch.zeros(1), "body.2.weight": torch.zeros(1)}) is None
    assert load_plainsr(state) is None
    assert load_plainsr({**PlainSR(2, 16, 3).state_dict(), "more": torch.zeros(1)}) is None


def test_what_no_architecture_fits_is_named(spandrel: Any) -> None:
    with pytest.raises(ExportError, match=r"no architecture known here.*strange\.weight") as caught:
        detect({"strange.weight": torch.zeros(2)}, "net.pth")
    assert "spandrel" in caught.value.hint


def test_networks_for_other_jobs_are_refused(spandrel: Any) -> None:
    from spandrel.architectures.DnCNN import DnCNN
    from spandrel.architectures.ESRGAN import ESRGAN

    with pytest.raises(ExportError, match=r"takes 1 and yields 1 channels, wanted RGB"):
        foreign_arch.load(DnCNN(in_nc=1, out_nc=1, nc=8, nb=9, act_mode="R").state_dict())
    with pytest.raises(ExportError, match=r"takes 4 and yields 4 channels"):
        foreign_arch.load(ESRGAN(in_nc=4, out_nc=4, num_filters=8, num_blocks=1).state_dict())
    broken = {**ESRGAN(num_filters=8, num_blocks=1).state_dict(), "model.0.bias": torch.zeros(1)}
    with pytest.raises(ExportError, match="does not fit it"):
        foreign_arch.load(broken)


def test_merged_convolutions_and_constants_follow_the_precision(spandrel: Any) -> None:
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    original = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).eval()
    found = foreign_arch.load(original.state_dict())
    assert found is not None
    image = torch.rand(1, 3, 10, 12)
    assert torch.allclose(found.module(image), original(image), atol=1e-5)
    halved = found.module.half()
    assert all(tensor.dtype == torch.float16 for tensor in (*halved.parameters(), *halved.buffers()))


def test_published_checkpoints_are_found(data: Path) -> None:
    for name, convs in (("realesr-animevideov3", 16), ("realesr-general-x4v3", 32), ("realesr-general-wdn-x4v3", 32)):
        found = load_network(data / "weights" / f"{name}.pth")
        assert found.architecture == f"SRVGG (64 channels, {convs} inner convolutions)"
        assert found.scale == 4


def test_a_torchvision_for_another_torch_is_named_as_the_cause() -> None:
    if find_spec("torchvision") is None or find_spec("spandrel") is None:
        pytest.skip("spandrel and torchvision are in the extra `export`")
    code = (
        "from fastrestore.errors import ExportError\n"
        "from fastrestore.export import foreign_arch\n"
        "try:\n"
        "    foreign_arch.load({'a': __import__('torch').zeros(1)})\n"
        "except ExportError as error:\n"
        "    print(error.message, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if not done.stdout:
        pytest.skip("torchvision fits torch here")
    assert "torchvision does not fit torch" in done.stdout and "index" in done.stdout
