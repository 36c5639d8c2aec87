"""What a run depends on, in words: only a run that depends on the same goes on with the work of an earlier one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.journal import Header
from fastrestore.runtime.media.translate import reading
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.treatments.colour.example import ExampleWord
from fastrestore.runtime.treatments.colour.guess import GuessSettings
from fastrestore.runtime.treatments.faces.settings import faces_of

_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16
_LIBRARIES = ("fastrestore", "av", "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino")
_HARMLESS = ("overwrite", "restart", "verify", "audio", "max_memory", "media", "provenance", "c2pa")
"""Options that change nothing of the output, or that are looked at in another way."""
_OF_THE_MACHINE = ("backend", "threads", "tile", "batch", "streams", "tuned", "spans")
"""Options that change nothing of the output beyond rounding, or where its key frames are."""
_SELDOM = {"batch": "default", "streams": "default", "tuned": ""}
"""Options that are left out where they are as usual: runs that were begun before there were any know none of them."""


def header_for(
    plan: WorkPlan, options: ConvertOptions, backend: str, source: Path | None, encoder_threads: int = 0
) -> Header:
    """Return what a run depends on.

    Raises:
        DecodeError: If the source or the new soundtrack cannot be read.
    """
    words = {name: value for name, value in _words(options).items() if name not in _HARMLESS}
    settings = {name: value for name, value in words.items() if value != _SELDOM.get(name)}
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
    settings |= _examples(options) | _film_networks(options)
    settings["versions"] = library_versions()
    return Header(settings, {} if source is None else identity(source), encoder_threads)


def library_versions() -> str:
    """Return the versions of the libraries that decide what the output is, in words."""
    return ", ".join(filter(None, map(_version, _LIBRARIES)))


def with_backend(header: Header, backend: str) -> Header:
    """Return a header of a run on some backend."""
    return replace(header, settings={**header.settings, "backend": backend})


def with_encoder_threads(options: ConvertOptions, threads: int) -> ConvertOptions:
    """Return options that say with how many threads a film is encoded throughout."""
    return replace(options, encode=replace(options.encode, threads=threads))


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in words by what two sets of settings differ."""
    names = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in names)


def wishes(options: ConvertOptions) -> dict[str, str]:
    """Return the options that decide how the output looks, in words, but for those left at their defaults.

    Raises:
        DecodeError: If the new soundtrack cannot be read.
    """
    usual, words = _all_words(ConvertOptions()), _all_words(options)
    ignored = (*_HARMLESS, *_OF_THE_MACHINE, "color_from")  # the examples are told by what is in them
    asked = {name: word for name, word in words.items() if word != usual[name] and name not in ignored}
    if options.audio is not None:
        known = identity(options.audio)
        asked["soundtrack"] = f"{known['bytes']} bytes, sha256 {known['sample_sha256']}"
    return asked | _examples(options) | _film_networks(options)


def _examples(options: ConvertOptions) -> dict[str, str]:
    """Return by what the pictures are known that a film is coloured after: their names alone do not tell."""
    examples = [ExampleWord.parse(words) for words in options.film.color_from]
    words = [f"{identity(each.path)['sample_sha256']}{'' if each.at is None else f'@{each.at}'}" for each in examples]
    return {"colours": ", ".join(words)} if words else {}


def _film_networks(options: ConvertOptions) -> dict[str, str]:
    """Return by what the networks are known that colour a film, and by which faces are found and rebuilt."""
    known = {}
    if options.film.colorize:
        known["colour network"] = _network_word(find(GuessSettings.parse(options.film.colorize).model))
    if (settings := faces_of(options.film)) is not None:
        known["face networks"] = ", ".join(map(_network_word, (settings.network(), settings.finder())))
    return known


def _network_word(spec: ModelSpec) -> str:
    return f"{spec.name} {' '.join(sorted(artifact.sha256 for artifact in spec.artifacts.values()))}"


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


def _all_words(options: ConvertOptions) -> dict[str, str]:
    """Return the options with those that are grouped in them, each by its own name."""
    words = {**_words(options), **_words(options.encode), **_words(options.film)}
    del words["encode"], words["film"]
    return words


def _words(options: ConvertOptions | EncodeOptions | FilmOptions) -> dict[str, str]:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: "default" if value is None else str(value) for name, value in values.items()}


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
