"""Forecasts: lists and fleets from TOML, and figures that follow from them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip
from tests.unit.bench.planning_samples import WAY, measured

from fastrestore.bench.catalogue import read_films
from fastrestore.bench.document import to_json
from fastrestore.bench.fleet import Guesses, MeasuredSpeed, StatedSpeed, read_fleet, this_machine
from fastrestore.bench.forecast import Range, forecast
from fastrestore.bench.rates import Rates, rates_of
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target
from fastrestore.errors import DecodeError, UsageError
from fastrestore.geometry import Size

OPTIONS = ConvertOptions(
    to=Target.parse("x2"), fps=RateTarget.parse("50"), sr="film-x2-tiny", encode=EncodeOptions("x264", 18, "medium")
)
FILMS = """
[[film]]
name = "Reels"
count = 4
duration = "1:20"
size = "720x576"
fps = "25"
source_mbit_per_s = 8
"""
FLEET = """
[world]
storage_mb_per_s = 500
spread = 0.2
[[machine]]
kind = "measured"
count = 2
workers = 3
rates = "rates.json"
price_per_hour = 2
losses_per_hour = 0.1
back_after_s = 60
[[machine]]
kind = "stated"
mpx_per_s = { decode = 100, motion = 20, restore = 10, synthesize = 100, encode = 50, verify = 100 }
"""


def rates() -> list[Rates]:
    return rates_of(measured(), "x")


def write(folder: Path, **contents: str) -> dict[str, Path]:
    paths = {name: folder / f"{name}.toml" for name in contents}
    for name, text in contents.items():
        paths[name].write_text(text, encoding="utf-8")
    (folder / "rates.json").write_text(to_json(measured()), encoding="utf-8")
    return paths


def test_a_list_tells_of_films(tmp_path: Path) -> None:
    (films,) = read_films([write(tmp_path, films=FILMS)["films"]], OPTIONS)
    assert (films.name, films.count, films.seconds) == ("Reels", 4, Fraction(80))
    assert (films.info.size, films.info.rate) == (Size(720, 576), Fraction(25))
    assert films.source_bytes == 80e6


def test_a_video_is_looked_at(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, Clip(frames=16, size=Size(64, 48), rate=Fraction(8)))
    (films,) = read_films([clip], OPTIONS)
    assert (films.name, films.count, films.seconds, films.info.size) == ("clip.mp4", 1, Fraction(2), Size(64, 48))
    assert films.source_bytes == clip.stat().st_size
    with pytest.raises(DecodeError):
        read_films([tmp_path / "none.mp4"], OPTIONS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count = 4", "cuont = 4", "film 1: unknown key `cuont`"),
        ('"1:20"', '"0"', "nothing to convert"),
        ('"25"', '"source"', "wanted frames a second"),
        ('fps = "25"', "", "`fps` is missing"),
        ('"720x576"', '"big"', "size `big`"),
        ("[[film]]", "[[films]]", "unknown key `films`"),
        ("count = 4", 'format = "nv12"', "unknown `format`"),
        (FILMS, "", "tells of no film"),
    ],
)
def test_lists_are_read_strictly(old: str, new: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_films([write(tmp_path, films=FILMS.replace(old, new))["films"]], OPTIONS)


def test_a_fleet_tells_of_machines(tmp_path: Path) -> None:
    fleet = read_fleet(write(tmp_path, fleet=FLEET)["fleet"], [])
    first, second = fleet.machines
    assert (first.kind, first.count, first.workers, first.back_after_s, second.back_after_s) == (
        "measured",
        2,
        3,
        60.0,
        None,
    )
    assert fleet.workers == 7
    assert (fleet.world.storage_bytes_per_s, fleet.world.spread) == (5e8, 0.2)
    assert isinstance(fleet.speeds[0], MeasuredSpeed)
    assert isinstance(fleet.speeds[1], StatedSpeed)
    assert fleet.speeds[1].seconds(WAY, {"restore": 50.0, "encode": 100.0, "motion": 0.0}) == 5.0
    with pytest.raises(UsageError, match="does not tell of treat"):
        fleet.speeds[1].seconds(WAY, {"treat": 1.0})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("spread = 0.2", "spred = 0.2", "unknown key `spred`"),
        ("count = 2", "count = 0", "machine 1: `count` is 0"),
        ('rates = "rates.json"', "", "how fast it is, is not known"),
        ('rates = "rates.json"', 'rates = "none.json"', "cannot be read"),
        ("mpx_per_s", "speed = 2\nmpx_per_s", "`mpx_per_s` beside"),
        ("encode = 50", "encoed = 50", "unknown key `encoed`"),
        ('"stated"', '"measured"', "two tables tell of one kind"),
        (FLEET, "[world]", "tells of no machine"),
        ("[world]", "[wrold]", "unknown key `wrold`"),
    ],
)
def test_fleets_are_read_strictly(old: str, new: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        read_fleet(write(tmp_path, fleet=FLEET.replace(old, new))["fleet"], [])


def test_one_machine_takes_what_its_rates_say(tmp_path: Path) -> None:
    films = read_films([write(tmp_path, films=FILMS)["films"]], OPTIONS)
    found = forecast(films, OPTIONS, this_machine(rates()), seeds=3)
    (cost,) = found.films
    assert (cost.count, cost.target, cost.segments) == (4, "1440x1152 at 50 fps", 10)
    assert cost.output_bytes == pytest.approx(rates()[0].output_bytes(2000, 1440 * 1152 / 1e6))
    low, high = found.wall_s.p10 / (4 * cost.worker_s[0]), found.wall_s.p90 / (4 * cost.worker_s[0])
    assert 0.7 < low <= high < 1.3
    assert found.efficiency.p50 == pytest.approx(1.0)
    assert found.cost == Range(0.0, 0.0, 0.0)


def test_a_fleet_is_played_several_times(tmp_path: Path) -> None:
    paths = write(tmp_path, films=FILMS, fleet=FLEET)
    plays: list[int] = []
    films, fleet = read_films([paths["films"]], OPTIONS), read_fleet(paths["fleet"], [])
    found = forecast(films, OPTIONS, fleet, 5, plays.append)
    assert plays == [0, 1, 2, 3, 4]
    assert found == forecast(films, OPTIONS, fleet, 5)
    assert found.wall_s.p10 < found.wall_s.p50 < found.wall_s.p90
    assert found.wall_s.p50 < forecast(films, OPTIONS, this_machine(rates()), 5).wall_s.p50
    assert found.cost.p50 == pytest.approx(2 * found.machine_hours["measured"].p50)
    assert found.moved_bytes.p10 >= 4 * 80e6  # all sources, at least


def test_many_segments_are_played_in_bundles_to_the_same_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = read_films([write(tmp_path, films=FILMS.replace("1:20", "1:20:00"))["films"]], OPTIONS)
    one = forecast(films, OPTIONS, this_machine(rates()), seeds=3)
    monkeypatch.setattr("fastrestore.bench.forecast._MOST_TASKS", 300)
    bundled = forecast(films, OPTIONS, this_machine(rates()), seeds=3)
    assert (one.bundle, bundled.bundle) == (1, 8)
    assert bundled.wall_s.p50 == pytest.approx(one.wall_s.p50, rel=0.01)
    assert bundled.output_bytes.p50 == pytest.approx(one.output_bytes.p50, rel=0.01)


def test_sizes_can_be_stated(tmp_path: Path) -> None:
    text = FLEET.replace("spread = 0.2", "bits_per_px = 0.5\nsize_spread = 0").replace('rates = "rates.json"', "")
    text = text[: text.index("[[machine]]")] + text[text.rindex("[[machine]]") :]
    paths = write(tmp_path, films=FILMS, fleet=text)
    fleet = read_fleet(paths["fleet"], [])
    assert fleet.guesses == Guesses(bits_per_px=0.5, size_spread=0.0)
    found = forecast(read_films([paths["films"]], OPTIONS), OPTIONS, fleet, 1)
    assert found.output_bytes.p50 == pytest.approx(4 * 0.5 * 2000 * 1440 * 1152 / 8)


def test_what_was_not_measured_is_refused(tmp_path: Path) -> None:
    films = read_films([write(tmp_path, films=FILMS)["films"]], OPTIONS)
    with pytest.raises(UsageError, match="preset medium"):
        forecast(films, OPTIONS, this_machine([]), 1)


def test_ranges_are_interpolated() -> None:
    assert Range.of([5.0]) == Range(5.0, 5.0, 5.0)
    assert Range.of([float(value) for value in range(11)]) == Range(1.0, 5.0, 9.0)
