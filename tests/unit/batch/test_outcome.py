"""The report of a batch."""

from __future__ import annotations

import json
from pathlib import Path

from fastrestore.batch.outcome import BatchReport, Item, Outcome, Result
from fastrestore.config import ConvertOptions
from fastrestore.errors import DecodeError
from fastrestore.runtime.report import RunReport


def item(index: int) -> Item:
    return Item(index, Path(f"in/{index}.mp4"), Path(f"out/{index}.mkv"), ConvertOptions())


def test_one_document_for_all_files_in_order() -> None:
    report = BatchReport(4)
    done = RunReport("in/2.mp4", "out/2.mkv", output_frames=5, output_bytes=70)
    report.add(Outcome(item(2), Result.DONE, 5, 1.25, 1, report=done))
    report.add(Outcome(item(0), Result.FAILED, seconds=0.5, attempts=2, error=DecodeError("no video", "another")))
    report.add(Outcome(item(1), Result.SKIPPED, 9))
    report.add(Outcome(item(2), Result.NOT_BEGUN))  # what became of it is known already
    found = json.loads(report.to_json(2.5))
    assert found["schema"] == "fastrestore.batch/1"
    assert found["totals"] == {
        "files": 4, "done": 1, "skipped": 1, "failed": 1, "stopped": 0, "not_begun": 0, "output_frames": 14,
        "output_bytes": 70, "wall_s": 2.5,
    }  # fmt: skip
    assert [each["index"] for each in found["files"]] == [0, 1, 2]
    assert found["files"][0] == {
        "index": 0, "source": "in/0.mp4", "output": "out/0.mkv", "result": "failed", "frames": 0, "seconds": 0.5,
        "attempts": 2, "error": {"message": "no video", "hint": "another"}, "report": None,
    }  # fmt: skip
    assert found["files"][2]["report"] == json.loads(done.to_json())


def test_an_empty_report_is_a_report() -> None:
    assert json.loads(BatchReport(3).to_json(0))["files"] == []
