"""Proves a new engine on its card, and measures how to run it. Works in the process that sees that card alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastrestore.errors import EngineError
from fastrestore.export.engines import tuning
from fastrestore.export.engines.plan import PlannedEngine
from fastrestore.runtime import calibration
from fastrestore.runtime.backends.tensorrt import Surroundings, TensorRtBackend
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine
from fastrestore.runtime.gate import require_proof, shapes_of
from fastrestore.runtime.proofs import Proof


@dataclass(frozen=True, slots=True)
class Proved:
    """What is known of an engine after it was run."""

    entry: CachedEngine
    """The engine, with its proof."""
    tuning: Mapping[str, Any] | None = None
    """What was measured and chosen, if that was asked for."""


def prove_on_card(
    planned: PlannedEngine,
    entry: CachedEngine,
    cache: EngineCache,
    *,
    clip: Path | None = None,
    tune: bool = False,
    around: Surroundings | None = None,
) -> Proved:
    """Run an engine on the first card that this process sees, and note beside it how it agreed with the reference.

    Args:
        planned: What was planned.
        entry: The engine in the cache.
        cache: The cache.
        clip: Frames of this clip are shown to it as well; None leaves it at the embedded sample.
        tune: Measure batch and streams, and keep the choice.
        around: Another library and card; None takes those of this machine.

    Raises:
        EngineProofError: If it does not compute what the reference computes.
        EngineError: If it cannot run.
        DecodeError: If the clip cannot be read.
    """
    if entry.proof is not None and clip is None and not tune:
        return Proved(entry)
    spec, around = planned.spec, around or Surroundings()
    with _backend(planned, around).open_entry(spec, entry) as engine:  # opening proves it, and records that
        entry = cache.find(planned.key) or entry
        if clip is not None:
            proof = require_proof(
                engine,
                facts=_recorded_facts(entry),
                reference=lambda: around.reference(spec),
                shapes=shapes_of(planned.key.profile, spec),
                pictures=calibration.frames_of(clip),
                folder=cache.folder / "proofs",
            )
            entry = cache.record_proof(entry, proof.as_dict())
    return Proved(entry, _tuned(planned, entry, cache, around) if tune else None)


def _backend(planned: PlannedEngine, around: Surroundings) -> TensorRtBackend:
    return TensorRtBackend(FLAVOURS[planned.key.backend], around)


def _recorded_facts(entry: CachedEngine) -> Mapping[str, str]:
    if entry.proof is None:
        raise EngineError(f"the proof of engine {entry.name} could not be recorded", "check the cache's folder")
    return Proof.from_dict(entry.proof).facts


def _tuned(planned: PlannedEngine, entry: CachedEngine, cache: EngineCache, around: Surroundings) -> Mapping[str, Any]:
    facts = around.cards()
    if isinstance(facts, str):
        raise EngineError(f"nothing can be measured: {facts}", "leave `--tune` out")
    measured = tuning.tune(
        # A backend of its own each: engines of one backend share scratch memory, and so wait for one another.
        lambda: _backend(planned, around).open_entry(planned.spec, entry),
        planned.spec,
        planned.key.profile,
        seconds=tuning.SECONDS,
    )
    choice = tuning.choice_of(measured)
    release = facts.release or f"CUDA {facts.cuda}"
    cache.choices.put(tuning.CHOICE, tuning.choice_facts(planned.key, facts.cards[0], release), choice)
    return choice
