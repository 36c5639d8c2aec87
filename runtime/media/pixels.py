"""Between PyAV's frames and our pictures: layouts, colour tags, HDR metadata."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS, Colour, Matrix, Picture, PixelFormat, Siting
from fastrestore.geometry import Size

_LIMITED_RANGE, _FULL_RANGE = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_HIGHEST_SD_LINES = 576
_SIDE_MASTERING, _SIDE_LIGHT, _SIDE_MATRIX = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DISPLAYMATRIX"
_UNTOLD = {int(Matrix.UNSPECIFIED), int(Matrix.RGB), 3}
"""Matrices that say nothing of YUV samples."""
_CENTRED_CODECS = {"mpeg1video", "mjpeg"}
ONE_THREAD = 1
"""What libswscale is given: with several threads it wrote wrong chroma now and then from P010 to planes (FFmpeg 8.1,
720x576: in 31 of 40 frames of noise)."""


def layout_for(video_format: av.VideoFormat) -> PixelFormat:
    """Return the layout in `FORMATS` that holds all samples of a PyAV format.

    Layouts listed there are used as they are; others (packed, semi-planar, big-endian, palettes) are repacked.

    Raises:
        DecodeError: If no layout does.
    """
    name = _plain_name(video_format)
    if name in FORMATS:
        return FORMATS[name]
    finest = max(c.bits for c in video_format.components)
    bits = next((depth for depth in (8, 10, 12, 16) if depth >= finest), None)
    if bits is None:
        raise DecodeError(
            f"samples of {finest} bits ({video_format.name}) are not supported", "convert the source to 16 bits first"
        )
    tail = "" if bits == 8 else f"{bits}le"
    if video_format.is_rgb or video_format.has_palette:
        return FORMATS[f"gbrp{tail}"]
    if len(video_format.components) < 3:
        return FORMATS[f"gray{tail}"]
    across, down = video_format.chroma_width(16), video_format.chroma_height(16)
    digits = {(8, 8): "420", (8, 16): "422"}.get((across, down), "444")
    return FORMATS[f"yuv{digits}p{tail}"]


def picture_from_frame(frame: VideoFrame, colour: Colour) -> Picture:
    """Return a frame's samples as a picture; the planes are copies.

    libswscale is used only to repack into a planar layout of the same or more bits, which loses nothing.
    """
    layout = layout_for(frame.format)
    if _plain_name(frame.format) != layout.name:
        if frame.format.name.startswith("yuvj"):
            frame.color_range = _FULL_RANGE  # else libswscale takes the new layout for limited range and converts
        frame = frame.reformat(format=layout.name, threads=ONE_THREAD)
    planes = tuple(samples(plane, layout.bits).copy() for plane in frame.planes[: layout.planes])
    return Picture(planes, layout, colour)


def is_like(frame: VideoFrame, size: Size, layout: PixelFormat, colour: Colour) -> bool:
    """Whether a frame has this size and layout, and its samples are to be read in this way."""
    if (frame.width, frame.height) != (size.width, size.height) or layout_for(frame.format) != layout:
        return False
    return is_read_alike(frame, layout, colour)


def is_read_alike(frame: VideoFrame, layout: PixelFormat, colour: Colour) -> bool:
    """Whether a frame's samples, of this layout, are to be read in this way."""
    # What a frame does not say has not changed.
    same_range = _is_full_range(frame, layout) == colour.full_range or int(frame.color_range) == 0
    code = int(frame.colorspace)
    return same_range and (code in _UNTOLD or _coefficients(code) == _coefficients(int(colour.matrix)))


def converted(frame: VideoFrame, size: Size, layout: PixelFormat, colour: Colour) -> Picture:
    """Return a frame's samples as a picture of another size, layout and way to be read.

    Raises:
        DecodeError: If its own layout or matrix is one that we cannot convert.
    """
    own = colour_of(frame, "")
    plain = frame.reformat(
        width=size.width,
        height=size.height,
        format=layout.name,
        src_colorspace=_coefficients(own.matrix),
        dst_colorspace=_coefficients(colour.matrix),
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT,
        src_color_range=_FULL_RANGE if own.full_range else _LIMITED_RANGE,
        dst_color_range=_FULL_RANGE if colour.full_range else _LIMITED_RANGE,
        threads=ONE_THREAD,
    )
    return picture_from_frame(plain, colour)


def _is_full_range(frame: VideoFrame, layout: PixelFormat) -> bool:
    return int(frame.color_range) == _FULL_RANGE or frame.format.name.startswith("yuvj") or layout.kind == "rgb"


def _coefficients(matrix: int) -> int:
    """Return libswscale's number of a matrix: BT.601 has two in H.274, and RGB has none."""
    return {Matrix.SMPTE170M: 5, Matrix.RGB: 5}.get(Matrix(matrix), int(matrix)) if matrix in set(Matrix) else 5


def samples(plane: VideoPlane, bits: int) -> NDArray[Any]:
    """Return a view of a plane's samples, `(H, W)` uint8 for 8 bits or fewer, else uint16 little-endian."""
    flat = np.frombuffer(memoryview(plane), np.uint8 if bits <= 8 else np.dtype("<u2"))
    pitch = plane.line_size // flat.itemsize
    return flat[: pitch * plane.height].reshape(plane.height, pitch)[:, : plane.width]


def _plain_name(video_format: av.VideoFormat) -> str:
    """Return the name of the layout that a format's first planes have: a `j` only says full range, alpha is last."""
    return video_format.name.replace("yuvj", "yuv").replace("yuva4", "yuv4").replace("gbrap", "gbrp")


def frame_from_picture(picture: Picture) -> VideoFrame:
    """Return a PyAV frame with the picture's samples and colour tags."""
    frame = VideoFrame(picture.size.width, picture.size.height, picture.format.name)
    for plane, source in zip(frame.planes, picture.planes, strict=True):
        samples = np.frombuffer(memoryview(plane), picture.format.dtype)
        pitch = plane.line_size // samples.itemsize
        samples[: pitch * plane.height].reshape(plane.height, pitch)[:, : plane.width] = source
    tag(frame, picture.colour)
    return frame


def tag(target: VideoFrame | VideoCodecContext, colour: Colour) -> None:
    """Set the colour tags of a frame or of an encoder."""
    target.colorspace = int(colour.matrix)
    target.color_range = _FULL_RANGE if colour.full_range else _LIMITED_RANGE
    target.color_primaries, target.color_trc = colour.primaries, colour.transfer


def colour_of(frame: VideoFrame, codec: str) -> Colour:
    """Return how a decoded frame's samples are to be read.

    An unspecified matrix is BT.601 up to 576 lines and BT.709 above, as players assume. The guess is written into
    the output's tags: at 4K a player would guess differently, and the colours would shift.

    Raises:
        DecodeError: If the matrix is one we cannot convert (YCgCo, constant luminance, ICtCp).
    """
    layout = layout_for(frame.format)
    full = _is_full_range(frame, layout)
    code = int(frame.colorspace)
    if layout.kind == "rgb":
        matrix = Matrix.RGB
    elif code in _UNTOLD:
        matrix = Matrix.SMPTE170M if frame.height <= _HIGHEST_SD_LINES else Matrix.BT709
    elif code in set(Matrix):
        matrix = Matrix(code)
    else:
        raise DecodeError(
            f"colour matrix {code} (ITU-T H.273) is not supported", "convert the source to BT.709 or BT.2020 first"
        )
    siting = Siting.LEFT
    if codec in _CENTRED_CODECS:
        siting = Siting.CENTER
    elif matrix is Matrix.BT2020_NCL:
        siting = Siting.TOP_LEFT
    return Colour(matrix, full, siting, int(frame.color_primaries), int(frame.color_trc))


def side_data(frame: VideoFrame) -> dict[str, bytes]:
    """Return a frame's side data by FFmpeg's short name."""
    return {item.type.name: bytes(item) for item in _items(frame)}


def hdr_of(data: Mapping[str, bytes]) -> dict[str, Any]:
    """Return static HDR metadata: `mastering` (ten fractions: R, G, B, white x y, min, max), `light_level` (two)."""
    found: dict[str, Any] = {}
    if raw := data.get(_SIDE_MASTERING):
        numbers = struct.unpack("=22i", raw[:88])  # AVMasteringDisplayMetadata: ten AVRationals, two flags
        if numbers[20] and numbers[21]:
            found["mastering"] = tuple(Fraction(numbers[i], numbers[i + 1] or 1) for i in range(0, 20, 2))
    if raw := data.get(_SIDE_LIGHT):
        found["light_level"] = struct.unpack("=2I", raw[:8])
    return found


def display_matrix_of(data: Mapping[str, bytes]) -> tuple[int, ...] | None:
    """Return the nine numbers of the display matrix, or None."""
    raw = data.get(_SIDE_MATRIX)
    return struct.unpack("=9i", raw[:36]) if raw else None


def _items(frame: VideoFrame) -> list[Any]:
    # PyAV's stubs call the container a mapping from str, while iterating yields the items themselves.
    return list(frame.side_data)
