"""The two TensorRT libraries: how they differ, how they are loaded, and what they have to say when something fails."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from fastrestore.errors import EngineError

_T = TypeVar("_T")
_LINES_KEPT = 400
_LONGEST_TEXT = 1500


@dataclass(frozen=True, slots=True)
class Flavour:
    """One of the two libraries. Code branches on these facts, never on the name."""

    name: str
    """The backend's name: `tensorrt` or `tensorrt-rtx`."""
    module: str
    """What is imported."""
    packages: tuple[str, ...]
    """Names under which package managers know it; the first one found counts."""
    extra: str
    """The extra of this package that installs it."""
    oldest: tuple[int, int]
    """The first version whose interface is the one used here."""
    per_capability: bool
    """Whether an engine fits every card of a compute capability, and can be built without one."""
    has_timing_cache: bool
    """Whether measured tactics can be kept for the next build."""
    has_version_compatible: bool
    """Whether engines can be made that later versions run."""
    has_hardware_compatible: bool
    """Whether engines can be made that later cards run."""
    has_tiling: bool
    """Whether layers can be fused in tiles that fit the cache."""
    compiles_when_run: bool = False
    """Whether kernels for a shape are compiled when an engine first runs with it."""
    capabilities: tuple[str, ...] = ()
    """Compute capabilities it can build for without a card; empty if it needs the card itself."""


FLAVOURS: Mapping[str, Flavour] = MappingProxyType(
    {
        "tensorrt": Flavour(
            name="tensorrt",
            module="tensorrt",
            # Not the bindings alone: they import nothing without the libraries.
            packages=("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
            extra="gpu",
            oldest=(10, 13),
            per_capability=False,
            has_timing_cache=True,
            has_version_compatible=True,
            has_hardware_compatible=True,
            has_tiling=True,
        ),
        "tensorrt-rtx": Flavour(
            name="tensorrt-rtx",
            module="tensorrt_rtx",
            packages=("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
            extra="rtx",
            oldest=(1, 1),
            per_capability=True,
            has_timing_cache=False,
            has_version_compatible=False,
            has_hardware_compatible=False,
            has_tiling=False,
            compiles_when_run=True,
            capabilities=("7.5", "8.0", "8.6", "8.9", "12.0", "12.1"),
        ),
    }
)
"""Both libraries, by the backend's name, in the order in which they are preferred."""


def installed(flavour: Flavour) -> str | None:
    """Return the installed version, or None. Imports nothing."""
    for package in flavour.packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def load(flavour: Flavour) -> Any:
    """Return the library's module.

    Raises:
        EngineError: If it is not installed, too old, or its parts cannot be loaded.
    """
    found = installed(flavour)
    remedy = f"`pip install 'fastrestore[{flavour.extra}]'`"
    if found is None:
        raise EngineError(f"package {flavour.packages[0]} is not installed", remedy)
    if _release(found) < flavour.oldest:
        wanted = ".".join(map(str, flavour.oldest))
        raise EngineError(f"{flavour.packages[0]} {found} is too old: wanted {wanted} or later", remedy)
    try:
        return import_module(flavour.module)
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(
            f"{flavour.packages[0]} {found} cannot be loaded: {_first_line(error)}", f"reinstall it: {remedy}"
        ) from error


class Witness(Protocol):
    """Something that has heard what a library said."""

    def text(self) -> str:
        """Return the errors that were reported, in the library's own words, or an empty string."""
        ...


class Logger(Witness, Protocol):
    """What `make_logger` makes; it also is the library's `ILogger`. Must outlive everything made with it."""

    def tail(self, count: int) -> list[str]:
        """Return the last lines, oldest first, each with its severity in front."""
        ...


class Recorder(Witness, Protocol):
    """What `make_recorder` makes; it also is the library's `IErrorRecorder`. Must outlive what it is given to."""

    def clear(self) -> None:
        """Forget every error."""
        ...


def make_logger(trt: Any, level: str = "warning") -> Logger:
    """Return a logger that keeps the last lines instead of printing them.

    Args:
        trt: The library.
        level: The least severe messages that are kept: `error`, `warning`, `info` or `verbose`.
    """
    logger: Logger = _logger_class(trt)(level)
    return logger


def make_recorder(trt: Any) -> Recorder:
    """Return an error recorder. What reaches it does not reach the logger."""
    recorder: Recorder = _recorder_class(trt)()
    return recorder


def require(
    value: _T | None, what: str, *witnesses: Witness, hint: str = "", kind: type[EngineError] = EngineError
) -> _T:
    """Return what a library returned, unless that says that it failed: None or False.

    Args:
        value: What was returned.
        what: What was tried, as the beginning of a sentence: "TensorRT could not read the engine".
        witnesses: Whose words are added; the first that has any is taken.
        hint: What the user can do about it.
        kind: The error raised; it is made from a message and a hint.

    Raises:
        EngineError: If it failed.
    """
    if value is None or value is False:
        raise kind(_complaint(what, witnesses), hint)
    return value


@contextmanager
def translated(what: str, *witnesses: Witness, hint: str = "", kind: type[EngineError] = EngineError) -> Iterator[None]:
    """Turn what the bindings raise into our error; arguments as for `require`.

    Raises:
        EngineError: If they raise.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:  # a factory that yields nothing raises TypeError
        raise kind(f"{_complaint(what, witnesses)} ({_first_line(error)})", hint) from error


def _complaint(what: str, witnesses: tuple[Witness, ...]) -> str:
    words = next(filter(None, (witness.text() for witness in witnesses)), "it gave no reason")
    return f"{what}: {words}"


def _release(text: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", text)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "..."


@lru_cache(maxsize=4)
def _logger_class(trt: Any) -> Any:
    """Return the logger's class: its base is the library's, which may not be imported before it is needed."""
    ranks = {
        "error": int(trt.ILogger.Severity.ERROR),
        "warning": int(trt.ILogger.Severity.WARNING),
        "info": int(trt.ILogger.Severity.INFO),
        "verbose": int(trt.ILogger.Severity.VERBOSE),
    }

    class KeepingLogger(trt.ILogger):  # type: ignore[misc]  # the library is untyped
        def __init__(self, level: str) -> None:
            trt.ILogger.__init__(self)
            self._worst = ranks[level]
            self._lines: deque[tuple[int, str]] = deque(maxlen=_LINES_KEPT)

        def log(self, severity: Any, message: str) -> None:
            rank = int(severity)
            if rank <= self._worst:
                self._lines.append((rank, f"[{severity.name}] {message}"))

        def tail(self, count: int) -> list[str]:
            return [line for _, line in list(self._lines)[-count:]] if count > 0 else []

        def text(self) -> str:
            errors = [line.partition("] ")[2] for rank, line in list(self._lines) if rank <= ranks["error"]]
            return _shortened("; ".join(dict.fromkeys(errors)))

    return KeepingLogger


@lru_cache(maxsize=4)
def _recorder_class(trt: Any) -> Any:
    class KeepingRecorder(trt.IErrorRecorder):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            trt.IErrorRecorder.__init__(self)
            self._lock = threading.Lock()  # the library reports from threads of its own
            self._errors: list[tuple[Any, str]] = []
            self._overflowed = False

        def report_error(self, code: Any, description: str) -> bool:
            with self._lock:
                if len(self._errors) < _LINES_KEPT:
                    self._errors.append((code, description))
                else:
                    self._overflowed = True
            return False  # whether it is fatal is judged by what the failing call returns

        def num_errors(self) -> int:
            return len(self._errors)

        def get_error_code(self, index: int) -> Any:
            return self._errors[index][0]

        def get_error_desc(self, index: int) -> str:
            return self._errors[index][1]

        def has_overflowed(self) -> bool:
            return self._overflowed

        def clear(self) -> None:
            with self._lock:
                self._errors.clear()
                self._overflowed = False

        def text(self) -> str:
            with self._lock:
                return _shortened("; ".join(dict.fromkeys(description for _, description in self._errors)))

    return KeepingRecorder
