"""Pictures on a device: where their planes lie and how samples are laid out in them."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastrestore.errors import DeviceError
from fastrestore.frames import FORMATS, Colour, PixelFormat
from fastrestore.geometry import Size

LONGEST_PX = 32_767
"""Longest side that the kernels take: positions are computed in whole numbers of 32 bits."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples of a format lie in memory: planar, or as decoders and encoders of cards have them."""

    samples: PixelFormat
    """What the samples mean."""
    interleaved: bool = False
    """Whether one plane holds Cb and Cr by turns."""
    shift: int = 0
    """Unused low bits of every stored sample."""

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return 1 if self.samples.bits == 8 else 2

    @property
    def planes(self) -> int:
        """Planes in memory."""
        return 2 if self.interleaved else self.samples.planes

    def row_bytes(self, size: Size, plane: int) -> int:
        """Return the bytes of samples in a row of a plane of a picture of `size`."""
        pairs = 2 if self.interleaved and plane else 1
        return self.samples.plane_size(size, plane).width * pairs * self.sample_bytes

    def rows(self, size: Size, plane: int) -> int:
        """Return the rows of a plane of a picture of `size`."""
        return self.samples.plane_size(size, plane).height

    def nbytes(self, size: Size) -> int:
        """Return the bytes of all samples of a picture of `size`."""
        return sum(self.row_bytes(size, plane) * self.rows(size, plane) for plane in range(self.planes))


NV12 = Layout(FORMATS["yuv420p"], interleaved=True)
P010 = Layout(FORMATS["yuv420p10le"], interleaved=True, shift=6)
P012 = Layout(FORMATS["yuv420p12le"], interleaved=True, shift=4)
P016 = Layout(FORMATS["yuv420p16le"], interleaved=True)


@dataclass(frozen=True, slots=True)
class DevicePlanes:
    """A picture on a device. The memory belongs to somebody else.

    Raises:
        DeviceError: If there are not as many addresses and pitches as the layout has planes, if a row is longer than
            its pitch, samples are not aligned to their own size, or the picture is too large.
    """

    addresses: tuple[int, ...]
    """Of the first sample of each plane in memory: G, B, R for R'G'B', Y and CbCr where interleaved."""
    pitches: tuple[int, ...]
    """Bytes from a row to the next, per plane."""
    size: Size
    layout: Layout
    colour: Colour = field(default_factory=Colour)

    def __post_init__(self) -> None:
        layout = self.layout
        if len(self.addresses) != layout.planes or len(self.pitches) != layout.planes:
            raise DeviceError(
                f"{len(self.addresses)} addresses and {len(self.pitches)} pitches for a picture, "
                f"wanted {layout.planes} of each"
            )
        if max(self.size.width, self.size.height) > LONGEST_PX:
            raise DeviceError(f"a picture of {self.size} is too large, wanted at most {LONGEST_PX} px a side")
        for plane, (address, pitch) in enumerate(zip(self.addresses, self.pitches, strict=True)):
            if pitch < layout.row_bytes(self.size, plane):
                raise DeviceError(
                    f"plane {plane} has a pitch of {pitch} bytes, wanted at least {layout.row_bytes(self.size, plane)}"
                )
            if address % layout.sample_bytes or pitch % layout.sample_bytes:
                raise DeviceError(f"plane {plane} at {address:#x}, pitch {pitch}, is not aligned to its samples")

    @classmethod
    def tight(cls, address: int, size: Size, layout: Layout, colour: Colour | None = None) -> DevicePlanes:
        """Return a picture whose planes follow each other from an address, rows without a gap."""
        addresses, pitches = [], []
        for plane in range(layout.planes):
            addresses.append(address)
            pitches.append(layout.row_bytes(size, plane))
            address += pitches[-1] * layout.rows(size, plane)
        return cls(tuple(addresses), tuple(pitches), size, layout, colour or Colour())

    @property
    def chroma_size(self) -> Size:
        """Size of the second and third component; the picture's own where there are none."""
        return self.layout.samples.plane_size(self.size, min(1, self.layout.samples.planes - 1))


@dataclass(frozen=True, slots=True)
class PlaneView:
    """One plane on the device."""

    address: int
    pitch: int
    """Bytes from a row to the next."""
    size: Size
    bits: int = 8
    """Of a sample, 8 to 16; 32 means float32."""

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return 4 if self.bits == 32 else 1 if self.bits == 8 else 2

    @property
    def nbytes(self) -> int:
        """Bytes of all samples."""
        return self.size.pixels * self.sample_bytes
