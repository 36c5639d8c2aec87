"""Moving scenes dealt out to fields and frames: every picture and its instant are known."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache

import av
import numpy as np
from av.video.frame import VideoFrame

from fastrestore.frames import FORMATS, Frame, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media import pixels

SIZE = Size(96, 80)
NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)
LAYOUT = FORMATS["yuv420p"]


@cache
def picture_at(seconds: Fraction, *, scene: int = 0, size: Size = SIZE, layout: str = "yuv420p") -> Picture:
    """Return a textured scene as it is at an instant: it pans, and a bright disc crosses it."""
    form, t = FORMATS[layout], float(seconds)
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float64)
    u, v = x + 60 * t, y + 18 * t
    luma = 120 + 30 * np.sin(0.35 * u + 1.7 * scene) * np.cos(0.31 * v) + 22 * np.sin(0.11 * u + 0.17 * v + 9 * scene)
    luma += 18 * np.sin(0.9 * v + 0.5 * u)
    across = size.width * (0.5 + 0.35 * np.sin(2.1 * t + scene))
    disc = (x - across) ** 2 + (y - size.height / 2) ** 2 < (0.15 * size.height) ** 2
    luma = np.clip(np.where(disc, 220 - 0.3 * luma, luma) - 40 * (scene % 2), 16, 235)
    colours = [128 + 30 * np.sin(0.07 * u + scene), 128 + 30 * np.cos(0.05 * v)]
    sx, sy = form.chroma_shift
    planes = [luma, *(colour[:: 1 << sy, :: 1 << sx] for colour in colours)][: form.planes]
    scale = 1 << (form.bits - 8)
    return Picture(tuple(np.round(plane * scale).astype(form.dtype) for plane in planes), form)


def film(count: int, rate: Fraction | int, *, scene: int = 0) -> list[Picture]:
    """Return the pictures that a camera took at `k / rate` seconds."""
    return [picture_at(k / Fraction(rate), scene=scene) for k in range(count)]


def woven(first: Picture, second: Picture, *, top_first: bool = True) -> Picture:
    """Return a frame of two pictures' fields; of one picture, that picture itself."""
    if first is second:
        return first
    top, bottom = (first, second) if top_first else (second, first)
    planes = []
    for even, odd in zip(top.planes, bottom.planes, strict=True):
        lines = np.arange(len(even))[:, None] % 2 == 0
        planes.append(np.where(lines, even, odd))
    return Picture(tuple(planes), first.format, first.colour)


def dealt(
    pictures: Sequence[Picture], count: int, share: Fraction, *, phase: int = 0, top_first: bool = True
) -> list[Picture]:
    """Return frames whose field m shows picture `(m + phase) / share`: telecined film."""
    shown = [pictures[int((m + phase) / share)] for m in range(2 * count)]
    return [woven(*shown[2 * k : 2 * k + 2], top_first=top_first) for k in range(count)]


def repeated(pictures: Sequence[Picture], count: int, container: Fraction | int, rate: Fraction | int) -> list[Picture]:
    """Return frames each of which shows the latest picture taken: whole pictures repeated."""
    return [pictures[int(k * Fraction(rate) / Fraction(container))] for k in range(count)]


def interlaced(count: int, rate: Fraction | int, *, top_first: bool = True, scene: int = 0) -> list[Picture]:
    """Return frames each of whose fields was taken at its own instant."""
    fields = film(2 * count, 2 * Fraction(rate), scene=scene)
    return [woven(*fields[2 * k : 2 * k + 2], top_first=top_first) for k in range(count)]


def timed(pictures: Sequence[Picture], rate: Fraction | int, start: Fraction = Fraction(0)) -> list[Frame]:
    """Return pictures as frames of a container."""
    return [Frame(picture, start + k / Fraction(rate), 1 / Fraction(rate)) for k, picture in enumerate(pictures)]


def info_of(frames: Sequence[Frame], rate: Fraction | int | None, *, interlaced: bool = False) -> StreamInfo:
    """Return what the reader would say of them."""
    picture = frames[0].picture
    steady = None if rate is None else Fraction(rate)
    base = Fraction(1, 90000)
    return StreamInfo(
        picture.size, picture.format, picture.colour, steady, len(frames), interlaced=interlaced, time_base=base
    )


def coded(pictures: Sequence[Picture], rate: Fraction | int, crf: int, *, fields: bool = False) -> list[Picture]:
    """Return pictures as x264 leaves them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt = pictures[0].size.width, pictures[0].size.height, "yuv420p"
        stream.options = {"crf": str(crf), "threads": "1"}
        if fields:
            stream.options |= {"flags": "+ildct+ilme", "x264-params": "tff=1"}
        for number, picture in enumerate(pictures):
            frame = pixels.frame_from_picture(picture)
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as coded_file:
        return [pixels.picture_from_frame(frame, pictures[0].colour) for frame in coded_file.decode(video=0)]


def filtered(pictures: Sequence[Picture], *filters: tuple[str, str]) -> list[Picture]:
    """Return what libavfilter makes of pictures."""
    return [pixels.picture_from_frame(frame, pictures[0].colour) for frame in _filtered(pictures, filters)]


def idet(pictures: Sequence[Picture]) -> Counter[str]:
    """Return how many frames libavfilter's `idet` finds to be what."""
    return Counter(frame.metadata["lavfi.idet.single.current_frame"] for frame in _filtered(pictures, [("idet", "")]))


def _filtered(pictures: Sequence[Picture], filters: Sequence[tuple[str, str]]) -> Iterator[VideoFrame]:
    size, layout = pictures[0].size, pictures[0].format
    graph = av.filter.Graph()
    # PyAV's own way to add a source leaves out the rate, without which `telecine` and `decimate` refuse.
    facts = f"video_size={size}:pix_fmt={layout.name}:time_base={1 / NTSC}:frame_rate={NTSC}"
    source = graph.add("buffer", facts)
    graph.link_nodes(source, *(graph.add(*each) for each in filters), graph.add("buffersink")).configure()
    for number, picture in enumerate([*pictures, None]):
        frame = None if picture is None else pixels.frame_from_picture(picture)
        if frame is not None:
            frame.pts, frame.time_base = number, 1 / NTSC
        graph.vpush(frame)
        while True:
            try:
                yield graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break


def psnr_db(picture: Picture, truth: Picture) -> float:
    """Return the PSNR of 8-bit luma in decibels."""
    error = np.mean(np.square(picture.planes[0].astype(np.float64) - truth.planes[0]))
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))
