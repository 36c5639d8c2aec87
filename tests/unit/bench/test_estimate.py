"""Estimates of one conversion, by rates that are kept."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.unit.bench.planning_samples import measured

from fastrestore.bench.estimate import duration_words, estimate, keep_rates, kept_rates, size_words
from fastrestore.bench.rates import rates_of
from fastrestore.bench.workload import expected_counts, way, work_mpx
from fastrestore.config import ConvertOptions, RateTarget, Target
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.cache.folder import FOLDER_VARIABLE
from fastrestore.runtime.plan import WorkPlan, make_plan

OPTIONS = ConvertOptions(to=Target.parse("x2"), fps=RateTarget.parse("50"), sr="film-x2-tiny")


def planned(options: ConvertOptions = OPTIONS) -> WorkPlan:
    info = StreamInfo(Size(720, 576), FORMATS["yuv420p"], Colour(), Fraction(25), duration=Fraction(100))
    return make_plan(info, options)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep rates for the options above in a folder of their own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    keep_rates([replace(rates_of(measured(), "x")[0], way=way(planned(), OPTIONS))])
    return tmp_path


@pytest.mark.usefixtures("kept")
def test_a_conversion_is_estimated_by_what_was_kept() -> None:
    found, rates = estimate(planned(), OPTIONS, 5000), kept_rates(way(planned(), OPTIONS))
    assert found is not None
    assert rates is not None
    work = work_mpx(planned(), expected_counts(planned(), 5000), OPTIONS)
    assert found.seconds == pytest.approx(rates.start_s + rates.steady_s(work))
    assert found.output_bytes == pytest.approx(rates.output_bytes(2500, 1440 * 1152 / 1e6))
    assert str(found).startswith("about ")
    assert str(found).endswith("(by rates of 2026-01-02)")


@pytest.mark.usefixtures("kept")
def test_nothing_is_guessed_for_another_way_or_an_unknown_length() -> None:
    assert estimate(planned(), replace(OPTIONS, threads=1), 5000) is None
    assert kept_rates({**way(planned(), OPTIONS), "crf": "40"}) is None
    assert kept_rates({**way(planned(), OPTIONS), "format": "gray"}) is not None
    assert estimate(planned(), OPTIONS, None) is None


def test_of_the_source_s_own_instants_length_and_rate_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    options = replace(OPTIONS, fps=RateTarget())
    plan = planned(options)
    keep_rates([replace(rates_of(measured(), "x")[0], way=way(plan, options))])
    whole, part = estimate(plan, options, None), estimate(plan, replace(options, end=Fraction(50)), None)
    assert whole is not None
    assert part is not None
    assert whole == estimate(plan, options, 2500)
    assert part == estimate(plan, options, 1250)


@pytest.mark.parametrize("content", ["{", "[]", '{"rates": 1}'])
def test_what_is_kept_but_damaged_is_measured_again(content: str, kept: Path) -> None:
    (path,) = (kept / "choices").iterdir()
    text = path.read_text(encoding="utf-8")
    start = text.index('"choice": ') + len('"choice": ')
    path.write_text(text[:start] + content + "}", encoding="utf-8")
    assert kept_rates(way(planned(), OPTIONS)) is None


def test_figures_in_words() -> None:
    assert [duration_words(s) for s in (5.4, 600, 7200, 864000)] == ["5 s", "10.0 min", "2.0 h", "10.0 days"]
    assert [size_words(b) for b in (5e6, 2.5e9, 1e12, 3e15)] == ["5 MB", "2.5 GB", "1.0 TB", "3.0 PB"]
