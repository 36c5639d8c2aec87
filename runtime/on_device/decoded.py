"""Source pictures that were decoded on the card: taken from the decoder, looked at, and seldom brought to the host."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack, suppress

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.errors import DeviceError
from fastrestore.frames import FORMATS, Picture, Plane
from fastrestore.geometry import Size
from fastrestore.kernels.launches import (
    SLOT,
    SLOTS,
    STATISTICS_BYTES,
    THUMBNAIL_BYTES,
    DevicePlanes,
    Layout,
    PlaneView,
    clear,
    difference,
    luma8,
    requantize,
    statistics,
    thumbnail,
    unequal,
)
from fastrestore.kernels.ops import Difference
from fastrestore.kernels.reference import THUMBNAIL
from fastrestore.runtime.memory import Device, DeviceBuffer, Owner
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import PITCH_BYTES, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.surface import Surface
from fastrestore.runtime.on_device.transfers import Slot

DECODED = "decoded"
"""What the pool knows decoded pictures as."""
MOST_ARRIVING = 4
"""Pictures that the decoder has given and that need not be here yet; the decoder keeps as many surfaces for them."""
_FLAG_BYTES = 16
_FACTS_BYTES = THUMBNAIL_BYTES + _FLAG_BYTES


class DecodedPicture(Picture):
    """A picture on the card. Its planes come to the host when somebody asks for them, and stay there then.

    Args:
        home: Who made it.
        lease: Where it lies; given over to this.
        arrival: Its copy from the decoder's memory, and what is found out about it on the way.
    """

    def __init__(self, home: DecodedIntake, lease: Lease, arrival: Arrival) -> None:
        fields = {"format": home.form.format, "colour": home.form.colour, "lease": lease, "_home": home}
        for name, value in {**fields, "_arrival": arrival, "_planes": None}.items():
            object.__setattr__(self, name, value)  # the way round a frozen class; `planes` is no field here

    lease: Lease
    """Where it lies."""
    _home: DecodedIntake
    _arrival: Arrival
    _planes: tuple[Plane, ...] | None

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The samples, in the host's memory. The first to ask waits until they are there."""
        if self._planes is None:
            object.__setattr__(self, "_planes", self._home.fetch(self))
        assert self._planes is not None
        return self._planes

    @property
    def size(self) -> Size:
        """See `Picture.size`."""
        return self._home.form.size

    @property
    def nbytes(self) -> int:
        """See `Picture.nbytes`."""
        layout = self._home.form.layout
        return layout.nbytes(self.size)

    @property
    def neutral_chroma(self) -> bool:
        """See `Picture.neutral_chroma`. Waits until the picture has arrived."""
        return self._home.settle(self._arrival).neutral

    @property
    def thumbnail(self) -> NDArray[np.uint64]:
        """Sums of the cells of its luma, `(24, 32)`. Waits until the picture has arrived."""
        return self._home.settle(self._arrival).thumbnail

    def same_samples(self, other: Picture) -> bool:
        """See `Picture.same_samples`. Of two that are here, the card finds out."""
        if isinstance(other, DecodedPicture) and other._home is self._home:
            return self._home.same(self, other)
        return super().same_samples(other)

    def __del__(self) -> None:
        lease = getattr(self, "lease", None)
        if lease is not None:
            self._home.drop(lease)


class Arrival:
    """The copy of a picture from the decoder's memory, and what is known of it afterwards.

    Args:
        surface: The decoder's memory; given back once the copy is done.
        slot: Where what is found out arrives.
    """

    def __init__(self, surface: Surface, slot: Slot) -> None:
        self.surface, self.slot = surface, slot
        self.settled = False
        self.thumbnail: NDArray[np.uint64] = np.zeros((THUMBNAIL.height, THUMBNAIL.width), np.uint64)
        self.neutral = False


class DecodedIntake(Owner):
    """Takes pictures from a decoder into blocks of the pool, and compares them there.

    One thread at a time takes pictures; any thread asks about them.

    Args:
        lanes: The streams.
        pool: Where pictures lie, of the kind `DECODED`.
        form: What they look like: 4:2:0.
        count: How many there is room for before more is made.

    Raises:
        OutOfDeviceMemoryError: If there is too little memory.
    """

    def __init__(self, lanes: Lanes, pool: Pool, form: Form, count: int) -> None:
        self._lanes, self._pool, self.form = lanes, pool, form
        self._luma_pitch = -(-form.size.width // PITCH_BYTES) * PITCH_BYTES
        deep = form.format.bits > 8
        pool.reserve(DECODED, form.nbytes + (self._luma_pitch * form.size.height if deep else 0), count)
        with ExitStack() as stack:
            device = lanes.device
            self._facts = stack.enter_context(device.buffer(_FACTS_BYTES))
            self._sums = stack.enter_context(device.buffer(STATISTICS_BYTES))
            self._apart = stack.enter_context(device.buffer(_FLAG_BYTES))
            self._ready = stack.enter_context(device.event())
            self._slots = deque(stack.enter_context(Slot(lanes, _FACTS_BYTES)) for _ in range(MOST_ARRIVING))
            self._answer = stack.enter_context(Slot(lanes, STATISTICS_BYTES))
            self._landing = stack.enter_context(Slot(lanes, form.nbytes))
            self._middle = self._grey_chroma(stack)
            self._held = stack.pop_all()
        super().__init__()
        self._arriving: deque[Arrival] = deque()
        self._leases: set[Lease] = set()
        self._arrivals, self._asking, self._fetching = threading.RLock(), threading.Lock(), threading.Lock()

    @property
    def device(self) -> Device:
        """The card."""
        return self._lanes.device

    @property
    def surfaces(self) -> int:
        """Surfaces of the decoder that were not given back to it."""
        return len(self._arriving)

    def adopt(self, surface: Surface) -> DecodedPicture:
        """Return a decoded picture, whose copy into the pipeline's memory is enqueued.

        The host waits only where `MOST_ARRIVING` pictures were taken and nobody has asked about the first of them.

        Args:
            surface: The picture in the decoder's memory, of this form; given over to this.

        Raises:
            DeviceError: If the device fails.
            OutOfDeviceMemoryError: If more pictures are kept than there is room for.
        """
        with self._arrivals, ExitStack() as stack:
            stack.push(surface)
            self._make_room()
            lease = stack.enter_context(self._pool.lend_now(DECODED))
            slot = self._slots.popleft()
            stack.callback(self._slots.append, slot)
            stack.callback(self._lanes.quiet)  # a failure may come after a part was enqueued
            self._enqueue(surface, lease, slot)
            stack.pop_all()
            arrival = Arrival(surface, slot)
            self._arriving.append(arrival)
            self._leases.add(lease)
        return DecodedPicture(self, lease, arrival)

    def settle(self, arrival: Arrival) -> Arrival:
        """Wait until a picture is here, give the decoder its memory back, and return what is known of the picture.

        Raises:
            DeviceError: If the device failed.
        """
        with self._arrivals:
            if not arrival.settled:
                if arrival not in self._arriving:
                    raise DeviceError("a decoded picture was asked about after the reading had ended")
                arrival.slot.copied.synchronize()
                found = arrival.slot.buffer.array((_FACTS_BYTES,), np.uint8)
                arrival.thumbnail = found[:THUMBNAIL_BYTES].view(np.uint64).reshape(arrival.thumbnail.shape).copy()
                arrival.neutral = not found[THUMBNAIL_BYTES:].any()
                self._done_with(arrival)
        return arrival

    def luma8(self, picture: Picture) -> DecodedPicture:
        """Return what `difference` takes: the picture itself. See `Comparer`."""
        if not isinstance(picture, DecodedPicture):
            raise DeviceError(f"{picture!r} is not on the card", "this is a fault of the program")
        return picture

    def difference(self, left: DecodedPicture, right: DecodedPicture) -> Difference:
        """Return how two pictures differ. The host waits for it. See `Comparer`.

        Raises:
            DeviceError: If the device failed.
        """
        with self._asking:
            stream, sums = self._lanes.copy_in, self._sums.address
            with self._lanes.turn, left.lease.reading(stream) as one, right.lease.reading(stream) as other:
                self._lanes.launch(stream, clear(sums, STATISTICS_BYTES))
                self._lanes.launch(stream, statistics(self._luma(one), self._luma(other), sums))
                found = self._answered(self._sums, (SLOTS,), SLOT)
            self._answer.copied.synchronize()
            return difference(found, (left.thumbnail, right.thumbnail), self.form.size)

    def same(self, left: DecodedPicture, right: DecodedPicture) -> bool:
        """Return whether two pictures hold the same samples. The host waits only for those that are all but sure to.

        Raises:
            DeviceError: If the device failed.
        """
        if left is right:
            return True
        if not np.array_equal(left.thumbnail, right.thumbnail):
            return False
        with self._asking:
            stream, flag = self._lanes.copy_in, self._apart.address
            with self._lanes.turn, left.lease.reading(stream) as one, right.lease.reading(stream) as other:
                self._lanes.launch(stream, clear(flag, _FLAG_BYTES))
                for launch in unequal(self.form.on_device(one), self.form.on_device(other), flag):
                    self._lanes.launch(stream, launch)
                found = self._answered(self._apart, (_FLAG_BYTES,), np.uint8)
            self._answer.copied.synchronize()
            return not found.any()

    def fetch(self, picture: DecodedPicture) -> tuple[Plane, ...]:
        """Return a picture's planes, copied to the host's own memory. The host waits for it.

        Raises:
            DeviceError: If the device failed.
        """
        with self._fetching:
            memory = self._landing.buffer.array((self.form.nbytes,), np.uint8)
            stream = self._lanes.copy_out
            with picture.lease.reading(stream):
                stream.download(picture.lease.buffer, memory)
                stream.record(self._landing.copied)
            self._landing.copied.synchronize()
            return tuple(plane.copy() for plane in self.form.planes(memory))

    def drop(self, lease: Lease) -> None:
        """Be done with a picture; called by itself."""
        self._leases.discard(lease)
        lease.close()

    def forsake(self) -> None:
        """Be done with all pictures: a reading has ended, and nobody asks about them any more."""
        with self._arrivals:
            if self._arriving:
                self._lanes.quiet()
            while self._arriving:
                self._done_with(self._arriving[0])
            while self._leases:
                self._leases.pop().close()

    def _make_room(self) -> None:
        """Settle what has arrived, and the oldest in any case where there are as many as there may be."""
        while self._arriving and (not self._slots or self._arriving[0].slot.copied.reached()):
            self.settle(self._arriving[0])

    def _done_with(self, arrival: Arrival) -> None:
        arrival.settled = True
        self._arriving.remove(arrival)
        self._slots.append(arrival.slot)
        arrival.surface.close()

    def _enqueue(self, surface: Surface, lease: Lease, slot: Slot) -> None:
        stream, form, facts = self._lanes.copy_in, self.form, self._facts.address
        launches = [clear(facts, _FACTS_BYTES)]
        with self._lanes.turn, lease.writing(stream) as address:
            planes = form.on_device(address)
            launches.append(requantize(surface.planes(form.colour), planes))
            if form.format.bits > 8:
                launches.append(luma8(planes, self._luma(address).address, self._luma_pitch))
            launches.append(thumbnail(self._luma(address), facts))
            for plane in (1, 2):
                own = self._chroma(planes.addresses[plane], planes.pitches[plane])
                launches += unequal(own, self._middle, facts + THUMBNAIL_BYTES)
            surface.arrives(self._ready)
            stream.wait(self._ready)
            for launch in launches:
                self._lanes.launch(stream, launch)
            stream.download(self._facts, slot.buffer.array((_FACTS_BYTES,), np.uint8))
            stream.record(slot.copied)

    def _answered(self, source: DeviceBuffer, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[np.void]:
        """Enqueue the download of an answer, and return where it will be."""
        found = self._answer.buffer.array(shape, dtype)
        self._lanes.copy_in.download(source, found)
        self._lanes.copy_in.record(self._answer.copied)
        return found

    def _luma(self, address: int) -> PlaneView:
        """Return luma in 8 bits of the picture at an address: its own, or what was made of it behind the picture."""
        if self.form.format.bits == 8:
            return PlaneView(address, self.form.on_device(address).pitches[0], self.form.size)
        return PlaneView(address + self.form.nbytes, self._luma_pitch, self.form.size)

    def _chroma(self, address: int, pitch: int) -> DevicePlanes:
        """Return one plane of chroma as a picture of its own, to be compared."""
        form = self.form
        grey = FORMATS["gray" if form.format.bits == 8 else f"gray{form.format.bits}le"]
        return DevicePlanes((address,), (pitch,), form.format.plane_size(form.size, 1), Layout(grey))

    def _grey_chroma(self, stack: ExitStack) -> DevicePlanes:
        """Return a plane of chroma as every grey picture has it. Waits for its upload."""
        form, stream = self.form, self._lanes.copy_in
        size, pitch = form.format.plane_size(form.size, 1), form.on_device(0).pitches[1]
        buffer = stack.enter_context(self._lanes.device.buffer(pitch * size.height))
        with self._lanes.device.pinned(buffer.size_bytes) as staged, self._lanes.turn:
            memory = staged.array((pitch * size.height // np.dtype(form.format.dtype).itemsize,), form.format.dtype)
            memory[:] = 1 << (form.format.bits - 1)
            stream.upload(memory, buffer)
            stream.synchronize()
        return self._chroma(buffer.address, pitch)

    def _release(self) -> None:
        self.forsake()
        with suppress(DeviceError):
            self._lanes.copy_out.synchronize()
        self._held.close()
