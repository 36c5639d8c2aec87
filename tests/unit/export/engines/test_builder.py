"""The builder, through TensorRT for RTX, which needs no card: every network that ships, and every way to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.export.engines.builds import CAPABILITIES, RTX, assert_builds, build_rtx, needs_rtx, refused, spec_of

from fastrestore.errors import EngineBuildError, EngineError, ExportError, JobCancelledError, UsageError
from fastrestore.export import onnx_export
from fastrestore.export.arch.srvgg.network import SRVGG
from fastrestore.export.detect import load_network
from fastrestore.export.engines.builder import BuildOrder, build, require_possible
from fastrestore.export.engines.progress import BuildProgress
from fastrestore.models import store
from fastrestore.models.shipped import shipped
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.engine_key import BuildOptions, Profile, Shape
from fastrestore.runtime.profiles import class_profile, usual_profiles

pytestmark = needs_rtx
NETWORKS = [spec for spec in shipped().models if not spec.classical]
Write = Callable[[str], Path]


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
def test_what_ships_builds_for_every_generation_of_cards(spec: ModelSpec) -> None:
    """Every generation, and every profile for one of them; the plans differ."""
    path, (first, *others) = store.locate(spec, "fp16"), usual_profiles(spec)
    plans = {bytes(build_rtx(spec, path, capability, "fp16", first).plan) for capability in CAPABILITIES}
    for profile in others:
        plans.add(bytes(build_rtx(spec, path, "8.9", "fp16", profile).plan))
    assert len(plans) == len(CAPABILITIES) + len(others)


def test_published_super_resolution_builds(tmp_path: Path) -> None:
    torch.manual_seed(3)
    torch.save({"params": SRVGG(16, 3, 2).state_dict()}, tmp_path / "net.pth")
    loaded = load_network(tmp_path / "net.pth")
    onnx_export.write(loaded, tmp_path / "net.onnx", "fp16")
    assert_builds(spec_of(loaded), tmp_path / "net.onnx")


def test_a_build_tells_what_it_made(network: Write, same_size: ModelSpec) -> None:
    profile = class_profile("tile", same_size)
    seen: list[BuildProgress] = []
    path = network("sound")
    built = build(BuildOrder(same_size, path, "fp16", RTX, "8.6", profile), seen.append)
    assert built.inspector["from"] == "the builder's log"  # the inspector itself needs a card
    assert built.inspector["network"]["layers"]["CONVOLUTION"] == 1
    assert sum(built.inspector["engine"]["layers"].values()) >= 1
    assert built.inspector["engine"]["weight_bytes"] > 0
    assert built.build_s > 0 and any("Engine generation completed" in line for line in built.log_tail)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares) and shares[-1] == 1 and 0 < shares[0] < 1
    assert {"Building engine"} < {progress.phase for progress in seen}


def test_rebuilds_are_alike(network: Write, same_size: ModelSpec) -> None:
    """Alike, not equal to the byte: the library numbers some of its kernels in the order its threads finish them."""
    order = BuildOrder(same_size, network("sound"), "fp16", RTX, "8.6", class_profile("sd", same_size))
    first, second = build(order), build(order)
    assert len(first.plan) == len(second.plan)
    assert first.inspector == second.inspector


def test_progress_is_told_in_the_callers_thread(network: Write, same_size: ModelSpec) -> None:
    threads = set()

    def tell(progress: BuildProgress) -> None:
        threads.add(threading.current_thread())

    build(BuildOrder(same_size, network("sound"), "fp16", RTX, "8.6", class_profile("sd", same_size)), tell)
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("stop", ["false", "error", "interrupt"])
def test_a_build_can_be_stopped(network: Write, same_size: ModelSpec, stop: str) -> None:
    raised: dict[str, type[BaseException]] = {
        "false": JobCancelledError,
        "error": OSError,
        "interrupt": KeyboardInterrupt,
    }

    def tell(progress: BuildProgress) -> bool:
        if stop == "false":
            return False
        raise raised[stop]

    order = BuildOrder(same_size, network("sound"), "fp16", RTX, "8.6", class_profile("sd", same_size))
    before = threading.active_count()
    with pytest.raises(raised[stop]):
        build(order, tell)
    assert threading.active_count() == before
    assert len(build(order).plan) > 0  # the library is none the worse for it


# -- what goes wrong, in the library's own words ---------------------------------------------------------------------


def test_number_types_that_do_not_fit(network: Write, same_size: ModelSpec) -> None:
    """The ONNX checker's type inference is stricter than some writers: it refuses first, and clearly, too."""
    with pytest.raises(ExportError, match=r"mixed\.onnx is refused: the ONNX checker says: .*[Tt]ype"):
        build(BuildOrder(same_size, network("mixed"), "fp16", RTX, "8.6", class_profile("sd", same_size)))


def test_number_types_that_do_not_fit_in_the_parsers_words(
    network: Write, same_size: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network("mixed")
    monkeypatch.setattr("fastrestore.export.engines.builder._checked", lambda order: path.read_bytes())
    error = refused(same_size, path, profile=class_profile("sd", same_size))
    assert "node 0 (Add `mixing`): INVALID_NODE" in error.message
    assert "must have same input types. But they are of types Half and Float" in error.message
    assert "cudaError" not in error.message and "export the model anew" in error.hint


def test_an_operator_that_is_not_known(network: Write, same_size: ModelSpec) -> None:
    error = refused(same_size, network("foreign"), profile=class_profile("sd", same_size))
    assert "(Bernoulli `drawing`): UNSUPPORTED_NODE" in error.message
    assert "does not know this operator" in error.hint


def test_no_profile(network: Write, same_size: ModelSpec) -> None:
    error = refused(same_size, network("sound"), profile=None)
    assert "no optimization profile has been defined" in error.message


def test_an_impossible_profile(network: Write, same_size: ModelSpec) -> None:
    profile = Profile("odd", Shape(1, 64, 64), Shape(1, 32, 32), Shape(1, 128, 128))
    error = refused(same_size, network("sound"), profile=profile)
    assert "MIN<=OPT<=MAX" in error.message and "cudaError" not in error.message


def test_too_little_workspace() -> None:
    spec = NETWORKS[0]
    order = BuildOrder(
        spec,
        store.locate(spec, "fp16"),
        "fp16",
        RTX,
        "8.6",
        class_profile("sd", spec),
        BuildOptions(workspace_bytes=1 << 10),
    )
    with pytest.raises(
        EngineBuildError, match="no tactics to implement the operation within workspace limit"
    ) as caught:
        build(order)
    assert "--workspace" in caught.value.hint


def test_a_capability_that_it_does_not_build_for(network: Write, same_size: ModelSpec) -> None:
    order = BuildOrder(same_size, network("sound"), "fp16", RTX, "9.0", class_profile("sd", same_size))
    with pytest.raises(EngineBuildError, match=r"does not build for capability 9\.0"):
        build(order)


def test_what_is_no_network_is_refused_before_the_parser_takes_it(same_size: ModelSpec, tmp_path: Path) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(b"garbage")
    with pytest.raises(ExportError, match="no ONNX file"):
        build(BuildOrder(same_size, path, "fp16", RTX, "8.6", class_profile("sd", same_size)))


def test_a_network_of_another_model_is_refused(network: Write) -> None:
    spec = NETWORKS[0]
    renamed = replace(spec, inputs=(replace(spec.inputs[0], name="picture"),))
    with pytest.raises(ExportError, match=r"tensors \['image'\], wanted \['picture'\]"):
        build(BuildOrder(renamed, network("sound"), "fp16", RTX, "8.6", class_profile("sd", spec)))


def test_a_library_that_is_not_installed(network: Write, same_size: ModelSpec) -> None:
    absent = replace(RTX, packages=("no-such-package",))
    with pytest.raises(EngineError, match="no-such-package is not installed"):
        build(BuildOrder(same_size, network("sound"), "fp16", absent, "8.6", class_profile("sd", same_size)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (BuildOptions(tiling_level=1), "tiling level"),
        (BuildOptions(version_compatible=True), "version compatible"),
        (BuildOptions(hardware_compatible=True), "hardware compatible"),
        (BuildOptions(optimization_level=6), "optimisation level 6"),
        (BuildOptions(tiling_level=4), "tiling level 4"),
        (BuildOptions(aux_streams=-1), "aux streams -1"),
    ],
)
def test_options_that_a_library_lacks_are_refused(options: BuildOptions, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        require_possible(RTX, options)
    full = FLAVOURS["tensorrt"]
    if "level 6" not in said and "level 4" not in said and "-1" not in said:
        require_possible(full, options)


# -- what only the full library does, tried on the interface that both share -----------------------------------------


class Stored:
    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self.loads = 0

    def load(self) -> bytes:
        self.loads += 1
        return self.content

    def store(self, content: bytes) -> None:
        self.content = content


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")
@pytest.mark.parametrize("content", [b"", b"of another version" * 20])
def test_measured_tactics_are_kept_for_the_next_build(network: Write, same_size: ModelSpec, content: bytes) -> None:
    measuring = replace(RTX, has_timing_cache=True, has_tiling=True)
    timing = Stored(content)
    options = BuildOptions(workspace_bytes=1 << 30, optimization_level=5, aux_streams=0, tiling_level=3)
    path, profile = network("sound"), class_profile("sd", same_size)
    build(BuildOrder(same_size, path, "fp16", measuring, "8.6", profile, options), timing=timing)
    assert timing.loads == 1 and timing.content not in (b"", content)


def test_a_library_that_does_not_measure_keeps_nothing(network: Write, same_size: ModelSpec) -> None:
    timing = Stored()
    path, profile = network("sound"), class_profile("sd", same_size)
    build(BuildOrder(same_size, path, "fp16", RTX, "8.6", profile), timing=timing)
    assert (timing.loads, timing.content) == (0, b"")
