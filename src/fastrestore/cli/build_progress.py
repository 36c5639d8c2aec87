"""How `build-engines` shows what it does: bars on a terminal, one line an engine elsewhere; on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.progress import TaskID

    from fastrestore.export.engines.building import Outcome
    from fastrestore.export.engines.progress import BuildProgress
    from fastrestore.export.engines.request import BuildPlan


_LONGEST_PHASE = 40


class Watching(Protocol):
    """Shows what happens between enter and exit."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def progress(self, place: int, progress: BuildProgress) -> None:
        """Show how far a build is."""
        ...

    def finished(self, place: int, outcome: Outcome) -> None:
        """Show what became of an engine."""
        ...


def watching(plan: BuildPlan) -> Watching:
    """Return what fits standard error; use it in a `with` statement."""
    if plan.missing and sys.stderr.isatty():  # rich takes longer to load than the cache to be looked through
        return Bars(plan)
    return Lines(plan)


class Lines:
    """One line for every engine that is built or fails."""

    def __init__(self, plan: BuildPlan) -> None:
        self._plan, self._count = plan, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def progress(self, place: int, progress: BuildProgress) -> None:
        """Show nothing."""

    def finished(self, place: int, outcome: Outcome) -> None:
        """Print what became of an engine, unless it was there already."""
        self._count += 1
        if outcome.state != "cached":
            label = self._plan.engines[place].label
            print(f"[{self._count}/{len(self._plan.engines)}] {label}: {told(outcome)}", file=sys.stderr, flush=True)


class Bars:
    """A bar for all engines, and one for each that is under way; finished ones scroll away above."""

    def __init__(self, plan: BuildPlan) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._plan, self._count = plan, 0
        self._bars = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figure]:>7}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(file=sys.stderr, highlight=False),
        )
        self._all = self._bars.add_task("engines", total=len(plan.engines), figure="")
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        self._show_count()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def progress(self, place: int, progress: BuildProgress) -> None:
        """Move the engine's bar."""
        label = self._plan.engines[place].label
        if place not in self._tasks:
            self._tasks[place] = self._bars.add_task(label, total=1.0, figure="")
        described = f"{label}: {progress.phase[:_LONGEST_PHASE]}"
        figure = f"{progress.share:.0%}"
        self._bars.update(self._tasks[place], completed=progress.share, description=described, figure=figure)

    def finished(self, place: int, outcome: Outcome) -> None:
        """Take the engine's bar away, and say what became of it unless it was there already."""
        if place in self._tasks:
            self._bars.remove_task(self._tasks.pop(place))
        if outcome.state != "cached":
            self._bars.console.print(f"{self._plan.engines[place].label}: {told(outcome)}", markup=False)
        self._count += 1
        self._show_count()

    def _show_count(self) -> None:
        figure = f"{self._count}/{len(self._plan.engines)}"
        self._bars.update(self._all, completed=self._count, figure=figure)


def told(outcome: Outcome) -> str:
    """Return what became of an engine in a few words."""
    if outcome.entry is None:
        return f"failed: {outcome.problem}"
    proved = "proved" if outcome.entry.proof is not None else "not proved yet"
    return f"{outcome.state} in {outcome.entry.build_s:.1f} s, {outcome.entry.bytes / 1e6:.1f} MB, {proved}"
