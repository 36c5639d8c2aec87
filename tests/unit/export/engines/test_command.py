"""The command's options and what it prints, in this process; tests/e2e has it as a process."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fastrestore.cli import build_engines, build_progress  # noqa: F401  (the first adds the command)
from fastrestore.cli.options import app
from fastrestore.errors import DeviceError, EngineBuildError, FastRestoreError, UsageError
from fastrestore.export.engines import building
from fastrestore.export.engines.builder import BuildOrder
from fastrestore.export.engines.plan import Wish
from fastrestore.export.engines.progress import BuildProgress
from fastrestore.export.engines.request import BuildRequest, carry_out, make_plan
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine
from fastrestore.runtime.engine_key import BuildOptions

ONE = ("film-x2-tiny", "--backend", "tensorrt-rtx", "--device", "sm_86", "--profile", "sd")


@pytest.fixture(autouse=True)
def orders(monkeypatch: pytest.MonkeyPatch) -> list[BuildOrder]:
    """The builder's place taken by one that makes a plan in no time, or fails for one model; what was ordered."""
    asked: list[BuildOrder] = []

    def build(order: BuildOrder, on_progress: Any, timing: Any) -> BuiltEngine:
        asked.append(order)
        on_progress(BuildProgress(0.5, "Timing [tactics]"))
        if order.spec.name == "clean-x2-tiny":
            raise EngineBuildError("too [bold]complicated", "use another")
        return BuiltEngine(b"plan" * 250_000, build_s=1.25)

    monkeypatch.setattr(building, "build", build)
    return asked


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["build-engines", *arguments])


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("no-such", "--backend", "tensorrt-rtx", "--device", "all"), UsageError, "unknown model `no-such`"),
        ((*ONE, "--size", "1920"), UsageError, "size `1920` is not understood"),
        ((*ONE, "--workspace", "much"), UsageError, "amount of memory `much`"),
        ((*ONE, "--hardware-compatible"), UsageError, "no option `hardware compatible`"),
        ((*ONE, "--optimization-level", "6"), UsageError, "optimisation level 6, wanted 0 to 5"),
        ((*ONE, "--tune"), DeviceError, "`--tune` runs the engines"),
        ((*ONE, "--calibrate", "clip.mp4"), DeviceError, "`--calibrate` runs the engines"),
        (("--backend", "onnxruntime"), UsageError, "no engines are built for backend `onnxruntime`"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], kind: type[FastRestoreError], said: str) -> None:
    error = ran(*arguments).exception
    assert isinstance(error, kind) and said in error.message and error.hint


def test_options_reach_the_builder(orders: list[BuildOrder]) -> None:
    done = ran(
        *("film-x4-tiny", "--backend", "tensorrt-rtx", "--device", "8.9", "--size", "640x480", "--precision", "fp32"),
        *("--workspace", "2G", "--optimization-level", "5", "--aux-streams", "0", "--json"),
    )
    assert done.exit_code == 0, done.output
    (order,) = orders
    assert (order.spec.name, order.precision, order.capability) == ("film-x4-tiny", "fp32", "8.9")
    assert order.options == BuildOptions(workspace_bytes=2 << 30, optimization_level=5, aux_streams=0)
    (row,) = json.loads(done.stdout)["engines"]
    assert row["key"]["options"]["workspace_bytes"] == 2 << 30 and row["profile"] == "640x480"


def test_a_failure_is_told_after_the_rest_is_built(orders: list[BuildOrder]) -> None:
    done = ran("clean", *ONE[1:])
    assert isinstance(done.exception, EngineBuildError)
    assert done.exception.message == (
        "1 of 2 engines could not be built, clean-x2-tiny sd sm_86: too [bold]complicated"
    )
    assert [line.split()[:5] for line in done.stdout.splitlines()] == [
        ["clean-x2-tiny", "sd", "sm_86", "fp16", "failed"],
        ["clean-x4-tiny", "sd", "sm_86", "fp16", "built"],
    ]
    assert "[2/2] clean-x4-tiny sd sm_86: built in 1.2 s, 1.0 MB, not proved yet" in done.stderr
    again = ran("clean", *ONE[1:], "--dry-run", "--json")
    assert [row["state"] for row in json.loads(again.stdout)["engines"]] == ["missing", "cached"]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    cache = EngineCache()
    plan = make_plan(BuildRequest(Wish(("clean",), ("sd",)), "tensorrt-rtx", ("sm_86",)), cache)
    with build_progress.watching(plan) as watcher:
        assert isinstance(watcher, build_progress.Bars)
        carry_out(plan, cache, watcher)
    shown = terminal.getvalue()
    assert "2/2" in shown and "clean-x4-tiny sd sm_86: built in 1.2 s, 1.0 MB, not proved yet" in shown
    assert "clean-x2-tiny sd sm_86: failed: too [bold]complicated" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0, "the cursor is given back"


def test_progress_is_shown_by_lines_elsewhere(tmp_path: Path) -> None:
    done = ran(*ONE)
    assert done.exit_code == 0 and "\x1b" not in done.stderr and not list(tmp_path.glob("*.json"))
    first = done.stderr.splitlines()
    assert first[0].startswith("1 engines for tensorrt-rtx") and first[0].endswith("1 to build, 0 in the cache")
    assert ran(*ONE).stderr.splitlines()[0].endswith("0 to build, 1 in the cache")
