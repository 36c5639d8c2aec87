"""Makes the record of a run: what its plan, its options and its stages tell, in the words of `provenance`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fastrestore.config import FilmOptions
from fastrestore.models.catalog import find
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.provenance import ColourRecord, Frames, Invented, Network, Provenance, StageRecord
from fastrestore.runtime.treatments.faces.settings import faces_of
from fastrestore.version import __version__

_LIBRARIES: Final = ("av", "numpy", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")
_STAGES: Final = {
    "fields": ("deinterlace", "detelecine"),
    "clean": ("clean",),
    "colour": ("color_from", "colorize"),
    "deflicker": ("deflicker",),
    "steady": ("steady",),
    "grain": ("grain",),
    "faces": ("faces",),
}
"""Stages in the order in which they are carried out, and the options that ask for each."""
_OF_EVERY_SHOT: Final = ("shot", "begin_s", "frames")


def record_of(
    plan: WorkPlan,
    options: FilmOptions,
    shots: Sequence[Mapping[str, Any]],
    frames: Frames,
    *,
    settings: Mapping[str, str],
    source: Mapping[str, str | int],
) -> Provenance:
    """Return what a run did.

    Args:
        plan: What was decided about it.
        options: The stages that were asked for.
        shots: What the stages did, by shot, as in `RunReport.film`: numbers are named `stage.number`.
        frames: Where the frames of the film come from.
        settings: Options in words, as the manifest has them.
        source: `name`, and by what the source's content is known.

    Raises:
        ModelError: If the colour network, or one for faces, is not known any more.
    """
    return Provenance(
        settings=dict(settings),
        source=dict(source),
        frames=frames,
        networks=tuple(_networks(plan, options, frames)),
        stages=tuple(_stages(options, shots)),
        colour=_colour(options, shots),
        enlarged="" if plan.size == plan.source.size else f"{plan.source.size} to {plan.size}",
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Return the versions of fastrestore and of the libraries that have a part in a film, where they are installed."""
    found = {"fastrestore": __version__}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _networks(plan: WorkPlan, options: FilmOptions, frames: Frames) -> Iterator[Network]:
    seen = set()
    for spec in plan.chain:  # a network may run twice, one after the other
        if spec.name not in seen:
            seen.add(spec.name)
            yield Network.of(spec, "restore")
    if plan.motion is not None and len(frames.synthesised):
        yield Network.of(plan.motion, "motion")
    if options.colorize:
        yield Network.of(find(options.colorize.partition(",")[0].strip()), "colour")
    if (settings := faces_of(options)) is not None:
        yield Network.of(settings.network(), "faces")
        yield Network.of(settings.finder(), "detect")


def _stages(options: FilmOptions, shots: Sequence[Mapping[str, Any]]) -> Iterator[StageRecord]:
    words = {field.name: getattr(options, field.name) for field in fields(options)}
    for stage, names in _STAGES.items():
        asked = {name: words[name] for name in names if words.get(name)}
        if asked:
            told = ", ".join(_word(name, value, alone=len(names) == 1) for name, value in asked.items())
            yield StageRecord(stage, told, tuple(_of_stage(stage, shots)))


def _word(name: str, value: str | bool | tuple[str, ...], *, alone: bool) -> str:
    text = " ".join(value) if isinstance(value, tuple) else "" if value is True else str(value)
    return text if alone else f"{name.replace('_', '-')} {text}".strip()


def _of_stage(stage: str, shots: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what a stage did to each shot that it did something to."""
    for shot in shots:
        numbers = {name: value for name, value in shot.items() if name.partition(".")[0] == stage and "." in name}
        if numbers:
            yield {**{name: shot[name] for name in _OF_EVERY_SHOT if name in shot}, **numbers}


def _colour(options: FilmOptions, shots: Sequence[Mapping[str, Any]]) -> ColourRecord:
    """Return whose colours a film has: a shot whose colours come from the film itself is not coloured."""
    examples = " ".join(options.color_from)
    how = ", ".join(filter(None, (examples, options.colorize)))
    if not how:
        return ColourRecord()
    coloured = [shot for shot in _of_stage("colour", shots) if shot.get("colour.from") != "film"]
    if not coloured:
        return ColourRecord(how=how)
    invented = Invented.ALL if len(coloured) == len(shots) else Invented.PART
    return ColourRecord(invented, how, tuple(coloured))
