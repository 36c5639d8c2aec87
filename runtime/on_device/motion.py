"""Finds motion on the card, by a network that is asked for every instant; where memory fails, on the host."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from fastrestore.errors import OutOfDeviceMemoryError
from fastrestore.frames import Motion, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.launches import (
    DevicePlanes,
    Launch,
    NetworkOutput,
    NetworkPlace,
    PlaneView,
    disagreement,
    fill,
    luma8,
    place_motion,
    planes_to_reduced,
    planes_to_tiles,
)
from fastrestore.models.spec import Tensor
from fastrestore.runtime.flowpair import check_instant
from fastrestore.runtime.memory import ALIGNMENT_BYTES, Owner
from fastrestore.runtime.motion import MotionEstimator, PairMotion
from fastrestore.runtime.motion_network import network_grid
from fastrestore.runtime.on_device.engine import AddressEngine
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import PITCH_BYTES, DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.recording import RecordedRuns
from fastrestore.runtime.on_device.synthesis import MOTION, MotionLayout


@dataclass(frozen=True, slots=True)
class MotionNetwork:
    """A network that finds motion."""

    engine: AddressEngine
    estimator: MotionEstimator
    """Finds motion by the same network on pictures in the host's memory."""

    def place(self, size: Size) -> NetworkPlace | str:
        """Return where it works for pictures of a size, or why it does not on the card."""
        spec, span = self.engine.spec, self.engine.range
        if not spec.any_instant:
            return f"what `{spec.name}` finds between two pictures is brought to an instant there"
        grid = network_grid(spec, size)
        width, height = grid.network.width, grid.network.height
        if span is None:
            return NetworkPlace(size, grid.network, grid.shrink, grid.network)
        if span.least.batch > 1 or width > span.most.width or height > span.most.height:
            return f"the engine of `{spec.name}` does not take one pair of {grid.network}"
        tensor = Size(max(width, span.least.width), max(height, span.least.height))
        return NetworkPlace(size, grid.network, grid.shrink, tensor)

    def bytes_at_work(self, place: NetworkPlace, form: Form) -> int:
        """Return what finding motion takes: its tensors, and what the network is estimated to need between layers."""
        return TensorLayout(self.engine, place, form).nbytes + self.working_bytes(place)

    def working_bytes(self, place: NetworkPlace) -> int:
        """Return what the network is estimated to need between layers."""
        spec = self.engine.spec
        whole = place.tensor.pixels * spec.working_bytes_per_px
        return whole // 2 if self.engine.dtypes[spec.inputs[0].name] == np.float16 else whole


class TensorLayout:
    """Where a motion network's tensors lie for one instant, and 8-bit luma of both pictures where they have none.

    Args:
        engine: The network.
        place: Where it works.
        form: The pictures.
    """

    def __init__(self, engine: AddressEngine, place: NetworkPlace, form: Form) -> None:
        spec, dtypes = engine.spec, engine.dtypes
        height, width = place.tensor.height, place.tensor.width
        self.shapes = {tensor.name: tensor.shape(1, height, width) for tensor in spec.inputs}
        self.left, self.right, self.instant = spec.inputs
        self.flow, self.mask = spec.outputs
        self._half = {name: dtype == np.float16 for name, dtype in dtypes.items()}
        self._at: dict[str, int] = {}
        self.nbytes = 0
        for tensor in (*spec.inputs, *spec.outputs):
            count = int(np.prod(tensor.shape(1, height, width)))
            self._take(tensor.name, count * dtypes[tensor.name].itemsize)
        self.luma_pitch = 0
        if form.format.kind == "rgb" or form.format.bits > 8:
            self.luma_pitch = -(-form.size.width // PITCH_BYTES) * PITCH_BYTES
            for side in ("luma of the left", "luma of the right"):
                self._take(side, self.luma_pitch * form.size.height)

    def half(self, tensor: Tensor) -> bool:
        """Return whether a tensor is float16."""
        return self._half[tensor.name]

    def addresses(self, base: int) -> dict[str, int]:
        """Return where everything lies in memory that begins at an address, by name."""
        return {name: base + offset for name, offset in self._at.items()}

    def _take(self, name: str, size_bytes: int) -> None:
        self._at[name] = self.nbytes
        self.nbytes += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


class CardPair:
    """Two pictures on the card between which motion is found, for each instant anew.

    Whoever asks keeps the pictures open meanwhile.

    Args:
        motion: What finds it.
        left: The earlier picture.
        right: The later one.
    """

    def __init__(self, motion: DeviceMotion, left: DevicePicture, right: DevicePicture) -> None:
        self.left, self.right = left, right
        self._motion = motion
        self.on_host: PairMotion | None = None
        """The same pair on the host, once it was needed there."""

    def at(self, t: float) -> Motion:
        """See `PairMotion.at`: found on the host, behind which the pictures are brought there."""
        return self._motion.found_on_host(self, t)


class DeviceMotion(Owner):
    """A motion network beside those that restore, on a stream of its own. Safe to use from several threads.

    It runs when an instant is asked for, once each time. Pictures are made ready for it each time too: that moves a
    hundredth of what the network moves, and nothing is kept of them.

    Args:
        network: The network; belongs to the caller.
        place: Where it works.
        form: The pictures that motion is found on.
        lanes: The streams, with one for motion.
        pool: Where motions lie, of the kind `MOTION`.
        flag: Address of an int32 that becomes 1 where the network yields what is no number.
        look: Brings a picture to the host.

    Raises:
        OutOfDeviceMemoryError: If there is too little memory.
        EngineError: If the engine refuses.
    """

    def __init__(
        self,
        network: MotionNetwork,
        place: NetworkPlace,
        form: Form,
        lanes: Lanes,
        pool: Pool,
        *,
        flag: int,
        look: Callable[[DevicePicture], Picture],
    ) -> None:
        assert lanes.motion is not None, "lanes were opened without a stream for motion"
        self._network, self._place, self._lanes, self._pool = network, place, lanes, pool
        self._stream, self._flag, self._look = lanes.motion, flag, look
        self._tensors = TensorLayout(network.engine, place, form)
        self._motions = MotionLayout(form.size)
        with ExitStack() as stack:
            self._slot = stack.enter_context(network.engine.slot(self._stream))
            memory = stack.enter_context(lanes.device.buffer(self._tensors.nbytes))
            self._at = self._tensors.addresses(memory.address)
            self._runs = stack.enter_context(RecordedRuns(self._slot, self._stream, self._run))
            self._held = stack.pop_all()
        super().__init__()
        self._host_turn = threading.Lock()
        self._fell_back = False
        self.lack = ""
        """Why motion is found on the host after all; empty as long as it is not."""

    @property
    def working_bytes(self) -> int:
        """What the network is estimated to need between layers."""
        return self._network.working_bytes(self._place)

    @property
    def way(self) -> str:
        """How the network runs: as a graph, or launch by launch and why. Empty before it has run."""
        return self._runs.way

    @property
    def warnings(self) -> list[str]:
        """What the user should know of how it went."""
        refusal = self._runs.refusal
        refused = [f"`{self._network.engine.spec.name}` runs launch by launch: {refusal}"] if refusal else []
        return [*refused, *([self.lack] if self.lack else [])]

    def pair(self, left: DevicePicture, right: DevicePicture) -> CardPair:
        """Return what motion is found between. Nothing is done before somebody asks for an instant."""
        return CardPair(self, left, right)

    def found(self, pair: CardPair, t: float) -> Lease | None:
        """Return the motion of a pair at an instant: packed, its mask and its disagreement; the work is enqueued.

        Returns:
            A block of the kind `MOTION`, or None where it is to be found on the host.

        Raises:
            EngineError: If the network refuses to run.
            DeviceError: If the device fails.
            ValueError: If `t` is not within `[0, 1]`.
        """
        check_instant(t)
        if self._fell_back:
            return None
        with ExitStack() as stack:
            lease = stack.enter_context(self._pool.lend(MOTION))
            with self._lanes.turn:
                if self._fell_back:
                    return None
                try:
                    self._enqueue(pair, lease, t)
                except OutOfDeviceMemoryError as error:
                    self._fall_back(error)
                    return None
            stack.pop_all()
        return lease

    def found_on_host(self, pair: CardPair, t: float) -> Motion:
        """Return the motion of a pair at an instant as an estimator finds it.

        Raises:
            EngineError: If the network fails there too.
        """
        with self._host_turn:
            if pair.on_host is None:
                looks = self._look(pair.left), self._look(pair.right)
                pair.on_host = self._network.estimator.pair(*looks)
            on_host = pair.on_host
        return on_host.at(t)

    def _enqueue(self, pair: CardPair, lease: Lease, t: float) -> None:
        tensors, motions, stream = self._tensors, self._motions, self._stream
        with (
            pair.left.lease.reading(stream) as first,
            pair.right.lease.reading(stream) as second,
            lease.writing(stream) as motion,
        ):
            planes = pair.left.form.on_device(first), pair.right.form.on_device(second)
            for picture, tensor in zip(planes, (tensors.left, tensors.right), strict=True):
                self._lanes.launch(stream, self._taken_in(picture, tensor))
            count = int(np.prod(tensors.shapes[tensors.instant.name]))
            instant = fill(self._at[tensors.instant.name], count, t, half=tensors.half(tensors.instant))
            self._lanes.launch(stream, instant)
            self._runs.run()
            half = tensors.half(tensors.flow), tensors.half(tensors.mask)
            output = NetworkOutput(self._at[tensors.flow.name], self._at[tensors.mask.name], half)
            packed, mask = motions.packed(motion), motions.share(motion, "mask")
            self._lanes.launch(stream, place_motion(output, self._place, packed, mask.address, broken=self._flag))
            luma = self._luma(planes[0], "luma of the left"), self._luma(planes[1], "luma of the right")
            self._lanes.launch(stream, disagreement(*luma, packed, motions.share(motion, "disagreement").address))

    def _taken_in(self, picture: DevicePlanes, tensor: Tensor) -> Launch:
        """Return what makes a picture ready for the network: padded, and reduced where it is large."""
        to, half = self._at[tensor.name], self._tensors.half(tensor)
        if self._place.shrink > 1:
            return planes_to_reduced(picture, to, self._place, half=half)
        return planes_to_tiles(picture, to, self._place.tensor, [(0, 0)], half=half)

    def _run(self) -> None:
        spec = self._network.engine.spec
        addresses = {tensor.name: self._at[tensor.name] for tensor in (*spec.inputs, *spec.outputs)}
        self._slot.enqueue(addresses, self._tensors.shapes, self._stream)

    def _luma(self, picture: DevicePlanes, side: str) -> PlaneView:
        """Return luma in 8 bits: the picture's own plane where it is that, else one that is made of it."""
        pitch = self._tensors.luma_pitch
        if not pitch:
            return PlaneView(picture.addresses[0], picture.pitches[0], picture.size)
        self._lanes.launch(self._stream, luma8(picture, self._at[side], pitch))
        return PlaneView(self._at[side], pitch, picture.size)

    def _fall_back(self, error: OutOfDeviceMemoryError) -> None:
        """Have motion found on the host from now on, and leave the memory to whoever does that."""
        self._fell_back = True
        self.lack = f"{error.message}: motion is found through the host's memory from now on"
        self._lanes.settle()
        self._held.close()

    def _release(self) -> None:
        self._held.close()
