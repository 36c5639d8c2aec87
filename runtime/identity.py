"""What a run depends on, in words: only a run that depends on the same goes on with the work of an earlier one."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastrestore.config import ConvertOptions, EncodeOptions
from fastrestore.runtime.journal import Header
from fastrestore.runtime.media.translate import reading
from fastrestore.runtime.plan import WorkPlan

_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16
_LIBRARIES = ("fastrestore", "av", "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino")
_HARMLESS = ("overwrite", "restart", "verify", "audio", "max_memory")
"""Options that change nothing of the output, or that are looked at in another way."""


def header_for(plan: WorkPlan, options: ConvertOptions, backend: str, source: Path | None) -> Header:
    """Return what a run depends on.

    Raises:
        DecodeError: If the source or the new soundtrack cannot be read.
    """
    settings = {name: value for name, value in _words(options).items() if name not in _HARMLESS}
    del settings["encode"]
    settings |= {f"encoder {name}": value for name, value in _words(options.encode).items()}
    settings["size"], settings["format"] = str(plan.size), plan.format.name
    for number, spec in enumerate(plan.chain):
        settings[f"network {number}"] = f"{spec.name} {[artifact.sha256 for artifact in spec.artifacts.values()]}"
    if plan.motion is not None:
        artifacts = [artifact.sha256 for artifact in plan.motion.artifacts.values()]
        settings["motion"] = f"{plan.motion.name} {artifacts}"
    settings["backend"] = backend
    settings["soundtrack"] = "" if options.audio is None else str(identity(options.audio))
    settings["versions"] = ", ".join(filter(None, map(_version, _LIBRARIES)))
    return Header(settings, {} if source is None else identity(source))


def identity(path: Path) -> dict[str, int | str]:
    """Return by what a file is known again: size, time of change, and a checksum of samples from all over it.

    Raises:
        DecodeError: If it cannot be read.
    """
    digest = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        facts = path.stat()
        for number in range(_SAMPLES):
            file.seek(max(0, facts.st_size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return {"bytes": facts.st_size, "changed_ns": facts.st_mtime_ns, "sample_sha256": digest.hexdigest()}


def _words(options: ConvertOptions | EncodeOptions) -> dict[str, str]:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: "default" if value is None else str(value) for name, value in values.items()}


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
