"""Holds what a file contains against what it promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from fastrestore.errors import EncodeError
from fastrestore.runtime.manifest import (
    Manifest,
    SegmentPromise,
    TrackPromise,
    VideoPromise,
    stamp_of,
    times_digest,
)
from fastrestore.runtime.media.survey import Survey, TrackSurvey, VideoSurvey, manifest_text, survey
from fastrestore.runtime.verify.findings import Finding, at, errors, off, warning

_UNSPECIFIED = 2
_MOST_TOLD = 8
"""Findings in one error message; a broken file can have thousands."""


def require_whole(path: Path, manifest: Manifest) -> None:
    """Check a written file before it gets its name: every packet is read, nothing is decoded.

    Raises:
        EncodeError: If it lacks anything that the manifest promises, or the manifest itself.
        DecodeError: If it cannot be opened or holds no video.
    """
    found = survey(path, seams=manifest.seams)
    problems = errors(check(found, manifest))
    if manifest_text(path) != manifest.to_text():
        problems.append(Finding("manifest", "its own manifest is missing or differs"))
    refuse(problems)


def refuse(problems: Sequence[Finding]) -> None:
    """Raise what was found in a written file, if anything was.

    Raises:
        EncodeError: With the first of them in words.
    """
    if problems:
        told = [problem.message for problem in problems[:_MOST_TOLD]]
        if len(problems) > _MOST_TOLD:
            told.append(f"{len(problems) - _MOST_TOLD} more")
        raise EncodeError(
            f"the written file does not hold what it should: {'; '.join(told)}",
            "this is a fault of fastrestore: please report it with the command",
        )


def promise_of(
    found: Survey,
    *,
    rate: Fraction | None = None,
    settings: Mapping[str, str] | None = None,
    version: str = "",
) -> Manifest:
    """Return a manifest that promises exactly what a file holds; each run of the survey becomes a segment.

    Args:
        found: A survey of a file that is known to be good.
        rate: Steady frames a second of its video, or None.
        settings: How it was made, in words.
        version: Of fastrestore.
    """
    video = found.video
    segments = [
        SegmentPromise(run.packets, run.first, run.last, run.sha256)
        for run in video.runs
        if run.first is not None and run.last is not None
    ]
    return Manifest(
        VideoPromise(
            width=video.width,
            height=video.height,
            layout=video.layout,
            matrix=video.colour.matrix,
            primaries=video.colour.primaries,
            transfer=video.colour.transfer,
            full_range=video.colour.full_range,
            rate=rate,
            unit=video.unit,
            times_sha256=times_digest(video.stamps),
            codec=video.codec,
            pixel_aspect=video.pixel_aspect,
            rotation=video.rotation,
        ),
        tuple(segments),
        tuple(promise_of_track(track) for track in found.tracks),
        found.chapters,
        dict(settings or {}),
        version,
    )


def promise_of_track(track: TrackSurvey) -> TrackPromise:
    """Return a promise of exactly what a track holds."""
    return TrackPromise(track.kind, track.codec, track.language, track.packets, track.first, track.last, track.sha256)


def check(found: Survey, manifest: Manifest) -> list[Finding]:
    """Return everything in which a file differs from its manifest.

    Args:
        found: A survey made with the manifest's `seams`.
        manifest: What was promised.
    """
    return [
        *soundness(found),
        *_tags(found.video, manifest.video),
        *_frames(found.video, manifest),
        *_segments(found.video, manifest.segments),
        *_times(found.video, manifest),
        *_tracks(found, manifest),
        *_chapters(found, manifest),
    ]


def soundness(found: Survey) -> Iterator[Finding]:
    """Yield what is wrong with a file whatever it was meant to be."""
    if found.damage:
        yield Finding("unreadable", found.damage)
    if found.missing_bytes:
        yield Finding("cut-off", f"{found.missing_bytes} bytes are missing at its end")
    for time in found.corrupt:
        yield Finding("corrupt-packet", f"a packet at {at(time or Fraction(0))} is marked as damaged", time)
    video = found.video
    if video.untimed:
        yield Finding("untimed", f"{video.untimed} frames have no timestamp")
    doubled = [a for a, b in pairwise(video.stamps) if a == b]
    if doubled:
        first = doubled[0] * video.unit
        yield Finding(
            "doubled-time", f"two frames with one timestamp, {len(doubled)} times, first at {at(first)}", first
        )


def _tags(video: VideoSurvey, wanted: VideoPromise) -> Iterator[Finding]:
    size, promised = f"{video.width}x{video.height}", f"{wanted.width}x{wanted.height}"
    if size != promised:
        yield Finding("size", f"the picture has {size} pixels instead of {promised}")
    if video.layout != wanted.layout:
        yield Finding("layout", f"the samples are {video.layout or 'unknown'} instead of {wanted.layout}")
    if wanted.codec and video.codec != wanted.codec:
        yield Finding("codec", f"the video is {video.codec} instead of {wanted.codec}")
    for name in ("matrix", "primaries", "transfer"):
        promise, stream, container = (getattr(each, name) for each in (wanted, video.colour, video.container_colour))
        if stream != promise:
            yield Finding(name, f"the colour {name} is tagged {stream} instead of {promise} (ITU-T H.273)")
        elif container not in (_UNSPECIFIED, promise):
            yield Finding(name, f"the container tags the colour {name} {container} instead of {promise} (ITU-T H.273)")
    if video.colour.full_range != wanted.full_range:
        words = {True: "full", False: "limited"}
        yield Finding("range", f"the range is {words[video.colour.full_range]} instead of {words[wanted.full_range]}")
    if wanted.pixel_aspect is not None and video.pixel_aspect != wanted.pixel_aspect:
        yield Finding("pixel-aspect", f"a pixel is {video.pixel_aspect} wide instead of {wanted.pixel_aspect}")
    if wanted.rotation is not None and (video.rotation - wanted.rotation) % 360:
        yield Finding("rotation", f"the picture is turned by {video.rotation} degrees instead of {wanted.rotation}")


def _frames(video: VideoSurvey, manifest: Manifest) -> Iterator[Finding]:
    if video.packets != manifest.frames:
        yield Finding("frame-count", f"{video.packets} frames instead of {manifest.frames}")


def _segments(video: VideoSurvey, segments: Sequence[SegmentPromise]) -> Iterator[Finding]:
    if len(video.runs) != len(segments):
        yield Finding("segments", f"{len(video.runs)} segments instead of {len(segments)}")
        return
    for number, (run, wanted) in enumerate(zip(video.runs, segments, strict=True), 1):
        where = f"segment {number} of {len(segments)}, {at(wanted.first)} to {at(wanted.last)}"
        if run.packets != wanted.frames:
            yield Finding("segment-frames", f"{where}: {run.packets} frames instead of {wanted.frames}", wanted.first)
        elif run.sha256 != wanted.sha256:
            short = f"{run.sha256[:12]} instead of {wanted.sha256[:12]}"
            yield Finding("segment-hash", f"{where}: its content differs (sha256 {short})", wanted.first)


def _times(video: VideoSurvey, manifest: Manifest) -> Iterator[Finding]:
    promise = manifest.video
    if promise.unit == video.unit and times_digest(video.stamps) == promise.times_sha256:
        return
    if promise.rate is not None and manifest.segments:
        yield from _against_rate(video, manifest.segments[0].first, promise.rate, manifest.frames)
    elif promise.unit != video.unit:
        yield warning("clock", f"the clock is {video.unit} s instead of {promise.unit} s: times are checked to a tick")
        yield from _against_segments(video, manifest.segments, max(video.unit, promise.unit))
    else:
        found = list(_against_segments(video, manifest.segments, Fraction(0)))
        yield from found or [Finding("times", "the frames' timestamps differ from those promised (by their sha256)")]


def _against_rate(video: VideoSurvey, first: Fraction, rate: Fraction, frames: int) -> Iterator[Finding]:
    if frames > 2 * len(video.stamps) + 1000:
        return  # most of it is missing, which has been said; the promised number is not to be trusted with memory
    unit = video.unit
    wanted = [stamp_of(first + k / rate, unit) for k in range(frames)]
    if len(wanted) == len(video.stamps):
        yield from _moved(video, wanted)
        return
    missing, extra = Counter(wanted), Counter(video.stamps)
    missing, extra = missing - extra, extra - missing
    for code, times, words in (("frame-missing", missing, "is missing"), ("frame-extra", extra, "is one too many")):
        if times:
            begin = min(times) * unit
            others = f", with {times.total() - 1} others" if times.total() > 1 else ""
            yield Finding(code, f"the frame at {at(begin)} {words}{others}", begin)


def _moved(video: VideoSurvey, wanted: Sequence[int]) -> Iterator[Finding]:
    moved = [
        (k, found - want) for k, (found, want) in enumerate(zip(video.stamps, wanted, strict=True)) if found != want
    ]
    if not moved:
        return
    unit = video.unit
    number, ticks = moved[0]
    if len(moved) == len(wanted) and len({each for _, each in moved}) == 1:
        words = f"all frames are {off(ticks * unit)} ({ticks:+d} of {unit} s)"
    else:
        seen, meant = video.stamps[number], wanted[number]
        words = (
            f"frame {number} has timestamp {seen} instead of {meant} (of {unit} s), and {len(moved) - 1} others differ"
        )
    yield Finding("times", words, wanted[number] * unit)


def _against_segments(video: VideoSurvey, segments: Sequence[SegmentPromise], tolerance: Fraction) -> Iterator[Finding]:
    for number, (run, wanted) in enumerate(zip(video.runs, segments, strict=False), 1):
        for word, seen, meant in (("begins", run.first, wanted.first), ("ends", run.last, wanted.last)):
            if seen is not None and abs(seen - meant) > tolerance + video.unit / 2:
                yield Finding("times", f"segment {number} {word} at {at(seen)} instead of {at(meant)}", meant)


def _tracks(found: Survey, manifest: Manifest) -> Iterator[Finding]:
    pairs, extra = match_tracks(manifest.tracks, found.tracks)
    for number, (wanted, track) in enumerate(pairs, 1):
        if track is None:
            words = " ".join(word for word in (wanted.kind, wanted.codec, wanted.language) if word)
            yield Finding("track-missing", f"track {number} of {len(pairs)} beside the video is missing: {words}")
        else:
            yield from _track(track, wanted)
    for track in extra:
        yield warning("track-extra", f"{track.label} was not promised")


def _track(track: TrackSurvey, wanted: TrackPromise) -> Iterator[Finding]:
    if track.language != wanted.language:
        seen, meant = track.language or "none", wanted.language or "none"
        yield warning("track-language", f"{track.label}: its language is {seen} instead of {meant}")
    if track.packets != wanted.packets:
        yield Finding("track-packets", f"{track.label}: {track.packets} packets instead of {wanted.packets}")
    elif wanted.sha256 and track.sha256 != wanted.sha256:
        yield Finding("track-content", f"{track.label}: its content differs")
    for word, now, then in (("begins", track.first, wanted.first), ("ends", track.last, wanted.last)):
        if now is not None and then is not None and abs(now - then) > track.unit:
            text = f"{track.label} {word} {off(now - then)}: at {at(now)} instead of {at(then)}"
            yield Finding("track-times", text, then)


def match_tracks(
    wanted: Sequence[TrackPromise], tracks: Sequence[TrackSurvey]
) -> tuple[list[tuple[TrackPromise, TrackSurvey | None]], list[TrackSurvey]]:
    """Pair promises with the tracks that keep them, and return the tracks that are left.

    Tracks of one kind and codec are told apart by language, and then by their order.
    """
    left = list(tracks)
    chosen: dict[int, TrackSurvey] = {}
    for same_language in (True, False):
        for number, promise in enumerate(wanted):
            if number in chosen:
                continue
            for track in left:
                alike = (track.kind, track.codec) == (promise.kind, promise.codec)
                if alike and (track.language == promise.language or not same_language):
                    chosen[number] = track
                    left.remove(track)
                    break
    return [(promise, chosen.get(number)) for number, promise in enumerate(wanted)], left


def _chapters(found: Survey, manifest: Manifest) -> Iterator[Finding]:
    if found.chapters != manifest.chapters:
        yield Finding("chapters", f"{found.chapters} chapters instead of {manifest.chapters}")
