"""Verdicts on engines: how closely one agreed with the reference, how closely it had to, and where that is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fastrestore.errors import EngineProofError
from fastrestore.runtime.state_files import read_bounded, write_synced

_SCHEMA = "fastrestore.proof/1"
_LARGEST_BYTES = 1 << 20
"""A longer file is none of ours."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an engine may be from the fp32 reference, as shares of the output's range."""

    rms: float
    """Root mean square of the differences."""
    peak: float
    """Every single difference."""


PICTURE_TOLERANCE: Mapping[str, Tolerance] = MappingProxyType(
    {"fp32": Tolerance(1e-4, 1e-4), "fp16": Tolerance(2e-3, 5e-2), "bf16": Tolerance(6e-3, 1e-1)}
)
"""For pictures and masks, by precision. fp32 and fp16 as in docs/adr/0008.

bfloat16 keeps 8 bits where float16 keeps 11. It gets three times as much, not eight: at 6e-3, 1.5 steps of an 8-bit
picture, the difference cannot be seen yet. With every operation rounded, the shipped networks come out at 1.3e-3 on
frames of the sample, the published ones at 1.9e-3 (`realesr-animevideov3`) to 3.9e-3 (`realesr-general-wdn-x4v3`), with
single values up to 5.3e-2; in float16 at 1.6e-4 to 5.8e-4."""
FLOW_TOLERANCE: Mapping[str, Tolerance] = MappingProxyType(
    {"fp32": Tolerance(1e-3, 1e-3), "fp16": Tolerance(1e-2, 0.25), "bf16": Tolerance(3e-2, 0.5)}
)
"""For flow, as shares of the largest displacement, taken as 1 px at least."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely one output agreed at one shape. Differences are shares of the output's range."""

    shape: str
    """Of the input: batch x width x height."""
    output: str
    rms: float
    peak: float
    psnr_db: float
    """The root mean square in decibels below the range."""
    allowed: Tolerance

    @property
    def holds(self) -> bool:
        """Whether it is close enough. NaN is not."""
        return self.rms <= self.allowed.rms and self.peak <= self.allowed.peak


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found when an engine was held against the reference."""

    precision: str
    agreements: tuple[Agreement, ...]
    pictures: str
    """The sha256 of the pictures it was shown."""
    made: str
    """When, ISO 8601, UTC."""
    refusal: Mapping[str, Any] = field(default_factory=dict)
    """Why it was refused: the fields of `EngineProofError`; empty if it holds."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """All that the verdict depends on."""

    @property
    def holds(self) -> bool:
        """Whether the engine may be used."""
        return not self.refusal and bool(self.agreements) and all(each.holds for each in self.agreements)

    def require(self) -> Proof:
        """Return this proof if it holds.

        Raises:
            EngineProofError: If it does not.
        """
        if self.holds:
            return self
        found = {"measured": float("inf"), "allowed": 0.0, "where": "it agreed on nothing", "hint": "", **self.refusal}
        raise EngineProofError(found["measured"], found["allowed"], f"{found['where']} ({self.made})", found["hint"])

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON holds them. Infinity is written as a word, which JSON lacks a number for."""
        refusal = {key: str(value) if key in ("measured", "allowed") else value for key, value in self.refusal.items()}
        return {"schema": _SCHEMA, "holds": self.holds, **asdict(self), "refusal": refusal}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Proof:
        """Return the proof of which `as_dict` made `fields`.

        Raises:
            ValueError: If it made them not.
        """
        try:
            if fields["schema"] != _SCHEMA:
                raise ValueError(f"proof of schema {fields['schema']!r}, wanted {_SCHEMA}")
            agreements = tuple(
                Agreement(**{**each, "allowed": Tolerance(**each["allowed"])}) for each in fields["agreements"]
            )
            texts = {key: str(fields[key]) for key in ("precision", "pictures", "made")}
            refusal, facts = dict(fields["refusal"]), dict(fields["facts"])
            refusal |= {key: float(refusal[key]) for key in ("measured", "allowed") if key in refusal}
            proof = cls(agreements=agreements, refusal=refusal, facts=facts, **texts)
            if proof.holds != fields["holds"]:
                raise ValueError("its verdict does not follow from its figures")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no proof: {error!r}") from error
        return proof


class ProofStore:
    """Proofs in a folder, each under the hash of the facts that it depends on.

    Args:
        folder: Where; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, facts: Mapping[str, str]) -> Path:
        """Return the file of the verdict for exactly these facts, which need not exist."""
        text = json.dumps(dict(facts), sort_keys=True, separators=(",", ":"))
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"

    def find(self, facts: Mapping[str, str]) -> Proof | None:
        """Return the verdict for exactly these facts. A file that cannot be read, or is no proof, is no verdict."""
        proof = _read(self.path(facts))
        return proof if proof is not None and proof.facts == facts else None

    def refusals(self) -> list[Proof]:
        """Return the verdicts on record that refuse an engine, in no order. What cannot be read is left out."""
        try:
            paths = list(self._folder.glob("*.json"))
        except OSError:
            return []
        return [proof for path in paths if (proof := _read(path)) is not None and not proof.holds]

    def record(self, proof: Proof) -> None:
        """Keep a verdict: complete under its name, or not there at all. Where nothing can be kept, nothing is.

        A folder that cannot be written to costs another proof at the next start, and no more.
        """
        path = self.path(proof.facts)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_synced(path, json.dumps(proof.as_dict(), indent=1).encode())
        except OSError:
            return


def _read(path: Path) -> Proof | None:
    try:
        content = read_bounded(path, _LARGEST_BYTES)
        return Proof.from_dict(json.loads(content)) if content is not None else None
    except (OSError, ValueError, RecursionError):
        return None
