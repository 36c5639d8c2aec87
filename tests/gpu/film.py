"""The old-film kernels on luma of the pipeline's pictures, for their bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.runtime.memory import DeviceBuffer
from fastrestore.runtime.on_device.picture import Form

_SHIFT = 6  # of gains, as for 8-bit pictures
_CELLS = Size(8, 6)


def film_launches(
    memory: Callable[[int], DeviceBuffer],
    form: Form,
    pictures: tuple[k.DevicePlanes, k.DevicePlanes, k.DevicePlanes],
    sites: Sequence[k.PlacedTaps],
) -> Mapping[str, k.Launch]:
    """Return the kernels on luma, those of chroma on chroma; `fr_mend` on all of luma, as if it were one mark.

    Args:
        memory: Takes that many bytes on the device, filled with something finite.
        form: Of the pictures.
        pictures: Two sources, and where results go.
        sites: Weights from luma to chroma.
    """
    bits, size = form.format.bits, form.size
    here, there, into = (k.PlaneView(each.addresses[0], each.pitches[0], size, bits) for each in pictures)
    pitch = -(-4 * size.width // 16) * 16
    floats = [k.PlaneView(memory(pitch * size.height).address, pitch, size, 32) for _ in range(4)]
    eights = [k.PlaneView(memory(pitch // 4 * size.height).address, pitch // 4, size) for _ in range(2)]
    flow = k.PlaneView(memory(2 * pitch * size.height).address, 2 * pitch, size, 32)
    field = k.PlaneView(memory(4 * _CELLS.pixels).address, 4 * _CELLS.width, _CELLS, 32)
    table = memory(4 << bits).address
    tones = k.Tones(table, bits)
    grain = k.Grain(eights[0], memory(512).address, _SHIFT, bits)
    turned = np.array([[0.99, 0.01, 2.0], [-0.01, 0.99, 3.0]])
    return {
        "lay_grain": k.lay_grain(here, grain, into, (size.height // 2 + 1, size.width // 2 + 1), -1),
        "tone": k.tone(here, tones, into, 16.0, 219.0),
        "tone by place": k.tone(here, k.Tones(table, bits, field, 0.1), into, 16.0, 219.0),
        "tone_chroma": k.tone_chroma(pictures[0], tones, sites, pictures[2]),
        "resample": k.resample(here, turned, memory(1024).address, into),
        "warp": k.warp(here, flow, into),
        "mend": k.mend(here, (floats[0], floats[1]), floats[2], into, 0.4),
        "agreement": k.agreement(eights[0], eights[1], floats[0], floats[1]),
        "average": k.average(here, [(there, floats[0]), (there, floats[1])], floats[2], floats[3]),
        "calm": k.calm(floats[2], floats[0], floats[3], into),
    }
