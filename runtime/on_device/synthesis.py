"""Makes pictures between two others on the card, along a motion that the host found, or a network on the card."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.frames import Motion
from fastrestore.geometry import Size
from fastrestore.kernels.launches import PACKED_BYTES, FlowField, PlaneView, TapTable, guard, pack_motion, resize_taps
from fastrestore.kernels.launches import synthesize as synthesize_launch
from fastrestore.runtime.memory import Owner
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.tables import PlacedTable
from fastrestore.runtime.on_device.transfers import Intake

MADE, MOTION = "made", "motion"
"""What the pool knows pictures made here, and motions, as."""
_FLOW_BYTES, _SHARE_BYTES = 8, 4
_PART_BYTES = 16
"""Each part of a motion begins at a multiple of this."""


class MotionLayout:
    """Where the parts of a motion lie: what is uploaded first, then what kernels make of it.

    Of a motion that was found on the card, nothing is uploaded: kernels make its mask and disagreement too.

    Args:
        size: Cells of the motion.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        parts = {
            "left": _FLOW_BYTES,
            "right": _FLOW_BYTES,
            "mask": _SHARE_BYTES,
            "disagreement": _SHARE_BYTES,
            "packed": PACKED_BYTES,
            "guarded": _SHARE_BYTES,
        }
        self._at: dict[str, int] = {}
        end = 0
        for name, cell_bytes in parts.items():
            self._at[name] = end
            end += -(-size.pixels * cell_bytes // _PART_BYTES) * _PART_BYTES
        self.upload_bytes, self.nbytes = self._at["packed"], end

    def fill(self, memory: NDArray[np.uint8], motion: Motion) -> None:
        """Store a motion as it is uploaded.

        Args:
            memory: `(upload_bytes,)` uint8.
            motion: Of this size.
        """
        planes = {"left": motion.flow_to_left, "right": motion.flow_to_right, "mask": motion.mask}
        if motion.disagreement is not None:
            planes["disagreement"] = motion.disagreement
        for name, plane in planes.items():
            begin = self._at[name]
            memory[begin : begin + plane.nbytes].view(np.float32).reshape(plane.shape)[:] = plane

    def flow(self, address: int) -> FlowField:
        """Return the displacements of a motion that begins at an address."""
        return FlowField.interleaved(address + self._at["left"], address + self._at["right"], self.size)

    def packed(self, address: int) -> int:
        """Return where its displacements lie once they are packed."""
        return address + self._at["packed"]

    def share(self, address: int, name: str) -> PlaneView:
        """Return its `mask`, `disagreement` or `guarded` mask."""
        return PlaneView(address + self._at[name], _SHARE_BYTES * self.size.width, self.size, 32)


class DeviceSynthesis(Owner):
    """Warps and blends pictures on the card. Safe to use from several threads.

    Args:
        lanes: The streams.
        pool: Where pictures and motions lie, of the kinds `MADE` and `MOTION`.
        intake: The way in for motions.
        form: What the pictures look like.
        layout: What motions look like.

    Raises:
        OutOfDeviceMemoryError: If there is too little memory.
    """

    def __init__(self, lanes: Lanes, pool: Pool, intake: Intake, form: Form, layout: MotionLayout) -> None:
        self._taps = PlacedTable(lanes, TapTable(*resize_taps(form.size, layout.size)))
        super().__init__()
        self._lanes, self._pool, self._intake, self._form, self._layout = lanes, pool, intake, form, layout

    def between(self, left: DevicePicture, right: DevicePicture, motion: Motion, t: float) -> DevicePicture:
        """Return the picture at `t` in (0, 1) along a motion of the host; the work is enqueued.

        Raises:
            DeviceError: If the motion is of another size, or the device fails.
        """
        if motion.size != self._layout.size:
            found, wanted = motion.size, self._layout.size
            raise DeviceError(f"a motion of {found}, wanted {wanted}", "this is a fault of the program")
        with self._pool.lend(MOTION) as where:
            self._intake.upload(where, self._layout.upload_bytes, lambda memory: self._layout.fill(memory, motion))
            return self._made((left, right), where, None if motion.disagreement is None else t, packed=False)

    def along(self, left: DevicePicture, right: DevicePicture, motion: Lease, t: float) -> DevicePicture:
        """Return the picture at `t` in (0, 1) along a motion that was found on the card; the work is enqueued.

        Args:
            left: The earlier picture.
            right: The later one.
            motion: The motion, packed, with its mask and disagreement; may be closed afterwards.
            t: The instant.

        Raises:
            DeviceError: If the device fails.
        """
        return self._made((left, right), motion, t, packed=True)

    def _made(
        self, pictures: tuple[DevicePicture, DevicePicture], motion: Lease, guarded_at: float | None, *, packed: bool
    ) -> DevicePicture:
        neutral = pictures[0].neutral and pictures[1].neutral
        with ExitStack() as stack:
            lease = stack.enter_context(self._pool.lend(MADE))
            self._enqueue(pictures, motion, lease, guarded_at, packed=packed, neutral=neutral)
            stack.pop_all()
        return DevicePicture(self._form, lease, neutral=neutral)

    def _enqueue(
        self,
        pictures: tuple[DevicePicture, DevicePicture],
        motion: Lease,
        target: Lease,
        guarded_at: float | None,
        *,
        packed: bool,
        neutral: bool,
    ) -> None:
        """Enqueue the kernels: packing unless that is done, the guard only for an instant that it is given."""
        stream, layout = self._lanes.synthesis, self._layout
        with (
            pictures[0].lease.reading(stream) as left,
            pictures[1].lease.reading(stream) as right,
            motion.writing(stream) as at,
            target.writing(stream) as made,
        ):
            planes = self._form.on_device(left), self._form.on_device(right)
            cells, mask = layout.packed(at), layout.share(at, "mask")
            if not packed:
                self._lanes.launch(stream, pack_motion(layout.flow(at), cells))
            if guarded_at is not None:
                shares, result = (mask, layout.share(at, "disagreement")), layout.share(at, "guarded")
                launch = guard(planes, cells, shares, self._taps.axes, result.address, guarded_at)
                self._lanes.launch(stream, launch)
                mask = result
            picture = self._form.on_device(made)
            self._lanes.launch(stream, synthesize_launch(planes, cells, mask, picture, neutral=neutral))

    def _release(self) -> None:
        self._taps.close()
