"""The threads of a pipeline's stages."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

from fastrestore.runtime.report import StageClock

T = TypeVar("T")
P = ParamSpec("P")


class _TracedExecutor(ThreadPoolExecutor):
    """Tells the clock how much work lies before a stage."""

    def __init__(self, clock: StageClock, stage: str, workers: int) -> None:
        super().__init__(workers, thread_name_prefix=f"fastrestore-{stage}")
        self._clock, self._stage = clock, stage

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._clock.queued(self._stage, 1)
        future = super().submit(work, *args, **kwargs)
        future.add_done_callback(lambda _: self._clock.queued(self._stage, -1))
        return future


def open_executor(stack: ExitStack, clock: StageClock, stage: str, workers: int) -> ThreadPoolExecutor:
    """Return the threads of a stage, which end with the stack."""
    if clock.traces:
        executor: ThreadPoolExecutor = _TracedExecutor(clock, stage, workers)
    else:
        executor = ThreadPoolExecutor(workers, thread_name_prefix=f"fastrestore-{stage}")
    # On the way out nothing that has not begun is begun, and what has begun is waited for.
    stack.callback(executor.shutdown, wait=True, cancel_futures=True)
    return executor
