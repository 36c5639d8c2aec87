"""What a kernel is launched with, and what all builders of launches need. Loads no CUDA."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fastrestore.errors import DeviceError
from fastrestore.frames import PixelFormat
from fastrestore.geometry import Size
from fastrestore.kernels.params import KERNELS, PlanesParams, TapsParams, address_offsets
from fastrestore.kernels.surface import LONGEST_PX, DevicePlanes
from fastrestore.kernels.taps import PlacedTaps

THREADS = 256
"""Threads of a block at most; the kernels are compiled for no more."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of device memory that a launch touches."""

    moved: int
    """What this kernel reads and writes, each cache line fetched once."""
    ideal: int
    """What any way of doing its work must read and write: every input once, every output once."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of one kernel."""

    kernel: str
    """Its name in the module, a key of `fastrestore.kernels.params.KERNELS`."""
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    params: bytes
    """Its only argument, a structure by value."""
    traffic: Traffic

    @property
    def addresses(self) -> tuple[int, ...]:
        """Device addresses among the parameters: what it reads and writes lies there. 0 means that there is none."""
        return tuple(
            int.from_bytes(self.params[offset : offset + 8], "little")
            for offset in address_offsets(KERNELS[self.kernel])
        )

    def relocated(self, place: Callable[[int], int]) -> Launch:
        """Return the same launch with every address but 0 put through a function."""
        params = bytearray(self.params)
        for offset, address in zip(address_offsets(KERNELS[self.kernel]), self.addresses, strict=True):
            if address:
                params[offset : offset + 8] = place(address).to_bytes(8, "little")
        return replace(self, params=bytes(params))


def bytes_moved(*launches: Launch) -> tuple[int, int]:
    """Return the bytes that launches move together, and the fewest that their work takes."""
    return sum(launch.traffic.moved for launch in launches), sum(launch.traffic.ideal for launch in launches)


def launch_of(
    kernel: str, params: ctypes.Structure, across: int, down: int, traffic: Traffic, layers: int = 1
) -> Launch:
    """Return a launch of at least `across` x `down` threads, `layers` times; blocks are as wide as a warp."""
    width = min(THREADS if down == 1 else 32, _power(across))
    height = min(THREADS // width, _power(down))
    return Launch(kernel, (-(-across // width), -(-down // height), layers), (width, height, 1), bytes(params), traffic)


def _power(count: int) -> int:
    return 1 << max(0, count - 1).bit_length()


def require(condition: bool, message: str) -> None:
    """Refuse what a builder was given, unless a condition holds."""
    if not condition:
        raise DeviceError(message, "this is a fault of the program")


def require_within(size: Size) -> None:
    """Refuse a size that the kernels cannot count in."""
    require(max(size.width, size.height) <= LONGEST_PX, f"{size} is too large, wanted at most {LONGEST_PX} px a side")


def require_comparable(one: DevicePlanes, other: DevicePlanes) -> None:
    """Refuse two pictures of different size, kind or chroma subsampling; depth and layout may differ."""

    def shape(planes: DevicePlanes) -> tuple[Size, str, tuple[int, int]]:
        samples: PixelFormat = planes.layout.samples
        return planes.size, samples.kind, samples.chroma_shift

    require(shape(one) == shape(other), f"a picture of {shape(other)}, wanted {shape(one)}")


def require_taps(taps: Sequence[PlacedTaps], source: Size, target: Size) -> None:
    """Refuse weights of columns and rows that are not for these sizes."""
    found, wanted = tuple(axis.targets for axis in taps), (target.width, target.height)
    require(found == wanted, f"weights for {found} columns and rows, wanted {wanted}")
    reach = tuple(axis.reach for axis in taps)
    fits = reach[0] <= source.width and reach[1] <= source.height
    require(fits, f"weights of a plane of {reach[0]}x{reach[1]}, wanted {source}")


def taps_params(placed: PlacedTaps) -> TapsParams:
    """Return weights as kernels are given them."""
    return TapsParams(begin=placed.begin, entries=placed.entries, each=placed.each)


def planes_params(planes: DevicePlanes) -> PlanesParams:
    """Return a picture as kernels are given it: interleaved chroma is two components, one sample apart."""
    layout, samples = planes.layout, planes.layout.samples
    addresses, pitches = list(planes.addresses), list(planes.pitches)
    if layout.interleaved:
        addresses.append(addresses[1] + layout.sample_bytes)
        pitches.append(pitches[1])
    return PlanesParams(
        address=tuple(addresses),
        pitch=tuple(pitches),
        width=planes.size.width,
        height=planes.size.height,
        chroma_width=planes.chroma_size.width,
        chroma_height=planes.chroma_size.height,
        step=2 if layout.interleaved else 1,
        shift=layout.shift,
        bits=samples.bits,
        shift_x=samples.chroma_shift[0],
        shift_y=samples.chroma_shift[1],
        count=samples.planes,
    )
