"""Opens the pipeline on a card: decides how much of everything there is, and takes all memory before a run begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastrestore.config import Plan, memory_bytes
from fastrestore.errors import OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Colour
from fastrestore.kernels.fatbin import load_fatbin
from fastrestore.runtime.memory import DeviceBuffer
from fastrestore.runtime.on_device.engine import AddressEngine
from fastrestore.runtime.on_device.lanes import MOST_SLOTS, Lanes
from fastrestore.runtime.on_device.network import DeviceNetwork
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.restorer import RESTORED, DeviceRestorer, between_networks
from fastrestore.runtime.on_device.steps import SOURCE, DeviceSteps
from fastrestore.runtime.on_device.synthesis import MADE, MOTION, DeviceSynthesis, MotionLayout
from fastrestore.runtime.on_device.transfers import FLAG_BYTES, Intake, Outbox
from fastrestore.runtime.pipeline import INTERVALS_AHEAD, most_workers

SLOTS = 2
"""Pictures restored side by side unless told otherwise: one fills what the other leaves between its layers."""
_FRAMES_BESIDE_WORKERS = 4
"""Output frames on their way beside those that threads find the motion of."""
_FEWEST_FRAMES = 2
_FEWEST_RESTORED = 3
"""Restored pictures that a pipeline needs at once: two to warp, and one being made. With fewer it would stand still."""
_MOTIONS = 4
_HOST_SHARE = 8
"""One in so many bytes of the machine's memory at most is page-locked for finished frames, and as much for motions."""
_SPARE_SHARE = 8
"""One in so many bytes that are free on the card is left for what libraries take as they go."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a pipeline on a card is opened for."""

    source: Form
    output: Form
    order: Plan
    tile: int | None = None
    """Side of a tile in source pixels, or None to choose it."""

    @property
    def warped(self) -> Form:
        """Of the pictures that others are made between."""
        return self.source if self.order is Plan.INTERPOLATE_FIRST else self.output

    @property
    def fewest_restored(self) -> int:
        """Restored pictures that the pipeline needs at once.

        Where frames are restored after they were made between others, source frames of intervals ahead are restored
        before them, and kept.
        """
        return _FEWEST_RESTORED + (INTERVALS_AHEAD if self.order is Plan.INTERPOLATE_FIRST else 0)

    @property
    def motion(self) -> MotionLayout:
        """Of motions, found on source pictures or on restored ones."""
        return MotionLayout(self.output.size if self.order is Plan.UPSCALE_FIRST else self.source.size)


@contextmanager
def open_steps(
    engines: Sequence[AddressEngine], task: Task, *, image: bytes | None = None, slots: int = SLOTS
) -> Iterator[DeviceSteps]:
    """Open the steps of a pipeline on the card that engines run on; give everything back on the way out.

    Args:
        engines: Networks to restore with, in their order; at least one. They belong to the caller.
        task: What for.
        image: The kernels; None takes those that ship.
        slots: Pictures restored side by side; fewer, where memory does not suffice for so many.

    Raises:
        OutOfDeviceMemoryError: If the card has too little memory for the smallest pipeline.
        DeviceError: If the kernels do not run on the card.
        EngineError: If an engine refuses.
    """
    code = load_fatbin() if image is None else image
    asked, frames = min(slots, MOST_SLOTS), _frames(task)
    # Of what memory does not suffice for, there is less: pictures side by side, then frames on their way.
    sizes = [(number, frames) for number in range(asked, 0, -1)] + [(1, _FEWEST_FRAMES)]
    for number, (restored_at_once, ahead) in enumerate(sizes, start=1):
        with ExitStack() as stack:
            try:
                steps = _opened(stack, engines, task, code, restored_at_once, ahead)
            except OutOfDeviceMemoryError:
                if number == len(sizes):
                    raise
                continue
            if number > 1:
                less = f"memory suffices for {restored_at_once} of {asked} pictures side by side, {ahead} frames ahead"
                steps.restorer.lacks.append(less)
            yield steps
            return


def _opened(
    stack: ExitStack, engines: Sequence[AddressEngine], task: Task, code: bytes, slots: int, frames: int
) -> DeviceSteps:
    lanes = stack.enter_context(Lanes(engines[0].device, code, slots))
    flag = stack.enter_context(lanes.device.buffer(FLAG_BYTES))
    _clear(lanes, flag)
    pool = stack.enter_context(Pool(lanes))
    forms = _forms(engines, task)
    networks = [
        stack.enter_context(
            DeviceNetwork(engine, lanes, pool, f"network {index}", pair, tile=task.tile, flag=flag.address)
        )
        for index, (engine, pair) in enumerate(zip(engines, pairwise(forms), strict=True))
    ]
    motion = task.motion
    pool.reserve(MOTION, motion.nbytes, _MOTIONS)
    for index, form in enumerate(forms[1:-1]):
        pool.reserve(between_networks(index), form.nbytes, slots + 1)
    most = frames + INTERVALS_AHEAD + _FEWEST_RESTORED
    first = task.order is Plan.INTERPOLATE_FIRST
    pool.reserve(SOURCE, task.source.nbytes, most if first else _FEWEST_RESTORED)
    pool.reserve(MADE, task.warped.nbytes, frames + 1 if first else _FEWEST_FRAMES)
    pool.reserve(RESTORED, task.output.nbytes, _restored(networks, task, most))
    sources = stack.enter_context(Intake(lanes, task.source.nbytes, most))
    motions = stack.enter_context(Intake(lanes, motion.upload_bytes, _fitting(motion.upload_bytes, frames + 1)))
    synthesis = stack.enter_context(DeviceSynthesis(lanes, pool, motions, task.warped, motion))
    outbox = stack.enter_context(Outbox(lanes, task.output, frames, flag))
    looks = None
    if task.order is Plan.UPSCALE_FIRST:
        looks = stack.enter_context(Outbox(lanes, task.output, 1, flag))
    restorer = DeviceRestorer(networks, lanes, pool)
    needed, free = max(network.working_bytes for network in networks), lanes.device.memory().free_bytes
    if slots > 1 and free < needed:
        raise OutOfDeviceMemoryError(needed, free, lanes.device.name)
    stack.callback(lanes.quiet)  # whatever is given back, nothing that is enqueued uses it any more
    return DeviceSteps(task.source, pool, sources, restorer, synthesis, outbox, looks, frames)


def _forms(engines: Sequence[AddressEngine], task: Task) -> list[Form]:
    """Return what the first network is given and what every network makes.

    In between, values beyond black and white matter, such as those of saturated colours: Y'CbCr of limited range holds
    all that a source of that kind can have, and R'G'B' nothing that one of its own kind has not.
    """
    between, colour = FORMATS["yuv444p16le"], Colour(task.output.colour.matrix)
    if "rgb" in (task.source.format.kind, task.output.format.kind):
        between, colour = FORMATS["gbrp16le"], Colour()
    forms, size = [task.source], task.source.size
    for engine in engines[:-1]:
        size = size.times(engine.spec.scale)
        forms.append(Form(size, between, colour))
    return [*forms, task.output]


def _frames(task: Task) -> int:
    """Return how many output frames may be on their way."""
    return _fitting(task.output.nbytes, most_workers() + _FRAMES_BESIDE_WORKERS)


def _fitting(size_bytes: int, wanted: int) -> int:
    """Return how many pinned slots of a size to take: no more than the machine can spare, and at least two."""
    return max(_FEWEST_FRAMES, min(wanted, memory_bytes() // _HOST_SHARE // size_bytes))


def _restored(networks: Sequence[DeviceNetwork], task: Task, most: int) -> int:
    """Return how many restored pictures to keep room for."""
    device = networks[0].device
    free = device.memory().free_bytes
    left = free - free // _SPARE_SHARE - max(network.working_bytes for network in networks)
    return max(task.fewest_restored, min(most, left // task.output.nbytes))


def _clear(lanes: Lanes, flag: DeviceBuffer) -> None:
    with lanes.device.pinned(FLAG_BYTES) as zeros:
        zeros.array((FLAG_BYTES,), np.uint8)[:] = 0
        lanes.copy_in.upload(zeros.array((FLAG_BYTES,), np.uint8), flag)
        lanes.copy_in.synchronize()
