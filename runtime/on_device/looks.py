"""Pictures of the card as the host sees them."""

from __future__ import annotations

from fastrestore.errors import DeviceError
from fastrestore.frames import Picture
from fastrestore.runtime.on_device.picture import DevicePicture
from fastrestore.runtime.on_device.transfers import Outbox


def look(picture: DevicePicture, way: Outbox | None) -> Picture:
    """Return a picture of the card in the host's own memory; each is brought there once. Waits until it is there.

    Args:
        picture: The picture. One that came from the host is there already.
        way: The way out for pictures of its form; None where there is none.

    Raises:
        DeviceError: If there is no way, or the device failed.
        EngineError: If a network yielded anything but finite numbers for it.
    """
    if picture.copy is None:
        if way is None:
            raise DeviceError("a picture was to be looked at that has no way out", "this is a fault of the program")
        with way.send(picture) as parcel:
            there = parcel.picture()
            picture.copy = Picture(tuple(plane.copy() for plane in there.planes), there.format, there.colour)
    return picture.copy
