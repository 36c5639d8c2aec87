"""Films of a few seconds, the one-process run that all others are held against, and a fleet without processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue

from tests.faults.bench import Film
from tests.media_samples import write_clip

from fastrestore.api import open_source, plan_job
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Spans, Target
from fastrestore.errors import FastRestoreError
from fastrestore.geometry import Size
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.fleet.order import Advanced, Assignment, Failed, Failure, Lost, Message, Order, Wanting
from fastrestore.runtime.fleet.worker import SegmentWorker
from fastrestore.runtime.media.watchdog import Watchdog
from fastrestore.runtime.report import OnProgress, RunReport

SHORT = Spans(Fraction(1), Fraction(2))
QUICK = ConvertOptions(
    to=Target.parse("x1"), fps=RateTarget.parse("16"), encode=EncodeOptions(preset="ultrafast"), spans=SHORT
)
"""Settings of a conversion that takes next to no time and makes a handful of segments of any of these films."""
_RATE, _SECONDS = 8, 8


def film(path: Path, seconds: int = _SECONDS) -> Path:
    """Write a film of some shots."""
    video = Film(seconds * _RATE, size=Size(64, 48), rate=Fraction(_RATE), options={"preset": "ultrafast", "g": "12"})
    return write_clip(path, video)


def faulty_film(path: Path) -> Path:
    """Write a film with a frame, in its second half, that is coded with errors."""
    video = Film(_SECONDS * _RATE, codec="ffv1", size=Size(64, 48), rate=Fraction(_RATE))
    video.options = {"level": "3", "slicecrc": "1", "g": "1"}
    content = bytearray(write_clip(path, video).read_bytes())
    content[round(len(content) * 0.62)] ^= 0xFF
    path.write_bytes(content)
    return path


def convert(
    source: Path,
    output: Path,
    options: ConvertOptions = QUICK,
    crew: Crew | None = None,
    on_progress: OnProgress | None = None,
) -> RunReport:
    """Convert a file, with workers or without."""
    with open_source(source, options) as reader:
        return replace(plan_job(reader, output, options), crew=crew).run(on_progress)


@dataclass(frozen=True)
class Fate:
    """What happens to a worker instead of its work."""

    lost: str = ""
    error: FastRestoreError | None = None
    hangs: bool = False


Fates = Callable[[str, Assignment], Fate | None]


class OwnFleet:
    """Workers that do at once, in the thread that tells them, what they are told.

    Args:
        size: How many.
        fates: Says what happens to a worker that is given a segment, if anything does.
        opening: Says what happens to one that is given a film.
    """

    def __init__(
        self,
        size: int = 2,
        fates: Fates = lambda worker, assignment: None,
        opening: Callable[[str, Order], Fate | None] = lambda worker, order: None,
    ) -> None:
        self.places, self._fates, self._opening = size, fates, opening
        self._refused = 0
        self.reports: SimpleQueue[tuple[str, object]] = SimpleQueue()
        self.told: list[tuple[str, Message]] = []
        self._hired: dict[str, ExitStack] = {}
        self._workers: dict[str, SegmentWorker] = {}
        self._count = 0
        self._pool = EnginePool()

    @property
    def workers(self) -> tuple[str, ...]:
        """Those there are."""
        return tuple(self._hired)

    patience_s = 0.0

    description = "those that do at once what they are told"

    @property
    def beside(self) -> int:
        """How many of them share this machine's memory."""
        return self.places

    @property
    def size(self) -> int:
        """How many workers there should be now."""
        return self.places - self._refused

    def begin(self) -> None:
        """Forget what was refused."""
        self._refused = 0

    def refuse(self, worker: str) -> None:
        """End a worker, and have none in its place."""
        self._refused += 1
        self.dismiss(worker)

    def hire(self) -> str:
        """Return a new worker's name."""
        self._count += 1
        name = f"w{self._count}.0.{self._count}"
        self._hired[name] = ExitStack()
        return name

    def send(self, worker: str, message: Message) -> None:
        """Have a worker do something."""
        self.told.append((worker, message))
        if isinstance(message, Order):
            self._open(worker, message)
        elif isinstance(message, Assignment):
            self._make(worker, message)

    def dismiss(self, worker: str, *, lost: bool = False) -> None:
        """End a worker."""
        if worker in self._hired:
            self._hired.pop(worker).close()

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            self.dismiss(worker)

    def __enter__(self) -> OwnFleet:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self, worker: str, order: Order) -> None:
        if self._befalls(worker, order.film, None, self._opening(worker, order)):
            return
        hired = SegmentWorker(order, self._pool, 1, Watchdog())
        try:
            self._workers[worker] = self._hired[worker].enter_context(hired)
        except FastRestoreError as error:
            self.reports.put((worker, Failed(order.film, None, Failure.of(error))))
            return
        self.reports.put((worker, self.facts(worker, hired)))
        self.reports.put((worker, Wanting(order.film)))

    def facts(self, worker: str, hired: SegmentWorker) -> object:
        """Return what a worker says of a film that it has opened."""
        return hired.facts

    def _make(self, worker: str, assignment: Assignment) -> None:
        film, number = assignment.film, assignment.number
        if self._befalls(worker, film, number, self._fates(worker, assignment)):
            return
        try:
            draft = self._workers[worker].encode(assignment, lambda: None)
            self.reports.put((worker, Advanced(film, number, len(draft.encoded.stamps))))
            self.reports.put((worker, Wanting(film)))
            self.reports.put((worker, self._workers[worker].prove(draft)))
        except FastRestoreError as error:
            self.reports.put((worker, Failed(film, number, Failure.of(error))))
            self.reports.put((worker, Wanting(film)))

    def _befalls(self, worker: str, film: int, number: int | None, fate: Fate | None) -> bool:
        if fate is None:
            return False
        if fate.lost:
            self.reports.put((worker, Lost(fate.lost)))
        elif fate.error is not None:
            self.reports.put((worker, Failed(film, number, Failure.of(fate.error))))
            self.reports.put((worker, Wanting(film)))
        return True
