"""The other commands, what they print and where, and what they load."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.command import QUICK, command, environment, run

import fastrestore

HEAVY = {"torch", "tensorrt", "onnxruntime", "av", "cv2", "numpy"}


def loaded(*words: str) -> set[str]:
    """Return the top-level modules that a Python command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words], env=environment(), capture_output=True, text=True, check=True
    )
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}


def test_importing_loads_next_to_nothing() -> None:
    assert not loaded("-c", "import fastrestore") & (HEAVY | {"typer", "rich", "click", "pydantic"})


@pytest.mark.parametrize("arguments", [("--help",), ("convert", "--help"), ("--version",)])
def test_help_loads_only_the_parser(arguments: tuple[str, ...]) -> None:
    modules = loaded("-m", "fastrestore.cli", *arguments)
    assert "typer" in modules
    assert not modules & (HEAVY | {"rich"})


def test_help_and_version(tmp_path: Path) -> None:
    assert run("--version", folder=tmp_path).out == f"{fastrestore.__version__}\n"
    whole = run("--help", folder=tmp_path)
    assert (whole.code, whole.err) == (0, "")
    for name in ("convert", "demo", "compare", "doctor", "models"):
        assert re.search(rf"^  {name} +\w.*\w\.$", whole.out, re.M), "every command has its line, and it is not cut"
        assert run(name, "--help", folder=tmp_path).out.startswith(f"Usage: fastrestore {name} ")
    bare = run(folder=tmp_path)
    assert (bare.code, bare.out, bare.err) == (2, "", whole.out)


def test_models(tmp_path: Path) -> None:
    names = [line.split()[0] for line in run("models", "list", folder=tmp_path).out.splitlines()]
    listed = json.loads(run("models", "list", "--json", folder=tmp_path).out)
    assert [facts["name"] for facts in listed] == names
    assert {"dis", "lanczos", "film-x2-tiny", "clean-x4-tiny"} <= set(names)
    shown = json.loads(run("models", "show", "film-x2-tiny", "--json", folder=tmp_path).out)
    assert shown in listed
    assert (shown["task"], shown["scale"], len(shown["artifacts"]["fp32"]["sha256"])) == ("restore", 2, 64)
    ran = run("models", "show", "film-x2-tiny", folder=tmp_path)
    assert ran.code == 0 and re.search(r"^licence +Apache-2.0$", ran.out, re.M)
    run("models", "show", "film-x2-tin", folder=tmp_path).assert_failed(2, "unknown model")


def test_doctor(tmp_path: Path) -> None:
    ran = run("doctor", "--json", folder=tmp_path)
    found = json.loads(ran.out)
    assert found["schema"] == "fastrestore.doctor/1"
    subjects = {finding["subject"]: finding for finding in found["findings"]}
    assert subjects["encoder x264"]["ok"] and subjects["models"]["ok"]
    assert ran.code == (0 if found["healthy"] else 1)
    text = run("doctor", folder=tmp_path)
    assert (text.code, text.err) == (ran.code, "")
    for subject in subjects:
        assert re.search(rf"^(ok|no) +{re.escape(subject)} ", text.out, re.M)


def test_compare_identical_videos(film: Path, tmp_path: Path) -> None:
    ran = run("compare", film, film, "-o", "page.html", folder=tmp_path)
    assert (ran.code, ran.out) == (0, "PSNR-Y 100.00 dB  SSIM-Y 1.0000  over 8 frames\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    shots = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert len(shots) == 6
    assert all(shot[side].startswith("data:image/jpeg;base64,") for shot in shots for side in ("left", "right"))
    text = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", page)
    assert "://" not in text and "{{" not in text
    assert "PSNR 100.00 dB" in text


def test_compare_what_cannot_be_measured(film: Path, tmp_path: Path) -> None:
    assert run("convert", film, "-o", "big.mkv", *QUICK, "--to", "x2", folder=tmp_path).code == 0
    ran = run("compare", film, "big.mkv", "--json", "-o", "page.html", folder=tmp_path)
    result = json.loads(ran.out)
    assert (result["psnr_y_db"], result["left_size"], result["right_size"]) == (None, "48x32", "96x64")
    assert "48x32 and 96x64 pixels" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run("compare", film, "big.mkv", folder=tmp_path).out.startswith("no figures")


def on_a_terminal(folder: Path, *arguments: object, **changes: str) -> str:
    """Run a command with standard error on a terminal and return what was drawn there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env={**environment(TERM="xterm-256color", COLUMNS="120"), **changes},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        drawn = b""
        try:
            while data := os.read(ours, 1 << 16):
                drawn += data
        except OSError:  # the last process that had it open ended
            pass
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(ours)
    assert process.returncode == 0
    return drawn.decode()


def test_bar_on_a_terminal(film: Path, tmp_path: Path) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-8][0-9;]*m")
    drawn = on_a_terminal(tmp_path, "convert", film, "-o", "a.mkv", *QUICK, NO_COLOR="")
    assert "40/40 frames" in drawn and " fps" in drawn and "slowest: " in drawn
    assert colour.search(drawn)
    assert not colour.search(on_a_terminal(tmp_path, "convert", film, "-o", "b.mkv", *QUICK, NO_COLOR="1"))
