"""Joins the segments of a film into one file with everything that goes along, and proves it before it gets its name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import EncodeError
from fastrestore.runtime.manifest import Manifest, SegmentPromise, stamp_of, times_digest
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.soundtrack import Soundtrack
from fastrestore.runtime.media.survey import Survey, survey
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.tracks import TrackCopier, TrackSummary
from fastrestore.runtime.media.writer import Company, FilmWriter, SegmentFile
from fastrestore.runtime.origin import origin_of
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.verify.findings import Finding, errors
from fastrestore.runtime.verify.verification import check, promise_of, refuse
from fastrestore.version import __version__


@dataclass(frozen=True, slots=True)
class Film:
    """What is to become of the segments."""

    output: Path
    """Its extension chooses the container."""
    track: VideoTrack
    plan: WorkPlan
    options: ConvertOptions
    shift: Fraction
    """Seconds of the source that become 0 in the output."""
    reader: VideoReader | None
    """The file whose other tracks go along, or None."""
    summary: str = ""
    """What was done, in sentences, for its tags."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a finished file holds."""

    frames: int
    tracks: TrackSummary
    settings: Mapping[str, str]
    """How it was made, as its manifest has it."""


def check_company(film: Film) -> None:
    """Open whatever is to go along once, so that hours of work do not end with a soundtrack that cannot be read.

    Raises:
        DecodeError: If it cannot be read.
    """
    _company(film).close()


def join(path: Path, segments: list[SegmentFile], film: Film) -> Joined:
    """Write the finished file and hold it against what was meant.

    Raises:
        EncodeError: If it cannot be written, or does not hold what it should.
        DecodeError: If a track of the source cannot be read.
    """
    with FilmWriter(path, film.output, film.track, film.options.encode, _company(film), comment=film.summary) as writer:
        writer.write(segments)
    base = film.track.time_base
    found = survey(path, seams=[segment.stamps.first * base for segment in segments[1:]])
    manifest = _manifest(found, segments, film, writer.tracks)
    problems = errors(check(found, manifest))
    if len(found.tracks) < writer.track_count:
        problems.append(Finding("tracks", f"{len(found.tracks)} other tracks instead of {writer.track_count}"))
    refuse(problems)
    postscript.append(path, manifest.to_text())
    if postscript.read(path) != manifest.to_text():
        raise EncodeError("the written file does not hold its manifest", "run the command again; check the disk")
    return Joined(sum(len(segment.stamps) for segment in segments), writer.tracks, manifest.settings)


def _company(film: Film) -> Company:
    reader, options = film.reader, film.options
    with ExitStack() as opened:  # what is opened here belongs to the writer once that is made
        copier = soundtrack = None
        if reader is not None:
            copier = TrackCopier(
                reader.path,
                reader.stream_index,
                keep_audio=options.audio is None,
                start=None if options.start is None else film.shift,
                end=options.end,
            )
            opened.callback(copier.close)
        if options.audio is not None:
            soundtrack = Soundtrack(options.audio, film.track.first_pts, options.encode.audio_bit_rate)
        opened.pop_all()
    return Company(copier, soundtrack)


def _manifest(found: Survey, segments: list[SegmentFile], film: Film, tracks: TrackSummary) -> Manifest:
    """Return what the file must hold: the video by the plan and its segments, the other tracks as they were found."""
    plan, base, unit = film.plan, film.track.time_base, found.video.unit
    promise = promise_of(found, rate=plan.rate, settings=_settings(film, tracks), version=__version__)
    video = replace(
        promise.video,
        width=plan.size.width,
        height=plan.size.height,
        layout=plan.format.name,
        matrix=int(plan.colour.matrix),
        primaries=plan.colour.primaries,
        transfer=plan.colour.transfer,
        full_range=plan.colour.full_range,
        times_sha256=times_digest(stamp_of(stamp * base, unit) for segment in segments for stamp in segment.stamps),
    )
    hashes = [segment.payload_sha256 for segment in segments]
    if not find_encoder(film.options.encode).known_payload and len(found.video.runs) == len(segments):
        hashes = [run.sha256 for run in found.video.runs]
    promised = tuple(
        SegmentPromise(len(each.stamps), each.stamps.first * base, each.stamps.last * base, sha256)
        for each, sha256 in zip(segments, hashes, strict=True)
    )
    return replace(promise, video=video, segments=promised)


def _settings(film: Film, tracks: TrackSummary) -> dict[str, str]:
    options = film.options
    bounds = {"start": options.start, "end": options.end}
    return {
        **{name: str(Fraction(time)) for name, time in bounds.items() if time is not None},
        "left_out": "; ".join(tracks.left_out),
        "source": "" if film.reader is None else film.reader.path.name,
        "restore": ", ".join(spec.name for spec in film.plan.chain),
        "motion": film.plan.motion.name if film.plan.motion else "",
        "order": film.plan.order.value,
        "provenance": film.summary,
        "encode": f"{options.encode.codec} {options.encode.crf or ''} {options.encode.preset or ''}".strip(),
        **origin_of(film.plan, options, None if film.reader is None else film.reader.path).words(),
    }
