"""Many files in one go: what is done, what is told, and what is left when it is killed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tests.e2e.command import Ran, command, environment, listen_to_signals, run, tree
from tests.e2e.sample_clips import cut_clips

from fastrestore import api
from fastrestore.batch import conversion
from fastrestore.batch.outcome import Outcome, Result
from fastrestore.batch.request import Request, prepare
from fastrestore.batch.run import Batch
from fastrestore.batch.settings import Value, options_from
from fastrestore.errors import DecodeError

SETTINGS: dict[str, Value] = {"to": "x2", "fps": "source", "preset": "ultrafast"}
OPTIONS = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]


@dataclass(frozen=True)
class Archive:
    """A folder of films, some of them broken, and what becomes of it undisturbed."""

    folder: Path
    broken: tuple[str, ...]
    ran: Ran
    outputs: dict[str, bytes]

    @property
    def films(self) -> int:
        return len(self.outputs) + len(self.broken)


def archive(folder: Path, clips: int, broken: int) -> Archive:
    """Make one: every second of those to break is cut off, the others are no films at all."""
    films = cut_clips(folder / "in", clips)
    spoilt = films[1 :: max(1, clips // broken)][:broken]
    for number, path in enumerate(spoilt):
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10] if number % 2 else b"These are words, not pictures.\n" * 20)
    ran = batch(folder, "out", "--report", "report.json")
    return Archive(folder, tuple(str(path.relative_to(folder)) for path in spoilt), ran, tree(folder / "out"))


def batch(folder: Path, output: str, *options: object) -> Ran:
    return run("convert", "in", "-o", output, *OPTIONS, "--progress", "json", *options, folder=folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return archive(tmp_path_factory.mktemp("archive"), 10, 2)


def assert_complete(made: Archive) -> None:
    """Check what became of an archive: every good film is there, every broken one is explained."""
    good = made.films - len(made.broken)
    made.ran.assert_failed(1, f"{len(made.broken)} of {made.films} files were not converted")
    assert set(made.outputs) == {
        str(path.relative_to(made.folder / "in").with_suffix(".mkv"))
        for path in (made.folder / "in").rglob("clip*")
        if str(path.relative_to(made.folder)) not in made.broken
    }
    totals = {"files": made.films, "done": good, "failed": len(made.broken), "output_frames": 6 * good}
    events, document = made.ran.events, json.loads((made.folder / "report.json").read_text())
    assert totals.items() <= events[-1].items() and events[-1]["event"] == "batch"
    assert totals.items() <= document["totals"].items()
    failed = {event["file"]: event for event in events if event["event"] == "failed"}
    assert set(failed) == set(made.broken)
    assert all(event["error"].startswith(f"cannot read {name}: ") and event["hint"] for name, event in failed.items())
    files = document["files"]
    assert [each["index"] for each in files] == list(range(made.films))
    for each in files:
        broken = each["source"] in made.broken
        assert each["result"] == ("failed" if broken else "done")
        assert (each["report"] is None) == broken == (each["error"] is not None)


def test_broken_files_are_explained_and_all_others_done(small: Archive) -> None:
    assert_complete(small)
    done = [event for event in small.ran.events if event["event"] == "done"]
    assert len(done) == 8
    assert {"schema", "output_frames", "busy_s", "index", "file", "batch", "attempts"} <= set(done[0])
    positions = [event["batch"]["settled"] for event in small.ran.events if "batch" in event]
    assert positions == sorted(positions) and positions[-1] == 10


def test_each_output_is_what_converting_one_by_one_makes(small: Archive, tmp_path: Path) -> None:
    for film in good_films(small)[:2]:
        api.convert(film, tmp_path / f"{film.stem}.mkv", options_from(SETTINGS))
        assert (tmp_path / f"{film.stem}.mkv").read_bytes() == small.outputs[f"{film.stem}.mkv"]


def run_here(words: Sequence[Path], output: Path, **values: Value) -> tuple[list[Outcome], Batch]:
    """Run a batch in this process."""
    batch = Batch(prepare(Request([str(word) for word in words], output, {**SETTINGS, **values})).items)
    return batch.run(Deaf()), batch


class Deaf:
    """A listener that does not listen."""

    def planned(self, *_: object) -> None: ...
    def progressed(self, *_: object) -> None: ...
    def settled(self, *_: object) -> None: ...


def good_films(made: Archive) -> list[Path]:
    films = sorted((made.folder / "in").glob("clip*"))
    return [path for path in films if f"{path.stem}.mkv" in made.outputs]


def stats(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_a_second_run_does_nothing(small: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, *_: object) -> NoReturn:
        raise DecodeError(f"{path} was opened")

    before = stats(small.folder / "out")
    monkeypatch.setattr(conversion, "open_source", opened)
    outcomes, batch = run_here([small.folder / "in"], small.folder / "out")
    assert Counter(outcome.result for outcome in outcomes) == {Result.SKIPPED: 8, Result.FAILED: 2}
    # Only of those that failed there was nothing to be found.
    assert {str(outcome.error) for outcome in outcomes if outcome.error} == {
        f"{small.folder / name} was opened" for name in small.broken
    }
    assert batch.engines_opened == 0
    assert stats(small.folder / "out") == before


def test_other_settings_are_refused_unless_overwriting_is_asked_for(small: Archive, tmp_path: Path) -> None:
    films = good_films(small)[:2]
    for film in films:
        (tmp_path / f"{film.stem}.mkv").write_bytes(small.outputs[f"{film.stem}.mkv"])
    before = tree(tmp_path)
    for outcome in run_here(films, tmp_path, crf=30)[0]:
        assert outcome.error is not None and outcome.attempts == 1
        assert outcome.error.message.endswith("exists already and was made with other settings (crf: default -> 30)")
    assert tree(tmp_path) == before
    outcomes, batch = run_here(films, tmp_path, crf=30, overwrite=True)
    assert [outcome.result for outcome in outcomes] == [Result.DONE, Result.DONE]
    assert 1 <= batch.engines_opened <= 2  # one a lane
    assert all(data != before[name] for name, data in tree(tmp_path).items())


def killed(folder: Path, output: str, number: signal.Signals, after: int) -> Ran:
    """Run a batch and send a signal once so many files are done."""
    words = command("convert", "in", "-o", output, *OPTIONS, "--progress", "json", "--report", f"{output}.json")
    lines = []
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_signals,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            event = json.loads(line)
            if event["event"] == "done" and event["batch"]["settled"] >= after:
                process.send_signal(number)
                break
        out, err = process.communicate()
    return Ran(process.returncode, "".join(lines) + out, err)


def assert_taken_up(made: Archive, output: str) -> None:
    """Check that the same batch completes what was killed, with the very bytes of an undisturbed run."""
    left = [name for name in tree(made.folder / output) if name.endswith(".mkv")]
    assert 0 < len(left) < len(made.outputs)
    outcomes, _ = run_here([made.folder / "in"], made.folder / output)
    results = Counter(outcome.result for outcome in outcomes)
    assert results[Result.SKIPPED] >= len(left) - 1  # one may have had its name without having cleared up
    assert results[Result.SKIPPED] + results[Result.DONE] == len(made.outputs)
    assert tree(made.folder / output) == made.outputs


def test_killed_in_the_middle_and_run_again(small: Archive) -> None:
    assert killed(small.folder, "killed", signal.SIGKILL, 3).code == -signal.SIGKILL
    assert_taken_up(small, "killed")


def test_stopped_by_a_signal_and_run_again(small: Archive) -> None:
    ran = killed(small.folder, "stopped", signal.SIGINT, 3)
    ran.assert_failed(130, "stopped")
    assert ran.events[-1]["event"] == "batch" and ran.events[-1]["not_begun"] > 0
    document = json.loads((small.folder / "stopped.json").read_text())
    assert [each["index"] for each in document["files"]] == list(range(10))
    assert document["totals"]["done"] == ran.events[-1]["done"] >= 1
    assert_taken_up(small, "stopped")


def test_words_for_people(small: Archive, tmp_path: Path) -> None:
    clip = good_films(small)[0]
    (tmp_path / "text.mp4").write_text("words")
    (tmp_path / "jobs.toml").write_text("[defaults]\nto = 'x1'\n[[file]]\nmatch = '*.avi'\nskip = true\n")
    arguments = ("convert", clip, "text.mp4", "-o", "out", "--fps", "source", "--jobs", "jobs.toml")
    planned = run(*arguments, "--dry-run", folder=tmp_path)
    planned.assert_failed(1, "1 of 2 files cannot be converted")
    assert "target     64x48" in planned.out and "text.mp4 -> out/text.mkv: cannot read text.mp4" in planned.out
    assert not (tmp_path / "out").exists()
    ran = run(*arguments, folder=tmp_path)
    ran.assert_failed(1, "1 of 2 files were not converted")
    assert (ran.out, set(tree(tmp_path / "out"))) == ("", {f"{clip.stem}.mkv"})
    assert "warning: the job file's `*.avi` matches no film" in ran.err
    assert re.search(r"^done +6 +\d+\.\d  .*\.mp4$", ran.err, re.MULTILINE)
    assert re.search(r"^failed +- +\d+\.\d  text\.mp4\n +cannot read text\.mp4.*\n +hint: ", ran.err, re.MULTILINE)
    assert "2 files: 1 done, 0 skipped, 1 failed, 0 stopped, 0 not begun; 6 frames" in ran.err


def test_a_single_file_is_skipped_only_if_asked_for(small: Archive, tmp_path: Path) -> None:
    film = good_films(small)[0]
    (tmp_path / "out.mkv").write_bytes(small.outputs[f"{film.stem}.mkv"])
    arguments = ("convert", film, "-o", "out.mkv", *OPTIONS, "--skip-done")
    ran = run(*arguments, "--progress", "json", folder=tmp_path)
    assert (ran.code, [event["event"] for event in ran.events]) == (0, ["skipped"])
    run(*arguments, "--crf", 20, folder=tmp_path).assert_failed(2, "made with other settings")


def test_a_full_disk_ends_the_batch(small: Archive, small_disk: Path) -> None:
    outcomes, _ = run_here([small.folder / "in"], small_disk / "out", to="x4", crf=0)
    assert outcomes[-1].result is Result.NOT_BEGUN
    assert any("No space left" in str(outcome.error) for outcome in outcomes if outcome.result is Result.FAILED)


@pytest.mark.slow
def test_a_hundred_clips(tmp_path: Path) -> None:
    made = archive(tmp_path, 100, 5)
    assert_complete(made)
    assert len(made.outputs) == 95
    before = stats(tmp_path / "out")
    again = batch(tmp_path, "out")
    assert again.code == 1
    assert {"skipped": 95, "failed": 5, "done": 0}.items() <= again.events[-1].items()
    assert {event["event"] for event in again.events} == {"skipped", "failed", "batch"}  # no plan: nothing was begun
    assert stats(tmp_path / "out") == before
    verified = run("verify", *sorted((tmp_path / "out").rglob("*.mkv")), "--json", folder=tmp_path)
    assert verified.code == 0, verified.err
    assert killed(tmp_path, "killed", signal.SIGKILL, 40).code == -signal.SIGKILL
    assert_taken_up(made, "killed")
