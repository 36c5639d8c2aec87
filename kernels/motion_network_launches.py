"""Launches around a network that finds motion: its pictures made ready, and what it yields."""

from __future__ import annotations

from dataclasses import dataclass

from fastrestore.geometry import Size
from fastrestore.kernels import params as p
from fastrestore.kernels.launch import Launch, Traffic, launch_of, planes_params, require, require_within
from fastrestore.kernels.motion_launches import PACKED_BYTES
from fastrestore.kernels.picture_launches import PIXELS_A_THREAD, rgb_from_samples
from fastrestore.kernels.reference import FLOW_REACH
from fastrestore.kernels.surface import DevicePlanes


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """Where a network works for a picture: the picture padded by its last row and column, then reduced."""

    picture: Size
    grid: Size
    """The reduced picture."""
    shrink: int
    """A power of two: pixels of the picture for one of the network, along a side."""
    tensor: Size
    """What the network is given: at least `grid`, whose last row and column are repeated."""

    @property
    def elements(self) -> int:
        """Of one channel."""
        return self.tensor.pixels


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What the network yields for one instant."""

    flow: int
    """Address of `(4, h, w)`: x and y to the left neighbour, x and y to the right one, in pixels of the network."""
    mask: int
    """Address of `(h, w)`: the share of the left neighbour."""
    half: tuple[bool, bool]
    """Whether flow and mask are float16; float32 otherwise."""


def planes_to_reduced(source: DevicePlanes, tile: int, place: NetworkPlace, *, half: bool) -> Launch:
    """Make a picture ready for a network that is given less: R'G'B' by the area mean.

    Args:
        source: The picture.
        tile: Address of `(3, h, w)` float16 or float32, of `place.tensor`.
        place: Where the network works; reduces by 2 at least.
        half: Whether elements are float16.

    Raises:
        DeviceError: If the picture is another one's, or it is not reduced by a power of two.
    """
    require(source.size == place.picture, f"a picture of {source.size}, wanted {place.picture}")
    shrink = place.shrink
    require(shrink >= 2 and shrink & (shrink - 1) == 0, f"a picture reduced by {shrink}, wanted a power of two")
    _require_grid(place)
    require_within(place.tensor)
    matrix, offset = rgb_from_samples(source)
    siting = source.colour.siting.value
    params = p.PlanesToReducedParams(
        source=planes_params(source),
        tile=tile,
        matrix=tuple(matrix.ravel()),
        offset=tuple(offset),
        siting_x=siting[0],
        siting_y=siting[1],
        width=place.tensor.width,
        height=place.tensor.height,
        columns=place.grid.width,
        rows=place.grid.height,
        shrink=shrink,
        half=half,
    )
    moved = source.layout.nbytes(source.size) + place.elements * 3 * (2 if half else 4)
    made = max(1, PIXELS_A_THREAD // shrink)
    across = -(-place.tensor.width // made)
    return launch_of("fr_planes_to_reduced", params, across, place.tensor.height, Traffic(moved, moved))


def fill(address: int, count: int, value: float, *, half: bool) -> Launch:
    """Set every element of a tensor to one number.

    Args:
        address: Of float16 or float32 elements.
        count: How many.
        value: The number.
        half: Whether elements are float16.

    Raises:
        DeviceError: If there are none, or too many to be counted in 32 bits.
    """
    require(0 < count < 1 << 31, f"{count} elements to fill, wanted 1 to {(1 << 31) - 1}")
    nbytes = count * (2 if half else 4)
    params = p.FillParams(address=address, count=count, half=half, value=value)
    return launch_of("fr_fill", params, count, 1, Traffic(nbytes, nbytes))


def place_motion(output: NetworkOutput, place: NetworkPlace, packed: int, share: int, *, broken: int = 0) -> Launch:
    """Bring what a network yields to every pixel of the picture, ready for `guard` and `synthesize`.

    Displacements become pixels of the picture and are cleaned as by `pack_motion`; the mask is kept within `[0, 1]`.

    Args:
        output: What the network yields.
        place: Where it works.
        packed: Address of `PACKED_BYTES` a pixel; a multiple of 16.
        share: Address of the mask, `(H, W)` float32 without gaps.
        broken: Address of an int32 that becomes 1 where a number is not finite, or 0.

    Raises:
        DeviceError: If the address is not aligned, or the place does not hold the picture.
    """
    require(packed % PACKED_BYTES == 0, f"packed motion at {packed:#x}, wanted a multiple of {PACKED_BYTES}")
    _require_grid(place)
    require_within(place.picture)
    size = place.picture
    params = p.PlaceMotionParams(
        flow=output.flow,
        mask=output.mask,
        packed=packed,
        share=share,
        broken=broken,
        network_width=place.tensor.width,
        network_height=place.tensor.height,
        columns=place.grid.width,
        rows=place.grid.height,
        width=size.width,
        height=size.height,
        shrink=place.shrink,
        half_flow=output.half[0],
        half_mask=output.half[1],
        reach=FLOW_REACH * max(size.width, size.height),
    )
    cell = sum((2 if half else 4) * count for half, count in zip(output.half, (4, 1), strict=True))
    moved = cell * place.grid.pixels + size.pixels * (PACKED_BYTES + 4)
    return launch_of("fr_place_motion", params, size.width, size.height, Traffic(moved, moved))


def _require_grid(place: NetworkPlace) -> None:
    """Refuse a grid that leaves pixels of the picture out, or that the tensor does not hold."""
    holds = place.grid.width * place.shrink >= place.picture.width
    holds = holds and place.grid.height * place.shrink >= place.picture.height
    require(holds, f"{place.grid} times {place.shrink} for a picture of {place.picture}")
    fits = place.grid.width <= place.tensor.width and place.grid.height <= place.tensor.height
    require(fits, f"a tensor of {place.tensor}, wanted at least {place.grid}")
