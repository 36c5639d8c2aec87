"""What a decoder leaves on a card: taken as it is told, refused where it is something else, given back in any case."""

from __future__ import annotations

import pytest
from tests.unit.runtime.on_device.played_decoder import Lent

from fastrestore.errors import DeviceError
from fastrestore.frames import Colour
from fastrestore.geometry import Size
from fastrestore.kernels.launches import NV12, P010, Layout
from fastrestore.runtime.devices.dlpack import Place
from fastrestore.runtime.memory import Event
from fastrestore.runtime.on_device.surface import Surface


def never(event: Event) -> None:
    raise AssertionError(event)


@pytest.mark.parametrize(("layout", "bits"), [(NV12, 8), (P010, 16)])
@pytest.mark.parametrize("size", [Size(40, 28), Size(41, 27)], ids=["even", "odd"])
def test_planes_lie_where_they_are_told_to(layout: Layout, bits: int, size: Size) -> None:
    planes = [
        Lent(4096, (size.height, size.width), (64, 1), bits),
        Lent(8192, (size.height // 2, size.width // 2, 2), (128, 2, 1), bits),
    ]
    with Surface(planes, size, layout, never) as surface:
        found = surface.planes(Colour(full_range=True))
        assert (found.size, found.layout, found.colour.full_range) == (size, layout, True)
        assert found.addresses == (4096, 8192)
        assert found.pitches == (64 * bits // 8, 128 * bits // 8)
        assert [plane.deleted for plane in planes] == [0, 0]
    assert [plane.deleted for plane in planes] == [1, 1]
    with pytest.raises(DeviceError, match="after it was closed"):
        surface.planes(Colour())


@pytest.mark.parametrize(
    "second",
    [
        Lent(8192, (14, 20, 2), (40, 2, 1), place=Place.CPU),
        Lent(8192, (14, 20, 2), (40, 2, 1), 16),
        Lent(8192, (14, 20), (40, 1)),
        Lent(8192, (13, 20, 2), (40, 2, 1)),
        None,
    ],
    ids=["on the host", "other bits", "planar", "too small", "none"],
)
def test_something_else_is_refused_and_given_back(second: Lent | None) -> None:
    planes = [Lent(4096, (28, 40), (40, 1)), *([] if second is None else [second])]
    with pytest.raises(DeviceError, match=r"wanted"):
        Surface(planes, Size(40, 28), NV12, never)
    assert [plane.deleted for plane in planes] == [1] * len(planes)
