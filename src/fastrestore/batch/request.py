"""From what a user asks for to the files of a batch: each with its output and its options, checked as far as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from fastrestore.batch.inputs import Input, find_inputs
from fastrestore.batch.jobfile import JobFile, Rule
from fastrestore.batch.outcome import Item
from fastrestore.batch.outputs import CONTAINER_NAMES, name_outputs, require_distinct, require_no_input, suffix_of
from fastrestore.batch.settings import Value, options_from
from fastrestore.config import ConvertOptions
from fastrestore.errors import UsageError
from fastrestore.models.catalog import find, motion_model, restoration_chain
from fastrestore.runtime.credentials import require_signable
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.media.containers import require_fit
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.signing_key import SigningKey
from fastrestore.runtime.treatments.colour.example import ExampleWord
from fastrestore.runtime.treatments.colour.guess import GuessSettings
from fastrestore.runtime.treatments.faces.settings import faces_of
from fastrestore.runtime.treatments.table import asked_for


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    words: Sequence[str]
    """The inputs, as given."""
    output: Path
    """The folder of the outputs."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """The options that were given, by name, `container` among them."""
    jobs: JobFile = field(default_factory=JobFile)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a request comes to."""

    items: tuple[Item, ...]
    left_out: tuple[Path, ...]
    """Films in folders that this program has made."""
    unmatched: tuple[str, ...]
    """Patterns of the job file that no film matches."""


def prepare(request: Request) -> Prepared:
    """Return the files of a batch. Nothing is written, and of the films themselves nothing is read.

    An option is what the last of these says: the job file's defaults, the command line, the job file's rules for the
    film.

    Raises:
        UsageError: If there is no file, an option cannot be met by any film, or two outputs would get one name.
        FastRestoreError: If an output cannot be what it is asked to be, or what is to run is not there.
    """
    inputs = find_inputs(request.words, request.output)
    pairs = [(each, request.jobs.rule_for(each.path)) for each in inputs.files]
    pairs = [(each, rule) for each, rule in pairs if not rule.skip]
    if not pairs:
        raise UsageError("the job file skips every film", "leave out a `skip`")
    outputs = _outputs(request, pairs)
    options = _options(request, [rule for _, rule in pairs])
    items = [
        Item(index, each.path, output, chosen)
        for index, ((each, _), output, chosen) in enumerate(zip(pairs, outputs, options, strict=True))
    ]
    _check(items)
    matched = {rule.match for rule in request.jobs.rules if any(rule.matches(each.path) for each in inputs.files)}
    unmatched = [rule.match for rule in request.jobs.rules if rule.match not in matched]
    return Prepared(tuple(items), inputs.left_out, tuple(unmatched))


def _values(request: Request, rule: Rule) -> dict[str, Value]:
    return {**request.jobs.defaults, **request.values, **rule.values}


def _options(request: Request, rules: Sequence[Rule]) -> list[ConvertOptions]:
    """Return the options of every film; those of films without a rule of their own are one object."""
    made: dict[tuple[tuple[str, Value], ...], ConvertOptions] = {}
    chosen = []
    for rule in rules:
        values = _values(request, rule)
        values.pop("container", None)
        key = tuple(sorted(rule.values.items(), key=lambda pair: pair[0]))
        chosen.append(made[key] if key in made else made.setdefault(key, options_from(values)))
    return chosen


def _outputs(request: Request, pairs: Sequence[tuple[Input, Rule]]) -> list[Path]:
    """Return where outputs go: where the job file says so, else where they are named after their inputs."""
    suffixes = [suffix_of(str(_values(request, rule).get("container", CONTAINER_NAMES[0]))) for _, rule in pairs]
    usual = [index for index, (_, rule) in enumerate(pairs) if rule.output is None]
    names = name_outputs([pairs[index][0] for index in usual], request.output, [suffixes[index] for index in usual])
    named = dict(zip(usual, names, strict=True))
    outputs = [
        named[index] if rule.output is None else request.output / rule.output for index, (_, rule) in enumerate(pairs)
    ]
    require_distinct(outputs, {path: each.path for (each, _), path in zip(pairs, outputs, strict=True)})
    require_no_input(outputs, [each.path for each, _ in pairs])
    return outputs


def _check(items: Sequence[Item]) -> None:
    """Refuse what no film could be converted with, before the first of them takes its hours.

    Raises:
        FastRestoreError: If there is such an option.
    """
    for options in {id(item.options): item.options for item in items}.values():
        find_encoder(options.encode)
        motion_model(options.vfi)
        restoration_chain(options.sr, Fraction(2))
        asked_for(options.film)
        if options.backend != "auto":
            choose_backend(options.backend)
        _check_named(options)
        if options.start is not None and options.end is not None and options.end <= options.start:
            raise UsageError(
                f"the range from {float(options.start)} s to {float(options.end)} s is empty",
                "give `--end` after `--start`",
            )
    checked: set[tuple[str, str]] = set()
    for item in items:
        if item.options.c2pa:
            require_signable(item.output)
        kind = (item.output.suffix.lower(), item.options.encode.codec)
        if kind not in checked:
            require_fit(item.output, item.options.encode.codec, find_encoder(item.options.encode).name)
            checked.add(kind)


def _check_named(options: ConvertOptions) -> None:
    """Refuse options that name what is not there: files, networks, a key.

    Raises:
        FastRestoreError: If one does.
    """
    if options.audio is not None and not options.audio.is_file():
        raise UsageError(f"there is no soundtrack {options.audio}", "check `--audio`")
    for words in options.film.color_from:
        if not (path := ExampleWord.parse(words).path).is_file():
            raise UsageError(f"there is no coloured frame {path}", "check `--color-from`")
    if options.film.colorize:
        find(GuessSettings.parse(options.film.colorize).model)
    if (faces := faces_of(options.film)) is not None:
        faces.network()
        faces.finder()
    if options.c2pa:
        SigningKey.load(options.c2pa)
