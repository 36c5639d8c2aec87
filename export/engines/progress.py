"""How far a build is: the builder's nested phases as one share that only grows, and a way to stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from fastrestore.errors import JobCancelledError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far one build is."""

    share: float
    """From 0 to 1. Phases are taken as equally long, which they are not."""
    phase: str
    """What the builder is doing, in its own words."""


OnBuild = Callable[[BuildProgress], bool | None]
"""Told of progress; returning False stops the build."""


class Monitor(Protocol):
    """What `make_monitor` makes; it also is the library's `IProgressMonitor`."""

    def cancel(self) -> None:
        """Have the builder stop at its next step."""
        ...

    def follow(self, work: Future[_T], on_progress: OnBuild | None) -> _T:
        """Wait for a build that runs in another thread, and tell of its progress in this one.

        Whatever is raised meanwhile, by `on_progress` or a signal, stops the build; it has ended when this returns.

        Raises:
            JobCancelledError: If `on_progress` returned False.
        """
        ...


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    inner: float = 0.0
    """Share of the step under way."""

    @property
    def share(self) -> float:
        return min(1.0, (self.done + self.inner) / self.steps)


class PhaseTree:
    """The phases under way, as the builder reports them. Names of phases that are open at the same time differ."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Note that a phase begins, within a step of its parent."""
        self._phases[name] = _Phase(parent if parent in self._phases else None, max(steps, 1))

    def step(self, name: str, index: int) -> float:
        """Note that step `index` of a phase is done, and return the share of the whole."""
        if phase := self._phases.get(name):
            phase.done, phase.inner = index + 1, 0.0
        return self._raised(name)

    def finish(self, name: str) -> float:
        """Note the end of a phase, and return the share of the whole."""
        if phase := self._phases.get(name):
            phase.done, phase.inner = phase.steps, 0.0
        share = self._raised(name)
        self._phases.pop(name, None)
        return share

    def _raised(self, name: str | None) -> float:
        """Carry the share of a phase to the outermost one."""
        while name is not None and (phase := self._phases.get(name)):
            outer = self._phases.get(phase.parent) if phase.parent else None
            if outer is None:
                self._share = max(self._share, phase.share)
            else:
                outer.inner = max(outer.inner, phase.share if phase.share < 1 else 0.999)
            name = phase.parent
        return self._share


def make_monitor(trt: Any) -> Monitor:
    """Return a monitor for one build.

    Args:
        trt: The library.
    """
    monitor: Monitor = _monitor_class(trt)()
    return monitor


@lru_cache(maxsize=4)
def _monitor_class(trt: Any) -> Any:
    """Return the monitor's class: its base is the library's, which may not be imported before it is needed."""

    class FollowedMonitor(trt.IProgressMonitor):  # type: ignore[misc]  # the library is untyped
        # The library calls from threads of its own, and cannot pass an exception on: what it says is only queued there,
        # and told in the thread that waits.
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._tree = PhaseTree()
            self._lock = threading.Lock()
            self._told: queue.SimpleQueue[BuildProgress | None] = queue.SimpleQueue()
            self._cancelled = threading.Event()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self._lock:
                self._told.put(BuildProgress(self._tree.step(phase_name, step), phase_name))
            return not self._cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._told.put(BuildProgress(self._tree.finish(phase_name), phase_name))

        def cancel(self) -> None:
            self._cancelled.set()

        def follow(self, work: Future[_T], on_progress: OnBuild | None) -> _T:
            work.add_done_callback(lambda _: self._told.put(None))
            try:
                while (progress := self._told.get()) is not None:
                    if on_progress is not None and on_progress(progress) is False:
                        raise JobCancelledError("the build was stopped")
                return work.result()
            finally:
                self.cancel()

    return FollowedMonitor
