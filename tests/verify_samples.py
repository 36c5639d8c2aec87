"""Makes small finished films, joined from segments as fastrestore's are, and plants one fault at a time in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
from av.packet import Packet
from tests.media_samples import Clip, Lines, Sound, write_clip

from fastrestore.frames import FORMATS, Picture
from fastrestore.geometry import Size
from fastrestore.runtime.manifest import Manifest
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.containers import container_for, movie_timescale
from fastrestore.runtime.media.survey import survey
from fastrestore.runtime.verify.verification import promise_of

SIZE = Size(64, 64)
RATE, SOURCE_RATE = Fraction(30), Fraction(15)
UNIT = Fraction(1, 30000)
"""The clock of the films."""
STEP = round(1 / RATE / UNIT)
SEGMENT, SEGMENTS = 12, 3
FRAMES = SEGMENT * SEGMENTS
LENGTH_S = FRAMES / RATE
COLOUR = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
CONTAINERS = {".mkv": "libx264", ".mp4": "libx264", ".mov": "libx264", ".webm": "libsvtav1"}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"bf": "2", "preset": "veryfast"},
    "libx265": {"x265-params": "log-level=none", "preset": "ultrafast"},
    "libsvtav1": {"preset": "12"},
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "16", "g": "1"},
}
CHAPTERS = [(0, 600, "one"), (600, 1200, "two")]


def scene(layout: str, time: Fraction) -> Picture:
    """Return a bright bar that walks over a gradient: no two instants look alike."""
    form = FORMATS[layout]
    white = (1 << form.bits) - 1
    luma = np.tile(np.linspace(0.2, 0.5, SIZE.width), (SIZE.height, 1))
    begin = 4 + int(time * 40) % 48
    luma[:, begin : begin + 10] = 0.85
    chroma = form.plane_size(SIZE, 1)
    flat = np.full((chroma.height, chroma.width), 0.5)
    return Picture(tuple(np.round(plane * white).astype(form.dtype) for plane in (luma, flat, flat)), form)


@dataclass
class Scene(Clip):
    """A stretch of the scene."""

    begin: Fraction = Fraction(0)
    black: bool = False

    def picture(self, index: int) -> Picture:
        """Return the picture of a frame."""
        found = scene(self.layout, self.begin + index / self.rate)
        if not self.black:
            return found
        luma, *chroma = found.planes
        return replace(found, planes=(np.full_like(luma, 16 << (found.format.bits - 8)), *chroma))


@dataclass(frozen=True, slots=True)
class Piece:
    """A packet of video; times in `UNIT`."""

    pts: int
    dts: int
    duration: int
    key: bool
    data: bytes


Change: TypeAlias = Callable[[list[Piece]], list[Piece]]


@dataclass
class Film:
    """A finished film of three segments, with sound, subtitles and chapters where the container holds them."""

    folder: Path
    codec: str = "libx264"
    layout: str = "yuv420p"
    black: Sequence[int] = ()
    """Numbers of segments that are black."""
    colour: Mapping[str, int] = field(default_factory=lambda: dict(COLOUR))

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.segments = [self._segment(number) for number in range(SEGMENTS)]
        self.pieces = [piece for number in range(SEGMENTS) for piece in self._read(number)]

    def write(
        self,
        path: Path,
        change: Change = list,
        *,
        audio_start: Fraction = Fraction(0),
        subtitles: bool = True,
        chapters: Sequence[tuple[int, int, str]] = CHAPTERS,
        manifest: Manifest | None = None,
    ) -> Path:
        """Write the film, with changed packets if so wished, and a manifest if one is given."""
        kind = container_for(path)
        options = {**kind.options, **movie_timescale(kind, UNIT)}
        makers: list[Sound | Lines] = [sound(path.suffix, audio_start)]
        if subtitles and path.suffix != ".webm":
            makers.append(lines(path.suffix))
        with (
            av.open(str(path), "w", format=kind.format, options=options) as output,
            av.open(str(self.segments[0])) as first,
        ):
            video = output.add_stream_from_template(first.streams.video[0], opaque=True)
            video.time_base = UNIT
            added: list[tuple[Any, Any]] = [(maker, maker.add(output)) for maker in makers]
            output.set_chapters(
                [
                    {"id": i, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                    for i, (a, b, title) in enumerate(chapters)
                ]
            )
            output.start_encoding()
            packets = [_packet(piece, video) for piece in change(list(self.pieces))]
            packets += [packet for maker, stream in added for packet in maker.packets(stream)]
            for packet in sorted(packets, key=lambda p: Fraction(p.dts or 0) * p.time_base):
                output.mux_one(packet)
        if manifest is not None:
            postscript.append(path, manifest.to_text())
        return path

    def _segment(self, number: int) -> Path:
        clip = Scene(
            SEGMENT, self.codec, self.layout, SIZE, RATE, [k * STEP for k in range(SEGMENT)], UNIT,
            OPTIONS[self.codec], self.colour, begin=number * SEGMENT / RATE, black=number in self.black,
        )  # fmt: skip
        path = self.folder / f"{number}.mp4"
        return write_clip(path, clip, options=movie_timescale(container_for(path), UNIT))

    def _read(self, number: int) -> list[Piece]:
        begin = number * SEGMENT * STEP
        with av.open(str(self.segments[number])) as container:
            stream = container.streams.video[0]
            assert stream.time_base == UNIT
            return [
                Piece((p.pts or 0) + begin, (p.dts or 0) + begin, STEP, p.is_keyframe, bytes(p))
                for p in container.demux(stream)
                if p.size
            ]


def seams() -> list[Fraction]:
    """Return the times between the films' segments."""
    return [(number * SEGMENT - Fraction(1, 2)) / RATE for number in range(1, SEGMENTS)]


def promised(path: Path, **settings: str) -> Manifest:
    """Return what a good film promises."""
    return promise_of(survey(path, seams=seams()), rate=RATE, settings=settings)


def finished(film: Film, path: Path, **settings: str) -> Manifest:
    """Write a good film with its manifest; return that."""
    manifest = promised(film.write(path), **settings)
    postscript.append(path, manifest.to_text())
    return manifest


def source(path: Path, *, frames: int = FRAMES // 2, black: bool = False, start: Fraction = Fraction(0)) -> Path:
    """Write what a film was made from: the same scene at half the rate, with the same tracks."""
    others: list[Clip | Sound | Lines] = [sound(path.suffix, Fraction(0))]
    if path.suffix != ".webm":
        others.append(lines(path.suffix))
    clip = Scene(
        frames, "libx264", size=SIZE, rate=SOURCE_RATE, options={"bf": "0"}, colour=COLOUR, begin=start, black=black
    )
    return write_clip(path, clip, others, chapters=CHAPTERS)


def sound(suffix: str, start: Fraction) -> Sound:
    """Return the sound of a film in that container."""
    return Sound(float(LENGTH_S), "libopus" if suffix == ".webm" else "aac", start, tags={"language": "eng"})


def lines(suffix: str) -> Lines:
    """Return the subtitles of a film in that container."""
    shown = [(100, 300, "one"), (500, 200, "two")]
    return Lines("subrip" if suffix == ".mkv" else "mov_text", shown, {"language": "fre"})


def payloads(path: Path) -> list[tuple[int, int]]:
    """Return where each packet of the video lies in a file: first byte and length."""
    data, found, at = path.read_bytes(), [], 0
    with av.open(str(path)) as container:
        packets = sorted(container.demux(video=0), key=lambda p: p.pos if p.pos is not None else -1)
        for packet in packets:
            if packet.size:
                at = data.index(bytes(packet), at)
                found.append((at, packet.size))
                at += packet.size
    return found


def _packet(piece: Piece, stream: Any) -> Packet[Any]:
    packet: Packet[Any] = Packet(piece.data)
    packet.stream, packet.time_base = stream, UNIT
    packet.pts, packet.dts, packet.duration = piece.pts, piece.dts, piece.duration
    packet.is_keyframe = piece.key
    return packet
