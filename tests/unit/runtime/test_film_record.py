"""The record of a run: from its plan, its options and what its stages told."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from fastrestore import __version__
from fastrestore.config import FilmOptions, Plan
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.runtime.film_record import record_of
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.provenance import Frames, Invented, Provenance

PLAN = WorkPlan(
    source=StreamInfo(Size(64, 48), FORMATS["yuv420p"], Colour(), Fraction(24)),
    size=Size(256, 192),
    format=FORMATS["yuv420p"],
    colour=Colour(),
    rate=Fraction(60),
    chain=(find("film-x2-tiny"), find("film-x2-tiny")),
    motion=find("dis"),
    order=Plan.GUIDED,
)
FRAMES = Frames(10, FrameSet.from_flags([k % 5 > 0 for k in range(10)]), "dis", rate=Fraction(60))
SHOTS = (
    {"shot": 0, "begin_s": 0.0, "frames": 2, "clean.repaired_px": 12.0, "colour.from": "hand.png", "colour.trust": 0.9},
    {"shot": 1, "begin_s": 0.1, "frames": 2, "colour.from": "film"},
)


def made(options: FilmOptions, shots: tuple[dict[str, Any], ...] = SHOTS, plan: WorkPlan = PLAN) -> Provenance:
    return record_of(plan, options, shots, FRAMES, settings={"order": "guided"}, source={"name": "reel.mkv"})


def test_networks_and_sizes_are_those_of_the_plan() -> None:
    record = made(FilmOptions())
    assert [(network.name, network.role) for network in record.networks] == [
        ("film-x2-tiny", "restore"),
        ("dis", "motion"),
    ]
    assert record.enlarged == "64x48 to 256x192"
    assert record.versions["fastrestore"] == __version__
    assert "numpy" in record.versions
    assert record.stages == ()
    assert record.colour.invented is Invented.NONE
    assert record.learned


def test_what_was_not_used_is_not_told() -> None:
    plain = replace(PLAN, chain=(), size=PLAN.source.size)
    record = record_of(plain, FilmOptions(), (), Frames(4), settings={}, source={})
    assert record.networks == ()
    assert record.enlarged == ""
    assert not record.invents


def test_stages_are_told_in_their_order_with_their_shots() -> None:
    record = made(FilmOptions(grain="keep", clean="high", deinterlace="auto", detelecine=True))
    assert [(stage.name, stage.words) for stage in record.stages] == [
        ("fields", "deinterlace auto, detelecine"),
        ("clean", "high"),
        ("grain", "keep"),
    ]
    assert record.stages[1].shots == ({"shot": 0, "begin_s": 0.0, "frames": 2, "clean.repaired_px": 12.0},)


@pytest.mark.parametrize(
    ("sources", "invented"),
    [
        (("hand.png", "film"), Invented.PART),
        (("hand.png", "hand.png"), Invented.ALL),
        (("film", "film"), Invented.NONE),
    ],
)
def test_colour_is_invented_where_it_does_not_come_from_the_film(sources: tuple[str, ...], invented: Invented) -> None:
    shots = tuple({**shot, "colour.from": source} for shot, source in zip(SHOTS, sources, strict=True))
    record = made(FilmOptions(color_from=("hand.png@2.5",)), shots)
    assert record.colour.invented is invented
    assert record.colour.how == "hand.png@2.5"
    assert len(record.colour.shots) == sources.count("hand.png")
    assert all(shot["colour.from"] == "hand.png" for shot in record.colour.shots)
