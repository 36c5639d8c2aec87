"""What kernels are launched with: pure arithmetic on addresses and sizes, which loads no CUDA.

A builder checks what it is given and returns a `Launch`. Who executes it is somebody else's business: a card, by the
module of `fastrestore.kernels.fatbin`, or the host, by `fastrestore.kernels.host_build`. How kernels, builders and
twins belong together is in `docs/kernels.md`.
"""

from __future__ import annotations

from fastrestore.kernels.film_launches import (
    Grain,
    Tones,
    lanczos_weights,
    lay_grain,
    resample,
    tone,
    tone_chroma,
)
from fastrestore.kernels.film_time_launches import agreement, average, calm, mend, warp
from fastrestore.kernels.launch import Launch, Traffic, bytes_moved
from fastrestore.kernels.motion_launches import PACKED_BYTES, FlowField, disagreement, guard, pack_motion, synthesize
from fastrestore.kernels.motion_network_launches import (
    NetworkOutput,
    NetworkPlace,
    fill,
    place_motion,
    planes_to_reduced,
)
from fastrestore.kernels.params import MOST_TILES
from fastrestore.kernels.picture_launches import (
    TileStore,
    clear,
    luma8,
    planes_to_tiles,
    requantize,
    resize,
    tiles_to_planes,
)
from fastrestore.kernels.statistics_launches import (
    SLOT,
    SLOTS,
    STATISTICS_BYTES,
    THUMBNAIL_BYTES,
    difference,
    statistics,
    thumbnail,
    unequal,
)
from fastrestore.kernels.surface import NV12, P010, P012, P016, DevicePlanes, Layout, PlaneView
from fastrestore.kernels.taps import PlacedTaps, TapTable, TileSpan, frame_taps, resize_taps

__all__ = [
    "MOST_TILES",
    "NV12",
    "P010",
    "P012",
    "P016",
    "PACKED_BYTES",
    "SLOT",
    "SLOTS",
    "STATISTICS_BYTES",
    "THUMBNAIL_BYTES",
    "DevicePlanes",
    "FlowField",
    "Grain",
    "Launch",
    "Layout",
    "NetworkOutput",
    "NetworkPlace",
    "PlacedTaps",
    "PlaneView",
    "TapTable",
    "TileSpan",
    "TileStore",
    "Tones",
    "Traffic",
    "agreement",
    "average",
    "bytes_moved",
    "calm",
    "clear",
    "difference",
    "disagreement",
    "fill",
    "frame_taps",
    "guard",
    "lanczos_weights",
    "lay_grain",
    "luma8",
    "mend",
    "pack_motion",
    "place_motion",
    "planes_to_reduced",
    "planes_to_tiles",
    "requantize",
    "resample",
    "resize",
    "resize_taps",
    "statistics",
    "synthesize",
    "thumbnail",
    "tiles_to_planes",
    "tone",
    "tone_chroma",
    "unequal",
    "warp",
]
