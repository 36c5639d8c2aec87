"""The structures that kernels are given, field by field as `kernels/cuda/params.h` has them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from ctypes import c_double as f64
from ctypes import c_float as f32
from ctypes import c_int32 as i32
from ctypes import c_int64 as i64
from ctypes import c_uint64 as address
from types import MappingProxyType
from typing import Any

MOST_TILES = 64
"""Tiles that one launch of `fr_planes_to_tiles` gathers."""


class PlanesParams(ctypes.Structure):
    """A picture on the device."""

    _fields_ = (
        ("address", address * 3),
        ("pitch", i32 * 3),
        *((name, i32) for name in ("width", "height", "chroma_width", "chroma_height", "step", "shift", "bits")),
        *((name, i32) for name in ("shift_x", "shift_y", "count")),
    )


class TapsParams(ctypes.Structure):
    """Sparse weights along an axis."""

    _fields_ = (("begin", address), ("entries", address), ("each", i32), ("unused", i32))


class PlanesToTilesParams(ctypes.Structure):
    """Of `fr_planes_to_tiles`."""

    _fields_ = (
        ("source", PlanesParams),
        ("tiles", address),
        ("matrix", f32 * 9),
        ("offset", f32 * 3),
        ("siting_x", f32),
        ("siting_y", f32),
        *((name, i32) for name in ("width", "height", "count", "half")),
        ("origin", i32 * (2 * MOST_TILES)),
    )


class TilesToPlanesParams(ctypes.Structure):
    """Of `fr_tiles_to_planes`."""

    _fields_ = (
        ("target", PlanesParams),
        ("tiles", address),
        ("broken", address),
        *((name, TapsParams) for name in ("luma_x", "luma_y", "chroma_x", "chroma_y")),
        ("matrix", f32 * 9),
        ("offset", f32 * 3),
        *((name, i32) for name in ("width", "height", "count", "half", "neutral")),
    )


class PackMotionParams(ctypes.Structure):
    """Of `fr_pack_motion`."""

    _fields_ = (
        *((name, address) for name in ("left_x", "left_y", "right_x", "right_y", "packed")),
        *((name, i32) for name in ("pitch", "step", "columns", "rows")),
        ("reach", f32),
    )


class PlanesToReducedParams(ctypes.Structure):
    """Of `fr_planes_to_reduced`."""

    _fields_ = (
        ("source", PlanesParams),
        ("tile", address),
        ("matrix", f32 * 9),
        ("offset", f32 * 3),
        ("siting_x", f32),
        ("siting_y", f32),
        *((name, i32) for name in ("width", "height", "columns", "rows", "shrink", "half")),
    )


class FillParams(ctypes.Structure):
    """Of `fr_fill`."""

    _fields_ = (("address", address), ("count", i32), ("half", i32), ("value", f32), ("unused", i32))


class PlaceMotionParams(ctypes.Structure):
    """Of `fr_place_motion`."""

    _fields_ = (
        *((name, address) for name in ("flow", "mask", "packed", "share", "broken")),
        *((name, i32) for name in ("network_width", "network_height", "columns", "rows", "width", "height")),
        *((name, i32) for name in ("shrink", "half_flow", "half_mask")),
        ("reach", f32),
    )


class GuardParams(ctypes.Structure):
    """Of `fr_guard`."""

    _fields_ = (
        *((name, address) for name in ("left", "right", "packed", "mask", "disagreement", "guarded")),
        ("x", TapsParams),
        ("y", TapsParams),
        *((name, i32) for name in ("left_pitch", "right_pitch", "mask_pitch", "disagreement_pitch")),
        *((name, i32) for name in ("width", "height", "shift", "bits", "columns", "rows")),
        *((name, f32) for name in ("nearer", "tolerance", "softness")),
    )


class SynthesizeParams(ctypes.Structure):
    """Of `fr_synthesize`."""

    _fields_ = (
        *((name, PlanesParams) for name in ("left", "right", "target")),
        ("packed", address),
        ("mask", address),
        *((name, i32) for name in ("mask_pitch", "columns", "rows", "neutral")),
    )


class DisagreementParams(ctypes.Structure):
    """Of `fr_disagreement`."""

    _fields_ = (
        *((name, address) for name in ("left", "right", "packed", "apart")),
        *((name, i32) for name in ("left_pitch", "right_pitch", "columns", "rows")),
    )


class StatisticsParams(ctypes.Structure):
    """Of `fr_statistics`."""

    _fields_ = (
        *((name, address) for name in ("left", "right", "slots")),
        *((name, i32) for name in ("left_pitch", "right_pitch", "width", "height", "slot_count")),
    )


class ThumbnailParams(ctypes.Structure):
    """Of `fr_thumbnail`."""

    _fields_ = (
        ("luma", address),
        ("sums", address),
        *((name, i32) for name in ("pitch", "width", "height", "columns", "rows")),
    )


class UnequalParams(ctypes.Structure):
    """Of `fr_unequal`."""

    _fields_ = (
        *((name, address) for name in ("left", "right", "found")),
        *((name, i32) for name in ("left_pitch", "right_pitch", "row_bytes", "height")),
    )


class ClearParams(ctypes.Structure):
    """Of `fr_clear`."""

    _fields_ = (("address", address), ("bytes", i64))


class ResizeParams(ctypes.Structure):
    """Of `fr_resize`."""

    _fields_ = (
        ("source", address),
        ("target", address),
        ("x", TapsParams),
        ("y", TapsParams),
        *((name, i32) for name in ("source_pitch", "target_pitch", "source_bytes", "target_bytes")),
        *((name, i32) for name in ("width", "height", "bits")),
    )


class Luma8Params(ctypes.Structure):
    """Of `fr_luma8`."""

    _fields_ = (
        ("source", PlanesParams),
        ("luma", address),
        ("weights", f32 * 3),
        ("pitch", i32),
        ("weighted", i32),
    )


class RequantizeParams(ctypes.Structure):
    """Of `fr_requantize`."""

    _fields_ = (
        ("source", PlanesParams),
        ("target", PlanesParams),
        *((name, f32) for name in ("factor", "luma_offset", "chroma_offset")),
    )


class GrainParams(ctypes.Structure):
    """Of `fr_lay_grain`."""

    _fields_ = (
        *((name, address) for name in ("source", "target", "texture", "gains")),
        *((name, i32) for name in ("source_pitch", "target_pitch", "texture_pitch", "width", "height", "bits")),
        *((name, i32) for name in ("texture_width", "texture_height", "row", "column", "sign", "shift")),
    )


class ToneParams(ctypes.Structure):
    """Of `fr_tone`."""

    _fields_ = (
        *((name, address) for name in ("source", "target", "table", "field")),
        *((name, i32) for name in ("source_pitch", "target_pitch", "width", "height", "bits", "columns", "rows")),
        *((name, f32) for name in ("span", "black", "knee", "reach", "bend")),
    )


class ToneChromaParams(ctypes.Structure):
    """Of `fr_tone_chroma`."""

    _fields_ = (
        ("source", PlanesParams),
        ("target", PlanesParams),
        ("table", address),
        ("field", address),
        ("x", TapsParams),
        ("y", TapsParams),
        *((name, i32) for name in ("columns", "rows", "half_up")),
    )


class ResampleParams(ctypes.Structure):
    """Of `fr_resample`."""

    _fields_ = (
        *((name, address) for name in ("source", "target", "weights")),
        ("matrix", f64 * 6),
        *((name, i32) for name in ("source_pitch", "target_pitch", "width", "height", "columns", "rows", "bits")),
    )


class WarpParams(ctypes.Structure):
    """Of `fr_warp`."""

    _fields_ = (
        *((name, address) for name in ("source", "target", "flow")),
        *((name, i32) for name in ("source_pitch", "target_pitch", "flow_pitch", "width", "height")),
        *((name, i32) for name in ("columns", "rows", "bits")),
    )


class MendParams(ctypes.Structure):
    """Of `fr_mend`."""

    _fields_ = (
        *((name, address) for name in ("source", "target", "better", "worse", "mask")),
        *((name, i32) for name in ("source_pitch", "target_pitch", "better_pitch", "worse_pitch", "mask_pitch")),
        *((name, i32) for name in ("width", "height", "bits")),
        *((name, f32) for name in ("share", "centre", "beside", "beyond")),
    )


class AgreementParams(ctypes.Structure):
    """Of `fr_agreement`."""

    _fields_ = (
        *((name, address) for name in ("luma", "neighbour", "variance", "weight")),
        *((name, i32) for name in ("luma_pitch", "neighbour_pitch", "variance_pitch", "weight_pitch")),
        *((name, i32) for name in ("width", "height")),
        ("slope", f32),
        ("most", f32),
    )


class AverageParams(ctypes.Structure):
    """Of `fr_average`."""

    _fields_ = (
        *((name, address) for name in ("source", "before", "after", "before_weight", "after_weight", "mean", "left")),
        *((name, i32) for name in ("source_pitch", "before_pitch", "after_pitch")),
        *((name, i32) for name in ("before_weight_pitch", "after_weight_pitch", "mean_pitch", "left_pitch")),
        *((name, i32) for name in ("width", "height", "bits")),
    )


class CalmParams(ctypes.Structure):
    """Of `fr_calm`."""

    _fields_ = (
        *((name, address) for name in ("mean", "variance", "left", "target")),
        *((name, i32) for name in ("mean_pitch", "variance_pitch", "left_pitch", "target_pitch")),
        *((name, i32) for name in ("width", "height", "bits")),
        ("grain", f32),
    )


KERNELS: Mapping[str, type[ctypes.Structure]] = MappingProxyType(
    {
        "fr_planes_to_tiles": PlanesToTilesParams,
        "fr_tiles_to_planes": TilesToPlanesParams,
        "fr_pack_motion": PackMotionParams,
        "fr_planes_to_reduced": PlanesToReducedParams,
        "fr_fill": FillParams,
        "fr_place_motion": PlaceMotionParams,
        "fr_guard": GuardParams,
        "fr_disagreement": DisagreementParams,
        "fr_synthesize": SynthesizeParams,
        "fr_statistics": StatisticsParams,
        "fr_thumbnail": ThumbnailParams,
        "fr_unequal": UnequalParams,
        "fr_clear": ClearParams,
        "fr_resize": ResizeParams,
        "fr_luma8": Luma8Params,
        "fr_requantize": RequantizeParams,
        "fr_lay_grain": GrainParams,
        "fr_tone": ToneParams,
        "fr_tone_chroma": ToneChromaParams,
        "fr_resample": ResampleParams,
        "fr_warp": WarpParams,
        "fr_mend": MendParams,
        "fr_agreement": AgreementParams,
        "fr_average": AverageParams,
        "fr_calm": CalmParams,
    }
)
"""Every kernel of the module, and what it is given."""


def address_offsets(structure: type[ctypes.Structure]) -> Iterator[int]:
    """Yield where in a structure, in bytes, device addresses are."""
    members: Sequence[tuple[str, Any]] = structure._fields_  # type: ignore[assignment]
    for name, kind in members:
        offset = getattr(structure, name).offset
        if issubclass(kind, ctypes.Structure):
            yield from (offset + inner for inner in address_offsets(kind))
        elif kind is address:
            yield offset
        elif kind is address * 3:
            yield from range(offset, offset + ctypes.sizeof(kind), ctypes.sizeof(address))
