"""Copies on a node are whole or not there, shared while in use, and removed when nobody has use for them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fastrestore.errors import JobError
from fastrestore.runtime.fleet.order import Stop, Wanting
from fastrestore.runtime.fleet.ray_worker import RayWorker
from fastrestore.runtime.fleet.spool import Spool
from fastrestore.runtime.identity import identity

DATA = bytes(range(256)) * 40


def sent(spool: Spool, path: Path, data: bytes = DATA) -> None:
    """Send data in pieces, the last ones first, one of them twice."""
    for offset in (*range(0, len(data), 1000)[::-1], 0):
        spool.write(path, offset, data[offset : offset + 1000])
    spool.finish(path, hashlib.sha256(data).hexdigest(), 123_456_789_012_345_678)


def test_a_copy_is_known_as_the_same(tmp_path: Path) -> None:
    original = tmp_path / "film.mkv"
    original.write_bytes(DATA)
    spool = Spool(tmp_path / "spool")
    path = spool.source("film.mkv", "key")
    sent(spool, path)
    assert path.read_bytes() == DATA and path.suffix == ".mkv"
    known = {**identity(original), "changed_ns": 123_456_789_012_345_678}
    assert identity(path) == known
    spool.finish(path, hashlib.sha256(DATA).hexdigest(), 1)  # another run has sent it too
    with pytest.raises(JobError, match="not what was sent"):
        spool.finish(path, "0" * 64, 1)


def test_a_damaged_copy_gets_no_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    path = spool.source("film.mkv", "key")
    spool.write(path, 0, DATA)
    with pytest.raises(JobError, match="not what was sent"):
        spool.finish(path, hashlib.sha256(DATA + b"more").hexdigest(), 1)
    assert not path.exists()


def test_sources_in_use_are_kept_and_a_few_others(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    first, second = Spool(folder), Spool(folder)
    used = first.source("a.mkv", "used")
    paths = [second.source("a.mkv", f"key {number}") for number in range(6)]
    assert used.parent.is_dir()
    assert sum(path.parent.is_dir() for path in paths) <= 4
    assert paths[-1].parent.is_dir()
    second.close()
    first.close()


def test_parts_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    gone, there = Spool(folder), Spool(folder)
    lost, kept = gone.work(), there.work()
    (lost / "000000.nut.w1.0.1.part").touch()
    (kept / "000000.nut.w2.0.2.part").touch()
    for lock in gone._locks.values():  # as the system does when a process is killed
        os.close(lock)
    Spool(folder).work()
    assert not lost.exists() and (kept / "000000.nut.w2.0.2.part").exists()
    there.close()
    assert not kept.exists()


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "there")
    with pytest.raises(JobError, match="somebody else"):
        Spool(tmp_path / "spool")


def test_what_was_said_and_heard_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cut nobody knows which calls arrived, so they are repeated."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    worker = RayWorker(1)
    heard: list[object] = []
    monkeypatch.setattr(worker._loop, "tell", heard.append)
    first, second, third = Stop(0, 1), Stop(0, 2), Stop(0, 3)
    worker.tell([(1, first)])
    worker.tell([(1, first), (2, second)])
    worker.tell([(2, second)])
    assert worker.exchange([(2, second), (3, third)], 0, 0) == (3, [])
    assert heard == [first, second, third]
    worker._say(Wanting(0))
    worker._say(Wanting(1))
    said = [(1, Wanting(0)), (2, Wanting(1))]
    assert worker.exchange([], 0, 0) == worker.exchange([], 0, 0) == (3, said)
    assert worker.exchange([], 1, 0) == (3, said[1:])
    assert worker.exchange([], 2, 0) == (3, [])


def test_what_a_node_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    film, probe = tmp_path / "film.mkv", tmp_path / "work" / "probe"
    probe.parent.mkdir()
    film.write_bytes(DATA)
    probe.write_text("word")
    known = identity(film)
    worker = RayWorker(1)
    near = worker.look(film, known, probe, "word")
    assert (near.source, near.has_source, near.folder, near.shares_folder) == (film, True, probe.parent, True)
    assert not worker.look(film, known, probe, "another word").shares_folder
    film.write_bytes(DATA[::-1])
    far = worker.look(film, known, tmp_path / "nowhere", "word")
    assert not far.has_source and not far.shares_folder and far.folder.is_dir()
    worker.receive(far.source, 0, DATA)
    worker.received(far.source, hashlib.sha256(DATA).hexdigest(), int(known["changed_ns"]))
    assert worker.look(film, known, tmp_path / "nowhere", "word").has_source
    (far.folder / "part").write_bytes(DATA)
    assert worker.fetch("part", 100, 50) == DATA[100:150] and worker.fetch("part", len(DATA), 50) == b""
    worker.forget("part")
    worker.forget("part")
    assert not (far.folder / "part").exists()
