"""Bandwidth of every kernel of the pipeline, held against the device's own copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from tests.gpu.film import film_launches
from tests.gpu.motion import motion_launches
from tests.gpu.setting import Setting

from fastrestore.frames import FORMATS, Colour
from fastrestore.geometry import Size
from fastrestore.kernels import launches
from fastrestore.kernels.launches import Launch, TapTable, TileSpan, TileStore
from fastrestore.runtime.memory import DeviceBuffer, Stream
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.synthesis import MotionLayout
from fastrestore.runtime.on_device.tables import PlacedTable

_WARM, _TIMED = 3, 20
_FLAT = 0x3C
"""What memory is filled with: no NaN in any float type."""


def measure(setting: Setting, size: Size, formats: tuple[str, ...] = ("yuv420p", "yuv420p10le")) -> dict[str, Any]:
    """Return bandwidths at an output of `size`, in bytes a second, and shares of the copy's."""
    found: dict[str, Any] = {"size": str(size)}
    with Lanes(setting.device, setting.code, 1) as lanes:
        copied = _copy_rate(setting, lanes, size)
        found["copy_bytes_per_s"] = copied
        for name in formats:
            for half in (True, False):
                with ExitStack() as stack:
                    made = _launches(stack, lanes, size, name, half=half)
                    key = f"{name} {'fp16' if half else 'fp32'}"
                    found[key] = {kernel: _rated(lanes, launch, copied) for kernel, launch in made.items()}
    return found


def _rated(lanes: Lanes, launch: Launch, copied: float) -> dict[str, float]:
    seconds = _seconds(lanes, lambda stream: lanes.launch(stream, launch))
    moved, ideal = launches.bytes_moved(launch)
    return {
        "seconds": seconds,
        "moved_bytes": moved,
        "ideal_bytes": ideal,
        "bytes_per_s": moved / seconds,
        "share_of_copy": moved / seconds / copied,
        "ideal_share_of_copy": ideal / seconds / copied,
    }


def _copy_rate(setting: Setting, lanes: Lanes, size: Size) -> float:
    """Return bytes read and written a second, on what is well beyond any cache."""
    length = 24 * size.pixels
    with setting.device.buffer(length) as source, setting.device.buffer(length) as target:
        return 2 * length / _seconds(lanes, lambda stream: setting.copy(stream, source, target))


def _seconds(lanes: Lanes, enqueue: Callable[[Stream], None]) -> float:
    """Return the mean time of one, by the device's own events."""
    stream, device = lanes.compute[0], lanes.device
    with device.event(timed=True) as begin, device.event(timed=True) as end:
        for _ in range(_WARM):
            enqueue(stream)
        stream.record(begin)
        for _ in range(_TIMED):
            enqueue(stream)
        stream.record(end)
        end.synchronize()
        return end.seconds_since(begin) / _TIMED


def _launches(stack: ExitStack, lanes: Lanes, size: Size, name: str, *, half: bool) -> Mapping[str, Launch]:
    """Return the kernels as the pipeline launches them for a network that enlarges four times, one tile a picture."""
    small = Size(max(8, size.width // 4), max(8, size.height // 4))
    source, target = Form(small, FORMATS[name], Colour()), Form(size, FORMATS[name], Colour())
    layout, element = MotionLayout(small), 2 if half else 4

    def memory(length: int) -> DeviceBuffer:
        buffer = stack.enter_context(lanes.device.buffer(length))
        _fill(lanes, buffer)
        return buffer

    given, tiles = memory(source.nbytes), memory(3 * small.pixels * element)
    restored, made = memory(3 * 16 * small.pixels * element), memory(target.nbytes)
    left, right, motion = memory(target.nbytes), memory(target.nbytes), memory(layout.nbytes)
    spans = [TileSpan(0, 0, np.ones(length)) for length in (4 * small.width, 4 * small.height)]
    table = launches.frame_taps([spans[0]], [spans[1]], small.times(4), size, target.format, target.colour)
    taps = stack.enter_context(PlacedTable(lanes, table)).axes
    reduced = stack.enter_context(PlacedTable(lanes, TapTable(*launches.resize_taps(size, small)))).axes
    pictures = target.on_device(left.address), target.on_device(right.address)
    halved = launches.resize_taps(size, pictures[0].chroma_size)
    sites = stack.enter_context(PlacedTable(lanes, TapTable(*halved))).axes
    packed = layout.packed(motion.address)
    mask, apart, guarded = (layout.share(motion.address, part) for part in ("mask", "disagreement", "guarded"))
    store = TileStore(restored.address, small.times(4), 1, half)
    into = target.on_device(made.address)
    planes = source.on_device(given.address)
    return {
        "planes_to_tiles": launches.planes_to_tiles(planes, tiles.address, small, [(0, 0)], half=half),
        "tiles_to_planes": launches.tiles_to_planes(store, taps, into),
        "pack_motion": launches.pack_motion(layout.flow(motion.address), packed),
        "guard": launches.guard(pictures, packed, (mask, apart), reduced, guarded.address, 0.4),
        "synthesize": launches.synthesize(pictures, packed, guarded, into),
        "requantize": launches.requantize(pictures[0], into),
        **film_launches(memory, target, (*pictures, into), sites),
        **motion_launches(memory, target, half=half),
    }


def _fill(lanes: Lanes, buffer: DeviceBuffer) -> None:
    with lanes.device.pinned(buffer.size_bytes) as pinned:
        staged = pinned.array((buffer.size_bytes,), np.uint8)
        staged[:] = _FLAT
        lanes.copy_in.upload(staged, buffer)
        lanes.copy_in.synchronize()
