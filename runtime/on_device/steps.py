"""The steps of a pipeline over pictures on a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.frames import Motion, Picture
from fastrestore.runtime.on_device.picture import DevicePicture, Form, form_of
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.restorer import DeviceRestorer
from fastrestore.runtime.on_device.synthesis import DeviceSynthesis
from fastrestore.runtime.on_device.transfers import Intake, Outbox, Parcel

SOURCE = "source"
"""What the pool knows source pictures as."""


@dataclass(frozen=True, slots=True)
class DeviceSteps:
    """See `fastrestore.runtime.steps.Steps`. The host waits once per output frame: for its copy to arrive."""

    source: Form
    """What source pictures look like."""
    pool: Pool
    intake: Intake
    """The way in for source pictures."""
    restorer: DeviceRestorer
    synthesis: DeviceSynthesis
    outbox: Outbox
    looks: Outbox | None
    """The way out for pictures that motion is found on; None where it is found on source pictures."""
    frames_ahead: int
    """Output frames that may be on their way at once."""

    @property
    def runs(self) -> int:
        """See `Steps.runs`."""
        return self.restorer.runs

    @property
    def warnings(self) -> Sequence[str]:
        """See `Steps.warnings`."""
        return tuple(self.restorer.warnings)

    @property
    def lends(self) -> bool:
        """See `Steps.lends`."""
        return True

    def take(self, picture: Picture) -> DevicePicture:
        """See `Steps.take`. Copies it to pinned memory and enqueues its upload."""
        form = form_of(picture)
        if (form.size, form.format) != (self.source.size, self.source.format):
            raise DeviceError(f"a picture of {form}, wanted {self.source}", "this is a fault of the program")
        made = DevicePicture(form, self.pool.lend(SOURCE), neutral=picture.neutral_chroma)

        def fill(memory: NDArray[np.uint8]) -> None:
            for plane, given in zip(self.source.planes(memory), picture.planes, strict=True):
                plane[:] = given

        try:
            self.intake.upload(made.lease, self.source.nbytes, fill)
        except BaseException:
            made.close()
            raise
        return made

    def restore(self, picture: DevicePicture) -> DevicePicture:
        """See `Steps.restore`. Enqueues it."""
        return self.restorer.restore(picture)

    def between(self, left: DevicePicture, right: DevicePicture, motion: Motion, t: float) -> DevicePicture:
        """See `Steps.between`. Enqueues it."""
        return self.synthesis.between(left, right, motion, t)

    def look(self, picture: DevicePicture) -> Picture:
        """See `Steps.look`. Each picture is brought here once."""
        if picture.copy is None:
            assert self.looks is not None, "motion is found on source pictures"
            with self.looks.send(picture) as parcel:
                there = parcel.picture()
                picture.copy = Picture(tuple(plane.copy() for plane in there.planes), there.format, there.colour)
        return picture.copy

    def send(self, picture: DevicePicture) -> Parcel:
        """See `Steps.send`. Enqueues its download."""
        return self.outbox.send(picture)

    def drop(self, picture: DevicePicture) -> None:
        """See `Steps.drop`."""
        picture.close()
