"""Tries a conversion in many ways and keeps those that nothing else beats."""

from __future__ import annotations

import itertools
import signal
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from fastrestore.api import open_source, plan_job
from fastrestore.bench.pipelines import Encoder, measure_pipeline
from fastrestore.config import ConvertOptions, Plan
from fastrestore.errors import FastRestoreError, UsageError
from fastrestore.runtime import tuning
from fastrestore.runtime.on_device.lanes import MOST_SLOTS
from fastrestore.runtime.stages import open_stages

MOST_OTHERS = 0.1
"""Share of the cores that other programs may take on the mean: beyond it, times say little of what is best."""
_FIRST_S = Fraction(1, 5)
"""How much of the film is converted before the measuring."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to convert."""

    plan: Plan
    backend: str
    tile: int | None
    threads: int
    preset: str | None
    batch: int | None = None
    """Tiles at once, on a card; None leaves it to the engine."""
    streams: int | None = None
    """Pictures side by side, on a card; None is as `convert` does it."""

    @property
    def label(self) -> str:
        """A few words that tell it from others."""
        words = [self.plan.value, self.backend, f"tile {'auto' if self.tile is None else self.tile}"]
        words += [f"batch {self.batch}"] if self.batch else []
        words += [f"streams {self.streams}"] if self.streams else []
        return " ".join([*words, f"threads {self.threads}", self.preset or "default preset"])

    def applied(self, options: ConvertOptions) -> ConvertOptions:
        """Return the options, done this way."""
        return replace(
            options,
            plan=self.plan,
            backend=self.backend,
            tile=self.tile,
            threads=self.threads,
            batch=self.batch,
            streams=self.streams,
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
    others: float | None = None
    """Share of the cores that other programs took meanwhile; None where the system does not say."""

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
            "batch": variant.batch,
            "streams": variant.streams,
            "preset": variant.preset,
            "fps": self.fps,
            "runs_fps": list(self.runs_fps),
            "memory_bytes": self.memory_bytes,
            "output_bytes": self.output_bytes,
            "verdict": self.verdict,
            "problem": self.problem,
            "others": self.others,
            "kept": kept,
        }


def variants(
    plans: Sequence[Plan],
    backends: Sequence[str],
    tiles: Sequence[int | None],
    threads: Sequence[int],
    presets: Sequence[str | None],
    batches: Sequence[int | None] = (None,),
    streams: Sequence[int | None] = (None,),
) -> list[Variant]:
    """Return every combination."""
    axes = itertools.product(plans, backends, tiles, threads, presets, batches, streams)
    return [Variant(*each) for each in axes]


def sweep(
    clip: Path,
    options: ConvertOptions,
    ways: Sequence[Variant],
    repeats: int = 1,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> list[Outcome]:
    """Convert the clip in every way, each time in a new process, so that memory and engines of one disturb no other.

    Ways that cannot run here are kept with the reason. With several repeats the ways take turns. Before its first
    turn, each converts the first frames: what is done but once on a machine, such as proving engines, is no part of
    its time.

    Raises:
        UsageError: If none of them can run.
    """
    found: dict[Variant, list[Outcome]] = {way: [] for way in ways}
    for number in range(repeats):
        for way in ways:
            if any(outcome.problem for outcome in found[way]):
                continue
            if number == 0:
                _measured(clip, _first_frames(way.applied(options)), way)  # what fails will fail again
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


def keep(outcomes: Sequence[Outcome], job: Mapping[str, object]) -> None:
    """Keep the Pareto set for later conversions, the fastest first; an earlier one for the same facts is replaced.

    Raises:
        EngineError: If it cannot be written.
    """
    tuning.keep([outcome.as_dict(kept=True) for outcome in pareto(outcomes)], job)


def disturbed(outcomes: Sequence[Outcome]) -> float | None:
    """Return the share of the cores that other programs took on the mean, if it was too much to tell what is best."""
    known = [each.others for each in outcomes if each.others is not None and not each.problem]
    share = statistics.mean(known) if known else 0.0
    return share if share > MOST_OTHERS else None


def _first_frames(options: ConvertOptions) -> ConvertOptions:
    end = (options.start or 0) + _FIRST_S
    return replace(options, end=end if options.end is None else min(end, options.end))


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


def _off_card(clip: Path, options: ConvertOptions) -> str:
    """Return why a conversion cannot have the batch or the streams that are asked for; empty if it can."""
    if options.streams is not None and options.streams > MOST_SLOTS:
        return f"{options.streams} streams: a card takes {MOST_SLOTS} at most"
    with open_source(clip, options) as reader:
        job = plan_job(reader, "sweep.mkv", options)
        with open_stages(job.plan, job.options) as (stages, choice):
            if stages.on_device is not None:
                return ""
            ran = f"`{choice.backend.name}`" if choice else "a conversion without networks"
            return f"{ran} takes one tile after the other, in the host's memory: no batch, no streams"


def _measure_into(sender: Connection, clip: Path, options: ConvertOptions, way: Variant) -> None:
    """Convert once, in a process of its own. Errors become words: not every exception can be sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both; the parent ends this one
    signal.signal(signal.SIGTERM, _leave)
    try:
        if (way.batch or way.streams) and (problem := _off_card(clip, options)):
            sender.send(Outcome(way, problem=problem))
            return
        result = measure_pipeline(clip, options, Encoder.REAL)
    except FastRestoreError as error:
        sender.send(Outcome(way, problem=error.message))
        return
    run = result.run
    outcome = Outcome(way, result.fps, run.memory_bytes, run.output_bytes, (result.fps,), result.verdict)
    sender.send(replace(outcome, others=run.others))


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # on the way out temporary files are removed


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return several runs of one way as one: median speed, most memory."""
    last = outcomes[-1]
    if last.problem:
        return last
    speeds = tuple(outcome.fps for outcome in outcomes)
    others = [outcome.others for outcome in outcomes if outcome.others is not None]
    return replace(
        last,
        fps=statistics.median(speeds),
        runs_fps=speeds,
        memory_bytes=max(outcome.memory_bytes for outcome in outcomes),
        others=statistics.mean(others) if others else None,
    )


def rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, object]]:
    """Yield every outcome as plain data, those kept first."""
    kept = pareto(outcomes)
    for outcome in kept:
        yield outcome.as_dict(kept=True)
    for outcome in outcomes:
        if outcome not in kept:
            yield outcome.as_dict(kept=False)
