"""Stopped by a signal: exit code 130, one line, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from tests.e2e.command import QUICK, Ran, command, environment, listen_to_signals, tree


def stopped(source: Path, folder: Path, *signals: signal.Signals) -> Ran:
    """Start a conversion, send signals as soon as the first frame is reported, and wait for the end."""
    arguments = command("convert", source, "-o", "out.mkv", "--overwrite", "--progress", "json", *QUICK)
    with subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_signals,
    ) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["event"] != "progress":
            pass
        assert (folder / "out.mkv.fastrestore").is_dir()
        for number in signals:
            process.send_signal(number)
        out, err = process.communicate()
    return Ran(process.returncode, out, err)


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGINT, signal.SIGINT, signal.SIGTERM),
    ],
)
def test_signals(sources: Path, tmp_path: Path, signals: tuple[signal.Signals, ...]) -> None:
    ran = stopped(sources / "long.mp4", tmp_path, *signals)
    ran.assert_failed(130, "stopped")
    assert "Traceback" not in ran.err
    assert '"done"' not in ran.out
    assert tree(tmp_path) == {}


def test_the_old_file_survives(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mkv").write_text("mine")
    stopped(sources / "long.mp4", tmp_path, signal.SIGINT).assert_failed(130)
    assert tree(tmp_path) == {"out.mkv": b"mine"}
