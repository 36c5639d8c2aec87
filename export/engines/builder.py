"""Builds one engine of one ONNX file, with TensorRT or TensorRT for RTX: one path, and a table of what differs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from fastrestore.errors import EngineBuildError, EngineError, UsageError
from fastrestore.export.engines.build_log import NO_CARD, BuildLog, make_build_log
from fastrestore.export.engines.progress import Monitor, OnBuild, make_monitor
from fastrestore.models.spec import FACE_PX, ModelSpec, Task, Tensor
from fastrestore.runtime.backends.tensorrt_library import Flavour, load, require, translated
from fastrestore.runtime.cache.entry import BuiltEngine
from fastrestore.runtime.engine_key import BuildOptions, Profile, Shape

_HINTS: Mapping[str, str] = MappingProxyType(
    {
        "within workspace limit": "allow it more: `--workspace`",
        "must have same input types": "the ONNX file mixes number types, and nothing is converted silently: export "
        "the model anew",
        "FP32 GEMM is not supported": "TensorRT for RTX multiplies no float32 matrices on Turing cards: leave "
        "sm_75 out, or use another backend there",
        "libnvinfer_lean": "leave `--version-compatible` out: its library is not installed",
        "UNSUPPORTED_NODE": "TensorRT does not know this operator: use `--backend onnxruntime` for this model",
        "out of memory": "close what else uses the card, or build for a smaller `--profile`",
    }
)
"""What can be done about a complaint that holds certain words."""
_OTHERWISE = "see the words above; `--backend onnxruntime` runs any model"
_MOST_TACTICS, _MOST_STREAMS = 1000, 64
_TILING_LEVELS = ("NONE", "FAST", "MODERATE", "FULL")


class TimingStore(Protocol):
    """Where measured tactics wait for the next build on the same card with the same library."""

    def load(self) -> bytes:
        """Return what was stored last, or nothing."""
        ...

    def store(self, content: bytes) -> None:
        """Replace it."""
        ...


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """One engine to build. Precision is that of the ONNX file: networks are strongly typed."""

    spec: ModelSpec
    onnx: Path
    """The model's file in the wanted precision; it is trusted no further than the ONNX checker goes."""
    precision: str
    flavour: Flavour
    capability: str
    """Compute capability to build for, `8.9`; it is that of the current card where the library needs the card."""
    profile: Profile | None
    """None only for a network without dynamic sides."""
    options: BuildOptions = field(default_factory=BuildOptions)
    card: bool = False
    """Whether the current device is a card that can run the engine: the inspector needs one."""


def require_possible(flavour: Flavour, options: BuildOptions) -> None:
    """Refuse options that a library does not have.

    Raises:
        UsageError: If there are such, or a value is beyond its range.
    """
    for what, value, most in (
        ("optimisation level", options.optimization_level, 5),
        ("tiling level", options.tiling_level, len(_TILING_LEVELS) - 1),
        ("aux streams", options.aux_streams or 0, _MOST_STREAMS),
    ):
        if not 0 <= value <= most:
            raise UsageError(f"{what} {value}, wanted 0 to {most}", "leave it out for what is usual")
    wanted = {
        "tiling level": (options.tiling_level > 0, flavour.has_tiling),
        "version compatible": (options.version_compatible, flavour.has_version_compatible),
        "hardware compatible": (options.hardware_compatible, flavour.has_hardware_compatible),
    }
    for what, (asked, there) in wanted.items():
        if asked and not there:
            raise UsageError(f"{flavour.name} has no option `{what}`", "leave it out")


def build(order: BuildOrder, on_progress: OnBuild | None = None, timing: TimingStore | None = None) -> BuiltEngine:
    """Build an engine. The caller's thread waits, so that signals arrive; stopping takes until the builder's next step.

    Args:
        order: What to build.
        on_progress: Told of progress in this thread; returning False stops the build.
        timing: Where measured tactics are kept, for a library that measures.

    Raises:
        EngineBuildError: If the parser or the builder refuses, in their own words.
        EngineError: If the library cannot be loaded.
        ExportError: If the file is not a sound ONNX file.
        JobCancelledError: If `on_progress` stopped it.
    """
    require_possible(order.flavour, order.options)
    content = _checked(order)
    trt = load(order.flavour)
    log, monitor = make_build_log(trt), make_monitor(trt)
    with ThreadPoolExecutor(1, thread_name_prefix="build") as pool:
        return monitor.follow(pool.submit(_Build(trt, order, log).run, content, monitor, timing), on_progress)


def _checked(order: BuildOrder) -> bytes:
    """Read the file; TensorRT's parser takes anything for a network, so ONNX's checker goes first."""
    try:
        from fastrestore.export import onnx_file
    except ImportError as error:
        raise EngineError(f"package {error.name} is not installed", "`pip install 'fastrestore[rtx]'`") from error
    model = onnx_file.load(order.onnx)
    fixed_px = FACE_PX if order.spec.task is Task.FACE else 0
    onnx_file.check_interface(order.onnx, model, order.spec.inputs, order.spec.outputs, order.precision, fixed_px)
    content: bytes = model.SerializeToString()
    return content


class _Build:
    """One build. Everything the library makes lives and dies in the thread that calls `run`."""

    def __init__(self, trt: Any, order: BuildOrder, log: BuildLog) -> None:
        self._trt, self._order, self._log = trt, order, log
        self._what = f"{order.flavour.name} cannot build `{order.spec.name}`"

    def run(self, content: bytes, monitor: Monitor, timing: TimingStore | None) -> BuiltEngine:
        """Build."""
        trt, started = self._trt, time.perf_counter()
        # No error recorder here: with one, destroying a network crashes the process (1.7.1). The log hears all of it.
        with translated(self._what, self._log, hint=_OTHERWISE, kind=EngineBuildError):
            builder = trt.Builder(self._log)
            network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
            parser = trt.OnnxParser(network, self._log)
            if not parser.parse(content):
                raise self._refused(self._parser_errors(parser))
            config = builder.create_builder_config()
            self._configure(config)
            if self._order.profile is not None:
                self._add_profile(builder, network, config, self._order.profile)
            config.progress_monitor = monitor
            self._use_timing(config, timing)
            plan = builder.build_serialized_network(network, config)
            if plan is None:
                raise self._refused(self._log.text())
            took_s = time.perf_counter() - started
            self._keep_timing(config, timing)
            facts = {**self._network_facts(network), **self._engine_facts(plan)}
        return BuiltEngine(memoryview(plan), facts, self._log.tail(), took_s, self._log.warnings())

    def _configure(self, config: Any) -> None:
        trt, flavour, options = self._trt, self._order.flavour, self._order.options
        config.builder_optimization_level = options.optimization_level
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.clear_flag(trt.BuilderFlag.TF32)  # ten bits: what the file keeps in float32 would not be
        if options.workspace_bytes is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
        if options.aux_streams is not None:
            config.max_aux_streams = options.aux_streams
        if options.tiling_level:
            level = _TILING_LEVELS[options.tiling_level]
            config.tiling_optimization_level = getattr(trt.TilingOptimizationLevel, level)
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        if flavour.per_capability:
            config.num_compute_capabilities = 1
            wanted = getattr(trt.ComputeCapability, "SM" + self._order.capability.replace(".", ""), None)
            if wanted is None:
                known = ", ".join(flavour.capabilities)
                raise EngineBuildError(
                    f"{flavour.name} does not build for capability {self._order.capability}", f"it knows {known}"
                )
            self._require(config.set_compute_capability(wanted, 0))

    def _add_profile(self, builder: Any, network: Any, config: Any, profile: Profile) -> None:
        known = {tensor.name: tensor for tensor in self._order.spec.inputs}
        ranges = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            name = network.get_input(index).name
            least, best, most = (_dims(known[name], shape) for shape in (profile.least, profile.best, profile.most))
            ranges.set_shape(name, least, best, most)
        # An impossible range makes an invalid profile, and adding that yields -1: neither raises.
        self._require(bool(ranges))
        self._require(config.add_optimization_profile(ranges) >= 0)

    def _use_timing(self, config: Any, timing: TimingStore | None) -> None:
        if timing is not None and self._order.flavour.has_timing_cache:
            cache = self._require(config.create_timing_cache(timing.load()))
            # Not of this card or version means: measured anew, and nothing is said.
            config.set_timing_cache(cache, False)

    def _keep_timing(self, config: Any, timing: TimingStore | None) -> None:
        if timing is not None and self._order.flavour.has_timing_cache:
            timing.store(bytes(config.get_timing_cache().serialize()))

    def _network_facts(self, network: Any) -> dict[str, Any]:
        kinds = Counter(network.get_layer(index).type.name for index in range(network.num_layers))
        return {"network": {"layers": dict(kinds.most_common())}}

    def _engine_facts(self, plan: Any) -> dict[str, Any]:
        """Ask the engine's inspector; without a card there is none, and what the builder said is recorded instead."""
        if not self._order.card:
            return {"from": "the builder's log", "engine": self._log.facts()}
        trt = self._trt
        runtime = trt.Runtime(self._log)
        engine = self._require(runtime.deserialize_cuda_engine(plan))
        inspector = self._require(engine.create_engine_inspector())
        facts = {
            **self._log.facts(),
            **_inspected(inspector.get_engine_information(trt.LayerInformationFormat.JSON)),
            "aux_streams": engine.num_aux_streams,
            "device_memory_bytes": engine.device_memory_size_v2,
        }
        return {"from": "the engine's inspector", "engine": facts}

    def _parser_errors(self, parser: Any) -> str:
        """Return what the parser found, each with the node that it stumbled over."""
        found = []
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            where = f"node {error.node()} ({error.node_operator()} `{error.node_name()}`)"
            words = "; ".join(line for line in error.desc().splitlines() if NO_CARD not in line)
            found.append(f"{where}: {error.code().name}: {words} [{error.func()}]")
        return "; ".join(found) or self._log.text()

    def _require(self, value: Any) -> Any:
        hint = _hint(self._log.text())
        return require(value, self._what, self._log, hint=hint, kind=EngineBuildError)

    def _refused(self, words: str) -> EngineBuildError:
        return EngineBuildError(f"{self._what}: {words or 'it gave no reason'}", _hint(words))


def _inspected(report: str) -> dict[str, Any]:
    """Return the layers of an inspector's report: how many of which type, and which tactic each of them runs."""
    listed = json.loads(report).get("Layers", [])
    layers = [layer for layer in listed if isinstance(layer, dict)]  # names alone, where the details were left out
    tactics = {layer.get("Name", "?"): layer.get("TacticName", "") for layer in layers[:_MOST_TACTICS]}
    kinds = Counter(layer.get("LayerType", "?") for layer in layers)
    return {"layers": dict(kinds.most_common()), "tactics": tactics}


def _dims(tensor: Tensor, shape: Shape) -> tuple[int, int, int, int]:
    return tensor.shape(shape.batch, shape.height, shape.width)


def _hint(words: str) -> str:
    return next((hint for part, hint in _HINTS.items() if part in words), _OTHERWISE)
