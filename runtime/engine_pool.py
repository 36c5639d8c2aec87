"""Engines that outlive the run they were opened for: the next run that needs the very same ones takes them over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self, TypeAlias

from fastrestore.errors import MediaError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import BackendChoice, BuiltAhead, Engine, choose_backend

Networks: TypeAlias = Sequence[tuple[ModelSpec, Size]]
"""Networks, each once, with the largest picture that each is given."""
_Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class EngineSet:
    """All the engines of a run, opened by one backend of their own.

    A backend tells by what its engines are known (`BackendChoice.identity`). One that had opened others besides would
    name them too, and a run would not be the same as one that opened its engines itself.
    """

    choice: BackendChoice
    engines: dict[str, Engine]
    """By the model's name."""

    def close(self) -> None:
        """Close them all. Twice is fine."""
        with ExitStack() as stack:  # one that fails to close keeps none of the others open
            for engine in self.engines.values():
                stack.callback(engine.close)


class EnginePool:
    """Lends sets of engines, each to one run at a time, and keeps some of them open in between.

    Safe to use from several threads. Use it in a `with` statement.

    Args:
        most_idle: Sets kept that nobody uses; of more, the one that was used least recently is closed.
    """

    def __init__(self, most_idle: int = 2) -> None:
        self._most_idle = most_idle
        self._lock = threading.Lock()
        self._idle: list[tuple[_Key, EngineSet]] = []
        """The most recently used last."""
        self._lent = 0
        self._closed = False
        self.opened = 0
        """Engines opened so far."""

    @property
    def shared(self) -> bool:
        """Whether more than one set is lent at present: their users share the device's memory."""
        with self._lock:
            return self._lent > 1

    @contextmanager
    def lend(self, backend: str, networks: Networks, threads: int) -> Iterator[EngineSet]:
        """Lend engines; see `open_engines`. Where the run fails they are closed: they may be what failed.

        Raises:
            FastRestoreError: As for `open_engines`.
        """
        choice = choose_backend(backend, networks)
        key = _key(choice, networks, threads)
        with self._counted():
            engines = self._taken(key)
            if engines is None:
                engines = open_engines(choice, networks, threads)
                with self._lock:
                    self.opened += len(engines.engines)
            try:
                yield engines
            except MediaError:  # a file's fault, not theirs
                self._give_back(key, engines)
                raise
            except BaseException:
                engines.close()
                raise
            self._give_back(key, engines)

    def close_idle(self) -> None:
        """Close what nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        _close(idle)

    def close(self) -> None:
        """Close what nobody uses, and from now on whatever is given back. Twice is fine."""
        with self._lock:
            self._closed = True
        self.close_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._lent += 1
        try:
            yield
        finally:
            with self._lock:
                self._lent -= 1

    def _taken(self, key: _Key) -> EngineSet | None:
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    return self._idle.pop(index)[1]
        return None

    def _give_back(self, key: _Key, engines: EngineSet) -> None:
        with self._lock:
            self._idle.append((key, engines))
            keep = 0 if self._closed else self._most_idle
            surplus, self._idle = self._idle[: len(self._idle) - keep], self._idle[len(self._idle) - keep :]
        _close(surplus)


def open_engines(choice: BackendChoice, networks: Networks, threads: int) -> EngineSet:
    """Open networks; if one fails, the others are closed.

    Args:
        choice: The backend.
        networks: What to open.
        threads: Threads that each may use on a CPU; 0 uses every core.

    Raises:
        EngineError: If one cannot be loaded.
        ModelError: If the file of one is missing or damaged.
    """
    with ExitStack() as stack:
        engines = {
            spec.name: stack.enter_context(choice.backend.open(spec, threads=threads, size=size))
            for spec, size in networks
        }
        stack.pop_all()
    return EngineSet(choice, engines)


def _key(choice: BackendChoice, networks: Networks, threads: int) -> _Key:
    """Return what a set depends on. Engines built ahead take a range of sizes; others take any."""
    sized = isinstance(choice.backend, BuiltAhead)
    wanted = tuple(
        (spec.name, tuple(sorted(artifact.sha256 for artifact in spec.artifacts.values())), size if sized else None)
        for spec, size in networks
    )
    return choice.backend.name, threads, wanted


def _close(sets: Sequence[tuple[_Key, EngineSet]]) -> None:
    with ExitStack() as stack:
        for _, engines in sets:
            stack.callback(engines.close)
