"""Finished pictures that stay on a card, and are handed to the encoder there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

from fastrestore.frames import Colour, Frame, Picture, PixelFormat
from fastrestore.geometry import Size
from fastrestore.runtime.devices.dlpack import SharedPlane


class HandedPicture(Protocol):
    """A finished picture on a card: all work on it is done. Valid as long as the parcel that it came in is open."""

    @property
    def size(self) -> Size:
        """Its size; even."""
        ...

    @property
    def format(self) -> PixelFormat:
        """What its samples mean: 4:2:0 in 8 or 10 bits."""
        ...

    @property
    def colour(self) -> Colour:
        """How they are to be read."""
        ...

    @property
    def look(self) -> NDArray[Any]:
        """`(H, W)` uint8 or uint16, on the host: those samples of luma that its thumbnail is made of."""
        ...

    def planes(self) -> tuple[SharedPlane, SharedPlane]:
        """Return luma, and chroma with Cb and Cr by turns; 10 bits lie in the high bits of 16.

        Whoever takes their memory has it until he calls their deleters, whatever becomes of this object.
        """
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make its card the one that other libraries work on, in this thread, until the `with` ends."""
        ...


@dataclass(frozen=True, slots=True)
class HandedFrame:
    """A handed picture at an instant; see `Frame`."""

    picture: HandedPicture
    pts: Fraction
    duration: Fraction = Fraction(0)


Finished: TypeAlias = Frame | HandedFrame
"""What an encoder is given."""


def frame_of(picture: Picture | HandedPicture, pts: Fraction, duration: Fraction) -> Finished:
    """Return a picture as a frame."""
    if isinstance(picture, Picture):
        return Frame(picture, pts, duration)
    return HandedFrame(picture, pts, duration)
