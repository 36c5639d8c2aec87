"""The same file from a cluster as from one process, whatever becomes of its nodes, its network and its coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cluster.conftest import SETTINGS, Nodes
from tests.cluster.far import FarWorker
from tests.e2e.command import Ran, command, environment, run
from tests.unit.runtime.fleet.samples import QUICK, convert

from fastrestore.errors import JobError
from fastrestore.runtime.fleet import ray_fleet
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.fleet.ray_fleet import RayFleet
from fastrestore.runtime.fleet.surroundings import surroundings
from fastrestore.runtime.workfolder import folder_for

pytest.importorskip("ray", reason="Ray is not installed: `pip install 'fastrestore[cluster]'`")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray leaves sockets and files open
_PATIENCE_S = 240


class Begun:
    """A conversion on a cluster that has begun."""

    def __init__(self, source: Path, folder: Path, address: str) -> None:
        self.output = folder / "out.mkv"
        words = command("convert", source, "-o", self.output, *SETTINGS, "--ray", address)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=pipe, stderr=pipe)

    def finished_segments(self) -> int:
        """Return how many segments are on the disk."""
        return len(list(folder_for(self.output).glob("0*.nut")))

    def wait_for(self, seen: Callable[[], object]) -> None:
        """Wait until something is seen while it runs."""
        until = time.monotonic() + _PATIENCE_S
        while not seen():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until, "it was never seen"
            os.sched_yield()

    def ended(self) -> Ran:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=_PATIENCE_S)
        return Ran(self.process.returncode, out.decode(), err.decode())


def test_no_cluster(source: Path, tmp_path: Path) -> None:
    ran = run("convert", source, "-o", "out.mkv", *SETTINGS, "--ray", "127.0.0.1:1", folder=tmp_path)
    ran.assert_failed(1, "cannot reach a Ray cluster")
    assert list(tmp_path.iterdir()) == []


def test_the_same_bytes(nodes: Nodes, source: Path, alone: bytes, tmp_path: Path) -> None:
    ran = run("convert", source, "-o", "out.mkv", *SETTINGS, "--ray", nodes.address, folder=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out.mkv").read_bytes() == alone
    assert ran.events[-1]["warnings"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


def watch(monkeypatch: pytest.MonkeyPatch, name: str, calls: list[str]) -> None:
    """Note whenever a method of an attendant is called."""
    method = getattr(ray_fleet.Attendant, name)

    def noted(self: ray_fleet.Attendant, *arguments: object) -> object:
        calls.append(name)
        return method(self, *arguments)

    monkeypatch.setattr(ray_fleet.Attendant, name, noted)


@pytest.mark.slow
def test_without_shared_storage(nodes: Nodes, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source goes there and the segments come back, piece by piece; the second film is there already."""
    monkeypatch.setattr(ray_fleet, "RayWorker", FarWorker)
    monkeypatch.setattr(ray_fleet, "CHUNK_BYTES", 10_000)
    moved: list[str] = []
    for name in ("_send", "_fetch"):
        watch(monkeypatch, name, moved)
    convert(source, tmp_path / "alone.mkv")
    with RayFleet(nodes.address) as fleet:
        for name in ("first.mkv", "second.mkv"):
            report = convert(source, tmp_path / name, QUICK, Crew(fleet))
            assert (tmp_path / name).read_bytes() == (tmp_path / "alone.mkv").read_bytes()
            assert report.warnings == []
            assert 1 <= moved.count("_send") <= 2, "once for each node"
            fetched = report.segments * (1 if name == "first.mkv" else 2)
            assert moved.count("_fetch") >= fetched, "some are made twice when nothing else is left to do"


@pytest.mark.slow
def test_nodes_with_other_versions_are_refused(
    nodes: Nodes, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_fleet, "surroundings", lambda: {**surroundings(), "FFmpeg": "libavcodec 1"})
    with RayFleet(nodes.address) as fleet, pytest.raises(JobError, match=r"FFmpeg: .*, wanted libavcodec 1"):
        convert(source, tmp_path / "out.mkv", QUICK, Crew(fleet))


@pytest.mark.slow
def test_a_node_is_lost(nodes: Nodes, source: Path, alone: bytes, tmp_path: Path) -> None:
    begun = Begun(source, tmp_path, nodes.address)
    begun.wait_for(begun.finished_segments)
    nodes.kill(nodes.nodes[0])
    ran = begun.ended()
    assert ran.code == 0, ran.err
    assert begun.output.read_bytes() == alone
    assert ["was lost" in text for text in ran.events[-1]["warnings"]] == [True], ran.events[-1]["warnings"]


@pytest.mark.slow
def test_a_node_comes_late(nodes: Nodes, source: Path, alone: bytes, tmp_path: Path) -> None:
    """Both nodes are lost; the run waits, and goes on with the next one."""
    begun = Begun(source, tmp_path, nodes.address)
    begun.wait_for(begun.finished_segments)
    for node in nodes.nodes:
        nodes.kill(node)
    nodes.add()
    ran = begun.ended()
    assert ran.code == 0, ran.err
    assert begun.output.read_bytes() == alone


@pytest.mark.slow
def test_the_coordinator_is_killed(nodes: Nodes, source: Path, alone: bytes, tmp_path: Path) -> None:
    begun = Begun(source, tmp_path, nodes.address)
    begun.wait_for(lambda: begun.finished_segments() >= 2)
    begun.process.kill()
    begun.process.communicate()
    again = Begun(source, tmp_path, nodes.address)
    ran = again.ended()
    assert ran.code == 0, ran.err
    assert 0 < ran.events[-1]["resumed_segments"] < ran.events[-1]["segments"]
    assert again.output.read_bytes() == alone
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@pytest.mark.slow
def test_interrupted_by_the_user(nodes: Nodes, source: Path, tmp_path: Path) -> None:
    begun = Begun(source, tmp_path, nodes.address)
    begun.wait_for(begun.finished_segments)
    begun.process.send_signal(signal.SIGTERM)
    begun.ended().assert_failed(130, "stopped")
    assert not list(tmp_path.rglob("*.part"))
