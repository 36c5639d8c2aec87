"""What every backend on ONNX Runtime needs: a session without silent fallbacks, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from fastrestore.config import cpu_count
from fastrestore.errors import DeviceError, EngineError, EngineIncompatibleError
from fastrestore.models.spec import ModelSpec

_ERRORS = (
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
    "EPFail",
    "ModelLoaded",
    "NoModel",
    "EngineError",
)
_OUT_OF_MEMORY = "Failed to allocate memory"


def session_options(threads: int) -> Any:
    """Return the options that sessions on any device share.

    Args:
        threads: Threads for what runs on the CPU; 0 uses every core.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_count()
    options.inter_op_num_threads = 1
    # Waiting threads must sleep: spinning ones take the cores from warping and encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def require_tensors(spec: ModelSpec, session: Any) -> None:
    """Check that a session takes and yields the tensors of its model.

    Raises:
        EngineIncompatibleError: If it does not.
    """
    names = {node.name for node in session.get_inputs()}, {node.name for node in session.get_outputs()}
    wanted = {tensor.name for tensor in spec.inputs}, {tensor.name for tensor in spec.outputs}
    if names != wanted:
        raise EngineIncompatibleError(f"tensors {names}", f"{wanted}", "the catalogue and the file disagree")


@contextmanager
def translated(spec: ModelSpec) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions, which share no base but RuntimeError's siblings, into ours.

    Raises:
        DeviceError: If memory did not suffice.
        EngineError: For everything else.
    """
    try:
        yield
    except _known() as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if _OUT_OF_MEMORY in str(error):
            raise DeviceError(
                f"not enough memory for `{spec.name}`: {reason}",
                "close other programs that use the card, or use a smaller `--tile` or `--to`",
            ) from error
        raise EngineError(f"ONNX Runtime failed on `{spec.name}`: {reason}") from error


@lru_cache(maxsize=1)
def _known() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (getattr(state, name) for name in _ERRORS if hasattr(state, name))
    return (*own, RuntimeError, ValueError)  # a name that is no text is a UnicodeDecodeError
