"""What every network must do: become an engine for each generation of cards. That needs no card."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from fastrestore.errors import EngineBuildError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.engines.builder import BuildOrder, build
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.entry import BuiltEngine
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.profiles import class_profile

CAPABILITIES = ("7.5", "8.6", "8.9", "12.0")
"""Turing, Ampere, Ada, Blackwell."""
RTX = FLAVOURS["tensorrt-rtx"]
needs_rtx = pytest.mark.skipif(find_spec(RTX.module) is None, reason="tensorrt-rtx is in the extra `rtx`")


def assert_builds(
    spec: ModelSpec, path: Path, precision: str = "fp16", capabilities: Sequence[str] = CAPABILITIES
) -> None:
    """An ONNX file becomes an engine for every generation of cards, where the library is installed."""
    if find_spec(RTX.module) is None:
        return
    for capability in capabilities:
        built = build_rtx(spec, path, capability, precision, class_profile("sd", spec))
        assert len(built.plan) > 10_000
        assert built.inspector["engine"]["layers"] and built.inspector["network"]["layers"]
        assert built.inspector["engine"]["scratch_bytes"] >= 0


def build_rtx(spec: ModelSpec, path: Path, capability: str, precision: str, profile: Profile) -> BuiltEngine:
    """Build with TensorRT for RTX."""
    return build(BuildOrder(spec, path, precision, RTX, capability, profile))


def spec_of(network: LoadedNetwork) -> ModelSpec:
    """Return what the catalogue would know of a network."""
    return ModelSpec(
        name="network",
        family="network",
        task=network.task,
        summary="for a test",
        licence="none",
        source="a test",
        scale=network.scale,
        multiple_px=network.multiple_px,
        inputs=network.inputs,
        outputs=network.outputs,
    )


def refused(spec: ModelSpec, path: Path, precision: str = "fp16", profile: Profile | None = None) -> EngineBuildError:
    """Return the error of a build that must fail."""
    with pytest.raises(EngineBuildError) as caught:
        build(BuildOrder(spec, path, precision, RTX, "8.6", profile))
    return caught.value
