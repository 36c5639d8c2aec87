"""What a file may ask of this machine: checked by its headers before a picture is decoded, and while it is read.

Every bound lies far beyond any film, and well within what a forged header can claim in a few bytes.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from fastrestore.config import MAX_DIMENSION_PX, MOST_FPS
from fastrestore.errors import DecodeError
from fastrestore.geometry import Size

MOST_PIXELS = 1 << 27
"""Pixels of a picture: 16384x8192."""
MOST_STREAMS = 512
"""Streams of a file; fonts and covers attached to it count as streams."""
MOST_ATTACHED_BYTES = 256 << 20
"""Bytes of all attachments; they are held in memory."""
MOST_TAG_BYTES = 16 << 20
"""Characters of all tags of a file and its streams."""
LONGEST_S = 240 * 3600
"""Seconds from the first picture to the last; a header that claims more is not believed."""
LONGEST_GAP_S = 4 * 3600
"""Seconds for which one picture may stand: each becomes sixty or more frames of the output."""
MOST_MISSING = 10_000
"""Pictures missing in one place."""
LATEST_S = 10**11
"""Seconds on a file's own clock; recorders that count from 1970 are at 2 * 10**9."""
LONGEST_TICK_S = 3600
"""Seconds of a clock's unit."""
_DECODER_PICTURES = 20
"""Pictures a decoder holds at most: 16 references, those it reorders, and the one in work."""
_READER_PICTURES = 8
"""Copies on their way through the pipeline before they are restored."""


def check_container(path: Path, container: InputContainer) -> None:
    """Refuse a file by what its headers claim.

    Raises:
        DecodeError: If it has too many streams, or too much beside its pictures.
    """
    if len(container.streams) > MOST_STREAMS:
        raise _beyond(path, f"it claims {len(container.streams)} streams", f"at most {MOST_STREAMS}")
    tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    letters = sum(len(key) + len(value) for each in tags for key, value in each.items())
    if letters > MOST_TAG_BYTES:
        raise _beyond(path, f"its tags hold {letters} characters", f"at most {MOST_TAG_BYTES}")
    attached = sum(len(stream.data or b"") for stream in container.streams.attachments)
    if attached > MOST_ATTACHED_BYTES:
        raise _beyond(path, f"its attachments hold {attached} bytes", f"at most {MOST_ATTACHED_BYTES}")


def check_stream(path: Path, stream: VideoStream, max_memory: int | None) -> None:
    """Refuse a video stream by what its header claims, before anything is decoded.

    Args:
        path: The file, for the message.
        stream: Its chosen video stream.
        max_memory: Bytes that reading may need, or None.

    Raises:
        DecodeError: If its pictures, its clock or its need of memory are beyond the limits.
    """
    context = stream.codec_context
    size = Size(context.width, context.height)
    if max(size.width, size.height) > MAX_DIMENSION_PX or size.width * size.height > MOST_PIXELS:
        wanted = f"at most {MAX_DIMENSION_PX} pixels a side and {MOST_PIXELS} in all"
        raise _beyond(path, f"it claims pictures of {size}", wanted)
    if stream.time_base is not None and not 0 < stream.time_base <= LONGEST_TICK_S:
        raise _beyond(path, f"its clock ticks every {stream.time_base} s", f"at most {LONGEST_TICK_S} s")
    needed = reading_bytes(size, context.format.padded_bits_per_pixel if context.format else 64)
    if max_memory is not None and needed > max_memory:
        raise DecodeError(
            f"reading {path} may need {needed >> 20} MiB for its pictures of {size}, "
            f"and {max_memory >> 20} MiB are allowed",
            "give more with `--max-memory`, or make the source smaller first",
        )


def reading_bytes(size: Size, bits_per_pixel: int) -> int:
    """Return the most bytes that decoding pictures of a size and handing them on may hold at once."""
    return (_DECODER_PICTURES + _READER_PICTURES) * size.width * size.height * bits_per_pixel // 8


def believable_rate(rate: Fraction | None) -> Fraction | None:
    """Return a header's frame rate, or None where no film has such a rate."""
    return rate if rate and Fraction(1, LONGEST_GAP_S) <= rate <= MOST_FPS else None


def believable_duration(duration: Fraction | None) -> Fraction | None:
    """Return a header's duration in seconds, or None where no film is so long."""
    return duration if duration and 0 < duration <= LONGEST_S else None


def check_times(path: Path, first: Fraction, previous: Fraction, pts: Fraction) -> None:
    """Refuse timestamps that would make a small file an endless film.

    Args:
        path: The file, for the message.
        first: Seconds of the first picture.
        previous: Seconds of the picture before.
        pts: Seconds of this one.

    Raises:
        DecodeError: If the picture is too late.
    """
    hint = f"the timestamps are damaged; convert what is before: `--end {float(previous) + 0.001:.3f}`"
    if abs(pts) > LATEST_S:
        raise DecodeError(f"{path} shows a picture at {float(pts):.0f} s: wanted at most {LATEST_S} s", hint)
    if pts - previous > LONGEST_GAP_S:
        gap = f"has no picture between {float(previous):.3f} s and {float(pts):.3f} s"
        raise DecodeError(f"{path} {gap}: wanted at most {LONGEST_GAP_S} s without one", hint)
    if pts - first > LONGEST_S:
        raise DecodeError(f"{path} is longer than {LONGEST_S // 3600} hours", hint)


def _beyond(path: Path, seen: str, wanted: str) -> DecodeError:
    return DecodeError(
        f"cannot read {path}: {seen}, wanted {wanted}", "the file is damaged or forged; if not, convert it first"
    )
