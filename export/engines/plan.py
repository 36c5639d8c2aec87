"""Which engines are needed: models times profiles times cards, and which of them are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastrestore.errors import UsageError
from fastrestore.export.engines.builder import require_possible
from fastrestore.export.engines.targets import Target, driver_floor
from fastrestore.geometry import Size
from fastrestore.models.catalog import catalog, find
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.backends.tensorrt_library import Flavour, installed
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine
from fastrestore.runtime.engine_key import BuildOptions, EngineKey, Profile
from fastrestore.runtime.profiles import class_profile, exact_profile, usual_profiles


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants engines for."""

    models: tuple[str, ...] = ()
    """Names of models or families; none means every network of the catalogue."""
    profiles: tuple[str, ...] = ()
    """Resolution classes; none and no sizes mean the usual ones of each model."""
    sizes: tuple[Size, ...] = ()
    """Exact sizes besides."""
    precision: str | None = None
    """`fp16` or `fp32`; None takes fp16 where a model has it."""
    options: BuildOptions = field(default_factory=BuildOptions)


@dataclass(frozen=True, slots=True)
class PlannedEngine:
    """One engine that is needed."""

    spec: ModelSpec
    target: Target
    key: EngineKey
    cached: CachedEngine | None = None
    """The one that is there already."""

    @property
    def label(self) -> str:
        """What people call it: model, profile and card."""
        return f"{self.spec.name} {self.key.profile.name} {self.target.label}"


def plan_engines(
    wish: Wish, flavour: Flavour, targets: Sequence[Target], cache: EngineCache
) -> tuple[PlannedEngine, ...]:
    """Return the engines that are needed, in the order in which they are built. No library is loaded.

    Raises:
        UsageError: If a model, profile or option is unknown or cannot be met.
        ModelError: If a model is broken, or lacks the precision.
        EngineError: If the cache cannot be used.
    """
    require_possible(flavour, wish.options)
    backend_version, floor = installed(flavour) or "", driver_floor(flavour)
    planned: dict[EngineKey, PlannedEngine] = {}
    for target in targets:
        for spec in networks(wish.models):
            precision = wish.precision or ("fp16" if "fp16" in spec.artifacts else "fp32")
            sha256 = spec.artifact(precision).sha256
            for profile in _profiles(spec, wish):
                key = EngineKey(
                    model=spec.name,
                    onnx_sha256=sha256,
                    backend=flavour.name,
                    backend_version=backend_version,
                    device=target.card,
                    capability=target.capability,
                    driver_floor=floor,
                    precision=precision,
                    profile=profile,
                    options=wish.options,
                )
                if key not in planned:
                    planned[key] = PlannedEngine(spec, target, key, cache.find(key))
    return tuple(planned.values())


def networks(names: Iterable[str]) -> tuple[ModelSpec, ...]:
    """Return the networks of these names, families included, in the order of the catalogue; of none, all.

    Raises:
        UsageError: If a name is unknown, or is no network.
        ModelError: If a model is broken, or was not fetched.
    """
    known = [spec for spec in catalog() if not spec.classical and spec.task is not Task.DETECT]
    wanted: set[str] = set()
    for name in names:
        members = {spec.name for spec in known if name in (spec.name, spec.family)}
        if not members:
            spec = find(name)  # tells what is wrong with the name
            raise UsageError(f"`{spec.name}` is no network: it needs no engine", "see `fastrestore models list`")
        wanted |= members
    return tuple(spec for spec in known if not wanted or spec.name in wanted)


def _profiles(spec: ModelSpec, wish: Wish) -> tuple[Profile, ...]:
    if not wish.profiles and not wish.sizes:
        return usual_profiles(spec)
    named = [class_profile(name, spec) for name in wish.profiles]
    return (*named, *(exact_profile(size, spec) for size in wish.sizes))
