"""Real Ray clusters of several nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.command import REPOSITORY, run
from tests.unit.runtime.fleet.samples import film

SETTINGS = ("--to", "x1", "--fps", "60", "--preset", "ultrafast", "--progress", "json")
SECONDS = 40
"""Of film: eight segments."""


class Nodes:
    """A cluster whose head works on nothing.

    Args:
        count: How many nodes there are besides, with one core each.
    """

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        # Nodes find the package, and the workers that tests define, where this process does.
        os.environ["PYTHONPATH"] = f"{REPOSITORY / 'src'}:{REPOSITORY}"
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.add() for _ in range(count)]
        self.address: str = self._cluster.address

    def add(self) -> Any:
        """Add a node."""
        return self._cluster.add_node(num_cpus=1)

    def kill(self, node: Any) -> None:
        """End a node as a power cut does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """A cluster of two nodes."""
    cluster = Nodes(2)
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film."""
    return film(tmp_path_factory.mktemp("film") / "film.mkv", SECONDS)


@pytest.fixture(scope="session")
def alone(source: Path) -> bytes:
    """What one process on this machine makes of it."""
    assert run("convert", source, "-o", "alone.mkv", *SETTINGS, folder=source.parent).code == 0
    return source.with_name("alone.mkv").read_bytes()
