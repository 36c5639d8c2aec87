"""Who executes the kernels that the laws are about: the host build always, a card where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.unit.kernels.executors import DeviceExecutor, Executor, HostExecutor
from tests.unit.kernels.host import SANITIZED, host_kernels

from fastrestore.kernels.host_build import HostKernels
from fastrestore.runtime.memory import Device, open_device


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


@pytest.fixture(scope="session")
def card() -> Iterator[Device]:
    with open_device() as device:
        yield device


@pytest.fixture(params=["host", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "host":
        yield HostExecutor(request.getfixturevalue("host"), exact=SANITIZED is not None)
        return
    with closing(DeviceExecutor(request.getfixturevalue("card"))) as on_card:
        yield on_card
