"""fastrestore: old film and low-resolution video to 4K at 60 frames a second.

Names are loaded on first use, so that `import fastrestore` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrestore.api import Interpolate as Interpolate
    from fastrestore.api import Pipeline as Pipeline
    from fastrestore.api import Restore as Restore
    from fastrestore.api import convert as convert
    from fastrestore.api import open_video as open_video
    from fastrestore.errors import FastRestoreError as FastRestoreError
    from fastrestore.frames import Frame as Frame
    from fastrestore.frames import Picture as Picture
    from fastrestore.runtime.report import RunReport as RunReport

from fastrestore.version import __version__ as __version__

_EXPORTS = {
    "FastRestoreError": "fastrestore.errors",
    "Frame": "fastrestore.frames",
    "Interpolate": "fastrestore.api",
    "Picture": "fastrestore.frames",
    "Pipeline": "fastrestore.api",
    "Restore": "fastrestore.api",
    "RunReport": "fastrestore.runtime.report",
    "convert": "fastrestore.api",
    "open_video": "fastrestore.api",
}

__all__ = sorted([*_EXPORTS, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'fastrestore' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
