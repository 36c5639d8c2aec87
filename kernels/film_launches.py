"""Launches of the old-film kernels that work on one picture: grain, tones, and planes seen along a similarity.

Planes are planar, of 8 to 16 bits. What a table or texture holds is made on the host, by the twins, and uploaded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.kernels import params as p
from fastrestore.kernels.film_tone import KNEE
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
from fastrestore.kernels.surface import DevicePlanes, PlaneView
from fastrestore.kernels.taps import PlacedTaps

RUN, FOUR = 16, 4
"""Samples of a row that a thread owns: where bytes are all that a kernel costs, and where it takes more."""
MOST_CELLS = 4096
"""Cells along a side of a field: places between them are computed in whole numbers of 32 bits."""
GAINS = 256
"""Entries of a table of gains, int16."""
LANCZOS_PARTS, LANCZOS_TAPS = 32, 8
"""Places between two samples that `resample` knows, and samples that each of them weighs."""


@dataclass(frozen=True, slots=True)
class Grain:
    """A texture of grain on the device, and how strongly it shows."""

    texture: PlaneView
    """`(h, w)` int8, periodic: see `fastrestore.kernels.film_grain.laid_over`."""
    gains: int
    """Address of `film_grain.Gains.table`."""
    shift: int
    """`film_grain.Gains.shift`."""
    bits: int
    """`film_grain.Gains.bits`."""


@dataclass(frozen=True, slots=True)
class Tones:
    """A change of tones, on the device."""

    table: int
    """Address of float32, one for every sample: `film_tone.level_table`, or `film_tone.chroma_table` for chroma."""
    bits: int
    """Depth of the samples that it is for."""
    field: PlaneView | None = None
    """`(h, w)` float32 without gaps: what is added to tones at cells spread evenly over the picture."""
    overshoot: float = 0.0
    """By how much white, as the table and the field change it, is above white where it is highest: as a level."""


def lay_grain(source: PlaneView, grain: Grain, target: PlaneView, offset: tuple[int, int], sign: int) -> Launch:
    """Add a texture to a plane. Twin: `fastrestore.kernels.film_grain.laid_over`, to the bit.

    Args:
        source: The plane.
        grain: What is added; its rows at multiples of 16 bytes are fastest.
        target: Where the result goes; may be the source.
        offset: Row and column of the texture that the first sample gets.
        sign: 1, or -1 to turn the texture around.

    Raises:
        DeviceError: If planes and gains do not fit each other.
    """
    require_alike(source, target)
    require_samples(grain.texture)
    require(grain.texture.bits == 8, f"a texture of {grain.texture.bits} bits, wanted 8")
    require(grain.bits == source.bits, f"gains for {grain.bits} bits, wanted {source.bits}")
    require(0 <= grain.shift <= 14, f"gains shifted by {grain.shift} bits, wanted 0 to 14")
    require(sign in (1, -1), f"a sign of {sign}, wanted 1 or -1")
    texture = grain.texture.size
    params = p.GrainParams(
        source=source.address,
        target=target.address,
        texture=grain.texture.address,
        gains=grain.gains,
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        texture_pitch=grain.texture.pitch,
        width=source.size.width,
        height=source.size.height,
        bits=source.bits,
        texture_width=texture.width,
        texture_height=texture.height,
        row=offset[0] % texture.height,
        column=offset[1] % texture.width,
        sign=sign,
        shift=grain.shift,
    )
    ideal = source.nbytes + target.nbytes + min(source.size.pixels, texture.pixels)
    traffic = Traffic(ideal + 2 * GAINS, ideal)
    return launch_of("fr_lay_grain", params, -(-source.size.width // RUN), source.size.height, traffic)


def tone(source: PlaneView, tones: Tones, target: PlaneView, black: float, span: float) -> Launch:
    """Change the tones of a plane of luma, or of R'G'B'. Twin: `fastrestore.kernels.film_tone.toned`.

    Without a field it is the twin to the bit.

    Args:
        source: The plane.
        tones: With a `level_table`.
        target: Where the result goes; may be the source.
        black: Sample that is black: see `film_tone.black_and_span`.
        span: How many samples lie between black and white.

    Raises:
        DeviceError: If planes and table do not fit each other.
    """
    require_alike(source, target)
    _require_tones(tones, source.bits)
    over = max(0.0, tones.overshoot)
    knee = max(0.0, 1 - KNEE * over)
    reach = 1 + over - knee
    params = p.ToneParams(
        source=source.address,
        target=target.address,
        table=tones.table,
        field=0 if tones.field is None else tones.field.address,
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        width=source.size.width,
        height=source.size.height,
        bits=source.bits,
        columns=0 if tones.field is None else tones.field.size.width,
        rows=0 if tones.field is None else tones.field.size.height,
        span=span,
        black=black,
        knee=knee,
        reach=reach,
        bend=over / reach**2 if over else 0.0,
    )
    ideal = source.nbytes + target.nbytes
    across = -(-source.size.width // (RUN if tones.field is None else FOUR))
    return launch_of("fr_tone", params, across, source.size.height, Traffic(ideal + _table_bytes(tones), ideal))


def tone_chroma(source: DevicePlanes, tones: Tones, taps: Sequence[PlacedTaps], target: DevicePlanes) -> Launch:
    """Scale chroma as the luma over it changes. Twin: `fastrestore.kernels.film_tone.toned`.

    Args:
        source: The picture as it was: its luma as well.
        tones: With a `chroma_table`.
        taps: Of `fastrestore.kernels.taps.resize_taps` from luma's size to that of chroma, on the device.
        target: Its chroma is written; in other memory than the source's.

    Raises:
        DeviceError: If there is no chroma, or pictures, table and weights do not fit each other.
    """
    samples = source.layout.samples
    require(samples.kind == "yuv", f"a picture of {samples.name}, wanted one with chroma")
    require_comparable(source, target)
    require(target.layout.samples == samples, "pictures of different depths")
    require_taps(taps, source.size, source.chroma_size)
    _require_tones(tones, samples.bits)
    luma, chroma = source.size, source.chroma_size
    params = p.ToneChromaParams(
        source=planes_params(source),
        target=planes_params(target),
        table=tones.table,
        field=0 if tones.field is None else tones.field.address,
        x=taps_params(taps[0]),
        y=taps_params(taps[1]),
        columns=0 if tones.field is None else tones.field.size.width,
        rows=0 if tones.field is None else tones.field.size.height,
        # OpenCV rounds the mean of 2x2 whole numbers up, and any other to even.
        half_up=luma.width == 2 * chroma.width and luma.height == 2 * chroma.height,
    )
    ideal = source.layout.nbytes(luma) + 2 * chroma.pixels * source.layout.sample_bytes
    moved = ideal + _table_bytes(tones) + sum(axis.nbytes for axis in taps)
    return launch_of("fr_tone_chroma", params, chroma.width, chroma.height, Traffic(moved, ideal))


def lanczos_weights() -> NDArray[np.float32]:
    """Return what `resample` weighs eight samples with, `(LANCZOS_PARTS, LANCZOS_TAPS)` float32, to be uploaded.

    Row `i` is for a place `i / LANCZOS_PARTS` after the fourth of them.
    """
    parts = np.arange(LANCZOS_PARTS)[:, None] / LANCZOS_PARTS
    distance = parts + LANCZOS_TAPS // 2 - 1 - np.arange(LANCZOS_TAPS)
    weights = np.sinc(distance) * np.sinc(distance / (LANCZOS_TAPS // 2))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def resample(source: PlaneView, matrix: NDArray[np.float64], weights: int, target: PlaneView) -> Launch:
    """Make a plane of another one seen along a similarity. Twin: `fastrestore.kernels.film_steady.resample`.

    Args:
        source: The plane.
        matrix: `(2, 3)`: from places of the target to places of the source. Any finite one will do: beyond its edges
            the plane is mirrored, however far.
        weights: Address of `lanczos_weights`; a multiple of 16.
        target: The plane wanted, of any size; in other memory than the source.

    Raises:
        DeviceError: If depths differ, the matrix is not finite, or the weights are not aligned.
    """
    require_samples(source, target)
    require(target.bits == source.bits, f"a target of {target.bits} bits, wanted {source.bits}")
    require(matrix.shape == (2, 3) and bool(np.isfinite(matrix).all()), f"a similarity of {matrix.tolist()}")
    require(weights % 16 == 0, f"weights at {weights:#x}, wanted a multiple of 16")
    params = p.ResampleParams(
        source=source.address,
        target=target.address,
        weights=weights,
        matrix=tuple(matrix.ravel()),
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        width=source.size.width,
        height=source.size.height,
        columns=target.size.width,
        rows=target.size.height,
        bits=source.bits,
    )
    ideal = source.nbytes + target.nbytes
    traffic = Traffic(ideal + 4 * LANCZOS_PARTS * LANCZOS_TAPS, ideal)
    return launch_of("fr_resample", params, target.size.width, target.size.height, traffic)


def require_samples(*planes: PlaneView) -> None:
    """Refuse planes that are not of 8 to 16 bits, or whose rows overlap or are not aligned to their samples."""
    for plane in planes:
        require(8 <= plane.bits <= 16, f"a plane of {plane.bits} bits, wanted 8 to 16")
        _require_rows(plane, plane.sample_bytes)


def require_floats(size: Size, *planes: PlaneView, each: int = 1) -> None:
    """Refuse planes that are not of float32, of a size, with `each` floats to a sample."""
    for plane in planes:
        require(plane.bits == 32, f"a plane of {plane.bits} bits, wanted float32")
        require(plane.size == size, f"a plane of {plane.size}, wanted {size}")
        _require_rows(plane, 4 * each)


def require_alike(one: PlaneView, other: PlaneView) -> None:
    """Refuse two planes of samples unless size and depth are the same."""
    require_samples(one, other)
    seen, wanted = (other.size, other.bits), (one.size, one.bits)
    require(seen == wanted, f"a plane of {seen[0]}, {seen[1]} bits, wanted {wanted[0]}, {wanted[1]} bits")


def _require_rows(plane: PlaneView, sample_bytes: int) -> None:
    require_within(plane.size)
    row = plane.size.width * sample_bytes
    require(plane.pitch >= row, f"a pitch of {plane.pitch} bytes, wanted at least {row}")
    whole = plane.address % sample_bytes == 0 and plane.pitch % sample_bytes == 0
    require(whole, f"a plane at {plane.address:#x}, pitch {plane.pitch}, is not aligned to its samples")


def _require_tones(tones: Tones, bits: int) -> None:
    require(tones.bits == bits, f"a table for {tones.bits} bits, wanted {bits}")
    if tones.field is not None:
        cells = tones.field.size
        require_floats(cells, tones.field)
        require(tones.field.pitch == 4 * cells.width, f"a field with a pitch of {tones.field.pitch}, wanted none")
        require(max(cells.width, cells.height) <= MOST_CELLS, f"a field of {cells}, wanted at most {MOST_CELLS} a side")


def _table_bytes(tones: Tones) -> int:
    return 4 * (1 << tones.bits) + (0 if tones.field is None else tones.field.nbytes)
