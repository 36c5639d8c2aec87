"""What is left of a run is gone on with only by the same run; whatever happened to it, the result is the same."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.faults.bench import TIMEOUT_S, Bench, make_film, tree_of
from tests.faults.conftest import Wanted
from tests.media_samples import Sound, write_clip

Halfway = Callable[[], Bench]
Sampled = Callable[[Sequence[Any]], list[Any]]


def refused(bench: Bench, *words: str, more: tuple[str, ...] = ()) -> None:
    """Check that a command is refused with a way out, and that nothing is lost by that."""
    before = tree_of(bench.folder)
    ran = bench.run(*more)
    ran.assert_failed(1, *words)
    assert "--restart" in ran.err.splitlines()[-1]
    assert tree_of(bench.folder) == before


SETTINGS = [
    (("--crf", "30"), "crf"),
    (("--fps", "20"), "fps"),
    (("--to", "x2"), "to:"),
    (("--keep-holds",), "keep_holds"),
    (("--start", "1"), "start"),
    (("--end", "9"), "end"),
    (("--plan", "upscale-first"), "plan"),
]


def test_other_settings(halfway: Halfway, wanted: Wanted, sampled: Sampled) -> None:
    bench = halfway()
    for more, word in sampled(SETTINGS):
        refused(bench, "other settings", word, more=more)
    refused(bench.under(versions="9.9"), "other settings", "versions")
    assert bench.assert_makes(wanted.bytes)["resumed_segments"] == 3


def test_restart(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    ran = bench.run("--crf", "30", "--restart")
    assert ran.code == 0 and ran.events[-1]["resumed_segments"] == 0
    assert bench.output.read_bytes() != wanted.bytes
    assert not bench.work.exists()


def test_a_touched_source(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    facts = bench.source.stat()
    os.utime(bench.source, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    refused(bench, "has changed")
    os.utime(bench.source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert bench.assert_makes(wanted.bytes)["resumed_segments"] == 3


def test_another_source_of_the_same_time(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    facts, whole = bench.source.stat(), bench.source.read_bytes()
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"\0" * 1000):
        bench.source.write_bytes(content)
        os.utime(bench.source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        refused(bench, "has changed")
    bench.source.write_bytes(whole)
    os.utime(bench.source, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert bench.assert_makes(wanted.bytes)["resumed_segments"] == 3


def test_a_restart_over_another_source(halfway: Halfway) -> None:
    bench = halfway()
    make_film(bench.source, seconds=3)
    ran = bench.run("--restart")
    assert ran.code == 0 and ran.events[-1]["output_frames"] == 48


def test_a_vanished_source(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    before, aside = tree_of(bench.folder), bench.source.with_name("aside")
    bench.source.rename(aside)
    bench.run().assert_failed(1, "No such file")
    assert tree_of(bench.folder) == before
    aside.rename(bench.source)
    assert bench.assert_makes(wanted.bytes)["resumed_segments"] == 3


def test_another_soundtrack(bench: Bench, tmp_path: Path) -> None:
    sound = write_clip(tmp_path / "sound.flac", None, [Sound(10, codec="flac")])
    more = ("--audio", str(sound))
    assert bench.run(*more).code == 0
    whole = bench.output.read_bytes()
    bench.output.unlink()
    assert bench.under(at=20, act="kill").run(*more).code == -signal.SIGKILL
    heard = sound.read_bytes()
    write_clip(sound, None, [Sound(10.5, codec="flac")])
    refused(bench, "soundtrack", more=more)
    refused(bench, "soundtrack")
    facts = sound.stat()
    sound.unlink()
    before = tree_of(bench.folder)
    bench.run(*more).assert_failed(1, "No such file")
    assert tree_of(bench.folder) == before
    sound.write_bytes(heard)
    os.utime(sound, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    refused(bench, "soundtrack", more=more)
    assert bench.run(*more, "--restart").code == 0
    assert bench.output.read_bytes() == whole


DAMAGES: dict[str, tuple[Callable[[Path, random.Random], None], int]] = {}
"""What can happen to a work folder of three segments, and how many of them are whole afterwards."""


def damage(whole: int) -> Callable[[Callable[[Path, random.Random], None]], Callable[[Path, random.Random], None]]:
    """Add a way to damage a work folder."""

    def add(way: Callable[[Path, random.Random], None]) -> Callable[[Path, random.Random], None]:
        DAMAGES[way.__name__] = way, whole
        return way

    return add


@damage(2)
def journal_torn(work: Path, chance: random.Random) -> None:
    lines = (work / "journal").read_bytes().splitlines(keepends=True)
    torn = b"".join(lines[:3]) + lines[3][: chance.randrange(1, len(lines[3]))]
    (work / "journal").write_bytes(torn)


@damage(2)
def journal_flipped(work: Path, chance: random.Random) -> None:
    lines = [bytearray(line) for line in (work / "journal").read_bytes().splitlines(keepends=True)]
    lines[3][chance.randrange(len(lines[3]))] ^= 1 << chance.randrange(8)
    (work / "journal").write_bytes(b"".join(lines))


@damage(0)
def journal_gone(work: Path, chance: random.Random) -> None:
    (work / "journal").unlink()


@damage(0)
def journal_empty(work: Path, chance: random.Random) -> None:
    (work / "journal").write_bytes(b"")


@damage(3)
def journal_with_a_tail(work: Path, chance: random.Random) -> None:
    with (work / "journal").open("ab") as file:
        file.write(chance.randbytes(1000))


@damage(1)
def segment_gone(work: Path, chance: random.Random) -> None:
    (work / "000001.nut").unlink()


@damage(2)
def segment_cut(work: Path, chance: random.Random) -> None:
    path = work / "000002.nut"
    os.truncate(path, chance.randrange(path.stat().st_size))


@damage(0)
def segment_flipped(work: Path, chance: random.Random) -> None:
    content = bytearray((work / "000000.nut").read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (work / "000000.nut").write_bytes(content)


@damage(1)
def segments_swapped(work: Path, chance: random.Random) -> None:
    (work / "000001.nut").rename(work / "aside")
    (work / "000002.nut").rename(work / "000001.nut")
    (work / "aside").rename(work / "000002.nut")


@damage(2)
def segment_linked(work: Path, chance: random.Random) -> None:
    (work / "000002.nut").rename(work.parent.parent / "elsewhere.nut")
    (work / "000002.nut").symlink_to(work.parent.parent / "elsewhere.nut")


@damage(3)
def lock_gone(work: Path, chance: random.Random) -> None:
    (work / "lock").unlink()


def test_damaged_work(halfway: Halfway, wanted: Wanted, sampled: Sampled, seed: int) -> None:
    for name in sampled(sorted(DAMAGES)):
        bench, (way, whole) = halfway(), DAMAGES[name]
        way(bench.work, random.Random(seed))
        assert bench.assert_makes(wanted.bytes)["resumed_segments"] == whole, name


def test_links_are_not_followed(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    mine = [bench.folder.parent / f"mine {number}" for number in range(4)]
    names = ("000003.nut.part", "output.part", "journal.part", "journal")
    content = (bench.work / "journal").read_bytes() + b"torn"
    for name, path in zip(names, mine, strict=True):
        path.write_bytes(content)
        (bench.work / name).unlink(missing_ok=True)
        (bench.work / name).symlink_to(path)
    assert bench.assert_makes(wanted.bytes)["resumed_segments"] == 0
    assert {path.read_bytes() for path in mine} == {content}


def test_a_linked_lock(halfway: Halfway) -> None:
    bench = halfway()
    mine = bench.folder.parent / "mine"
    (bench.work / "lock").rename(mine)
    (bench.work / "lock").symlink_to(mine)
    bench.run().assert_failed(1, "lock")
    assert mine.read_bytes() == b""


def test_what_is_not_ours_stays(halfway: Halfway, wanted: Wanted) -> None:
    bench = halfway()
    (bench.work / "mine").write_text("mine")
    ran = bench.run()
    assert ran.code == 0 and bench.output.read_bytes() == wanted.bytes
    assert tree_of(bench.work) == {"mine": b"mine"}


@pytest.mark.parametrize("call", ["replace output.part", "unlink 000000.nut"])
def test_what_is_finished_is_not_passed_off_as_something_else(bench: Bench, wanted: Wanted, call: str) -> None:
    """Killed between the last line of the journal and the end: only the same command takes that up."""
    assert bench.under(at=wanted.call(call), act="kill").run().code == -signal.SIGKILL
    before = tree_of(bench.folder)
    bench.run("--crf", "30").assert_failed(1, "other settings")
    assert tree_of(bench.folder) == before
    if bench.output.exists():
        bench.run("--crf", "30", "--restart").assert_failed(2, "exists already")
        assert tree_of(bench.folder) == before
    assert bench.assert_makes(wanted.bytes)["output_frames"] == wanted.contents.pictures
    bench.run().assert_failed(2, "exists already")


def test_two_at_once(bench: Bench, wanted: Wanted) -> None:
    with bench.under(at=wanted.call("replace 000001.nut.part"), act="gate").start() as process:
        assert process.stdout is not None
        assert any('"gate"' in line for line in process.stdout)
        bench.run().assert_failed(1, "another process")
        bench.run("--restart", "--overwrite").assert_failed(1, "another process")
        _, err = process.communicate("", timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert bench.output.read_bytes() == wanted.bytes
    assert not bench.work.exists()
