"""A card that several engines use together, opened once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fastrestore.runtime.memory import Device, open_device


class SharedDevice:
    """Lends one card to all who ask: the first one opens it, the last one who is done closes it.

    Work of different users can be put in order on the card only where they have the very same one. Safe to use from
    several threads.

    Args:
        open_card: Opens it.
    """

    def __init__(self, open_card: Callable[[], Device] = open_device) -> None:
        self._open = open_card
        self._lock = threading.Lock()
        self._device: Device | None = None
        self._users = 0

    def join(self) -> Device:
        """Return the card; whoever asked calls `leave` once.

        Raises:
            DeviceError: If it cannot be opened.
        """
        with self._lock:
            if self._device is None:
                self._device = self._open()
            self._users += 1
            return self._device

    def leave(self) -> None:
        """Be done with it."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._device is not None:
                device, self._device = self._device, None
                device.close()
