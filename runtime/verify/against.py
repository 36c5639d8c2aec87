"""Holds a finished file against its source: all of it is there, in step, for as long."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from fastrestore.runtime.manifest import Manifest
from fastrestore.runtime.media.survey import Survey, TrackSurvey, VideoSurvey
from fastrestore.runtime.verify.findings import Finding, at, off, warning
from fastrestore.runtime.verify.verification import match_tracks, promise_of_track

IN_STEP_S = Fraction(1, 500)
"""How far a copied track may be from where it was: two ticks of a Matroska clock, in seconds."""
_USUAL_STEP_S = Fraction(1, 25)


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a source that a file was made from."""

    first: Fraction
    """Seconds of its first frame on the source's clock."""
    end: Fraction
    """Seconds at which its last frame ends."""
    stamps: tuple[int, int]
    """Numbers of its first frame and of the first frame after it."""
    shift: Fraction
    """Seconds of the source that are 0 in the file: with a `start` that is its first frame, else times are kept."""
    whole: bool
    """Whether it is all of the source."""


def span_of(source: VideoSurvey, manifest: Manifest | None) -> Span | None:
    """Return what of a source was converted, or None if it has no frame there."""
    start, end = (None, None) if manifest is None else (manifest.start, manifest.end)
    times = source.stamps
    begin = 0 if start is None else _first_from(source, start)
    stop = len(times) if end is None else _first_from(source, end)
    if begin >= stop:
        return None
    last = source.seconds(stop - 1)
    if stop < len(times):
        step = source.seconds(stop) - last
    else:
        before = last - source.seconds(stop - 2) if stop > 1 else _USUAL_STEP_S
        step = source.last_duration or before
    first = source.seconds(begin)
    return Span(
        first=first,
        end=last + step if end is None else min(last + step, end),
        stamps=(begin, stop),
        shift=Fraction(0) if start is None else first,
        whole=start is None and end is None,
    )


def _first_from(source: VideoSurvey, time: Fraction) -> int:
    return bisect_left(source.stamps, math.ceil(time / source.unit))


def same_film(film: VideoSurvey, source: VideoSurvey, manifest: Manifest | None) -> Iterator[Finding]:
    """Yield in what a file's frames differ from those that its source calls for."""
    if source.untimed or any(a == b for a, b in pairwise(source.stamps)):
        yield warning(
            "unchecked", "the source has missing or doubled timestamps: how many frames it makes was not checked"
        )
        return
    span = span_of(source, manifest)
    if span is None:
        yield Finding("source-range", "the source has no frame in the range that the file was made from")
        return
    if not film.stamps:
        yield Finding("duration", f"there is no frame, and the source lasts {at(span.end - span.first)}")
        return
    begin = span.first - span.shift
    if abs(film.seconds(0) - begin) > film.unit:
        yield Finding("start", f"the first frame is at {at(film.seconds(0))} instead of {at(begin)}", begin)
    if manifest is None:
        yield from _same_length(film, span)
    elif manifest.video.rate is not None:
        yield from _same_count(film, span, manifest.video.rate)
    else:
        yield from _same_instants(film, source, span)


def _same_count(film: VideoSurvey, span: Span, rate: Fraction) -> Iterator[Finding]:
    wanted = math.ceil((span.end - span.first) * rate)
    if film.packets != wanted:
        length = f"{at(span.end - span.first)} of source at {float(rate):.3f} frames a second"
        yield Finding("source-frames", f"{film.packets} frames instead of {wanted}: {length}")


def _same_length(film: VideoSurvey, span: Span) -> Iterator[Finding]:
    step = film.seconds(1) - film.seconds(0) if len(film.stamps) > 1 else Fraction(0)
    length, wanted = film.seconds(len(film.stamps) - 1) - film.seconds(0) + step, span.end - span.first
    if abs(length - wanted) > step + film.unit:
        yield Finding("duration", f"it lasts {at(length)}, and the source {at(wanted)}")


def _same_instants(film: VideoSurvey, source: VideoSurvey, span: Span) -> Iterator[Finding]:
    begin, stop = span.stamps
    if film.packets != stop - begin:
        yield Finding("source-frames", f"{film.packets} frames instead of the source's {stop - begin}")
        return
    for number, stamp in enumerate(film.stamps):
        seen, meant = stamp * film.unit, source.seconds(begin + number) - span.shift
        if abs(seen - meant) > film.unit:
            yield Finding("source-times", f"frame {number} is at {at(seen)} instead of {at(meant)}", meant)
            return


def same_tracks(found: Survey, source: Survey, manifest: Manifest | None) -> Iterator[Finding]:
    """Yield which tracks of a source are missing, not complete, or out of step with the picture."""
    span = span_of(source.video, manifest)
    if span is None or not span.whole:
        yield warning("unchecked", "the file was made from a part of the source: its other tracks were not compared")
        return
    left_out = "" if manifest is None else manifest.settings.get("left_out", "")
    wanted = [track for track in source.tracks if track.packets or track.kind == "attachment"]
    pairs, _ = match_tracks([promise_of_track(track) for track in wanted], found.tracks)
    for original, (_, track) in zip(wanted, pairs, strict=True):
        if track is not None:
            yield from _same_track(found, track, original)
        elif f"stream {original.index} " in left_out:
            yield warning("left-out", f"the source's {original.label} is not in it, as its manifest says")
        else:
            yield Finding("source-track-missing", f"the source's {original.label} is not in it")
    if found.chapters != source.chapters:
        yield Finding("source-chapters", f"{found.chapters} chapters, and the source has {source.chapters}")


def _same_track(found: Survey, track: TrackSurvey, source: TrackSurvey) -> Iterator[Finding]:
    skipped = source.packets - track.packets
    early = sum(stamp < 0 for stamp in source.stamps)
    # A run-in that is not heard cannot be held by Matroska, and is left out there.
    if skipped < 0 or skipped > early:
        yield Finding(
            "source-track-packets", f"{track.label}: {track.packets} packets, the source has {source.packets}"
        )
        return
    if not track.stamps or track.cover or len(track.stamps) != len(source.stamps) - skipped:
        return
    tolerance = max(IN_STEP_S, track.unit)
    offsets = [
        mine * track.unit - theirs * source.unit
        for mine, theirs in zip(track.stamps, source.stamps[skipped:], strict=True)
    ]
    worst = max(offsets, key=abs)
    if abs(worst) <= tolerance:
        return
    time = source.stamps[skipped + offsets.index(worst)] * source.unit
    middle = sorted(offsets)[len(offsets) // 2]
    whole = all(abs(each - middle) <= tolerance for each in offsets)
    words = f"is {off(middle)} throughout" if whole else f"is {off(worst)} at {at(time)}"
    yield Finding("source-track-times", f"{track.label} {words}, held against the source's track {source.index}", time)
