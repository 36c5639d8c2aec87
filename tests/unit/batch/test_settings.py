"""Options by name: what the command line and job files can say."""

from __future__ import annotations

import inspect
from fractions import Fraction
from pathlib import Path

import pytest

from fastrestore.batch.settings import PRESET, SETTINGS, Value, auto_int, options_from
from fastrestore.cli.convert import convert
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, OnError, Plan, RateTarget, Target
from fastrestore.errors import UsageError
from fastrestore.geometry import Size

OF_THE_COMMAND = {
    "context", "inputs", "output", "container", "jobs", "skip_done", "retries", "fail_fast", "dry_run", "progress",
    "report", "workers", "ray",
}  # fmt: skip
"""Options that say nothing of how a film is converted."""


def test_every_option_of_the_command_is_known_by_its_name() -> None:
    options = set(inspect.signature(convert).parameters) - OF_THE_COMMAND
    assert {name.replace("-", "_") for name in (*SETTINGS, PRESET)} == options


def test_nothing_given_is_the_default() -> None:
    assert options_from({}) == ConvertOptions()


def test_everything_given() -> None:
    values: dict[str, Value] = {
        "to": "1080p", "fps": 30, "sr": "clean", "vfi": "dis", "backend": "onnxruntime", "plan": "upscale-first",
        "codec": "x265", "crf": 20, "preset": "fast", "bit-depth": 10, "audio": "song.wav", "tile": "auto",
        "start": 1.5, "end": "1:02", "threads": 2, "keep-holds": True, "overwrite": True, "on-error": "fail",
        "max-memory": "2G", "restart": True, "verify": False,
    }  # fmt: skip
    assert set(values) <= set(SETTINGS)
    assert options_from(values) == ConvertOptions(
        to=Target(box=Size(1920, 1080)),
        fps=RateTarget(Fraction(30)),
        sr="clean",
        backend="onnxruntime",
        plan=Plan.UPSCALE_FIRST,
        encode=EncodeOptions("x265", 20, "fast", 10),
        audio=Path("song.wav"),
        start=Fraction(3, 2),
        end=Fraction(62),
        threads=2,
        keep_holds=True,
        overwrite=True,
        on_error=OnError.FAIL,
        max_memory=2 << 30,
        restart=True,
        verify=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("to", "huge", "target size `huge`"),
        ("to", True, "`to` is true: wanted words or a number"),
        ("crf", "18", "wanted a whole number"),
        ("crf", 18.5, "wanted a whole number"),
        ("threads", -1, "wanted 0 to 1024"),
        ("verify", "no", "wanted true or false"),
        ("on-error", "cry", "--on-error cry"),
        ("plan", "none", "unknown plan"),
        ("bit-depth", 9, "--bit-depth 9"),
        ("codecs", "x264", "unknown option `codecs`"),
    ],
)
def test_values_that_cannot_be_meant(name: str, value: Value, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options_from({name: value})


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UsageError) as caught:
        options_from({"bitdepth": 8})
    assert caught.value.hint.startswith("did you mean `bit-depth`? known: ")


def test_auto_or_a_number() -> None:
    assert auto_int("auto", "--tile") is None
    assert auto_int("64", "--tile") == 64
    for text in ("", "-1", "6.4", "1e3", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}"):
        with pytest.raises(UsageError, match="--tile"):
            auto_int(text, "--tile")
    with pytest.raises(UsageError) as caught:
        auto_int("9", "--bit-depth", (8, 10))
    assert caught.value.hint == "use `auto`, 8 or 10"


def test_stages_for_old_film() -> None:
    values: dict[str, Value] = {
        "deinterlace": "auto", "detelecine": True, "clean": "high", "color-from": ("a.png@2", "b.png"),
        "colorize": "off", "deflicker": "local", "steady": "fill,most=8", "grain": "keep",
    }  # fmt: skip
    film = FilmOptions("auto", True, "high", ("a.png@2", "b.png"), "", "local", "fill,most=8", "keep")
    assert options_from(values).film == film
    assert options_from({"color-from": "a.png"}).film == FilmOptions(color_from=("a.png",))
    assert options_from({"color-from": ("off",)}).film == options_from({"color-from": "off"}).film == FilmOptions()


def test_a_film_preset_gives_what_is_not_named() -> None:
    plain = options_from({"preset-film": "silent-1900"})
    named: dict[str, Value] = {"clean": "low", "steady": "off", "fps": 24}
    beaten = options_from({"preset-film": "silent-1900", **named})
    assert plain.film.steady and plain.film.clean != "low" and plain.film.grain
    assert (beaten.film.clean, beaten.film.steady, beaten.film.grain) == ("low", "", plain.film.grain)
    assert beaten.fps == RateTarget(Fraction(24))
    with pytest.raises(UsageError, match="no film preset `talkie`"):
        options_from({"preset-film": "talkie"})
