"""Launches of the kernels that make motion ready and pictures between two others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastrestore.geometry import Size
from fastrestore.kernels import params as p
from fastrestore.kernels.launch import (
    Launch,
    Traffic,
    launch_of,
    planes_params,
    require,
    require_comparable,
    require_taps,
    require_within,
    taps_params,
)
from fastrestore.kernels.ops import GUARD_SOFTNESS, GUARD_TOLERANCE
from fastrestore.kernels.reference import FLOW_REACH
from fastrestore.kernels.surface import DevicePlanes, PlaneView
from fastrestore.kernels.taps import PlacedTaps

PACKED_BYTES = 16
"""Bytes of a cell of packed motion: four float32."""


@dataclass(frozen=True, slots=True)
class FlowField:
    """Displacements to both neighbours, float32, as a network or the host left them."""

    left: tuple[int, int]
    """Addresses of the first x and of the first y to the left neighbour."""
    right: tuple[int, int]
    """The same to the right neighbour."""
    size: Size
    """Cells."""
    pitch: int
    """Bytes from a row of cells to the next."""
    step: int
    """Floats from a cell to the next."""

    @classmethod
    def interleaved(cls, left: int, right: int, size: Size) -> FlowField:
        """Return the field of two `(H, W, 2)` arrays, as in `fastrestore.frames.Motion`."""
        return cls((left, left + 4), (right, right + 4), size, 8 * size.width, 2)

    @classmethod
    def planar(cls, address: int, network: Size, size: Size) -> FlowField:
        """Return the field of a `(4, h, w)` output of a network, of which the first `size` cells are the picture's."""
        plane = 4 * network.pixels
        left, right = (address, address + plane), (address + 2 * plane, address + 3 * plane)
        return cls(left, right, size, 4 * network.width, 1)


def pack_motion(flow: FlowField, packed: int) -> Launch:
    """Clean a flow (NaN and infinity are 0, the rest is cut to `FLOW_REACH`) and pack it, `(H, W, 4)` float32.

    Args:
        flow: The displacements.
        packed: Address of `PACKED_BYTES` a cell; a multiple of 16.

    Raises:
        DeviceError: If the address is not aligned, or the field is too large.
    """
    require_within(flow.size)
    _require_packed(packed)
    params = p.PackMotionParams(
        left_x=flow.left[0],
        left_y=flow.left[1],
        right_x=flow.right[0],
        right_y=flow.right[1],
        packed=packed,
        pitch=flow.pitch,
        step=flow.step,
        columns=flow.size.width,
        rows=flow.size.height,
        reach=FLOW_REACH * max(flow.size.width, flow.size.height),
    )
    read = flow.size.pixels * PACKED_BYTES
    return launch_of("fr_pack_motion", params, flow.size.width, flow.size.height, Traffic(2 * read, read))


def guard(
    pictures: tuple[DevicePlanes, DevicePlanes],
    packed: int,
    motion: tuple[PlaneView, PlaneView],
    taps: Sequence[PlacedTaps],
    guarded: int,
    t: float,
) -> Launch:
    """Move a mask towards the nearer neighbour where the warped ones disagree by more than the motion says.

    Args:
        pictures: Left and right.
        packed: Address of the motion, of `pack_motion`.
        motion: Its mask and its disagreement, both float32 and of the motion's size.
        taps: Of `fastrestore.kernels.taps.resize_taps` from the pictures' size to the motion's, on the device.
        guarded: Address of the mask to be made, `(H, W)` float32 without gaps.
        t: Instant between the pictures, in (0, 1).

    Raises:
        DeviceError: If pictures, motion and weights do not fit each other.
    """
    left, right = pictures
    mask, disagreement = motion
    size = mask.size
    require_comparable(left, right)
    require(left.layout.shift == right.layout.shift, "two pictures of different layouts")
    require(mask.bits == disagreement.bits == 32, "a mask or disagreement that is not float32")
    require(disagreement.size == size, f"a disagreement of {disagreement.size}, wanted {size}")
    require_taps(taps, left.size, size)
    _require_packed(packed)
    params = p.GuardParams(
        left=left.addresses[0],
        right=right.addresses[0],
        packed=packed,
        mask=mask.address,
        disagreement=disagreement.address,
        guarded=guarded,
        x=taps_params(taps[0]),
        y=taps_params(taps[1]),
        left_pitch=left.pitches[0],
        right_pitch=right.pitches[0],
        mask_pitch=mask.pitch,
        disagreement_pitch=disagreement.pitch,
        width=left.size.width,
        height=left.size.height,
        shift=left.layout.shift,
        bits=left.layout.samples.bits,
        columns=size.width,
        rows=size.height,
        nearer=1.0 if t < 0.5 else 0.0,
        tolerance=GUARD_TOLERANCE,
        softness=GUARD_SOFTNESS,
    )
    luma = 2 * left.size.pixels * left.layout.sample_bytes
    fields = size.pixels * 8
    moved = luma + fields + size.pixels * (PACKED_BYTES + 4) + sum(axis.nbytes for axis in taps)
    return launch_of("fr_guard", params, size.width, size.height, Traffic(moved, fields))


def synthesize(
    pictures: tuple[DevicePlanes, DevicePlanes],
    packed: int,
    mask: PlaneView,
    target: DevicePlanes,
    *,
    neutral: bool = False,
) -> Launch:
    """Make the picture between two others: both warped along the motion and blended by the mask.

    Args:
        pictures: Left and right.
        packed: Address of the motion, of `pack_motion`; of the mask's size.
        mask: Share of the left picture, float32: the motion's own, or what `guard` made of it.
        target: The picture to be made: of the same size, format and depth; its layout may differ.
        neutral: Whether both pictures are exactly grey: chroma is then stored, not warped.

    Raises:
        DeviceError: If pictures, motion and target do not fit each other.
    """
    left, right = pictures
    for each in (right, target):
        require_comparable(left, each)
        require(each.layout.samples == left.layout.samples, "pictures of different depths")
    require(mask.bits == 32, "a mask that is not float32")
    require_within(mask.size)
    _require_packed(packed)
    params = p.SynthesizeParams(
        left=planes_params(left),
        right=planes_params(right),
        target=planes_params(target),
        packed=packed,
        mask=mask.address,
        mask_pitch=mask.pitch,
        columns=mask.size.width,
        rows=mask.size.height,
        neutral=neutral and target.layout.samples.kind == "yuv",
    )
    whole = target.layout.nbytes(target.size)
    read = target.size.pixels * target.layout.sample_bytes if neutral else whole
    ideal = 2 * read + whole
    traffic = Traffic(ideal + mask.size.pixels * (PACKED_BYTES + 4), ideal)
    size = target.chroma_size
    return launch_of("fr_synthesize", params, size.width, size.height, traffic)


def disagreement(left: PlaneView, right: PlaneView, packed: int, apart: int) -> Launch:
    """Store how far two planes of 8-bit luma differ once warped, as a share of white.

    Args:
        left: Luma of the left picture, of the motion's size.
        right: Luma of the right picture.
        packed: Address of the motion, of `pack_motion`.
        apart: Address of `(H, W)` float32 without gaps.

    Raises:
        DeviceError: If the planes do not fit each other.
    """
    require(left.size == right.size, f"luma of {right.size}, wanted {left.size}")
    require(left.bits == right.bits == 8, "luma that is not of 8 bits")
    require_within(left.size)
    _require_packed(packed)
    params = p.DisagreementParams(
        left=left.address,
        right=right.address,
        packed=packed,
        apart=apart,
        left_pitch=left.pitch,
        right_pitch=right.pitch,
        columns=left.size.width,
        rows=left.size.height,
    )
    pixels = left.size.pixels
    moved = pixels * (2 + PACKED_BYTES + 4)
    return launch_of("fr_disagreement", params, left.size.width, left.size.height, Traffic(moved, pixels * 6))


def _require_packed(address: int) -> None:
    require(address % PACKED_BYTES == 0, f"packed motion at {address:#x}, wanted a multiple of {PACKED_BYTES}")
