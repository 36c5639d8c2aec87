"""What a conversion is expected to do is what it does."""

from __future__ import annotations

from fractions import Fraction

import pytest

from fastrestore.bench.workload import Counts, expected_counts, way, work_mpx
from fastrestore.config import ConvertOptions, FilmOptions, Plan, RateTarget, Target
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.plan import WorkPlan, make_plan


def planned(fps: str, to: str = "x2", order: Plan = Plan.GUIDED, sr: str = "film-x2-tiny") -> WorkPlan:
    info = StreamInfo(Size(100, 60), FORMATS["yuv420p"], Colour(), Fraction(24), duration=Fraction(10))
    return make_plan(info, ConvertOptions(to=Target.parse(to), fps=RateTarget.parse(fps), sr=sr, plan=order))


@pytest.mark.parametrize(
    ("fps", "order", "counts"),
    [
        ("60", Plan.GUIDED, Counts(240, 600, 240, 480)),  # every fifth output instant is a source instant
        ("48", Plan.GUIDED, Counts(240, 480, 240, 240)),
        ("24", Plan.GUIDED, Counts(240, 240, 240, 0)),
        ("12", Plan.GUIDED, Counts(240, 120, 240, 0)),
        ("60", Plan.INTERPOLATE_FIRST, Counts(240, 600, 600, 480)),
        ("source", Plan.GUIDED, Counts(240, 240, 240, 0)),
    ],
)
def test_counts_follow_from_the_rates(fps: str, order: Plan, counts: Counts) -> None:
    plan = planned(fps, order=order)
    assert expected_counts(plan, int(10 * (plan.rate or 24))) == counts


def test_nothing_is_restored_where_pictures_stay_as_they_are() -> None:
    plan = planned("60", to="x1")
    assert expected_counts(plan, 600).restored == 0
    assert way(plan, ConvertOptions())["restore"] == "nothing"


def test_pixels_are_those_that_each_stage_handles() -> None:
    counts = Counts(240, 600, 240, 480)
    found = work_mpx(planned("60"), counts, ConvertOptions())
    source, output = 6000 / 1e6, 24000 / 1e6
    assert found["decode"] == pytest.approx(240 * source)
    assert found["motion"] == pytest.approx(240 * source)
    assert found["synthesize"] == pytest.approx(480 * output)
    assert found["encode"] == found["verify"] == pytest.approx(600 * output)
    assert found["restore"] >= 240 * source
    assert found["treat"] == 0
    tiled = work_mpx(planned("60"), counts, ConvertOptions(tile=32))
    assert tiled["restore"] > 1.2 * found["restore"]  # halos
    film = ConvertOptions(film=FilmOptions(clean="on", color_from=("a.png",)))
    assert work_mpx(planned("60"), counts, film)["treat"] == pytest.approx(240 * source)
    assert way(planned("60"), film)["film"] == "clean on, color_from yes"
    still = work_mpx(planned("source"), counts, ConvertOptions())
    assert still["motion"] == 0


def test_the_way_is_told_with_its_defaults_filled_in() -> None:
    found = way(planned("60", to="x4", sr="film"), ConvertOptions())
    assert found["restore"] == "film-x4-tiny"
    assert (found["motion"], found["codec"], found["tile"]) == ("dis", "x264", "auto")
    assert found["crf"].isdigit()
    assert found["preset"] != "none"
