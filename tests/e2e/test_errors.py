"""Whatever goes wrong: one clear line with a hint, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest
from tests.e2e.command import QUICK, Ran, command, environment, run, tree


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", ("missing.mp4", "No such file")),
        ("text.mp4", ("text.mp4", "Invalid data")),
        ("empty.mp4", ("empty.mp4", "Invalid data")),
        ("no-frames.mp4", ("no-frames.mp4", "no video")),
        ("song.wav", ("song.wav", "no video", "audio")),
        ("cut.mp4", ("cut.mp4",)),
        ("cut-fast.mp4", ("cut-fast.mp4",)),
        ("cut.mkv", ("cut.mkv",)),
    ],
)
def test_bad_inputs(sources: Path, tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    run("convert", sources / name, "-o", "out.mkv", *QUICK, folder=tmp_path).assert_failed(1, *words)
    assert tree(tmp_path) == {}


def test_a_folder_without_films(sources: Path, tmp_path: Path) -> None:
    ran = run("convert", sources / "folder.mp4", "-o", "out.mkv", *QUICK, folder=tmp_path)
    ran.assert_failed(2, "folder.mp4", "no film in")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--sr", "nosuch"), "unknown model `nosuch`"),
        (("--sr", "dis"), "does not restore"),
        (("--vfi", "nosuch"), "unknown model `nosuch`"),
        (("--backend", "nosuch", "--to", "x2"), "unknown backend"),
        (("--plan", "nosuch"), "unknown plan"),
        (("--codec", "nosuch"), "unknown codec"),
        (("--preset", "nosuch"), "no preset"),
        (("--crf", "99"), "no quality 99"),
        (("--crf", "low"), "--crf"),
        (("--bit-depth", "9"), "--bit-depth 9"),
        (("--to", "100000x100000"), "impossible target size"),
        (("--to", "x9999"), "impossible target size"),
        (("--to", "0x0"), "impossible target size"),
        (("--to", "huge"), "not understood"),
        (("--fps", "0"), "not understood"),
        (("--fps", "fast"), "not understood"),
        (("--tile", "\N{SUPERSCRIPT TWO}"), "not understood"),
        (("--tile", "1", "--to", "x2"), "too small"),
        (("--threads", "9999999999"), "--threads"),
        (("--start", "soon"), "not understood"),
        (("--start", "0.5", "--end", "0.2"), "is empty"),
        (("--progress", "nosuch"), "'nosuch' is not one of"),
        (("--nosuch",), "--nosuch"),
        (("--report", "missing/report.json"), "missing/report.json"),
        (("--report", "out.mkv"), "one of the media files"),
        (("--on-error", "ignore"), "--on-error"),
        (("--max-memory", "much"), "much"),
        (("--max-memory", "100M", "--to", "4k"), "--max-memory"),
    ],
)
def test_bad_options(film: Path, tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    run("convert", film, "-o", "out.mkv", *options, folder=tmp_path).assert_failed(2, word)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "arguments",
    [("nosuch",), ("models",), ("models", "show", "nosuch"), ("convert",), ("convert", "film.mp4"), ("compare", "a")],
)
def test_bad_commands(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run(*arguments, folder=tmp_path).assert_failed(2)


@pytest.mark.parametrize(
    ("output", "code", "word"),
    [
        ("taken.txt/out.mkv", 1, "no folder"),
        ("missing/out.mkv", 1, "no folder"),
        ("/proc/out.mkv", 1, "/proc/out.mkv"),
        ("x" * 251 + ".mkv", 1, "too long"),
        ("taken.mkv", 2, "exists already"),
        ("out", 2, "no extension"),
        ("out.txt", 2, "`.txt`"),
        ("out.webm", 2, "cannot hold x264"),
    ],
)
def test_bad_outputs(film: Path, tmp_path: Path, output: str, code: int, word: str) -> None:
    for name in ("taken.txt", "taken.mkv"):
        (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    run("convert", film, "-o", output, *QUICK, folder=tmp_path).assert_failed(code, word)
    assert tree(tmp_path) == before


def test_read_only_disk(film: Path, read_only_disk: Path) -> None:
    run("convert", film, "-o", "out.mkv", *QUICK, folder=read_only_disk).assert_failed(1, "out.mkv")


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_full_disk(sources: Path, small_disk: Path, name: str) -> None:
    ran = run("convert", sources / "noise.mkv", "-o", name, *QUICK, "--crf", 1, folder=small_disk)
    ran.assert_failed(1, "No space left")
    assert "free some space" in ran.err
    assert tree(small_disk) == {}


def test_page_on_a_full_disk(sources: Path, small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(60 << 10))
    ran = run("compare", *2 * [sources / "noise.mkv"], "-o", "page.html", folder=small_disk)
    ran.assert_failed(1, "page.html", "No space left")
    assert list(tree(small_disk)) == ["fill"]


def test_file_size_limit(sources: Path, tmp_path: Path) -> None:
    """Where no disk can be mounted, a limit on the size of files does the same."""
    done = subprocess.run(
        command("convert", sources / "noise.mkv", "-o", "out.mkv", *QUICK, "--crf", 1),
        cwd=tmp_path,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)),
    )
    Ran(done.returncode, done.stdout, done.stderr).assert_failed(1, "out.mkv")
    assert tree(tmp_path) == {}


def test_failing_run_leaves_the_old_file(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mkv").write_text("mine")
    run("convert", sources / "cut-fast.mp4", "-o", "out.mkv", "--overwrite", *QUICK, folder=tmp_path).assert_failed(1)
    assert tree(tmp_path) == {"out.mkv": b"mine"}


def test_media_files_are_not_overwritten(film: Path, sources: Path, tmp_path: Path) -> None:
    copy, song = tmp_path / "film.mp4", tmp_path / "song.m4v"
    copy.write_bytes(film.read_bytes())
    song.write_bytes((sources / "song.m4a").read_bytes())
    (tmp_path / "link.mp4").symlink_to(copy)
    before = tree(tmp_path)
    for output in ("film.mp4", "link.mp4"):
        ran = run("convert", copy, "-o", output, "--overwrite", *QUICK, folder=tmp_path)
        ran.assert_failed(2, "is the source itself")
    ran = run("convert", copy, "-o", song.name, "--audio", song, "--overwrite", *QUICK, folder=tmp_path)
    ran.assert_failed(2, "is the new soundtrack itself")
    run("convert", copy, "-o", "out.mkv", "--report", copy, *QUICK, folder=tmp_path).assert_failed(2, "media files")
    run("compare", copy, copy, "-o", "film.mp4", folder=tmp_path).assert_failed(2, "does not end in .html")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "word"), [("nosuch.wav", "No such file"), ("other.mkv", "no audio"), ("text.mp4", "text")]
)
def test_bad_soundtracks(film: Path, sources: Path, tmp_path: Path, name: str, word: str) -> None:
    run("convert", film, "-o", "out.mkv", "--audio", sources / name, *QUICK, folder=tmp_path).assert_failed(1, word)
    assert tree(tmp_path) == {}


def test_several_inputs_are_seen_to_before_the_first(film: Path, sources: Path, tmp_path: Path) -> None:
    run("convert", film, sources / "other.mkv", "-o", "out.mkv", *QUICK, folder=tmp_path).assert_failed(2, "folder")
    other = tmp_path / "film.mp4"
    other.write_bytes(film.read_bytes())
    ran = run("convert", film, other, "-o", tmp_path / "out", *QUICK, folder=tmp_path)
    ran.assert_failed(2, "same output name")
    assert set(tree(tmp_path)) == {"film.mp4"}


def test_missing_encoder_hardware(film: Path, tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA card")
    ran = run("convert", film, "-o", "out.mkv", "--to", "x4", "--codec", "h264_nvenc", folder=tmp_path)
    ran.assert_failed(1, "h264_nvenc")
    assert "NVIDIA" in ran.err and tree(tmp_path) == {}


def test_demo_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    run("demo", "-o", "taken/demo", folder=tmp_path).assert_failed(1, "taken/demo")


def test_compare_says_what_it_cannot_read_or_write(film: Path, tmp_path: Path) -> None:
    run("compare", film, "nosuch.mp4", folder=tmp_path).assert_failed(1, "nosuch.mp4")
    run("compare", film, film, "-o", "missing/page.html", folder=tmp_path).assert_failed(1, "missing/page.html")
    assert tree(tmp_path) == {}


def test_full_standard_output(film: Path, tmp_path: Path) -> None:
    for arguments in (("models", "list"), ("convert", film, "-o", "out.mkv", "--progress", "json", *QUICK)):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command(*arguments),
                cwd=tmp_path,
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        Ran(done.returncode, "", done.stderr).assert_failed(1, "No space left")
        assert tree(tmp_path) == {}


def test_closed_standard_output(sources: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    arguments = command("convert", sources / "long.mp4", "-o", "out.mkv", "--progress", "json", *QUICK)
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(writer)
        with os.fdopen(reader) as events:
            events.readline()
        _, err = process.communicate()
    Ran(process.returncode, "", err).assert_failed(1, "Broken pipe")
    assert tree(tmp_path) == {}
