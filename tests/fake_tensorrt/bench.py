"""A backend over the fake library, on a counting device, with a cache of its own."""

from __future__ import annotations

from pathlib import Path

from tests.fake_tensorrt.library import FakeLibrary
from tests.fake_tensorrt.plans import plan_of

from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt import Surroundings, TensorRtBackend
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine, CachedEngine
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.guarded import Execute
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import EngineKey, Profile, Shape
from fastrestore.runtime.gate import reference
from fastrestore.runtime.memory import Card, DriverFacts
from fastrestore.runtime.seal import Seal

TILE = Profile("tile", Shape(1, 32, 32), Shape(1, 64, 64), Shape(2, 128, 128))
"""A small class of tiles, so that the gate is done with it soon."""


class Bench:
    """Everything a backend needs, and a look at what it left behind.

    Args:
        folder: Where engines are kept.
        flavour: Which library is played.
        capability: Of the card.
        memory_bytes: Of the card.
        driver: Version of the card's driver.
        execute: Runs the card's kernels on the host.
    """

    def __init__(
        self,
        folder: Path,
        flavour: str = "tensorrt",
        *,
        capability: str = "8.9",
        memory_bytes: int = 1 << 30,
        driver: str = "580.65",
        execute: Execute | None = None,
    ) -> None:
        self.flavour = FLAVOURS[flavour]
        self.version = "11.4.0" if flavour == "tensorrt" else "1.7.1"
        self.card = Card(0, "Fake Card", capability, memory_bytes)
        self.driver = driver
        self.execute = execute
        self.devices: list[CountingDevice] = []
        self.libraries: list[FakeLibrary] = []
        self.references = 0
        """How often something was held against the reference."""
        self._folder = folder
        self.backend = self.restarted()

    def restarted(self) -> TensorRtBackend:
        """Return a backend as another process would make it, on the same card and cache."""
        around = Surroundings(
            cards=lambda: DriverFacts("13.0", self.driver, (self.card,)),
            installed=lambda _: self.version,
            load=lambda _: self._load(),
            open_device=lambda _: self._open(),
            cache=self.cache,
            reference=self._reference,
        )
        self.backend = TensorRtBackend(self.flavour, around)
        return self.backend

    def cache(self) -> EngineCache:
        return EngineCache(self._folder / "engines", seal=Seal(self._folder / "seal.key"))

    def build(
        self, spec: ModelSpec, profile: Profile = TILE, precision: str = "fp16", *, plan: bytes = b"", fault: str = ""
    ) -> CachedEngine:
        """Put an engine into the cache, as `build-engines` would."""
        key = self.key(spec, profile, precision)
        plan = plan or plan_of(spec, precision, profile, self.card.capability, fault)
        return self.cache().obtain(key, lambda: BuiltEngine(plan))

    def key(self, spec: ModelSpec, profile: Profile = TILE, precision: str = "fp16") -> EngineKey:
        return EngineKey(
            model=spec.name,
            onnx_sha256=spec.artifact(precision).sha256,
            backend=self.flavour.name,
            backend_version=self.version,
            device="" if self.flavour.per_capability else self.card.name,
            capability=self.card.capability,
            driver_floor="",
            precision=precision,
            profile=profile,
        )

    @property
    def device(self) -> CountingDevice:
        return self.devices[-1]

    @property
    def left_behind(self) -> list[str]:
        """Everything that was not given back, or was used wrongly."""
        found = [leak for device in self.devices for leak in device.leaks]
        found += [f"device {number} is open" for number, device in enumerate(self.devices) if not device.closed]
        found += [f"{library.live} parts of the library" for library in self.libraries if library.live]
        return found + [misuse for library in self.libraries for misuse in library.misuses]

    def _load(self) -> FakeLibrary:
        card = self.card
        device = CountingDevice(
            card.capability, card.memory_bytes, name=card.name, driver=self.driver, execute=self.execute
        )
        self.devices.append(device)
        self.libraries.append(FakeLibrary(device, judges_headers=self.flavour.per_capability))
        return self.libraries[-1]

    def _open(self) -> CountingDevice:
        return self.devices[-1]

    def _reference(self, spec: ModelSpec) -> Engine:
        self.references += 1
        return reference(spec, threads=1)
