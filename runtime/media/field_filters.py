"""Pictures made from single fields, by libavfilter's `bwdif`."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS, Picture, PixelFormat
from fastrestore.geometry import Size
from fastrestore.runtime.media import pixels

LEAST_SIZE: Final = Size(3, 4)
"""Smaller pictures have no lines to make others from."""
_TICK: Final = Fraction(1, 25)
"""Frames are pushed one a tick; what the filter makes of their times is not used."""


class Deinterlacer:
    """Makes whole pictures of the fields of frames: one a frame, or one a field.

    What it makes of a frame depends on that frame and its two neighbours alone. Frames asked for one after another
    cost one step of the filter each; anywhere else it is set up anew, for three.

    Every plane is treated by itself, field by field: in 4:2:0 that is how interlaced chroma is sampled.

    Args:
        first_line: 0 where the top field is the earlier one, else 1.
        both: Whether a picture is made of every field, else of the first one only.
    """

    def __init__(self, first_line: int, *, both: bool) -> None:
        self._parity, self._both = ("tff", "bff")[first_line], both
        self._graph: Graph | None = None
        self._pushed: tuple[Picture, Picture] | None = None

    def pictures(self, before: Picture | None, here: Picture, after: Picture | None) -> tuple[Picture, ...]:
        """Return the pictures of a frame's fields, in order of time: one, or two if `both`.

        Args:
            before: The frame before, or None where a shot begins.
            here: The frame; at least `LEAST_SIZE`.
            after: The frame after, or None where a shot ends.

        Raises:
            DecodeError: If libavfilter fails.
        """
        goes_on = self._pushed is not None and self._pushed[0] is before and self._pushed[1] is here
        with _filtering():
            if self._graph is None or not goes_on:
                self._graph = self._opened(here)
                if before is not None:
                    _push(self._graph, before)
                _push(self._graph, here)
                self._drain(self._graph)
            end = here if after is None else after
            _push(self._graph, end)
            made = self._drain(self._graph)
        self._pushed = (here, end)
        return tuple(_unwrapped(frame, here) for frame in made)

    def _opened(self, like: Picture) -> Graph:
        """Return a graph for pictures like one."""
        layout = _carrier(like.format)
        size = like.size
        graph = Graph()
        source = graph.add_buffer(
            width=size.width,
            height=size.height,
            format=av.VideoFormat(layout.name, size.width, size.height),
            time_base=_TICK,
        )
        mode = "send_field" if self._both else "send_frame"
        bwdif = graph.add("bwdif", f"mode={mode}:parity={self._parity}:deint=all")
        graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
        return graph

    def _drain(self, graph: Graph) -> list[VideoFrame]:
        """Return the frames that are ready."""
        ready = []
        while True:
            try:
                ready.append(graph.vpull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return ready


@contextmanager
def _filtering() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        code = errno.errorcode.get(getattr(error, "errno", 0), "")
        raise DecodeError(
            f"libavfilter could not deinterlace a frame: {error} {code}".rstrip(), "try `--deinterlace off`"
        ) from error


def _carrier(layout: PixelFormat) -> PixelFormat:
    """Return the layout that a picture goes through the filter in: it knows grey of 8 and 16 bits only."""
    if layout.kind == "grey" and layout.bits not in (8, 16):
        return FORMATS[f"yuv444p{layout.bits}le"]
    return layout


def _push(graph: Graph, picture: Picture) -> None:
    layout = _carrier(picture.format)
    if layout is not picture.format:
        middle = np.full_like(picture.planes[0], 1 << (layout.bits - 1))
        picture = Picture((picture.planes[0], middle, middle), layout, picture.colour)
    frame = pixels.frame_from_picture(picture)
    frame.time_base = _TICK
    graph.vpush(frame)


def _unwrapped(frame: VideoFrame, like: Picture) -> Picture:
    """Return the samples of a filtered frame, laid out and to be read like a picture."""
    planes = [pixels.samples(plane, like.format.bits).copy() for plane in frame.planes[: like.format.planes]]
    return Picture(tuple(planes), like.format, like.colour)
