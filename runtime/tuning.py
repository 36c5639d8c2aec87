"""What `bench sweep` found to be the fastest way to do a job on this machine, and its use where a user left it open.

Of a way only that is taken which changes neither the picture nor the file's size: what runs the networks, and how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from fastrestore.config import ConvertOptions
from fastrestore.errors import EncodeError, JobError, UsageError
from fastrestore.runtime.cache.choices import Choices
from fastrestore.runtime.cache.folder import default_folder
from fastrestore.runtime.machine import machine, software
from fastrestore.runtime.plan import WorkPlan, needed_bytes
from fastrestore.runtime.stages import unable
from fastrestore.runtime.workfolder import WorkFolder

KIND = "sweep"
"""What is kept is a choice of this kind."""
_MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Way:
    """What is taken of a way that was measured; field by field as in `ConvertOptions`."""

    backend: str
    tile: int | None
    threads: int
    batch: int | None
    streams: int | None

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Self:
        """Return the way of a row of a sweep's result.

        Raises:
            ValueError: If it is none.
        """
        way = cls(*(row.get(name) for name in cls.__slots__))  # type: ignore[arg-type]
        whole = (way.tile, way.batch, way.streams)
        if not isinstance(way.backend, str) or not all(each is None or _within(each, 1) for each in whole):
            raise ValueError(f"no way to convert: {row}")
        if way.backend == "auto" or not _within(way.threads, 0, _MOST_THREADS):
            raise ValueError(f"no way to convert: {row}")
        return way

    @property
    def words(self) -> str:
        """What it chooses beside the backend, in words."""
        tile = "auto" if self.tile is None else f"{self.tile} px"
        said = [f"tile {tile}", f"threads {self.threads or 'all'}"]
        said += [f"{name} {count}" for name, count in (("batch", self.batch), ("streams", self.streams)) if count]
        return ", ".join(said)


def job_facts(plan: WorkPlan, options: ConvertOptions) -> dict[str, object]:
    """Return what a measurement of a conversion holds for, beside the machine and its software."""
    return {
        "source": str(plan.source.size),
        "source_rate": str(plan.source.rate),
        "target": str(plan.size),
        "rate": str(plan.rate),
        "format": plan.format.name,
        "sr": options.sr,
        "vfi": options.vfi,
        "codec": options.encode.codec,
        "crf": options.encode.crf,
        "film": str(options.film) if options.film else "",
        "media": str(options.media),
    }


def facts(job: Mapping[str, object]) -> dict[str, object]:
    """Return the facts under which a sweep's result is kept: this machine, this software, the job."""
    return {"machine": machine(), "software": software(), "job": dict(job)}


def kept_choices() -> Choices:
    """Return where results are kept: with what else was measured to be best here, beside the engines."""
    return Choices(default_folder() / "choices")


def keep(ways: Sequence[Mapping[str, object]], job: Mapping[str, object]) -> None:
    """Keep the ways that a sweep found best; earlier ones for the same facts are replaced.

    Args:
        ways: Rows of its result.
        job: See `job_facts`.

    Raises:
        EngineError: If they cannot be written.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    kept_choices().put(KIND, facts(job), {"made": made, "ways": [dict(row) for row in ways]})


def tuned(plan: WorkPlan, options: ConvertOptions, output: Path) -> ConvertOptions:
    """Return options with the fastest known way in place of what was left open: backend, tile and threads, all three.

    An interrupted run goes on as it was begun, whatever was measured since.

    Args:
        plan: What is to be made.
        options: What it was made from.
        output: The file to be made.
    """
    if not _runs_networks(plan) or _chosen(options):
        return options
    if (begun := _begun(options, output)) is not None:
        return _as_begun(options, begun)
    return _fastest(plan, options) or options


def as_begun(options: ConvertOptions, output: Path) -> ConvertOptions:
    """Return options for whoever may only go on as an interrupted run has begun; see `tuned`."""
    begun = None if _chosen(options) else _begun(options, output)
    return options if begun is None else _as_begun(options, begun)


def _runs_networks(plan: WorkPlan) -> bool:
    return bool(plan.chain) or (plan.motion is not None and not plan.motion.classical)


def _chosen(options: ConvertOptions) -> bool:
    """Whether the user has said in which way to go about it."""
    usual = ConvertOptions()
    return any(getattr(options, name) != getattr(usual, name) for name in Way.__slots__)


def _begun(options: ConvertOptions, output: Path) -> Mapping[str, str] | None:
    """Return by what an interrupted run is known that this one would go on with; None if there is none."""
    if options.restart:
        return None
    try:
        record = WorkFolder(output).journal.read()
    except (EncodeError, JobError):  # the run itself will say so
        return {}
    return record.header.settings if record is not None and record.frames else None


def _as_begun(options: ConvertOptions, settings: Mapping[str, str]) -> ConvertOptions:
    if not settings.get("tuned"):
        return options
    numbers = {name: settings.get(name, "default") for name in ("tile", "batch", "streams", "threads")}
    row = {name: int(word) if word.isdecimal() else None for name, word in numbers.items()}
    try:
        way = Way.parse({**row, "backend": settings.get("backend", "").partition(" ")[0]})
    except ValueError:  # no record of ours: the run itself will refuse to go on with it
        return options
    return replace(options, **asdict(way), tuned=settings["tuned"])


def _fastest(plan: WorkPlan, options: ConvertOptions) -> ConvertOptions | None:
    """Return options with the fastest way that was measured and can be gone; None if there is none."""
    found = kept_choices().get(KIND, facts(job_facts(plan, options)))
    if found is None:
        return None
    for way in _ways(found.get("ways"), options):
        said = f"fastest here by `bench sweep` of {str(found.get('made'))[:10]}: {way.words}"
        asked = replace(options, **asdict(way), tuned=said)
        if _fits(plan, asked) and unable(plan, asked) is None:
            return asked
    return None


def _ways(rows: object, options: ConvertOptions) -> Iterator[Way]:
    """Yield the ways in the order of work that is asked for, the fastest first; those with the same preset before."""
    able: list[tuple[bool, float, Way]] = []
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("plan") != options.plan.value:
            continue
        speed, memory = row.get("fps"), row.get("memory_bytes")
        if not isinstance(speed, int | float) or not isinstance(memory, int):
            continue
        if options.max_memory is not None and memory > options.max_memory:
            continue
        try:
            able.append((row.get("preset") != options.encode.preset, -speed, Way.parse(row)))
        except ValueError:  # written by another version, or by hand
            continue
    return (way for _, _, way in sorted(able, key=lambda each: each[:2]))


def _fits(plan: WorkPlan, options: ConvertOptions) -> bool:
    """Whether the networks can work in such tiles."""
    try:
        needed_bytes(plan, options.tile)
    except UsageError:
        return False
    return True


def _within(value: object, least: int, most: int = 1 << 16) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
