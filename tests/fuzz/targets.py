"""What is tried with damaged inputs. A target is made once in a worker and then called with a sample and a seed.

It returns if the input was taken, with a result that is whole; raises `FastRestoreError` if it was refused; and lets
any other exception through, for that is a finding.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from tests.fuzz.mutations import mutate, mutate_text

Target = Callable[[str, str], None]
_MOST_FRAMES = 200
"""Frames read of one damaged file."""


def read_media(folder: Path) -> Target:
    """Open a damaged file and read its frames; every seventh case from a place within, and with no fault allowed."""
    from fastrestore.config import OnError
    from fastrestore.runtime.media.reader import VideoReader

    def attempt(sample: str, seed: str) -> None:
        path = _damaged(folder, sample, seed)
        odd = sum(seed.encode()) % 7
        start, policy = (Fraction(1, 5) if odd == 1 else None), (OnError.FAIL if odd == 2 else OnError.REPAIR)
        last = None
        with VideoReader(path, start=start, on_error=policy) as reader:
            for count, frame in enumerate(reader):
                assert last is None or frame.pts > last, (last, frame.pts)
                assert frame.duration >= 0, frame.duration
                assert frame.picture.size == reader.info.size, frame.picture.size
                assert frame.picture.format == reader.info.format, frame.picture.format
                last = frame.pts
                if count == _MOST_FRAMES:
                    return  # a forged clock may ask for many; they are bounded by the limits
            assert not (policy is OnError.FAIL and reader.notes.faults.listed), "a fault was passed over"

    return attempt


def convert_media(folder: Path) -> Target:
    """Convert a damaged file, tracks and all; what comes out must be readable and as long as it says."""
    from fastrestore import api
    from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target

    options = ConvertOptions(
        to=Target(factor=Fraction(1)),
        fps=RateTarget(),
        encode=EncodeOptions(codec="x264", preset="ultrafast"),
        overwrite=True,
    )

    def attempt(sample: str, seed: str) -> None:
        path = _damaged(folder, sample, seed)
        output = folder / "out.mkv"
        output.unlink(missing_ok=True)
        try:
            report = api.convert(path, output, options)
        finally:
            _forget_work(folder)
        with api.open_video(output) as reader:
            if (count := sum(1 for _ in reader)) != report.output_frames:
                raise AssertionError(f"{count} frames instead of {report.output_frames}")

    return attempt


def verify_media(folder: Path) -> Target:
    """Verify a damaged file, half of the time against the intact one."""
    from fastrestore.runtime.verify.verdict import as_json, verify

    def attempt(sample: str, seed: str) -> None:
        against = folder / sample if int(seed) % 2 else None
        as_json([verify(_damaged(folder, sample, seed), against=against)])

    return attempt


def read_manifest(folder: Path) -> Target:
    """Read a damaged manifest."""
    from fastrestore.runtime.manifest import Manifest

    def attempt(sample: str, seed: str) -> None:
        text = (folder / sample).read_text(encoding="utf-8")
        manifest = Manifest.from_text(mutate_text(text, seed))
        assert Manifest.from_text(manifest.to_text()) == manifest

    return attempt


def read_journal(folder: Path) -> Target:
    """Read a damaged journal; every other one with checksums that fit the damage, as a forger would."""
    from fastrestore.runtime.journal import Journal

    intact = (folder / "journal").read_bytes()

    def attempt(sample: str, seed: str) -> None:
        path = folder / "damaged"
        damaged = mutate(intact, seed)
        if int(seed) % 2:
            texts = [line.partition(b" ")[2] for line in damaged.split(b"\n")]
            path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts))
            Journal(path).read()
            return
        path.write_bytes(damaged)
        record = Journal(path).read()
        if record is not None:
            whole = Journal(folder / sample).read()
            assert whole is not None and record.header == whole.header
            assert record.done == whole.done[: len(record.done)], "a damaged line was believed"

    return attempt


def read_package(folder: Path) -> Target:
    """Read a package of a model with a damaged row."""
    from fastrestore.models import package

    def attempt(sample: str, seed: str) -> None:
        text = (folder / sample / package.ROW_FILE).read_text(encoding="utf-8")
        target = folder / "damaged" / sample
        (target / package.ROW_FILE).write_text(mutate_text(text, seed), encoding="utf-8")
        spec = package.read(target)
        assert all((target.parent / a.path).resolve().is_relative_to(target) for a in spec.artifacts.values())

    return attempt


def read_catalogue(folder: Path) -> Target:
    """Read a damaged catalogue."""
    from fastrestore.models.shipped import parse

    def attempt(sample: str, seed: str) -> None:
        parse(mutate_text((folder / sample).read_text(encoding="utf-8"), seed))

    return attempt


def misbehave(folder: Path) -> Target:
    """Do what a worker must be found out to do."""

    def attempt(sample: str, seed: str) -> None:
        match sample:
            case "crash":
                os.abort()
            case "hang":
                threading.Event().wait()
            case "spin":
                while True:
                    pass
            case "hog":
                bytearray(1 << 34)
            case "raise":
                raise ValueError(sample)

    return attempt


def load_network(folder: Path) -> Target:
    """Give the backend a damaged network whose hash was made to fit, and run it once."""
    from dataclasses import replace

    from fastrestore.files import digest
    from fastrestore.models.catalog import find
    from fastrestore.models.spec import Artifact
    from fastrestore.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu

    def attempt(sample: str, seed: str) -> None:
        path = _damaged(folder, sample, seed)
        spec = find(sample.removesuffix(".onnx"))
        artifact = Artifact(Path(path.name), digest(path))
        damaged = replace(spec, folder=folder, artifacts=MappingProxyType({"fp32": artifact}))
        with OnnxRuntimeCpu().open(damaged, threads=1) as engine:
            inputs = {t.name: np.zeros(t.shape(1, 16, 16), np.float32) for t in spec.inputs}
            engine.run(inputs, {t.name: np.zeros(t.shape(1, 16, 16), np.float32) for t in spec.outputs})

    return attempt


def _damaged(folder: Path, sample: str, seed: str) -> Path:
    """Write a damaged copy of a sample beside it."""
    source = folder / sample
    path = folder / f"damaged{source.suffix}"
    path.write_bytes(mutate(source.read_bytes(), f"{sample} {seed}"))
    return path


def _forget_work(folder: Path) -> None:
    import shutil

    for left in folder.glob("out.mkv.*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


TARGETS: dict[str, Callable[[Path], Target]] = {
    "read": read_media,
    "convert": convert_media,
    "verify": verify_media,
    "manifest": read_manifest,
    "journal": read_journal,
    "package": read_package,
    "catalogue": read_catalogue,
    "misbehave": misbehave,
    "network": load_network,
}
