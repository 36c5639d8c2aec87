"""Tries a conversion in many ways and keeps those that nothing else beats."""

from __future__ import annotations

import itertools
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from fastrestore.bench.machine import machine, software
from fastrestore.bench.pipelines import Encoder, measure_pipeline
from fastrestore.config import ConvertOptions, Plan
from fastrestore.errors import FastRestoreError, UsageError
from fastrestore.runtime.cache.choices import Choices
from fastrestore.runtime.cache.folder import default_folder
from fastrestore.runtime.plan import WorkPlan

KIND = "sweep"
"""What is kept is a choice of this kind."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to convert."""

    plan: Plan
    backend: str
    tile: int | None
    threads: int
    preset: str | None

    @property
    def label(self) -> str:
        """A few words that tell it from others."""
        tile = "auto" if self.tile is None else self.tile
        return f"{self.plan.value} {self.backend} tile {tile} threads {self.threads} {self.preset or 'default preset'}"

    def applied(self, options: ConvertOptions) -> ConvertOptions:
        """Return the options, done this way."""
        return replace(
            options,
            plan=self.plan,
            backend=self.backend,
            tile=self.tile,
            threads=self.threads,
            encode=replace(options.encode, preset=self.preset),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way gave."""

    variant: Variant
    fps: float = 0.0
    memory_bytes: int = 0
    output_bytes: int = 0
    runs_fps: tuple[float, ...] = ()
    verdict: str = ""
    problem: str = ""
    """Why it cannot run here; the figures are then 0."""

    def beats(self, other: Outcome) -> bool:
        """Whether it is nowhere worse and somewhere better: faster, less memory, a smaller file."""
        mine = (self.fps, -self.memory_bytes, -self.output_bytes)
        theirs = (other.fps, -other.memory_bytes, -other.output_bytes)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))

    def as_dict(self, *, kept: bool) -> dict[str, object]:
        """Return it as plain data."""
        variant = self.variant
        return {
            "label": variant.label,
            "plan": variant.plan.value,
            "backend": variant.backend,
            "tile": variant.tile,
            "threads": variant.threads,
            "preset": variant.preset,
            "fps": self.fps,
            "runs_fps": list(self.runs_fps),
            "memory_bytes": self.memory_bytes,
            "output_bytes": self.output_bytes,
            "verdict": self.verdict,
            "problem": self.problem,
            "kept": kept,
        }


def variants(
    plans: Sequence[Plan],
    backends: Sequence[str],
    tiles: Sequence[int | None],
    threads: Sequence[int],
    presets: Sequence[str | None],
) -> list[Variant]:
    """Return every combination."""
    return [Variant(*each) for each in itertools.product(plans, backends, tiles, threads, presets)]


def sweep(
    clip: Path,
    options: ConvertOptions,
    ways: Sequence[Variant],
    repeats: int = 1,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> list[Outcome]:
    """Convert the clip in every way, each time in a new process, so that memory and engines of one disturb no other.

    Ways that cannot run here are kept with the reason. With several repeats the ways take turns.

    Raises:
        UsageError: If none of them can run.
    """
    found: dict[Variant, list[Outcome]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            if any(outcome.problem for outcome in found[way]):
                continue
            outcome = _measured(clip, way.applied(options), way)
            found[way].append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    outcomes = [_together(each) for each in found.values()]
    if all(outcome.problem for outcome in outcomes):
        raise UsageError(
            f"none of the {len(ways)} ways can run here: {outcomes[0].problem}", "see `fastrestore doctor`"
        )
    return outcomes


def pareto(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return those that no other beats, the fastest first."""
    able = [outcome for outcome in outcomes if not outcome.problem]
    best = [outcome for outcome in able if not any(other.beats(outcome) for other in able)]
    return sorted(best, key=lambda outcome: -outcome.fps)


def job_facts(plan: WorkPlan, options: ConvertOptions) -> dict[str, object]:
    """Return what the result of a sweep holds for, beside the machine and its software."""
    return {
        "source": str(plan.source.size),
        "source_rate": str(plan.source.rate),
        "target": str(plan.size),
        "rate": str(plan.rate),
        "sr": options.sr,
        "vfi": options.vfi,
        "codec": options.encode.codec,
        "crf": options.encode.crf,
    }


def facts(job: Mapping[str, object]) -> dict[str, object]:
    """Return the facts under which a sweep's result is kept: this machine, this software, the job."""
    return {"machine": machine(), "software": software(), "job": dict(job)}


def kept_choices() -> Choices:
    """Return where results are kept: with what else was measured to be best here, beside the engines."""
    return Choices(default_folder() / "choices")


def keep(outcomes: Sequence[Outcome], job: Mapping[str, object]) -> None:
    """Keep the Pareto set for later conversions, the fastest first; an earlier one for the same facts is replaced.

    Raises:
        EngineError: If it cannot be written.
    """
    best = [outcome.as_dict(kept=True) for outcome in pareto(outcomes)]
    kept_choices().put(KIND, facts(job), {"ways": best})


def _measured(clip: Path, options: ConvertOptions, way: Variant) -> Outcome:
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure_into, args=(sender, clip, options, way), daemon=True)
    child.start()
    sender.close()  # so that a child that dies is the end of the pipe
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        return Outcome(way, problem="its process was ended by the system, most likely for want of memory")
    finally:
        child.terminate()
        child.join()
        receiver.close()
    return outcome


def _measure_into(sender: Connection, clip: Path, options: ConvertOptions, way: Variant) -> None:
    """Convert once, in a process of its own. Errors become words: not every exception can be sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; the parent ends this one
    signal.signal(signal.SIGTERM, _leave)
    try:
        result = measure_pipeline(clip, options, Encoder.REAL)
    except FastRestoreError as error:
        sender.send(Outcome(way, problem=error.message))
        return
    run = result.run
    sender.send(Outcome(way, result.fps, run.memory_bytes, run.output_bytes, (result.fps,), result.verdict))


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # on the way out temporary files are removed


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return several runs of one way as one: median speed, most memory."""
    last = outcomes[-1]
    if last.problem:
        return last
    speeds = tuple(outcome.fps for outcome in outcomes)
    return replace(
        last,
        fps=statistics.median(speeds),
        runs_fps=speeds,
        memory_bytes=max(outcome.memory_bytes for outcome in outcomes),
    )


def rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, object]]:
    """Yield every outcome as plain data, those kept first."""
    kept = pareto(outcomes)
    for outcome in kept:
        yield outcome.as_dict(kept=True)
    for outcome in outcomes:
        if outcome not in kept:
            yield outcome.as_dict(kept=False)
