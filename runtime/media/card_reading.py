"""Decoding on a card: FFmpeg's hardware decoder, in the context that everything else on the card uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.config import Media
from fastrestore.errors import DecodeError, DeviceError
from fastrestore.frames import Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.launches import NV12, P010, Layout
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.opening import open_file
from fastrestore.runtime.memory import Device, Event
from fastrestore.runtime.observation import Comparer
from fastrestore.runtime.on_device.surface import Surface

LAYOUTS: Mapping[str, Layout] = MappingProxyType({"nv12": NV12, "p010le": P010})
"""What pictures look like that are decoded on a card, by FFmpeg's name."""
ON_HOST = f"decode on the host: `--media {Media.HOST}`"
"""What to do where a card cannot decode."""
_SPARE_SURFACES = 8
"""Surfaces beside those that a stream's own references take: for pictures on their way to the pipeline's memory
(`MOST_ARRIVING`), and the last ones that are kept to stand in for others."""


class CardDecoder(Protocol):
    """What decodes pictures of a file into memory of a card."""

    def open(self, path: Path) -> InputContainer:
        """Open a file, its streams ready to be decoded on the card.

        Raises:
            DecodeError: If that cannot be.
        """
        ...

    def options(self, stream: VideoStream) -> Mapping[str, str]:
        """Return what the decoder of a stream is to be told.

        Raises:
            DecodeError: If the stream is none that the card decodes.
        """
        ...

    def surface(self, frame: VideoFrame) -> Surface:
        """Return a decoded picture as it lies on the card.

        Raises:
            DeviceError: If it does not.
        """
        ...


@dataclass(frozen=True, slots=True)
class CardReading:
    """How a file is read whose pictures stay on a card."""

    decoder: CardDecoder
    adopt: Callable[[Surface], Picture]
    """Copies a picture out of the decoder's memory, and is given that over."""
    forsake: Callable[[], None]
    """Gives back all pictures of a reading, once it has ended."""
    comparer: Comparer
    """Tells how they differ."""

    def picture(self, path: Path, frame: VideoFrame, info: StreamInfo) -> Picture:
        """Return a decoded frame's picture.

        Args:
            path: The file, for messages.
            frame: The frame.
            info: What all pictures of the film are like.

        Raises:
            DecodeError: If the picture is another than the film's, or is not on the card.
        """
        try:
            surface = self.decoder.surface(frame)
        except DeviceError as error:
            raise DecodeError(f"the card does not decode {path}: {error.message}", ON_HOST) from error
        found = f"{surface.size} {surface.layout.samples.name}"
        if (surface.size, surface.layout.samples) != (info.size, info.format) or not pixels.is_read_alike(
            frame, info.format, info.colour
        ):
            surface.close()
            raise DecodeError(
                f"{path} changes: a picture of {found}, colour space {int(frame.colorspace)}, range "
                f"{int(frame.color_range)}, in a film of {info.size} {info.format.name}",
                ON_HOST,
            )
        return self.adopt(surface)


class Nvdec:
    """NVIDIA's decoder by FFmpeg, in the context of a device. See `CardDecoder`.

    Args:
        device: The card; stays open as long.
    """

    def __init__(self, device: Device) -> None:
        self._device = device

    def open(self, path: Path) -> InputContainer:
        """See `CardDecoder.open`."""
        # In the context that is current: FFmpeg refuses the primary one if it was made with other flags than its own.
        accelerator = HWAccel(
            "cuda", is_hw_owned=True, allow_software_fallback=False, options={"primary_ctx": "0", "current_ctx": "1"}
        )
        try:
            with self._device.current():
                return open_file(path, accelerator)
        except DecodeError as error:
            raise DecodeError(f"the card does not decode {path}: {error.message}", ON_HOST) from error
        except RuntimeError as error:  # of PyAV: no stream of the file is one that FFmpeg knows a hardware decoder for
            raise DecodeError(f"the card does not decode {path}: {error}", ON_HOST) from error

    def options(self, stream: VideoStream) -> Mapping[str, str]:
        """See `CardDecoder.options`."""
        if not stream.codec_context.is_hwaccel:
            name = stream.codec_context.name
            raise DecodeError(f"the card does not decode `{name}`: FFmpeg has no hardware decoder for it", ON_HOST)
        return {"extra_hw_frames": str(_SPARE_SURFACES)}

    def surface(self, frame: VideoFrame) -> Surface:
        """See `CardDecoder.surface`."""
        inner = frame.sw_format
        if inner is None or inner.name not in LAYOUTS:
            found = frame.format.name if inner is None else inner.name
            raise DeviceError(f"a picture in {found}, wanted {' or '.join(LAYOUTS)} on the card")
        return Surface(frame.planes, Size(frame.width, frame.height), LAYOUTS[inner.name], self._arrives)

    def _arrives(self, event: Event) -> None:
        self._device.record_default(event)
