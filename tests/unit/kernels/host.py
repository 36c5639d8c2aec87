"""The host build of the kernels for tests: compiled once a run, for all its processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastrestore.kernels.host_build import HostKernels, build_host_kernels, find_compiler

SANITIZED = Path(os.environ["FASTRESTORE_TEST_SANITIZED"]) if "FASTRESTORE_TEST_SANITIZED" in os.environ else None
"""A host build with sanitizers, in whose process these tests then run."""


def host_library(factory: pytest.TempPathFactory, extra_flags: Sequence[str] = ()) -> Path:
    """Return the library; skips without a compiler."""
    if find_compiler() is None:
        pytest.skip("no C++ compiler: the kernels' host build cannot be made")
    # Beside the folders of pytest-xdist's workers, so that they share it.
    shared = factory.getbasetemp().parent / "fastrestore-host-kernels"
    return build_host_kernels(shared, extra_flags)


def host_kernels(factory: pytest.TempPathFactory) -> HostKernels:
    """Return the host build; skips without a compiler."""
    return HostKernels(SANITIZED or host_library(factory))
