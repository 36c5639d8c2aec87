from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrestore.geometry import Rect, Size, even, fit_inside, scaled


def test_size_refuses_nothing_and_less() -> None:
    for width, height in ((0, 1), (1, 0), (-3, 4)):
        with pytest.raises(ValueError, match="at least 1x1"):
            Size(width, height)


def test_rect_is_half_open() -> None:
    rect = Rect(2, 3, 10, 8)
    assert rect.size == Size(8, 5)
    assert rect.slices == (slice(3, 8), slice(2, 10))
    assert rect.times(4).size == Size(32, 20)
    with pytest.raises(ValueError, match="empty"):
        Rect(1, 1, 1, 2)


@given(st.fractions(min_value=0, max_value=20000))
def test_even_is_even_and_near(value: Fraction) -> None:
    result = even(value)
    assert result % 2 == 0
    assert result == 2 or abs(result - value) <= 1


@given(st.integers(2, 4000), st.integers(2, 4000), st.sampled_from([Fraction(1), Fraction(8, 9), Fraction(32, 27)]))
def test_fit_inside_keeps_the_shape_and_the_box(width: int, height: int, aspect: Fraction) -> None:
    box = Size(3840, 2160)
    fitted = fit_inside(Size(width, height), box, aspect)
    assert fitted.width * aspect <= box.width + aspect
    assert fitted.height <= box.height
    if min(fitted.width, fitted.height) > 64:
        assert fitted.width / fitted.height == pytest.approx(width / height, rel=0.04)


def test_known_targets() -> None:
    assert fit_inside(Size(640, 480), Size(3840, 2160), Fraction(1)) == Size(2880, 2160)
    assert fit_inside(Size(432, 320), Size(3840, 2160), Fraction(1)) == Size(2916, 2160)
    assert fit_inside(Size(720, 480), Size(3840, 2160), Fraction(32, 27)) == Size(3240, 2160)
    assert scaled(Size(427, 240), Fraction(2)) == Size(854, 480)
