"""Opens the video stream of an output with its encoder: the same for a segment and for the film joined from them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.encoders import codec_options, find_encoder, require_installed
from fastrestore.runtime.media.track import VideoTrack

_SEMI_PLANAR = "p010le"
_SITINGS = {"LEFT": "left", "CENTER": "center", "TOP_LEFT": "topleft"}


def add_video(output: OutputContainer, track: VideoTrack, options: EncodeOptions) -> VideoStream:
    """Add the video stream to an output, its encoder not opened yet.

    Raises:
        EncodeError: If this FFmpeg lacks the encoder.
    """
    encoder = find_encoder(options)
    require_installed(encoder)
    rate = track.rate or track.source.rate or Fraction(25)
    stream = output.add_stream(encoder.name, rate=rate, options=codec_options(options, track.source))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height = track.size.width, track.size.height
    semi_planar = encoder.semi_planar_10 and track.format.bits > 8
    context.pix_fmt = _SEMI_PLANAR if semi_planar else track.format.name
    context.time_base = track.time_base
    stream.time_base = track.time_base
    context.sample_aspect_ratio = track.source.pixel_aspect
    pixels.tag(context, track.colour)
    context.options["chroma_sample_location"] = _SITINGS[track.colour.siting.name]
    return stream


def open_encoder(stream: VideoStream, track: VideoTrack, options: EncodeOptions) -> None:
    """Open a stream's encoder.

    Raises:
        EncodeError: If it does not start.
    """
    with starting(track, options):
        stream.codec_context.open()


@contextmanager
def starting(track: VideoTrack, options: EncodeOptions, way_out: str = "") -> Iterator[None]:
    """Raise `EncodeError` for whatever keeps an encoder from starting.

    Args:
        track: The video.
        options: Encoder settings.
        way_out: What else may help, such as an option.
    """
    # SVT-AV1 writes to the terminal whatever FFmpeg's log level is, and can only be told so here.
    os.environ.setdefault("SVT_LOG", "1")
    try:
        yield
    except av.error.FFmpegError as error:
        hint = "use a smaller `--to` or another `--codec`"
        if "nvenc" in options.codec:
            hint = "it needs an NVIDIA card with an encoder that no other program keeps busy; use `--codec x264`"
        hint = f"{hint}, or {way_out}" if way_out else hint
        raise EncodeError(
            f"encoder {options.codec} does not start for {track.size} {track.format.name}: {error.strerror}", hint
        ) from error


def encodable(frame: VideoFrame, stream: VideoStream) -> VideoFrame:
    """Return a frame in the layout that a stream's encoder takes."""
    if stream.codec_context.pix_fmt != _SEMI_PLANAR:
        return frame
    return frame.reformat(format=_SEMI_PLANAR, threads=pixels.ONE_THREAD)
