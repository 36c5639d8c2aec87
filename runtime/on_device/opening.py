"""Opens the pipeline on a card: decides how much of everything there is, and takes all memory before a run begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from fastrestore.config import Plan, memory_bytes
from fastrestore.errors import OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Colour
from fastrestore.kernels.fatbin import load_fatbin
from fastrestore.kernels.launches import NetworkPlace
from fastrestore.runtime.cadence import LOOKAHEAD
from fastrestore.runtime.memory import Device, DeviceBuffer
from fastrestore.runtime.on_device.budget import fitting_slots, slot_bytes, usable_bytes
from fastrestore.runtime.on_device.decoded import DecodedIntake
from fastrestore.runtime.on_device.engine import AddressEngine
from fastrestore.runtime.on_device.geometry import Cut, TileWish
from fastrestore.runtime.on_device.handover import Handover
from fastrestore.runtime.on_device.lanes import MOST_SLOTS, Lanes
from fastrestore.runtime.on_device.looks import look
from fastrestore.runtime.on_device.motion import DeviceMotion, MotionNetwork
from fastrestore.runtime.on_device.network import DeviceNetwork, cut_of
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.restorer import RESTORED, DeviceRestorer, between_networks
from fastrestore.runtime.on_device.steps import SOURCE, DeviceSteps
from fastrestore.runtime.on_device.synthesis import MADE, MOTION, DeviceSynthesis, MotionLayout
from fastrestore.runtime.on_device.transfers import FLAG_BYTES, Intake, Outbox
from fastrestore.runtime.pipeline import most_workers
from fastrestore.runtime.timeline import LONGEST_HOLD_FRAMES
from fastrestore.runtime.work import DECODE_AHEAD, INTERVALS_AHEAD

_DECODED = LOOKAHEAD + LONGEST_HOLD_FRAMES + DECODE_AHEAD + INTERVALS_AHEAD + 8
"""Decoded pictures that there is room for: those that the timeline looks ahead at, those that are waited for, and the
last ones, kept here and there for what comes next."""
_FRAMES_BESIDE_WORKERS = 4
"""Output frames on their way beside those that threads find the motion of."""
_FEWEST_FRAMES = 2
_FEWEST_RESTORED = 3
"""Restored pictures that a pipeline needs at once: two to warp, and one being made. With fewer it would stand still."""
_MOTIONS = 4
_HOST_SHARE = 8
"""One in so many bytes of the machine's memory at most is page-locked for finished frames, and as much for motions."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a pipeline on a card is opened for."""

    source: Form
    output: Form
    order: Plan
    tile: int | None = None
    """Side of a tile in source pixels, or None to choose it."""
    batch: int | None = None
    """Tiles of one run of a network, at most; None leaves it to the range of the engine."""
    decodes: bool = False
    """Whether source pictures come from a decoder on the card."""

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
    def seen(self) -> Form:
        """Of the pictures that motion is found on."""
        return self.output if self.order is Plan.UPSCALE_FIRST else self.source

    @property
    def motion(self) -> MotionLayout:
        """Of motions, found on source pictures or on restored ones."""
        return MotionLayout(self.seen.size)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How much there is of what there may be less of."""

    slots: int
    """Pictures restored side by side."""
    frames: int
    """Output frames on their way."""
    place: NetworkPlace | None
    """Where the motion network works on the card; None where motion is found on the host."""


@contextmanager
def open_steps(
    engines: Sequence[AddressEngine],
    task: Task,
    *,
    image: bytes | None = None,
    slots: int | None = None,
    motion: MotionNetwork | None = None,
) -> Iterator[DeviceSteps]:
    """Open the steps of a pipeline on the card that engines run on; give everything back on the way out.

    Args:
        engines: Networks to restore with, in their order; at least one. They belong to the caller.
        task: What for.
        image: The kernels; None takes those that ship.
        slots: Pictures restored side by side; fewer, where memory does not suffice for so many. None chooses by memory.
        motion: Finds motion on the card, where it can and memory suffices; None where the host finds it.

    Raises:
        OutOfDeviceMemoryError: If the card has too little memory for the smallest pipeline.
        DeviceError: If the kernels do not run on the card.
        EngineError: If an engine refuses.
    """
    code = load_fatbin() if image is None else image
    place = None if motion is None else motion.place(task.seen.size)
    placed = place if isinstance(place, NetworkPlace) else None
    tries = _tries(engines, task, slots, motion, placed)
    for number, sizes in enumerate(tries, start=1):
        with ExitStack() as stack:
            try:
                steps = _opened(stack, engines, task, code, sizes, motion)
            except OutOfDeviceMemoryError:
                if number == len(tries):
                    raise
                continue
            if number > 1:
                steps.restorer.lacks.append(_less(sizes, tries[0]))
            yield steps
            return


def _tries(
    engines: Sequence[AddressEngine],
    task: Task,
    slots: int | None,
    motion: MotionNetwork | None,
    place: NetworkPlace | None,
) -> list[_Sizes]:
    """Return what to try, each with less than the one before: fewer pictures side by side, motion, fewer frames."""
    frames = _frames(task)
    if slots is None:
        at_work = motion.bytes_at_work(place, task.seen) if motion is not None and place is not None else 0
        beside = at_work + sum(size * count for size, count in _blocks(task, frames, seen=place is not None).values())
        each = slot_bytes(_cuts(engines, task), _forms(engines, task)[1:-1])
        slots = fitting_slots(engines[0].device.memory().free_bytes, beside, each)
    found = [] if place is None else [place]
    sizes = [_Sizes(number, frames, at) for at in (*found, None) for number in range(min(slots, MOST_SLOTS), 0, -1)]
    return [*sizes, _Sizes(1, _FEWEST_FRAMES, None)]


def _cuts(engines: Sequence[AddressEngine], task: Task) -> list[Cut]:
    """Return how every network goes over its pictures."""
    forms, tiles = _forms(engines, task)[:-1], TileWish(task.tile, task.batch)
    return [cut_of(engine, form.size, tiles) for engine, form in zip(engines, forms, strict=True)]


def _less(sizes: _Sizes, wanted: _Sizes) -> str:
    """Return what the user should know of a pipeline that is smaller than it was to be."""
    text = f"memory suffices for {sizes.slots} of {wanted.slots} pictures side by side, {sizes.frames} frames ahead"
    lost = wanted.place is not None and sizes.place is None
    return f"{text}; motion is found through the host's memory" if lost else text


def _blocks(task: Task, frames: int, *, seen: bool) -> dict[str, tuple[int, int]]:
    """Return how long and how many the blocks of the pool are that do not depend on what memory is left.

    Args:
        task: What for.
        frames: Output frames on their way.
        seen: Whether motion is found on the card.
    """
    most, first = _most_restored(frames), task.order is Plan.INTERPOLATE_FIRST
    kept = first or (seen and task.order is Plan.GUIDED)  # as long as frames are made of them, or along their motion
    sources = 1 if task.decodes else most if kept else _FEWEST_RESTORED
    # Finished pictures that are handed over wait where they are, not in pinned memory.
    waiting = frames if task.output.for_encoder else 0
    return {
        MOTION: (task.motion.nbytes, _MOTIONS),
        SOURCE: (task.source.nbytes, sources),
        MADE: (task.warped.nbytes, frames + 1 if first else max(_FEWEST_FRAMES, waiting)),
        RESTORED: (task.output.nbytes, max(most, task.fewest_restored + waiting)),
    }


def _most_restored(frames: int) -> int:
    """Return how many restored pictures there is use for."""
    return frames + INTERVALS_AHEAD + _FEWEST_RESTORED


def _opened(
    stack: ExitStack,
    engines: Sequence[AddressEngine],
    task: Task,
    code: bytes,
    sizes: _Sizes,
    network: MotionNetwork | None,
) -> DeviceSteps:
    slots, frames, place = sizes.slots, sizes.frames, sizes.place
    lanes = stack.enter_context(Lanes(engines[0].device, code, slots, finds_motion=place is not None))
    flag = stack.enter_context(lanes.device.buffer(FLAG_BYTES))
    _clear(lanes, flag)
    pool = stack.enter_context(Pool(lanes))
    forms, tiles = _forms(engines, task), TileWish(task.tile, task.batch)
    networks = [
        stack.enter_context(
            DeviceNetwork(engine, lanes, pool, f"network {index}", pair, tiles=tiles, flag=flag.address)
        )
        for index, (engine, pair) in enumerate(zip(engines, pairwise(forms), strict=True))
    ]
    for index, form in enumerate(forms[1:-1]):
        pool.reserve(between_networks(index), form.nbytes, slots + 1)
    blocks = _blocks(task, frames, seen=place is not None)
    for kind in (MOTION, SOURCE, MADE):
        pool.reserve(kind, *blocks[kind])
    kept = _DECODED + (frames if place is not None else 0)  # decoded pictures stay until motion was found on them
    decoded = stack.enter_context(DecodedIntake(lanes, pool, task.source, kept)) if task.decodes else None
    looks = None
    if task.order is Plan.UPSCALE_FIRST:
        looks = stack.enter_context(Outbox(lanes, task.output, 1, flag))
    motion = None
    if network is not None and place is not None:
        bring, at = partial(look, way=looks), flag.address
        motion = stack.enter_context(DeviceMotion(network, place, task.seen, lanes, pool, flag=at, look=bring))
    at_work = sum(each.working_bytes for each in networks) + (0 if motion is None else motion.working_bytes)
    pool.reserve(RESTORED, task.output.nbytes, _restored(lanes.device, task, frames, at_work))
    # Pictures that the card decodes are not uploaded, motions that it finds only where it cannot go on.
    sources = stack.enter_context(Intake(lanes, task.source.nbytes, 1 if task.decodes else _most_restored(frames)))
    uploaded = task.motion.upload_bytes
    ahead = _fitting(uploaded, frames + 1) if motion is None else _FEWEST_FRAMES
    motions = stack.enter_context(Intake(lanes, uploaded, ahead))
    synthesis = stack.enter_context(DeviceSynthesis(lanes, pool, motions, task.warped, task.motion))
    outbox: Outbox | Handover = (
        stack.enter_context(Handover(lanes, pool, task.output, frames, flag))
        if task.output.for_encoder
        else stack.enter_context(Outbox(lanes, task.output, frames, flag))
    )
    restorer = DeviceRestorer(networks, lanes, pool)
    free = lanes.device.memory().free_bytes
    if (slots > 1 or motion is not None) and free < at_work:
        raise OutOfDeviceMemoryError(at_work, free, lanes.device.name)
    stack.callback(lanes.quiet)  # whatever is given back, nothing that is enqueued uses it any more
    return DeviceSteps(
        task.source, pool, sources, restorer, synthesis, outbox, looks, frames, motion=motion, decoded=decoded
    )


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


def _restored(device: Device, task: Task, frames: int, at_work: int) -> int:
    """Return how many restored pictures to keep room for, beside what networks need between layers."""
    left = usable_bytes(device.memory().free_bytes) - at_work
    least = task.fewest_restored + (frames if task.output.for_encoder else 0)
    return max(least, min(_most_restored(frames), left // task.output.nbytes))


def _clear(lanes: Lanes, flag: DeviceBuffer) -> None:
    with lanes.device.pinned(FLAG_BYTES) as zeros:
        zeros.array((FLAG_BYTES,), np.uint8)[:] = 0
        lanes.copy_in.upload(zeros.array((FLAG_BYTES,), np.uint8), flag)
        lanes.copy_in.synchronize()
