"""What this machine has and what it lacks, and what to do about it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from fastrestore import __version__, installation
from fastrestore.config import cpu_count
from fastrestore.errors import DeviceError, FastRestoreError
from fastrestore.models import store
from fastrestore.models.catalog import broken, catalog
from fastrestore.models.shipped import shipped
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.devices.driver import DriverFacts, driver
from fastrestore.runtime.devices.library import choose
from fastrestore.runtime.engine import BACKENDS, BuiltAhead, load_backend
from fastrestore.runtime.media.encoders import ENCODERS, require_installed
from fastrestore.runtime.proofs import ProofStore

NEEDS_CARD = frozenset(("tensorrt", "tensorrt-rtx", "onnxruntime-cuda"))
INSTALL: Mapping[str, str] = MappingProxyType(
    {
        "tensorrt": "pip install 'tensorrt>=10.13' 'cuda-bindings>=12.8'",
        "tensorrt-rtx": "pip install 'tensorrt-rtx>=1.1' 'cuda-bindings>=12.8'",
        "onnxruntime-cuda": "pip install 'onnxruntime-gpu[cuda,cudnn]>=1.20'",
        "openvino": "pip install 'fastrestore[openvino]'",
        "onnxruntime": "pip install 'fastrestore[cpu]'",
    }
)
"""What makes a backend run here, by its name."""
_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "onnxruntime": f"install the one you want: `{INSTALL['onnxruntime']}` or `{INSTALL['onnxruntime-cuda']}`",
        "opencv": "`pip install opencv-python-headless`",
    }
)
"""What to do once packages that share a folder are gone, by the folder."""
_BUILDERS = frozenset(("tensorrt-rtx",))
"""Packages that are of use without a card: they build engines for others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    subject: str
    ok: bool
    detail: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at interpreter, packages, backends, driver, engines, encoders and models. Loads no model and no library.

    The driver alone is opened: to ask for its version and its cards.
    """
    return [
        Finding("fastrestore", True, f"{__version__}, Python {platform.python_version()}, {platform.system()}"),
        Finding("processor", True, f"{cpu_count()} cores usable, {platform.machine()}"),
        *_packages(),
        *_backends(),
        _card(),
        *_driver(),
        *_engines(),
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
    wrong = {each.package: each for each in installation.unmet()}
    found = []
    for name in ("numpy", "av", "opencv-python-headless"):
        has = installation.installed(name)
        if name in wrong:
            wanted = wrong[name].wanted
            found.append(Finding(name, False, f"{has}, wanted {wanted}", f"`pip install '{name}{wanted}'`"))
        else:
            found.append(Finding(name, True, has))
    for folder, names in installation.overwritten().items():
        many = "both" if len(names) == 2 else "all"
        detail = f"{', '.join(names)} {many} are installed and overwrite each other"
        advice = f"`pip uninstall {' '.join(names)}`, then {_INSTEAD[folder]}"
        found.append(Finding(f"{folder} packages", False, detail, advice))
    return found


def _backends() -> list[Finding]:
    findings, usable = [], []
    for name in BACKENDS:
        backend = load_backend(name)
        problem = backend.unavailable_because()
        advice = _remedy(name) if problem else ""
        findings.append(Finding(f"backend {name}", problem is None, problem or backend.describe(), advice))
        if problem is None:
            usable.append(f"{name} if its engines are built" if isinstance(backend, BuiltAhead) else name)
    detail = f"`--backend auto` takes {', else '.join(usable)}" if usable else "none can run here"
    return [*findings, Finding("backends", bool(usable), detail, "" if usable else f"`{INSTALL['onnxruntime']}`")]


def _remedy(name: str) -> str:
    """Return what to install so that a backend can run here, or nothing where no package would help."""
    facts = driver()
    if name in NEEDS_CARD:
        if isinstance(facts, str):
            return ""
        flavour = FLAVOURS.get(name)
        if flavour is not None and flavour.capabilities and facts.cards[0].capability not in flavour.capabilities:
            return f"use `--backend tensorrt`: `{INSTALL['tensorrt']}`"
    if name == "onnxruntime-cuda" and installation.installed("onnxruntime"):
        return f"`pip uninstall onnxruntime onnxruntime-gpu`, then `{INSTALL[name]}`"
    return f"`{INSTALL[name]}`" if name in INSTALL else ""


def _card() -> Finding:
    facts = driver()
    if isinstance(facts, str):
        return Finding("gpu", True, f"{facts}; everything runs on the CPU")
    cards = ", ".join(f"{card.name} ({card.capability}, {card.memory_bytes / 2**30:.0f} GiB)" for card in facts.cards)
    detail = f"{cards}; NVIDIA driver {facts.release or 'of unknown version'}, CUDA {facts.cuda}"
    try:
        library = choose()
    except DeviceError as error:
        return Finding("gpu", True, f"{detail}; {error.message}", error.hint)
    return Finding("gpu", True, f"{detail}, through {library.package} {library.installed()}")


def _driver() -> list[Finding]:
    """Hold the driver against what the installed packages need."""
    return [_served(need, driver()) for need in installation.cuda_needs()]


def _served(need: installation.CudaNeed, facts: DriverFacts | str) -> Finding:
    """Say whether the driver is new enough for a package."""
    subject, package = f"driver for {need.package}", f"{need.package} {need.version}"
    newer = f"install NVIDIA's driver {need.driver} or later" if need.driver else "install NVIDIA's newest driver"
    if isinstance(facts, str):
        if need.package in _BUILDERS:
            return Finding(subject, True, f"{facts}: {package} can build engines here, not run them")
        return Finding(subject, False, f"{package} needs CUDA {need.cuda}: {facts}", newer)
    has = f"driver {facts.release}, CUDA {facts.cuda}" if facts.release else f"a driver for CUDA {facts.cuda}"
    if installation.numbers(facts.cuda) < (need.cuda,):
        return Finding(subject, False, f"{package} needs CUDA {need.cuda}, found {has}", newer)
    return Finding(subject, True, f"{package} needs CUDA {need.cuda}, found {has}")


def _engines() -> list[Finding]:
    """Look at the cache of engines, by what is written beside them; no engine is loaded."""
    try:
        with EngineCache() as cache:
            entries, folder, problems = cache.entries(), cache.folder, cache.problems
    except FastRestoreError as error:
        return [Finding("engines", False, error.message, error.hint)]
    detail = "none built"
    if entries:
        size = sum(entry.bytes for entry in entries)
        detail = f"{len(entries)} built, {size / 2**20:.1f} MiB in {folder}"
    if unproved := sum(entry.proof is None for entry in entries):
        detail += f"; {unproved} not proved yet: the first run on a card does that"
    found = [Finding("engines", True, detail)]
    if problems:
        found.append(Finding("engines put aside", False, "; ".join(problems), "see `fastrestore engines list`"))
    return [*found, *_refusals(folder / "proofs")]


def _refusals(folder: Path) -> list[Finding]:
    """Tell of engines that did not compute what they should."""
    refused = sorted(ProofStore(folder).refusals(), key=lambda proof: proof.made)
    if not refused:
        return []
    named = dict.fromkeys(" ".join(proof.facts.get(key, "?") for key in ("backend", "model")) for proof in refused)
    last = refused[-1]
    detail = f"{', '.join(named)}; the last one on {last.made}: {last.refusal.get('where', 'it agreed on nothing')}"
    advice = f"they are looked at again once a library, the driver or the model is another; or remove {folder}"
    return [Finding("engines that disagree", False, detail, advice)]


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
