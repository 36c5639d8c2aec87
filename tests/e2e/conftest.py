"""Small sources, made once: whatever a test writes goes into its own folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, Sound, ramp, write_clip

from fastrestore.frames import Picture
from fastrestore.geometry import Size

SIZE, RATE, FRAMES = Size(48, 32), Fraction(12), 8


@dataclass
class HeldClip(Clip):
    """Every picture is shown twice, as in a film copied from a lower rate."""

    def picture(self, index: int) -> Picture:
        return ramp(self.layout, index // 2 * 4, self.size)


def _clip(**changes: object) -> Clip:
    return Clip(**{"frames": FRAMES, "size": SIZE, "rate": RATE, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of everything that the tests read."""
    folder = tmp_path_factory.mktemp("sources")
    sound = Sound(seconds=0.6, rate=48000)
    write_clip(folder / "film.mp4", _clip(), [sound])
    write_clip(folder / "other.mkv", _clip(frames=6))
    write_clip(
        folder / "deep.mkv", _clip(codec="libx265", layout="yuv420p10le", size=Size(64, 48))
    )  # x265 breaks below
    write_clip(folder / "held.mkv", HeldClip(frames=12, size=SIZE, rate=RATE))
    # Long enough that a signal comes in time on any machine; it is never converted to its end.
    write_clip(folder / "long.mp4", _clip(frames=1500))
    write_clip(folder / "noise.mkv", _clip(frames=120, pictures="noise", options={"preset": "ultrafast"}))
    write_clip(folder / "song.wav", None, [Sound(seconds=0.5, codec="pcm_s16le")])
    write_clip(folder / "song.m4a", None, [sound])
    write_clip(folder / "no-frames.mp4", _clip(frames=0))
    write_clip(folder / "whole.mp4", _clip(frames=120, pictures="noise"))
    write_clip(folder / "whole-fast.mp4", _clip(frames=120, pictures="noise"), options={"movflags": "faststart"})
    write_clip(folder / "whole.mkv", _clip(frames=120, pictures="noise"))
    for name in ("whole.mp4", "whole-fast.mp4", "whole.mkv"):
        data = (folder / name).read_bytes()
        (folder / name.replace("whole", "cut")).write_bytes(data[: len(data) * 6 // 10])
    (folder / "text.mp4").write_text("These are words, not pictures.\n" * 20)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "folder.mp4").mkdir()
    return folder


@pytest.fixture
def film(sources: Path) -> Path:
    """Eight frames at 12 a second, with sound."""
    return sources / "film.mp4"


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    yield from _mounted(folder, "size=64k")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that is mounted read-only."""
    folder = tmp_path / "locked"
    folder.mkdir()
    yield from _mounted(folder, "size=64k,ro")
