"""A decoded picture as the decoder left it on a card: somebody else's memory, to be copied and given back soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from fastrestore.errors import DeviceError
from fastrestore.frames import Colour
from fastrestore.geometry import Size
from fastrestore.kernels.launches import DevicePlanes, Layout
from fastrestore.runtime.devices.dlpack import Place
from fastrestore.runtime.devices.imported import ImportedTensor, Lender
from fastrestore.runtime.memory import Event, Owner


class Surface(Owner):
    """A decoded picture in the decoder's memory. Closing it lets the decoder write there again.

    Args:
        planes: Y, and CbCr by turns.
        size: The picture.
        layout: `NV12` or `P010`.
        arrives: Lets an event stand for the decoder's work on it, and on all before it.

    Raises:
        DeviceError: If the planes are not those of such a picture on a card.
    """

    def __init__(self, planes: Sequence[Lender], size: Size, layout: Layout, arrives: Callable[[Event], None]) -> None:
        with ExitStack() as stack:
            tensors = [stack.enter_context(ImportedTensor(plane)) for plane in planes]
            for plane, tensor in enumerate(tensors):
                _require(tensor, plane, size, layout)
            if len(tensors) != layout.planes:
                raise DeviceError(f"a surface of {len(tensors)} planes, wanted {layout.planes}")
            self._held = stack.pop_all()
        super().__init__()
        self.size, self.layout, self.arrives = size, layout, arrives
        self._addresses = tuple(tensor.address for tensor in tensors)
        self._pitches = tuple(tensor.strides[0] * tensor.bits // 8 for tensor in tensors)

    def planes(self, colour: Colour) -> DevicePlanes:
        """Return it as kernels take it.

        Raises:
            DeviceError: If it was given back.
        """
        self._require_open()
        return DevicePlanes(self._addresses, self._pitches, self.size, self.layout, colour)

    def _release(self) -> None:
        self._held.close()


def _require(tensor: ImportedTensor, plane: int, size: Size, layout: Layout) -> None:
    """Refuse a plane that is none of a picture.

    Chroma of a side that is odd is told rounded down; the decoder's memory, whose sides are even, has the last row.
    """
    rows, columns = (size.height, size.width) if plane == 0 else (size.height // 2, size.width // 2)
    wanted = (rows, columns) if plane == 0 else (rows, columns, 2)
    found = tensor.place, tensor.bits, tensor.shape
    if found != (int(Place.CUDA), 8 * layout.sample_bytes, wanted):
        raise DeviceError(
            f"plane {plane} of a surface is {found}, wanted {(int(Place.CUDA), 8 * layout.sample_bytes, wanted)} "
            "(kind of device, bits, shape)"
        )
