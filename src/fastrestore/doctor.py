"""What this machine has and what it lacks, and what to do about it."""

from __future__ import annotations

import ctypes.util
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from fastrestore import __version__
from fastrestore.config import cpu_count
from fastrestore.errors import FastRestoreError
from fastrestore.models import store
from fastrestore.models.catalog import broken, catalog
from fastrestore.models.shipped import shipped
from fastrestore.runtime.engine import BACKENDS, load_backend
from fastrestore.runtime.media.encoders import ENCODERS, require_installed


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    subject: str
    ok: bool
    detail: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at interpreter, packages, backends, encoders, models and driver. Loads no model and no GPU library."""
    return [
        Finding("fastrestore", True, f"{__version__}, Python {platform.python_version()}, {platform.system()}"),
        Finding("processor", True, f"{cpu_count()} cores usable, {platform.machine()}"),
        *_packages(),
        *_backends(),
        _driver(),
        *_encoders(),
        _models(),
        *_own_models(),
    ]


def healthy(findings: list[Finding]) -> bool:
    """Return whether a conversion can run: a backend, an encoder and the shipped models are there."""
    subjects = {"backends", "encoder x264", "models", "onnxruntime packages"}
    return all(finding.ok for finding in findings if finding.subject in subjects)


def as_json(findings: list[Finding]) -> dict[str, object]:
    """Return the report as one JSON object."""
    return {"schema": "fastrestore.doctor/1", "healthy": healthy(findings), "findings": [asdict(f) for f in findings]}


def _packages() -> list[Finding]:
    found = [Finding(name, True, _version(name)) for name in ("numpy", "av", "opencv-python-headless")]
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    if len(both) == 2:
        advice = "`pip uninstall onnxruntime onnxruntime-gpu`, then install the one you want"
        found.append(Finding("onnxruntime packages", False, "both are installed and overwrite each other", advice))
    return found


def _backends() -> list[Finding]:
    findings = []
    for name in BACKENDS:
        backend = load_backend(name)
        problem = backend.unavailable_because()
        advice = "`pip install 'fastrestore[cpu]'`" if problem else ""
        findings.append(Finding(f"backend {name}", problem is None, problem or backend.describe(), advice))
    usable = [f.subject.removeprefix("backend ") for f in findings if f.ok]
    detail = f"`--backend auto` takes {usable[0]}" if usable else "none can run here"
    return [*findings, Finding("backends", bool(usable), detail)]


def _driver() -> Finding:
    """Say whether there is an NVIDIA driver, without opening it: some libraries crash where there is none."""
    library = ctypes.util.find_library("cuda")
    detail = f"NVIDIA driver library {library}" if library else "no NVIDIA driver; everything runs on the CPU"
    return Finding("gpu", True, detail)


def _encoders() -> list[Finding]:
    findings = []
    for name, encoder in ENCODERS.items():
        try:
            require_installed(encoder)
        except FastRestoreError as error:
            findings.append(Finding(f"encoder {name}", False, error.message, error.hint))
        else:
            needs_card = "nvenc" in name
            findings.append(Finding(f"encoder {name}", True, "needs an NVIDIA card" if needs_card else "available"))
    return findings


def _models() -> Finding:
    checked = 0
    try:
        for spec in shipped().models:
            for precision in spec.artifacts:
                store.locate(spec, precision)
                checked += 1
    except FastRestoreError as error:
        return Finding("models", False, error.message, error.hint)
    return Finding("models", True, f"{len(shipped().models)} ship, {checked} files verified")


def _own_models() -> list[Finding]:
    """Look at the user's models; what is wrong with them keeps no other model from running."""
    findings = [Finding(f"model {found.name}", False, found.error.message, found.error.hint) for found in broken()]
    for spec in catalog():
        if spec.folder is not None:
            try:
                for precision in spec.artifacts:
                    store.locate(spec, precision)
            except FastRestoreError as error:
                findings.append(Finding(f"model {spec.name}", False, error.message, error.hint))
            else:
                findings.append(Finding(f"model {spec.name}", True, f"yours, {len(spec.artifacts)} files verified"))
    return findings


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
