"""The `demo` command: restores the embedded sample, and makes a side-by-side clip and a page to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

from fastrestore import compare
from fastrestore.api import Pipeline, open_video, plan_job
from fastrestore.config import ConvertOptions, EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.runtime.job import Job
from fastrestore.runtime.report import OnProgress, RunReport

_QUICK = EncodeOptions(preset="ultrafast", crf=20)
"""The demo is about restoring; a slow encoder would take most of its time."""


@dataclass(frozen=True, slots=True)
class DemoResults:
    """What the demo wrote."""

    original: Path
    restored: Path
    side_by_side: Path
    page: Path
    report: RunReport

    def files(self) -> list[tuple[str, Path]]:
        """Return label and path of each file."""
        return [
            ("original", self.original),
            ("restored", self.restored),
            ("side by side", self.side_by_side),
            ("page", self.page),
        ]


def run_demo(
    folder: Path,
    on_progress: OnProgress | None = None,
    announce: Callable[[Job], None] | None = None,
    *,
    end: Fraction | None = None,
) -> DemoResults:
    """Restore the embedded sample to 4K at 60 frames a second into a folder; earlier results are replaced.

    Args:
        folder: Made if it does not exist.
        on_progress: Called after every output frame.
        announce: Called with the job before it starts.
        end: Seconds of the sample that are restored, or None for all.

    Raises:
        FastRestoreError: If anything fails.
    """
    original, restored = folder / "original.mp4", folder / "restored-4k60.mp4"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        original.write_bytes(files("fastrestore.demo").joinpath("sample.mp4").read_bytes())
    except OSError as error:
        raise EncodeError(f"cannot write {folder}: {error.strerror}", "choose another folder with `-o`") from error
    with open_video(original, end=end) as video:
        job = plan_job(video, restored, ConvertOptions(encode=_QUICK, overwrite=True))
        if announce is not None:
            announce(job)
        report = job.run(on_progress)
    page = folder / "compare.html"
    compare.write_page(original, restored, page, title="An aged film and what fastrestore made of it")
    return DemoResults(original, restored, _side_by_side(original, restored, folder), page, report)


def _side_by_side(original: Path, restored: Path, folder: Path) -> Path:
    """Write a clip at half size with the original on the left half and the restored one on the right half."""
    target = folder / "side-by-side.mp4"
    frames = compare.side_by_side(original, restored, shrink=2)
    Pipeline().write(frames, target, encode=_QUICK, audio=original, overwrite=True)
    return target
