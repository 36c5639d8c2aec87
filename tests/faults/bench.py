"""A film with six tracks, the command that converts it, and what must come out of that whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tests.e2e.command import REPOSITORY, Ran, environment, listen_to_signals
from tests.faults.child import Plan
from tests.media_samples import Clip, Lines, Sound, write_clip

from fastrestore.frames import FORMATS, Colour, Picture
from fastrestore.geometry import Size

TIMEOUT_S = 300
SECONDS = 10
_SHOT_FRAMES = 19


class Film(Clip):
    """Shots of a pattern that drifts."""

    def picture(self, index: int) -> Picture:
        """Return the picture of a frame."""
        layout = FORMATS[self.layout]
        shot, step = divmod(index, _SHOT_FRAMES)
        planes = []
        for plane in range(layout.planes):
            shape = layout.plane_size(self.size, plane)
            shift = 2 * step if plane == 0 else step
            x = np.arange(shape.width)[None, :] + shift
            y = np.arange(shape.height)[:, None]
            wave = np.sin(x / (5 + 3 * (shot % 3))) * np.cos(y / (4 + shot % 4) + shot)
            planes.append((110 + 20 * (shot % 4) + 60 * wave).astype(np.uint8))
        return Picture(tuple(planes), layout, Colour())


def make_film(path: Path, seconds: int = SECONDS, rate: int = 8) -> Path:
    """Write a film of six tracks with chapters, an attachment and tags."""
    spoken = [(1000 * k, 800, f"line {k}") for k in range(seconds)]
    return write_clip(
        path,
        Film(seconds * rate, size=Size(96, 64), rate=Fraction(rate), options={"preset": "ultrafast", "g": "24"}),
        [
            Sound(seconds, tags={"language": "eng"}),
            Sound(seconds, codec="flac", tags={"language": "fra"}),
            Lines(lines=spoken, tags={"language": "eng"}),
            Lines(codec="ass", lines=spoken[1::2], tags={"language": "fra"}),
            Sound(seconds, codec="libopus", tags={"title": "commentary"}),
        ],
        tags={"title": "a film"},
        chapters=[(0, 500 * seconds, "one"), (500 * seconds, 1000 * seconds, "two")],
        attachments=[("note.txt", "text/plain", b"attached")],
    )


def surroundings() -> dict[str, str]:
    """Return an environment in which the package and the tests are found."""
    return environment(PYTHONPATH=f"{REPOSITORY / 'src'}:{REPOSITORY}")


@dataclass(frozen=True)
class Contents:
    """What PyAV finds in a file: every packet of every track with its time, and every decoded picture."""

    tracks: tuple[str, ...]
    packets: str
    pictures: int
    times: tuple[Fraction, ...]

    @classmethod
    def of(cls, path: Path) -> Contents:
        """Read a file."""
        digest, times, pictures = hashlib.sha256(), [], 0
        with av.open(str(path)) as container:
            tracks = tuple(f"{stream.type} {stream.metadata.get('language', '')}" for stream in container.streams)
            for packet in container.demux():
                if packet.size:
                    digest.update(f"{packet.stream_index} {packet.pts} {packet.dts} {packet.duration}".encode())
                    digest.update(bytes(packet))
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                assert not frame.is_corrupt and frame.pts is not None and frame.time_base is not None
                pictures += 1
                times.append(frame.pts * frame.time_base)
        return cls(tracks, digest.hexdigest(), pictures, tuple(times))


@dataclass(frozen=True)
class Bench:
    """A command that is run again and again."""

    source: Path
    folder: Path
    """Where the output goes; emptied by nobody."""
    options: tuple[str, ...] = ("--to", "x1", "--fps", "16", "--preset", "ultrafast")
    plan: Plan = field(default_factory=Plan)

    @property
    def output(self) -> Path:
        """The file it makes."""
        return self.folder / "out.mkv"

    @property
    def work(self) -> Path:
        """Its work folder."""
        return self.folder / "out.mkv.fastrestore"

    def arguments(self, *more: str) -> list[str]:
        """Return the words of the command line."""
        words = ["convert", str(self.source), "-o", str(self.output), "--progress", "json", *self.options, *more]
        return [sys.executable, "-m", "tests.faults.child", self.plan.text(), *words]

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            self.arguments(*more),
            cwd=REPOSITORY,
            env=surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=listen_to_signals,
        )

    def run(self, *more: str) -> Ran:
        """Run the command to its end, whatever that is."""
        with self.start(*more) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        return Ran(process.returncode, out, err)

    def killed_after(self, seconds: float) -> bool:
        """Run the command and kill it so long after its first word; say whether it was still there to be killed."""
        with self.start() as process:
            assert process.stdout is not None and json.loads(process.stdout.readline())["event"] == "plan"
            try:
                process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate(timeout=TIMEOUT_S)
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0

    def seconds(self) -> float:
        """Return how long the command takes from its first word on."""
        with self.start() as process:
            assert process.stdout is not None and process.stdout.readline()
            begun = time.perf_counter()
            process.communicate(timeout=TIMEOUT_S)
        return time.perf_counter() - begun

    def to(self, folder: Path) -> Bench:
        """Return the same command with its output in another folder, which is made."""
        folder.mkdir(parents=True)
        return replace(self, folder=folder)

    def under(self, **plan: object) -> Bench:
        """Return the same command on a machine where something goes wrong."""
        return replace(self, plan=replace(self.plan, **plan))  # type: ignore[arg-type]

    def segments(self) -> int:
        """Return how many segments are on record."""
        journal = self.work / "journal"
        return journal.read_bytes().count(b'"kind":"done"') if journal.is_file() else 0

    def assert_failed_resumably(self, ran: Ran, code: int = 1) -> None:
        """Check for an error, nothing under the output's name, and what was finished in the work folder."""
        ran.assert_failed(code)
        assert not self.output.exists()
        assert self.work.is_dir() == bool(self.segments())

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder)

    def assert_finishes(self, wanted: bytes) -> dict[str, object]:
        """Run the command after a kill to a good end and check its output; return its report, if there is one.

        Between the removal of the journal and that of the work folder a run is all but over: what there is then is a
        finished file, and the same command is told that it is there.
        """
        left = sorted(path.name for path in self.work.iterdir()) if self.work.is_dir() else []
        if self.output.exists() and "journal" not in left:
            assert left in ([], ["lock"])
            self.run().assert_failed(2, "exists already")
            assert self.output.read_bytes() == wanted
            return {"resumed_segments": 0}
        return self.assert_makes(wanted)

    def assert_makes(self, wanted: bytes, *more: str) -> dict[str, object]:
        """Run the command to a good end and check its output; return its report."""
        ran = self.run(*more)
        assert ran.code == 0, ran.err
        assert self.output.read_bytes() == wanted, f"{self.folder} has another output"
        assert sorted(path.name for path in self.folder.iterdir()) == [self.output.name]
        done = ran.events[-1]
        assert done["event"] == "done"
        return done


def tree_of(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content; links with where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
