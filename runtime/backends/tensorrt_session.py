"""The TensorRT library on one card: what all engines of a backend share."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

from fastrestore.errors import EngineIncompatibleError
from fastrestore.models.spec import Task
from fastrestore.runtime.backends.tensorrt_library import make_logger, make_recorder, require, translated
from fastrestore.runtime.devices.scratch import Scratch
from fastrestore.runtime.engine_key import EngineKey
from fastrestore.runtime.memory import Device, Owner


class Session(Owner):
    """A runtime of the library, a device, and scratch memory.

    Networks that restore run one after the other, and so do those that find motion, but both kinds may run at once:
    each kind shares one piece of scratch memory.

    Args:
        trt: The library's module.
        device: The card; given over to this: closed with it. Its driver was looked for before.

    Raises:
        EngineError: If no runtime can be made.
    """

    def __init__(self, trt: Any, device: Device) -> None:
        self.trt, self.device = trt, device
        self.logger, self._recorder = make_logger(trt, "info"), make_recorder(trt)
        self._lock = threading.Lock()
        with ExitStack() as stack:
            stack.enter_context(device)
            with device.current(), translated("no runtime can be made", self.logger):
                self._runtime: Any = trt.Runtime(self.logger)
                self._runtime.error_recorder = self._recorder
            self._scratch: dict[Task, Scratch] = {}
            self._held = stack.pop_all()
        super().__init__()

    def deserialize(self, plan: bytes, key: EngineKey, hint: str) -> Any:
        """Return the library's engine of a plan. Call with the device current.

        Raises:
            EngineError: If the library refuses it.
            EngineIncompatibleError: If its header says that it does not fit this card or library.
        """
        self._require_open()
        what = f"the engine of `{key.model}` cannot be loaded"
        witnesses = self._recorder, self.logger
        with self._lock, translated(what, *witnesses, hint=hint):
            self._recorder.clear()
            self._check_header(plan, key, hint)
            if key.options.version_compatible:  # such a plan brings its own runtime along
                self._runtime.engine_host_code_allowed = True
            return require(self._runtime.deserialize_cuda_engine(plan), what, *witnesses, hint=hint)

    def scratch_for(self, task: Task) -> Scratch:
        """Return the scratch memory for networks of a kind."""
        with self._lock:
            if task not in self._scratch:
                self._scratch[task] = self._held.enter_context(Scratch(self.device))
            return self._scratch[task]

    def _check_header(self, plan: bytes, key: EngineKey, hint: str) -> None:
        """Have the library look at the plan's first bytes, where it can."""
        if not hasattr(self._runtime, "get_engine_validity"):  # the full library checks when it deserialises
            return
        validity, flags = self._runtime.get_engine_validity(plan[: self._runtime.engine_header_size])
        if validity == self.trt.EngineValidity.INVALID:
            known = self.trt.EngineInvalidityDiagnostics.__members__
            reasons = [name.lower().replace("_", " ") for name, flag in known.items() if int(flag) & int(flags)]
            found = f"the engine of `{key.model}` for {key.capability} ({', '.join(reasons) or 'no reason is given'})"
            raise EngineIncompatibleError(found, f"one for {self.device.name} ({self.device.capability})", hint)

    def _release(self) -> None:
        with self.device.current():
            self._runtime = None
        self._held.close()
