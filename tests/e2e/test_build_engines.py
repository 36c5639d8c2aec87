"""`fastrestore build-engines` as a user meets it: real builds, stopped, killed, out of disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.e2e.command import Ran, command, environment, listen_to_signals, run

from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.folder import PLAN
from fastrestore.runtime.seal import Seal

pytestmark = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx is in the extra `rtx`")
ONE = ("build-engines", "clean-x4-tiny", "--backend", "tensorrt-rtx", "--device", "sm_86", "--profile", "sd")
EVERYTHING = ("build-engines", "--backend", "tensorrt-rtx", "--device", "all")
"""Takes long enough that a signal comes in time; it is never built to its end."""


class Place:
    """A cache of a test's own, with the secret that its engines are sealed with."""

    def __init__(self, folder: Path, engines: Path | None = None) -> None:
        self.folder, self.engines = folder, engines or folder / "engines"
        self.variables = {
            "FASTRESTORE_ENGINES": str(self.engines),
            "FASTRESTORE_SEAL": str(folder / "seal.key"),
            "CUDA_VISIBLE_DEVICES": "",
        }

    def run(self, *arguments: object, **changes: str) -> Ran:
        return run(*arguments, folder=self.folder, **self.variables, **changes)

    def begun(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*arguments),
            cwd=self.folder,
            env=environment(**self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=listen_to_signals,
        )

    def whole(self) -> int:
        """Check every engine that has its final name, and return how many there are."""
        with EngineCache(self.engines, seal=Seal(self.folder / "seal.key")) as cache:
            entries = cache.entries()
            for entry in entries:
                cache.verify(entry)
            assert cache.problems == []
        return len(entries)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_second_run_finds_what_the_first_one_built(place: Place) -> None:
    first = place.run(*ONE, "--json")
    assert first.code == 0, first.err
    assert "1 engines for tensorrt-rtx" in first.err and "[1/1] clean-x4-tiny sd sm_86: built" in first.err
    told = json.loads(first.out)
    (row,) = told["engines"]
    assert (told["schema"], told["backend"]) == ("fastrestore.build-engines/1", "tensorrt-rtx")
    assert (row["state"], row["proved"], row["capability"], row["precision"]) == ("built", False, "8.6", "fp16")
    assert Path(row["path"]).stat().st_size == row["bytes"] and Path(row["path"]).parent == place.engines
    before = {path: path.stat().st_mtime_ns for path in place.engines.glob("*" + PLAN)}
    second = place.run(*ONE, PYTHONPROFILEIMPORTTIME="1")
    assert second.code == 0 and "0 to build, 1 in the cache" in second.err
    imported = {line.rpartition("|")[2].strip() for line in second.err.splitlines() if line.startswith("import time:")}
    assert "fastrestore.runtime.cache.engines" in imported and not imported & {"onnx", "tensorrt_rtx", "torch", "rich"}
    assert second.out.split()[:5] == ["clean-x4-tiny", "sd", "sm_86", "fp16", "cached"]
    assert second.out.rstrip().endswith("not proved yet")
    assert {path: path.stat().st_mtime_ns for path in place.engines.glob("*" + PLAN)} == before


def test_a_dry_run_builds_nothing(place: Place) -> None:
    ran = place.run(*ONE, "--device", "8.9", "--dry-run")
    assert ran.code == 0 and ran.err == ""
    assert [line.split()[2:] for line in ran.out.splitlines()] == [
        ["sm_86", "fp16", "missing"],
        ["sm_89", "fp16", "missing"],
    ]
    assert not place.engines.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("build-engines", "--backend", "tensorrt-rtx"), 2, ("nothing to build for", "no NVIDIA driver")),
        ((*ONE, "--workspace", "1K"), 1, ("clean-x4-tiny sd sm_86", "within workspace limit")),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(place: Place, arguments: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    place.run(*arguments).assert_failed(code, *words)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_stopped_between_two_engines(place: Place, jobs: str) -> None:
    with place.begun(*EVERYTHING, "--jobs", jobs) as process:
        assert process.stderr is not None
        said = _until(process.stderr, "[1/")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of them
        out, err = process.communicate()
    ran = Ran(process.returncode, out, said + err)
    ran.assert_failed(130, "stopped")
    assert "Traceback" not in ran.err
    built = place.whole()
    assert built >= 1
    leftovers = [
        path.name for path in place.engines.iterdir() if path.suffix not in (PLAN, ".json", "") or path.is_file()
    ]
    assert len(leftovers) == 2 * built, leftovers


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_while_it_builds(place: Place, jobs: str) -> None:
    with place.begun(*EVERYTHING, "--jobs", jobs) as process:
        assert process.stderr is not None
        _until(process.stderr, "[1/")
        process.kill()  # only the first process: what it has started notices by itself
        process.communicate()  # ends when the last of them has closed its end
    assert process.returncode == -signal.SIGKILL
    built = place.whole()
    assert built >= 1
    after = place.run(*ONE)
    assert after.code == 0, after.err
    assert place.whole() == built + 1


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, small_disk / "engines")
    place.run(*ONE).assert_failed(1, "No space left on device")
    assert place.whole() == 0
    assert [path for path in place.engines.iterdir() if path.is_file()] == []


def _until(lines: Iterator[str], word: str) -> str:
    said = ""
    for line in lines:
        said += line
        if word in line:
            return said
    raise AssertionError(f"it ended without `{word}`: {said}")
