"""The Python interface: open a video, build a pipeline from stages, iterate frames or write a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fastrestore.config import ConvertOptions, EncodeOptions, OnError, Plan, RateTarget, Target
from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import Frame, StreamInfo
from fastrestore.runtime.job import Job
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.watchdog import Watchdog
from fastrestore.runtime.plan import make_plan
from fastrestore.runtime.report import Looking, OnProgress, RunReport
from fastrestore.runtime.source import Source
from fastrestore.runtime.stages import open_stages
from fastrestore.runtime.treatments.film_work import treated_info
from fastrestore.runtime.workfolder import folder_for

if TYPE_CHECKING:
    from fastrestore.runtime.cache.entry import CachedEngine

FrameSource: TypeAlias = VideoReader | Iterable[Frame]
"""What a pipeline reads: an open video, or any iterable of frames with rising timestamps."""


@dataclass(frozen=True, slots=True)
class Restore:
    """The restoration stage.

    Args:
        to: Target size: `4k`, `1440p`, `1080p`, `WxH` or `xN`.
        model: A network, or a family of which the factor chooses one.
        backend: What runs it; `auto` takes the first that can.
        tile: Side of a tile in source pixels, or None to choose it from memory.
        threads: Threads for the network; 0 uses every core.
    """

    to: str = "4k"
    model: str = "film"
    backend: str = "auto"
    tile: int | None = None
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Interpolate:
    """The interpolation stage.

    Args:
        fps: Frames a second: a number, `60000/1001`, `xN`, or `source` for the source's own instants.
        model: The motion model.
        keep_holds: Show held duplicates where the source does, instead of spreading motion evenly.
    """

    fps: str | int | Fraction = "60"
    model: str = "dis"
    keep_holds: bool = False


class Pipeline:
    """Restoration and interpolation, ready to be applied to sources.

    Args:
        restore: The restoration stage; None leaves the size alone.
        interpolate: The interpolation stage; None leaves the instants alone.
        plan: Order of work: `guided`, `upscale-first` or `interpolate-first`.

    Raises:
        UsageError: If a setting is not understood.
    """

    def __init__(
        self,
        restore: Restore | None = None,
        interpolate: Interpolate | None = None,
        *,
        plan: str | Plan = Plan.GUIDED,
    ) -> None:
        size = Target.parse(restore.to if restore else "x1")
        rate = RateTarget.parse(str(interpolate.fps) if interpolate else "source")
        restore, interpolate = restore or Restore(), interpolate or Interpolate()
        self.options = ConvertOptions(
            to=size,
            fps=rate,
            sr=restore.model,
            vfi=interpolate.model,
            backend=restore.backend,
            plan=parse_plan(plan),
            tile=restore.tile,
            keep_holds=interpolate.keep_holds,
            threads=restore.threads,
        )

    def frames(self, source: FrameSource) -> Iterator[Frame]:
        """Yield finished frames, in order. Closing the iterator stops all work.

        Raises:
            FastRestoreError: If a stage fails.
        """
        job = plan_job(source, "", self.options)
        with open_stages(job.plan, job.options) as (stages, _):
            yield from job.pipeline(stages)

    def write(
        self,
        source: FrameSource,
        path: str | Path,
        *,
        encode: EncodeOptions | None = None,
        audio: str | Path | None = None,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> RunReport:
        """Write a file: complete under its name, or not there at all.

        Args:
            source: What to read. A video's other tracks go along.
            path: File to write; its extension chooses the container.
            encode: Encoder settings.
            audio: A new soundtrack.
            overwrite: Replace an existing file, once the new one is complete.
            on_progress: Called after every output frame.

        Raises:
            FastRestoreError: If anything fails.
        """
        options = replace(
            self.options,
            encode=encode or EncodeOptions(),
            audio=None if audio is None else Path(audio),
            overwrite=overwrite,
        )
        return plan_job(source, path, options).tuned().run(on_progress)


def open_video(
    path: str | Path,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    on_error: OnError = OnError.REPAIR,
    max_memory: int | None = None,
    watchdog: Watchdog | None = None,
) -> VideoReader:
    """Open a video file for reading. Use it in a `with` statement.

    Args:
        path: The file.
        start: Seconds on the file's own clock; earlier frames are left out.
        end: Seconds; frames at or after it are left out.
        on_error: What to do about faults in the file.
        max_memory: Bytes that reading may need by the file's header, or None.
        watchdog: Watches over calls that might never come back, or None.

    Raises:
        DecodeError: If it cannot be read or holds no video.
    """
    return VideoReader(path, start=start, end=end, on_error=on_error, max_memory=max_memory, watchdog=watchdog)


def convert(
    source: str | Path,
    output: str | Path,
    options: ConvertOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> RunReport:
    """Convert a file: 4K at 60 frames a second, unless `options` say otherwise.

    Raises:
        FastRestoreError: If anything fails; then there is no file under the output's name.
    """
    options = options or ConvertOptions()
    with open_source(source, options) as reader:
        return plan_job(reader, output, options).tuned().run(on_progress)


def open_source(source: str | Path, options: ConvertOptions, watchdog: Watchdog | None = None) -> VideoReader:
    """Open a video file as a conversion's options ask for.

    Raises:
        DecodeError: If it cannot be read, holds no video, or is beyond the limits.
    """
    return open_video(
        source,
        start=options.start,
        end=options.end,
        on_error=options.on_error,
        max_memory=options.max_memory,
        watchdog=watchdog,
    )


def plan_job(
    source: FrameSource, output: str | Path, options: ConvertOptions, *, on_progress: OnProgress | None = None
) -> Job:
    """Decide what a conversion will do, without doing it.

    Args:
        source: The film.
        output: The file to be made.
        options: What is asked for.
        on_progress: Called while the whole film is looked at, where fields or repeated frames are to be seen to.

    Raises:
        UsageError: If an option cannot be met with this source.
    """
    folder = folder_for(Path(output)) if options.film else None
    opened = _opened(source, options, folder, on_progress)
    if isinstance(source, VideoReader) and (options.start, options.end) != (source.start, source.end):
        options = replace(options, start=source.start, end=source.end)
    info = treated_info(opened.info, options.film)
    return Job(opened, Path(output), make_plan(info, options), options)


def build_engines(
    models: Sequence[str] = (),
    *,
    backend: str = "auto",
    devices: Sequence[str] = (),
    profiles: Sequence[str] = (),
    sizes: Sequence[str] = (),
    precision: str | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> list[CachedEngine]:
    """Build the engines that conversions on an NVIDIA card need, or find them in the cache.

    Args:
        models: Names of models or families; none means every network there is.
        backend: `tensorrt`, `tensorrt-rtx`, or `auto`: the first of them that is installed.
        devices: Places of cards (`0`), architectures (`sm_89`), or `all`; none means every card of this machine.
        profiles: Classes of sizes (`tile`, `sd`, `hd`, `fhd`, `uhd`); none and no `sizes` mean the usual ones.
        sizes: Exact sizes besides, `1920x1080`.
        precision: `fp16` or `fp32`; None takes fp16 where a model has it.
        on_progress: Called with the engine that is being built, in words, and how far it is, from 0 to 1.

    Raises:
        EngineBuildError: If one could not be built; the others are in the cache all the same.
        FastRestoreError: If a name is not understood, the library is not installed, or the cache cannot be used.
    """
    from fastrestore.export.engines.plan import Wish
    from fastrestore.export.engines.request import BuildRequest, Listener, carry_out, make_plan, require_all
    from fastrestore.runtime.cache.engines import EngineCache
    from fastrestore.runtime.profiles import parse_size

    wish = Wish(tuple(models), tuple(profiles), tuple(map(parse_size, sizes)), precision)
    with EngineCache() as cache:
        plan = make_plan(BuildRequest(wish, backend, tuple(devices)), cache)
        outcomes = carry_out(plan, cache, Listener(plan, on_progress))
        require_all(plan, outcomes)
    return [outcome.entry for outcome in outcomes if outcome.entry is not None]


def parse_plan(plan: str | Plan) -> Plan:
    """Return the plan of that name.

    Raises:
        UsageError: If there is none.
    """
    try:
        return Plan(plan)
    except ValueError as error:
        raise UsageError(f"unknown plan `{plan}`", f"known: {', '.join(p.value for p in Plan)}") from error


def _opened(
    source: FrameSource, options: ConvertOptions, folder: Path | None, on_progress: OnProgress | None = None
) -> Source:
    if isinstance(source, VideoReader):
        looking = None if on_progress is None else Looking(source.info.frame_count, on_progress).saw
        return Source.of_file(source, options.film, folder, looking)
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise DecodeError("the source has no frame", "give at least one frame")
    picture = first.picture
    second = next(frames, None)
    rate = 1 / (second.pts - first.pts) if second is not None and second.pts > first.pts else None
    head = [first] if second is None else [first, second]
    info = StreamInfo(picture.size, picture.format, picture.colour, rate, time_base=_clock(rate))
    return Source(_checked(chain(head, frames), info), info, first.pts)


def _checked(frames: Iterable[Frame], info: StreamInfo) -> Iterator[Frame]:
    """Yield frames that come from outside, as long as they are what a source may be."""
    previous: Fraction | None = None
    for frame in frames:
        picture = frame.picture
        if (picture.size, picture.format) != (info.size, info.format):
            raise DecodeError(
                f"the source changes from {info.size} {info.format.name} to {picture.size} {picture.format.name}",
                "give frames of one size and layout",
            )
        if previous is not None and frame.pts <= previous:
            raise DecodeError(
                f"the source goes from {float(previous):.6f} s to {float(frame.pts):.6f} s",
                "give frames with rising timestamps",
            )
        previous = frame.pts
        yield frame


def _clock(rate: Fraction | None) -> Fraction:
    """Return a unit of time for frames that come without one: fine enough for any sensible source."""
    return Fraction(1, 90000) if rate is None else 1 / (rate * 1000)
