"""Pixels with their meaning: formats, colour, pictures, frames and the motion between two of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size

Plane: TypeAlias = NDArray[Any]
"""One plane of samples, `(H, W)`: uint8 for 8 bits, uint16 (low bits used) for more."""
FloatImage: TypeAlias = NDArray[np.float32]
"""Planar R'G'B', `(3, H, W)` float32, nominal range `[0, 1]`."""


EXACT_S = Fraction(1, 1_000_000)
"""Two instants this close, in seconds, are the same."""


class Matrix(IntEnum):
    """Y'CbCr matrix; values as in ITU-T H.273 and FFmpeg's `AVColorSpace`."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    BT2020_NCL = 9


class Siting(Enum):
    """Where a chroma sample lies inside its block of luma samples, as `(x, y)` in `[0, 1]`: 0 first, 1/2 middle."""

    LEFT = (0.0, 0.5)
    CENTER = (0.5, 0.5)
    TOP_LEFT = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Colour:
    """How samples are to be read. `primaries` and `transfer` are H.273 numbers that are carried, not computed with."""

    matrix: Matrix = Matrix.BT709
    full_range: bool = False
    siting: Siting = Siting.LEFT
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A planar sample layout."""

    name: str
    """FFmpeg's name, such as `yuv420p10le`."""
    kind: Literal["yuv", "rgb", "grey"]
    bits: int
    chroma_shift: tuple[int, int] = (0, 0)
    """log2 of the horizontal and vertical chroma subsampling."""

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Sample type."""
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def planes(self) -> int:
        """Number of planes: 1 for grey, else 3. RGB planes are in the order G, B, R, as FFmpeg's `gbrp`."""
        return 1 if self.kind == "grey" else 3

    def plane_size(self, size: Size, plane: int) -> Size:
        """Return the size of a plane of a picture of `size`; odd sizes round chroma up."""
        if plane == 0 or self.kind != "yuv":
            return size
        sx, sy = self.chroma_shift
        return Size(-(-size.width >> sx), -(-size.height >> sy))


def _formats() -> Mapping[str, PixelFormat]:
    table = {}
    for bits in (8, 10, 12, 16):
        tail = "" if bits == 8 else f"{bits}le"
        for digits, shift in (("420", (1, 1)), ("422", (1, 0)), ("444", (0, 0))):
            table[f"yuv{digits}p{tail}"] = PixelFormat(f"yuv{digits}p{tail}", "yuv", bits, shift)
        table[f"gray{tail}"] = PixelFormat(f"gray{tail}", "grey", bits)
        table[f"gbrp{tail}"] = PixelFormat(f"gbrp{tail}", "rgb", bits)
    return MappingProxyType(table)


FORMATS = _formats()
"""Every layout that the kernels work on; the reader repacks all others into one of these without loss."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Planes of samples and how to read them. The planes are never written to after construction."""

    planes: tuple[Plane, ...]
    format: PixelFormat
    colour: Colour = field(default_factory=Colour)

    def __post_init__(self) -> None:
        if len(self.planes) != self.format.planes:
            raise ValueError(f"{self.format.name} has {self.format.planes} planes, got {len(self.planes)}")
        for index, plane in enumerate(self.planes):
            wanted = self.format.plane_size(self.size, index)
            if plane.shape != (wanted.height, wanted.width) or plane.dtype != self.format.dtype:
                raise ValueError(
                    f"plane {index} of {self.format.name} {self.size}: wanted {wanted} {self.format.dtype.__name__}, "
                    f"got shape {plane.shape} {plane.dtype}"
                )

    @property
    def size(self) -> Size:
        """Size of the first plane."""
        height, width = self.planes[0].shape
        return Size(width, height)

    @property
    def nbytes(self) -> int:
        """Bytes of all planes."""
        return sum(plane.nbytes for plane in self.planes)

    @property
    def neutral_chroma(self) -> bool:
        """Whether the picture is exactly grey: grey format, or both chroma planes at their middle value."""
        if self.format.kind == "grey":
            return True
        if self.format.kind == "rgb":
            green, blue, red = self.planes
            return bool(np.array_equal(green, blue) and np.array_equal(green, red))
        middle = 1 << (self.format.bits - 1)
        return all(bool((plane == middle).all()) for plane in self.planes[1:])

    def same_samples(self, other: Picture) -> bool:
        """Whether both pictures hold exactly the same samples in the same layout."""
        return self.format == other.format and all(
            np.array_equal(a, b) for a, b in zip(self.planes, other.planes, strict=True)
        )

    @property
    def crc32(self) -> int:
        """CRC-32 of all samples: two readings of one frame have the same."""
        checksum = 0
        for plane in self.planes:
            checksum = zlib.crc32(np.ascontiguousarray(plane).data, checksum)
        return checksum

    def __repr__(self) -> str:
        return f"Picture({self.size}, {self.format.name}, {self.colour.matrix.name})"


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture at an instant."""

    picture: Picture
    pts: Fraction
    """Presentation time in seconds."""
    duration: Fraction = Fraction(0)
    """Time shown in seconds; 0 if unknown."""
    cut_before: bool = False
    """Whether a new shot begins with this frame."""
    source: Picture | None = None
    """The picture as the source has it, where `picture` is that picture treated; None where it is the source's own."""

    @property
    def untreated(self) -> Picture:
        """The picture as the source has it."""
        return self.picture if self.source is None else self.source


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What is known of a stream of frames before it is read."""

    size: Size
    format: PixelFormat
    colour: Colour
    rate: Fraction | None = None
    """Frames a second, or None where the rate varies or is unknown."""
    frame_count: int | None = None
    """Frames by the container's header, or None."""
    duration: Fraction | None = None
    """Seconds by the container's header, or None."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    rotation: int = 0
    """Degrees counter-clockwise by which a player turns the picture."""
    interlaced: bool = False
    time_base: Fraction = Fraction(1, 90000)
    """The unit of the source's timestamps, in seconds."""
    hdr: Mapping[str, Any] = field(default_factory=dict)
    """Static HDR metadata: `mastering` (ten fractions) and `light_level` (two whole numbers), where present."""
    codec: str = ""
    """What a file's stream is coded with, by FFmpeg's name, such as `h264`; empty for frames from elsewhere."""

    @property
    def near(self) -> Fraction:
        """How close to a source frame's timestamp an instant must be to mean that frame, in seconds.

        A microsecond; but where the container's clock cannot tell the film's own instants (Matroska's milliseconds
        at 23.976 frames a second), half a tick of it, for by so much the timestamps are rounded.
        """
        rounded = self.rate is None or (1 / self.rate) % self.time_base != 0
        return EXACT_S + (min(self.time_base, Fraction(1, 1000)) / 2 if rounded else 0)

    @property
    def shown_upright(self) -> Size:
        """Coded size turned as shown (pixel aspect not applied)."""
        return self.size.transposed if self.rotation % 180 else self.size


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion at an instant t between a left and a right frame, at any size `(H, W)`.

    The frame at t is `mask * left(x + flow_to_left(x)) + (1 - mask) * right(x + flow_to_right(x))`.
    """

    flow_to_left: NDArray[np.float32]
    """`(H, W, 2)` float32, (x, y) displacement in pixels of this grid."""
    flow_to_right: NDArray[np.float32]
    """`(H, W, 2)` float32, pixels of this grid."""
    mask: NDArray[np.float32]
    """`(H, W)` float32 in `[0, 1]`: the share of the left frame."""
    disagreement: NDArray[np.float32] | None = None
    """`(H, W)` float32 in `[0, 1]`: absolute luma difference of the two warped frames that the motion was found on."""

    @property
    def size(self) -> Size:
        """Size of the grid."""
        height, width = self.mask.shape
        return Size(width, height)
