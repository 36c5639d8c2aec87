"""RAFT-small: the checkpoint is recognised, its flow means what it should, and it exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
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
from fastrestore.export.arch.raft import load
from fastrestore.export.arch.raft.network import RaftSmall
from fastrestore.export.arch.rife.warp import warp
from fastrestore.models.spec import Task


@pytest.fixture(scope="module")
def weights(data: Path) -> dict[str, torch.Tensor]:
    """The published parameters, under their published names."""
    path = data / "weights" / "raft-small.pth"
    return dict(torch.load(path, map_location="cpu", weights_only=True))


@pytest.fixture(scope="module")
def film(clips: Path) -> Callable[[str, int, int], torch.Tensor]:
    """Frames of a clip: name, first and last index to `(N, 3, H, W)`, float32, RGB, `[0, 1]`."""

    def frames(name: str, first: int, last: int) -> torch.Tensor:
        with av.open(str(clips / name)) as container:
            pictures = []
            for index, frame in enumerate(container.decode(video=0)):
                if index > last:
                    break
                if index >= first:
                    pictures.append(frame.to_ndarray(format="rgb24"))
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255

    return frames


def random_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"module.{name}": tensor for name, tensor in RaftSmall(1).state_dict().items()}


def test_the_published_names_are_known() -> None:
    state = random_state()
    found = load(state)
    assert found is not None and len(state) == 106
    assert (found.architecture, found.task, found.multiple_px, found.least_px) == ("RAFT-small", Task.MOTION, 8, 64)
    assert [tensor.name for tensor in found.inputs] == ["left", "right"]
    assert [(tensor.name, tensor.channels, tensor.half) for tensor in found.outputs] == [("flow", 2, False)]


def test_what_is_no_raft_is_left_to_others() -> None:
    assert load({"body.0.weight": torch.zeros(64, 3, 3, 3)}) is None


def test_another_raft_is_refused() -> None:
    state = random_state()
    state["module.fnet.conv1.weight"] = torch.zeros(64, 3, 7, 7)
    with pytest.raises(ModelError, match=r"other than RAFT-small: `fnet.conv1.weight` is \(64, 3, 7, 7\)"):
        load(state)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted at least 1"):
        load(random_state(), iterations=0)


def test_flow_leads_from_the_left_picture_to_the_right_one(
    weights: dict[str, torch.Tensor], film: Callable[[str, int, int], torch.Tensor]
) -> None:
    """A window that moves over a photograph: the flow is known, and right(x + flow) is left(x)."""
    found = load(weights)
    assert found is not None
    still = film("davis_blackswan.mp4", 0, 0)
    left, right = still[..., 100:228, 200:392], still[..., 94:222, 208:400]  # contents move by (-8, +6)
    with torch.no_grad():
        flow = found.module(left, right)
    inner = flow[..., 16:-16, 16:-16]
    assert (inner - torch.tensor([-8.0, 6.0]).reshape(1, 2, 1, 1)).abs().median() < 0.1
    assert (warp(right, flow) - left)[..., 16:-16, 16:-16].abs().mean() < (right - left).abs().mean() / 5


def test_it_explains_the_motion_of_film(
    weights: dict[str, torch.Tensor], film: Callable[[str, int, int], torch.Tensor]
) -> None:
    found = load(weights)
    assert found is not None
    frames = interpolate(film("davis_blackswan.mp4", 20, 22), size=(256, 448), mode="area")
    left, right = frames[:1], frames[2:]
    with torch.no_grad():
        flow = found.module(left, right)
    still, moved = (((left - other) ** 2).mean() for other in (right, warp(right, flow)))
    assert moved < still / 2  # 3 dB, measured 5.6


@pytest.mark.parametrize(
    "dtype",
    [pytest.param(torch.float32, id="float"), pytest.param(torch.float16, id="half", marks=pytest.mark.slow)],
)
@pytest.mark.filterwarnings(*TORCH_WARNINGS)
def test_it_exports_with_symbolic_sizes_and_agrees(
    dtype: torch.dtype,
    weights: dict[str, torch.Tensor],
    film: Callable[[str, int, int], torch.Tensor],
    tmp_path: Path,
) -> None:
    reference, network = load(weights, iterations=2), load(weights, iterations=2)
    assert reference is not None and network is not None
    network.module.to(dtype)
    frames = film("davis_blackswan.mp4", 0, 4)

    def pair(count: int, height: int, width: int) -> list[torch.Tensor]:
        return [frames[at : at + count, :, 100 : 100 + height, 300 : 300 + width] for at in (0, 2)]

    path = tmp_path / "network.onnx"
    export(network, pair(2, 72, 136), path)
    assert_symbolic(reference, path)
    assert_kept_in_float(path)
    for count, height, width in ((1, 64, 64), (2, 72, 136), (3, 128, 96)):
        (flow,) = compare(reference, path, dtype, pair(count, height, width))
        assert flow.max() < (1e-3 if dtype is torch.float32 else 0.1)  # pixels, where flow is up to 20 long
    assert_parses(path)
    if dtype is torch.float32:  # TensorRT for RTX does not multiply float32 matrices on Turing
        assert_builds(spec_of(reference), path, "fp32", ["8.9"])
    else:
        assert_builds(spec_of(reference), path, "fp16", ["7.5", "8.6", "8.9", "12.0"])
