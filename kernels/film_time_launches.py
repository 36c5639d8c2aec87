"""Launches of the old-film kernels that work along time: a plane seen along a motion, marks mended, grain averaged."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from fastrestore.kernels import params as p
from fastrestore.kernels.film_clean import TONE_PX, TONE_SIGMA_PX
from fastrestore.kernels.film_degrain import AGREES, DIFFERS
from fastrestore.kernels.film_launches import FOUR, require_alike, require_floats, require_samples
from fastrestore.kernels.launch import Launch, Traffic, launch_of, require
from fastrestore.kernels.surface import PlaneView


def warp(source: PlaneView, flow: PlaneView, target: PlaneView) -> Launch:
    """Make a plane of another one seen along a flow, bilinear. Twin: `fastrestore.kernels.film_clean.warped`.

    Edges are repeated, however far a flow points. A displacement that is not finite counts as none.

    Args:
        source: The plane, of 8 to 16 bits or float32; of any size.
        flow: `(H, W, 2)` float32, (x, y) px: `bits` is 32, the pitch that of whole pairs.
        target: The plane wanted: of the flow's size and the source's depth; in other memory than the source.

    Raises:
        DeviceError: If they do not fit each other.
    """
    require_floats(target.size, flow, each=2)
    require(target.bits == source.bits, f"a target of {target.bits} bits, wanted {source.bits}")
    for plane in (source, target):
        if plane.bits == 32:
            require_floats(plane.size, plane)
        else:
            require_samples(plane)
    params = p.WarpParams(
        source=source.address,
        target=target.address,
        flow=flow.address,
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        flow_pitch=flow.pitch,
        width=source.size.width,
        height=source.size.height,
        columns=target.size.width,
        rows=target.size.height,
        bits=source.bits,
    )
    moved = source.nbytes + target.nbytes + 2 * flow.nbytes
    return launch_of("fr_warp", params, target.size.width, target.size.height, Traffic(moved, moved))


def mend(
    source: PlaneView, sides: tuple[PlaneView, PlaneView], mask: PlaneView, target: PlaneView, share: float
) -> Launch:
    """Put what is masked back from the frames before and after. Twin: `fastrestore.kernels.film_clean.mended`, rounded.

    A launch a mark: planes are parts of pictures, as large as the surroundings of one.

    Args:
        source: Part of a plane.
        sides: The same part of the frames before and after, warped and of the same light, float32, in stored levels.
        mask: How much of each sample is replaced, `[0, 1]`, float32.
        target: Where it goes; may be the source. Samples that are not masked are not written.
        share: How much of the tones comes from the frame before, `[0, 1]`.

    Raises:
        DeviceError: If planes do not fit each other, or the share is out of its range.
    """
    require_alike(source, target)
    require_floats(source.size, *sides, mask)
    require(0 <= share <= 1, f"a share of {share}, wanted 0 to 1")
    better, worse = sides if share >= 0.5 else sides[::-1]
    gaussian = cv2.getGaussianKernel(TONE_PX, TONE_SIGMA_PX).ravel()
    params = p.MendParams(
        source=source.address,
        target=target.address,
        better=better.address,
        worse=worse.address,
        mask=mask.address,
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        better_pitch=better.pitch,
        worse_pitch=worse.pitch,
        mask_pitch=mask.pitch,
        width=source.size.width,
        height=source.size.height,
        bits=source.bits,
        share=min(share, 1 - share),
        centre=gaussian[2],
        beside=gaussian[1],
        beyond=gaussian[0],
    )
    moved = source.nbytes + target.nbytes + 3 * mask.nbytes
    return launch_of("fr_mend", params, source.size.width, source.size.height, Traffic(moved, moved))


def agreement(luma: PlaneView, neighbour: PlaneView, variance: PlaneView, weight: PlaneView) -> Launch:
    """Store how much a neighbour in time is believed. Twin: `fastrestore.kernels.film_degrain.agreement`, of 8 bits.

    Args:
        luma: Of the frame, in 8 bits.
        neighbour: Of the frame beside it, warped onto it.
        variance: Of the grain in one frame, float32, above 0.
        weight: Where it goes, float32.

    Raises:
        DeviceError: If planes do not fit each other.
    """
    require_alike(luma, neighbour)
    require(luma.bits == 8, f"luma of {luma.bits} bits, wanted 8")
    require_floats(luma.size, variance, weight)
    params = p.AgreementParams(
        luma=luma.address,
        neighbour=neighbour.address,
        variance=variance.address,
        weight=weight.address,
        luma_pitch=luma.pitch,
        neighbour_pitch=neighbour.pitch,
        variance_pitch=variance.pitch,
        weight_pitch=weight.pitch,
        width=luma.size.width,
        height=luma.size.height,
        slope=1 / (DIFFERS - AGREES),
        most=DIFFERS / (DIFFERS - AGREES),
    )
    moved = luma.nbytes + neighbour.nbytes + variance.nbytes + weight.nbytes
    return launch_of("fr_agreement", params, -(-luma.size.width // FOUR), luma.size.height, Traffic(moved, moved))


def average(
    source: PlaneView, sides: Sequence[tuple[PlaneView, PlaneView]], mean: PlaneView, left: PlaneView | None = None
) -> Launch:
    """Average a plane with its neighbours in time. Twins: `film_degrain.averaged` and `variance_left`.

    Args:
        source: The plane.
        sides: Up to two neighbours, warped, each with its weights, float32.
        mean: Where the mean goes: float32, in 8-bit code values.
        left: Where the share goes that is left of the variance of grain, float32; or None.

    Raises:
        DeviceError: If planes do not fit each other, or there are more than two neighbours.
    """
    require(len(sides) <= 2, f"{len(sides)} neighbours, wanted at most 2")
    require_samples(source)
    for plane, weight in sides:
        require_alike(source, plane)
        require_floats(source.size, weight)
    require_floats(source.size, *([mean] if left is None else [mean, left]))
    named: dict[str, int] = {}
    for name, (plane, weight) in zip(("before", "after"), sides, strict=False):
        named |= {name: plane.address, f"{name}_pitch": plane.pitch}
        named |= {f"{name}_weight": weight.address, f"{name}_weight_pitch": weight.pitch}
    params = p.AverageParams(
        source=source.address,
        mean=mean.address,
        left=0 if left is None else left.address,
        source_pitch=source.pitch,
        mean_pitch=mean.pitch,
        left_pitch=0 if left is None else left.pitch,
        width=source.size.width,
        height=source.size.height,
        bits=source.bits,
        **named,
    )
    read = source.nbytes + sum(plane.nbytes + weight.nbytes for plane, weight in sides)
    written = mean.nbytes * (1 if left is None else 2)
    across = -(-source.size.width // FOUR)
    return launch_of("fr_average", params, across, source.size.height, Traffic(read + written, read))


def calm(mean: PlaneView, variance: PlaneView | float, left: PlaneView | None, target: PlaneView) -> Launch:
    """Draw samples to the mean around them where they vary no more than grain, and store them.

    Twin: `fastrestore.kernels.film_degrain.calmed`, rounded.

    Args:
        mean: What `average` made.
        variance: Of the grain in one frame: float32, or a number where it is the same everywhere.
        left: The share of it that is left, of `average`; None for all of it.
        target: Where the result goes.

    Raises:
        DeviceError: If planes do not fit each other.
    """
    require_samples(target)
    field = variance if isinstance(variance, PlaneView) else None
    planes = [plane for plane in (mean, field, left) if plane is not None]
    require_floats(target.size, *planes)
    params = p.CalmParams(
        mean=mean.address,
        variance=0 if field is None else field.address,
        left=0 if left is None else left.address,
        target=target.address,
        mean_pitch=mean.pitch,
        variance_pitch=0 if field is None else field.pitch,
        left_pitch=0 if left is None else left.pitch,
        target_pitch=target.pitch,
        width=target.size.width,
        height=target.size.height,
        bits=target.bits,
        grain=0.0 if isinstance(variance, PlaneView) else variance,
    )
    moved = target.nbytes + sum(plane.nbytes for plane in planes)
    ideal = target.nbytes + (0 if field is None else field.nbytes)
    return launch_of("fr_calm", params, -(-target.size.width // FOUR), target.size.height, Traffic(moved, ideal))
