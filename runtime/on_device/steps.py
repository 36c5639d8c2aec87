"""The steps of a pipeline over pictures on a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.frames import Picture
from fastrestore.runtime.motion import PairMotion
from fastrestore.runtime.on_device.decoded import DecodedIntake, DecodedPicture
from fastrestore.runtime.on_device.handover import HandedParcel, Handover
from fastrestore.runtime.on_device.looks import look
from fastrestore.runtime.on_device.motion import CardPair, DeviceMotion
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
    outbox: Outbox | Handover
    """The way out for finished pictures: to the host, or to the encoder on the card."""
    looks: Outbox | None
    """The way out for pictures that motion is found on; None where it is found on source pictures."""
    frames_ahead: int
    """Output frames that may be on their way at once."""
    motion: DeviceMotion | None = None
    """See `Steps.motion`."""
    decoded: DecodedIntake | None = None
    """The way in for source pictures from a decoder on the card; None where the host decodes."""

    @property
    def runs(self) -> int:
        """See `Steps.runs`."""
        return self.restorer.runs

    @property
    def warnings(self) -> Sequence[str]:
        """See `Steps.warnings`."""
        return (*self.restorer.warnings, *([] if self.motion is None else self.motion.warnings))

    @property
    def lends(self) -> bool:
        """See `Steps.lends`."""
        return True

    @property
    def hands_over(self) -> bool:
        """See `Steps.hands_over`."""
        return isinstance(self.outbox, Handover)

    def take(self, picture: Picture) -> DevicePicture:
        """See `Steps.take`. Copies it to pinned memory and enqueues its upload, unless it is here already."""
        if isinstance(picture, DecodedPicture):
            adopted = DevicePicture(self.source, picture.lease.shared(), neutral=picture.neutral_chroma)
            adopted.copy = picture
            return adopted
        form = form_of(picture)
        if (form.size, form.format) != (self.source.size, self.source.format):
            raise DeviceError(f"a picture of {form}, wanted {self.source}", "this is a fault of the program")
        made = DevicePicture(form, self.pool.lend(SOURCE), neutral=picture.neutral_chroma)
        made.copy = picture

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

    def between(self, left: DevicePicture, right: DevicePicture, motion: PairMotion, t: float) -> DevicePicture:
        """See `Steps.between`. Enqueues it, and the finding of the motion where that is done on the card."""
        if self.motion is not None and isinstance(motion, CardPair):
            lease = self.motion.found(motion, t)
            if lease is not None:
                with lease:
                    return self.synthesis.along(left, right, lease, t)
        return self.synthesis.between(left, right, motion.at(t), t)

    def look(self, picture: DevicePicture) -> Picture:
        """See `Steps.look`. Each picture is brought here once."""
        return look(picture, self.looks)

    def send(self, picture: DevicePicture) -> Parcel | HandedParcel:
        """See `Steps.send`. Enqueues its download, or that of a look at it."""
        return self.outbox.send(picture)

    def drop(self, picture: DevicePicture) -> None:
        """See `Steps.drop`."""
        picture.close()
