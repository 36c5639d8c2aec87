"""Plans that the fake library takes: what a builder would have put in, and the network itself as ONNX."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from fastrestore.models import store
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine_key import Profile

MAGIC = b"FAKEPLAN"
HEADER_BYTES = 16
"""What the library looks at before it reads the rest: the magic and the capability."""


@dataclass(frozen=True)
class TensorPlan:
    name: str
    half: bool
    channels: int
    scale: int


@dataclass(frozen=True)
class FakePlan:
    capability: str
    inputs: tuple[TensorPlan, ...]
    outputs: tuple[TensorPlan, ...]
    least: tuple[int, int, int]
    best: tuple[int, int, int]
    most: tuple[int, int, int]
    """Batch, height and width."""
    fault: str = ""
    """`nan`, `black`, `darker`: the engine does not compute what its network does. `crash`: the card fails in the
    middle of it. `no context`: it cannot be made ready to run."""
    network: bytes = b""

    def encode(self) -> bytes:
        facts = {**asdict(self), "network": None}
        text = json.dumps(facts).encode()
        head = (MAGIC + self.capability.encode()).ljust(HEADER_BYTES, b"\0")
        return head + len(text).to_bytes(4, "little") + text + self.network

    @classmethod
    def decode(cls, content: bytes) -> FakePlan:
        """Raises ValueError if it is none."""
        if not content.startswith(MAGIC):
            raise ValueError("Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed")
        size = int.from_bytes(content[HEADER_BYTES : HEADER_BYTES + 4], "little")
        begin = HEADER_BYTES + 4
        facts = json.loads(content[begin : begin + size])
        for kind in ("inputs", "outputs"):
            facts[kind] = tuple(TensorPlan(**tensor) for tensor in facts[kind])
        for bound in ("least", "best", "most"):
            facts[bound] = tuple(facts[bound])
        return cls(**{**facts, "network": content[begin + size :]})


def plan_of(spec: ModelSpec, precision: str, profile: Profile, capability: str, fault: str = "") -> bytes:
    """Return a plan of one of a model's files."""

    def tensors(kind: str) -> tuple[TensorPlan, ...]:
        return tuple(
            TensorPlan(t.name, precision == "fp16" and t.half, t.channels, t.scale) for t in getattr(spec, kind)
        )

    least, best, most = ((s.batch, s.height, s.width) for s in (profile.least, profile.best, profile.most))
    network = store.locate(spec, precision).read_bytes()
    return FakePlan(capability, tensors("inputs"), tensors("outputs"), least, best, most, fault, network).encode()
