"""Sizes and rectangles in pixels: pure arithmetic, no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """A width and a height in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"size must be at least 1x1, got {self.width}x{self.height}")

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def transposed(self) -> Size:
        """The same size lying on its side."""
        return Size(self.height, self.width)

    def times(self, factor: int) -> Size:
        """Return this size multiplied by a whole factor."""
        return Size(self.width * factor, self.height * factor)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle: columns `x0 <= x < x1`, rows `y0 <= y < y1`, in pixels."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"rectangle is empty: {self}")

    @property
    def size(self) -> Size:
        """Width and height."""
        return Size(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that cut this rectangle out of an `(H, W)` array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def times(self, factor: int) -> Rect:
        """Return the same rectangle on a grid `factor` times finer."""
        return Rect(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)

    def moved(self, dx: int, dy: int) -> Rect:
        """Return this rectangle moved by `(dx, dy)` pixels."""
        return Rect(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)


def even(value: Fraction | float) -> int:
    """Return the even whole number nearest to `value`, at least 2."""
    return max(2, 2 * round(Fraction(value) / 2))


def fit_inside(size: Size, box: Size, pixel_aspect: Fraction) -> Size:
    """Return the largest even size with the shape of `size` that is shown inside `box`.

    Args:
        size: Coded size of the source.
        box: Largest shown size.
        pixel_aspect: Width of a pixel over its height; it is the same in the result.
    """
    shown_width = size.width * pixel_aspect
    factor = min(box.width / shown_width, Fraction(box.height, size.height))
    return scaled(size, factor)


def scaled(size: Size, factor: Fraction) -> Size:
    """Return `size` times `factor`, rounded to even dimensions."""
    return Size(even(size.width * factor), even(size.height * factor))
