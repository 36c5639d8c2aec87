from __future__ import annotations

from fractions import Fraction

import pytest

from fastrestore.config import RateTarget, Target, parse_time
from fastrestore.errors import UsageError
from fastrestore.geometry import Size

ONE = Fraction(1)


@pytest.mark.parametrize(
    ("text", "source", "aspect", "rotation", "wanted"),
    [
        ("4k", Size(640, 480), ONE, 0, Size(2880, 2160)),
        ("4K", Size(1920, 1080), ONE, 0, Size(3840, 2160)),
        ("1080p", Size(480, 640), ONE, 0, Size(1080, 1440)),  # portrait: the box stands up too
        ("1080p", Size(640, 480), ONE, 90, Size(1440, 1080)),  # shown upright, stored lying
        ("x2", Size(33, 21), ONE, 0, Size(66, 42)),
        ("x1.5", Size(100, 60), ONE, 0, Size(150, 90)),
        ("x3/2", Size(100, 60), ONE, 0, Size(150, 90)),
        ("x1", Size(33, 21), ONE, 0, Size(33, 21)),  # left alone, odd or not
        ("1920x1440", Size(640, 480), ONE, 0, Size(1920, 1440)),
        ("1000x1000", Size(640, 480), ONE, 0, Size(1000, 750)),
        ("4k", Size(720, 480), Fraction(32, 27), 0, Size(3240, 2160)),
    ],
)
def test_target(text: str, source: Size, aspect: Fraction, rotation: int, wanted: Size) -> None:
    assert Target.parse(text).apply(source, aspect, rotation) == wanted


@pytest.mark.parametrize("text", ["", "huge", "0x0", "x0", "x-2", "x1/0", "99999x10", "3840", "4kk", "10x", "x1e9"])
def test_impossible_targets_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.parse(text)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_target_beyond_every_encoder_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 16384"):
        Target.parse("x100").apply(Size(640, 480), ONE, 0)


@pytest.mark.parametrize(
    ("text", "source", "wanted"),
    [
        ("60", Fraction(24), Fraction(60)),
        ("60000/1001", Fraction(24), Fraction(60000, 1001)),
        ("59.94", Fraction(24), Fraction(60000, 1001)),
        ("23.976", None, Fraction(24000, 1001)),
        ("x2.5", Fraction(24), Fraction(60)),
        ("x2", Fraction(30000, 1001), Fraction(60000, 1001)),
        ("source", Fraction(24), None),
        ("12.5", None, Fraction(25, 2)),
    ],
)
def test_rate(text: str, source: Fraction | None, wanted: Fraction | None) -> None:
    assert RateTarget.parse(text).apply(source) == wanted


@pytest.mark.parametrize("text", ["", "0", "-1", "x0", "fast", "1001", "1/0", "x101", "60 fps"])
def test_impossible_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        RateTarget.parse(text)
    assert "--fps" in caught.value.hint


def test_rate_factor_needs_a_steady_source() -> None:
    with pytest.raises(UsageError, match="steady"):
        RateTarget.parse("x2").apply(None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", Fraction(25, 2)), ("1:02.5", Fraction(125, 2)), ("01:01:02", Fraction(3662)), ("0", Fraction(0))],
)
def test_parse_time(text: str, seconds: Fraction) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "-1", "1e3", ":5"])
def test_parse_time_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        parse_time(text)


def test_rate_factor_stays_within_the_limit() -> None:
    with pytest.raises(UsageError, match="wanted 1 to 1000"):
        RateTarget.parse("x50").apply(Fraction(24))
