"""The way to an encoder on the card: finished pictures stay where they are, and are his until he lets go of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EncodeError, OutOfDeviceMemoryError
from fastrestore.frames import Colour, PixelFormat
from fastrestore.geometry import Size
from fastrestore.kernels.launches import PlaneView, TapTable, resize
from fastrestore.kernels.taps import Taps
from fastrestore.runtime.devices.dlpack import SharedPlane
from fastrestore.runtime.media.thumbnails import sampled_every
from fastrestore.runtime.memory import DeviceBuffer, Owner
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.tables import PlacedTable
from fastrestore.runtime.on_device.transfers import FLAG_BYTES, Slot, SlotQueue, require_finite

_PLANES = 2


class Handover(Owner):
    """Hands finished pictures to an encoder, in the place of `Outbox`.

    What goes to the host is a look at each picture, every n-th sample, and the flag: its copy is what the host waits
    for, once a frame, and once it is there all work on the picture is done. The encoder therefore needs to wait for
    nothing, on whatever stream it works; and a block that it has let go of is one that it does not read any more.

    However many pictures an encoder keeps, as many blocks are made in their place as it takes them for the first time,
    so that the pipeline never has fewer than it was opened with.

    Args:
        lanes: The streams.
        pool: Where pictures lie.
        form: What finished pictures look like; for an encoder.
        count: Pictures on their way to the encoder at most.
        flag: `FLAG_BYTES` on the card: not 0 once a network has yielded what is no number.

    Raises:
        OutOfDeviceMemoryError: If there is not enough memory.
    """

    def __init__(self, lanes: Lanes, pool: Pool, form: Form, count: int, flag: DeviceBuffer) -> None:
        down, across = sampled_every(form.size.height, form.size.width)
        taps = _every(across, form.size.width), _every(down, form.size.height)
        self._seen = Size(len(taps[0]), len(taps[1]))
        self._look_bytes = self._seen.pixels * form.layout.sample_bytes
        self._flag_at = -(-self._look_bytes // FLAG_BYTES) * FLAG_BYTES
        with ExitStack() as stack:
            self._slots = stack.enter_context(SlotQueue(lanes, self._flag_at + FLAG_BYTES, count))
            self._taps = stack.enter_context(PlacedTable(lanes, TapTable(*taps)))
            # One is enough: what fills it and what reads it are on one stream.
            self._look = stack.enter_context(lanes.device.buffer(self._flag_at))
            self._held = stack.pop_all()
        super().__init__()
        self._lanes, self._pool, self._form, self._flag = lanes, pool, form, flag
        self._kept: Counter[str] = Counter()
        self._added: Counter[str] = Counter()
        self._lock = threading.RLock()

    @property
    def on_loan(self) -> int:
        """Pictures that are on their way."""
        return self._slots.on_loan

    @property
    def kept(self) -> int:
        """Planes that an encoder has."""
        return self._kept.total()

    def send(self, picture: DevicePicture) -> HandedParcel:
        """Enqueue a look at a picture. The picture may be closed afterwards: the parcel has its block.

        Raises:
            DeviceError: If the device fails.
        """
        slot = self._slots.take()
        try:
            memory = slot.buffer.array((slot.buffer.size_bytes,), np.uint8)
            stream = self._lanes.copy_out
            with picture.lease.reading(stream) as address:
                self._lanes.launch(stream, resize(self._luma(address), self._taps.axes, self._sampled()))
                stream.download(self._look, memory[: self._flag_at])
                # Whoever set it for this picture did so before the picture was finished.
                stream.download(self._flag, memory[self._flag_at :])
                stream.record(slot.copied)
            return HandedParcel(self, slot, picture.lease.shared())
        except BaseException:
            self._slots.give_back(slot)
            raise

    def arrived(self, slot: Slot) -> NDArray[Any]:
        """Wait until a picture is finished and return the look at it.

        Raises:
            EngineError: If a network yielded anything but finite numbers for it, or for a picture before it.
            DeviceError: If the device failed.
        """
        slot.copied.synchronize()
        memory = slot.buffer.array((slot.buffer.size_bytes,), np.uint8)
        require_finite(memory[self._flag_at :])
        stored: NDArray[Any] = memory[: self._look_bytes].view(self._form.format.dtype)
        look: NDArray[Any] = (stored >> self._form.layout.shift).reshape(self._seen.height, self._seen.width)
        return look

    def take_back(self, slot: Slot) -> None:
        """Have a slot again; called by its parcel."""
        self._slots.give_back(slot)

    def shown(self, lease: Lease, look: NDArray[Any]) -> CardPicture:
        """Return a finished picture as an encoder is given it."""
        return CardPicture(self._form, look, partial(self._planes, lease), self._lanes.device.current)

    def _planes(self, lease: Lease) -> tuple[SharedPlane, SharedPlane]:
        placed, layout, device = self._form.on_device(lease.address), self._form.layout, self._lanes.device
        luma, chroma = (
            SharedPlane(
                device.exposed(placed.addresses[plane], placed.pitches[plane] * layout.rows(placed.size, plane)),
                (layout.rows(placed.size, plane), layout.row_bytes(placed.size, plane) // layout.sample_bytes),
                placed.pitches[plane] // layout.sample_bytes,
                8 * layout.sample_bytes,
                partial(self._hold, lease),
            )
            for plane in range(_PLANES)
        )
        return luma, chroma

    def _hold(self, lease: Lease) -> Callable[[], None]:
        """Leave a block to the encoder for one plane, and return what ends that."""
        kept, kind = lease.shared(), lease.kind
        with self._lock:
            self._kept[kind] += 1
            lacking = self._kept[kind] > _PLANES * self._added[kind]
        if lacking:
            try:
                self._pool.add(kind)
            except OutOfDeviceMemoryError as error:
                pictures = self._added[kind] + 1
                self._let_go(kept)
                raise EncodeError(f"{error.message}; the encoder keeps {pictures} pictures", _HINT) from error
            self._added[kind] += 1
        return partial(self._let_go, kept)

    def _let_go(self, kept: Lease) -> None:
        with self._lock:
            self._kept[kept.kind] -= 1
        kept.close()

    def _luma(self, address: int) -> PlaneView:
        planes = self._form.on_device(address)
        return PlaneView(planes.addresses[0], planes.pitches[0], planes.size, 8 * self._form.layout.sample_bytes)

    def _sampled(self) -> PlaneView:
        sample_bytes = self._form.layout.sample_bytes
        return PlaneView(self._look.address, self._seen.width * sample_bytes, self._seen, 8 * sample_bytes)

    def _release(self) -> None:
        with suppress(DeviceError):  # a card that failed has said so; what is held is given back all the same
            self._lanes.copy_out.synchronize()
        self._held.close()


class HandedParcel(Owner):
    """A finished picture whose look is on its way. Closing it ends the pipeline's own use of the block."""

    def __init__(self, handover: Handover, slot: Slot, lease: Lease) -> None:
        super().__init__()
        self._handover, self._slot, self._lease = handover, slot, lease

    def picture(self) -> CardPicture:
        """Wait until it is finished and return it: valid until this is closed.

        Raises:
            EngineError: If a network yielded anything but finite numbers for it, or for a picture before it.
            DeviceError: If the device failed.
        """
        self._require_open()
        return self._handover.shown(self._lease, self._handover.arrived(self._slot))

    def _release(self) -> None:
        self._lease.close()
        self._handover.take_back(self._slot)


class CardPicture:
    """See `fastrestore.runtime.handed.HandedPicture`."""

    def __init__(
        self,
        form: Form,
        look: NDArray[Any],
        planes: Callable[[], tuple[SharedPlane, SharedPlane]],
        current: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._form, self.look, self.planes, self.current = form, look, planes, current

    @property
    def size(self) -> Size:
        """See `HandedPicture.size`."""
        return self._form.size

    @property
    def format(self) -> PixelFormat:
        """See `HandedPicture.format`."""
        return self._form.format

    @property
    def colour(self) -> Colour:
        """See `HandedPicture.colour`."""
        return self._form.colour


_HINT = "use `--media host`, a smaller `--to`, or close other programs that use the card"


def _every(step: int, length: int) -> Taps:
    """Return what takes every n-th element as it is."""
    offsets = np.arange(0, length, step, dtype=np.int64)
    return Taps(np.arange(len(offsets) + 1), offsets, np.ones(len(offsets)))
