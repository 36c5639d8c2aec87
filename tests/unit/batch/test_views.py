"""What is shown of a batch, and when its report is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastrestore.batch.outcome import Item, Outcome, Position, Result
from fastrestore.cli.batch import Record
from fastrestore.cli.batch_views import MOST_ROWS, Bar, JsonEvents, Log, View, show_rehearsed, view_for
from fastrestore.cli.options import ProgressKind
from fastrestore.config import ConvertOptions
from fastrestore.errors import DecodeError
from fastrestore.files import write_whole
from fastrestore.runtime.report import Progress, RunReport

HERE = Position(files=4, settled=1, frames=30, expected=40, unknown=2, elapsed_s=2.0)
PROGRESS = Progress(20, 30, 1.0, {"restore": 0.9, "encode": 0.1})
WHOSE = {
    "index": 2,
    "file": "in/2.mp4",
    "output": "out/2.mkv",
    "batch": {"files": 4, "settled": 1, "frames": 30, "expected": 40, "unknown": 2, "elapsed_s": 2.0},
}


def item(index: int = 2) -> Item:
    return Item(index, Path(f"in/{index}.mp4"), Path(f"out/{index}.mkv"), ConvertOptions())


FAILED = Outcome(item(), Result.FAILED, seconds=0.5, attempts=2, error=DecodeError("no\nvideo", "another"))
DONE = Outcome(item(), Result.DONE, 30, 1.5, 1, report=RunReport("in/2.mp4", "out/2.mkv", output_frames=30))


def tell(view: View) -> None:
    with view:
        view.planned(item(), {"target": "96x64"}, HERE)
        view.progressed(item(), PROGRESS, HERE)
        for outcome in (DONE, FAILED, Outcome(item(), Result.SKIPPED, 30)):
            view.settled(outcome, HERE)


def test_events(capsys: pytest.CaptureFixture[str]) -> None:
    tell(view_for(ProgressKind.JSON, 4))
    plan, progress, done, failed, skipped = map(json.loads, capsys.readouterr().out.splitlines())
    assert plan == {"event": "plan", **WHOSE, "plan": {"target": "96x64"}}
    assert progress == {
        "event": "progress", **WHOSE, "frames": 20, "expected": 30, "elapsed_s": 1.0, "fps": 20.0, "slowest": "restore"
    }  # fmt: skip
    assert done == {"event": "done", **WHOSE, "attempts": 1, **json.loads((DONE.report or RunReport("", "")).to_json())}
    assert failed == {"event": "failed", **WHOSE, "attempts": 2, "error": "no\nvideo", "hint": "another"}
    assert skipped == {"event": "skipped", **WHOSE, "attempts": 0, "frames": 30}
    JsonEvents().ended([], {"files": 4})
    assert json.loads(capsys.readouterr().out) == {"event": "batch", "files": 4}


def test_a_log_for_whoever_reads_it_later(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(view_for(ProgressKind.AUTO, 4), Log)  # standard error is no terminal here
    tell(Log())
    assert capsys.readouterr().err.splitlines() == [
        "[1/4] done in/2.mp4",
        "[1/4] failed in/2.mp4: no video",
        "[1/4] skipped in/2.mp4",
    ]


def test_a_bar_for_whoever_watches(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Bar(4))
    shown = capsys.readouterr().err
    assert "1/4 files" in shown and "30 frames  15.0 fps" in shown and "2.mp4" in shown


def totals(files: int) -> dict[str, object]:
    counts = dict.fromkeys(("done", "skipped", "failed", "stopped", "not_begun"), 0)
    return {"files": files, **counts, "output_frames": 9, "wall_s": 1.5}


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    tell(View())
    assert capsys.readouterr().err == ""
    View().ended([DONE, FAILED], totals(2))
    assert [line.strip() for line in capsys.readouterr().err.splitlines()] == [
        "result      frames   seconds  file",
        "done            30       1.5  in/2.mp4",
        "failed           -       0.5  in/2.mp4",
        "no video",
        "hint: another",
        "2 files: 0 done, 0 skipped, 0 failed, 0 stopped, 0 not begun; 9 frames in 1.5 s",
    ]
    View().ended([DONE] * MOST_ROWS + [FAILED], totals(MOST_ROWS + 1))
    rows = capsys.readouterr().err.splitlines()[1:-1]
    assert len(rows) == 3 and rows[0].startswith("failed")


def test_what_would_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    show_rehearsed(Outcome(item(), Result.NOT_BEGUN), {"target": "96x64"}, ProgressKind.AUTO)
    show_rehearsed(Outcome(item(), Result.SKIPPED, 30), {}, ProgressKind.AUTO)
    assert capsys.readouterr().out.split("\n\n")[:2] == [
        "target     96x64",
        "file       2.mp4 -> out/2.mkv: is done already",
    ]
    for outcome, plan in ((Outcome(item(), Result.NOT_BEGUN), {"target": "96x64"}), (FAILED, {})):
        show_rehearsed(outcome, plan, ProgressKind.JSON)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["plan", "failed"]


def test_the_report_is_written_after_each_file_unless_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "report.json", [100.0]
    monkeypatch.setattr("fastrestore.cli.batch.time.monotonic", lambda: now[0])
    record, cost = Record(path, 9), [0.0]

    def slow(path: Path, text: str) -> None:
        now[0] += cost[0]
        write_whole(path, text)

    monkeypatch.setattr("fastrestore.cli.batch.write_whole", slow)

    def written(index: int) -> int:
        record.settled(Outcome(item(index), Result.SKIPPED), HERE)
        return len(json.loads(path.read_text())["files"])

    assert [written(0), written(1)] == [1, 2]
    cost[0] = 1.0
    assert written(2) == 3
    assert written(3) == 3  # it has just taken a second: the next one is 20 s away
    now[0] += 19
    assert written(4) == 3
    now[0] += 1
    assert written(5) == 6
    record.ended([Outcome(item(index), Result.NOT_BEGUN) for index in range(9)], 5.0)
    found = json.loads(path.read_text())
    assert [each["result"] for each in found["files"]] == ["skipped"] * 6 + ["not begun"] * 3
    assert found["totals"]["wall_s"] == 5.0


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = Item(0, Path("in/two\nlines \x1b[31m\udcff.mp4"), Path("out/2.mkv"), ConvertOptions())
    outcome = Outcome(odd, Result.SKIPPED, 30)
    Log().settled(outcome, HERE)
    View().ended([outcome], dict.fromkeys([*TOTALS, "files", "output_frames", "wall_s"], 0))
    show_rehearsed(outcome, {}, ProgressKind.NONE)
    told = capsys.readouterr()
    name = r"two\nlines \x1b[31m\udcff.mp4"
    assert told.err.splitlines()[0] == f"[1/4] skipped in/{name}"
    assert told.err.splitlines()[2].endswith(f"  in/{name}")
    assert told.out.splitlines()[0] == f"file       {name} -> out/2.mkv: is done already"


TOTALS = [result.value.replace(" ", "_") for result in Result]
