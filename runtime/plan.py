"""What a run will do, decided before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fastrestore.config import ConvertOptions, Plan
from fastrestore.frames import Colour, Matrix, PixelFormat, Siting, StreamInfo
from fastrestore.geometry import Size
from fastrestore.models.catalog import motion_model, restoration_chain
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.media.encoders import find_encoder, output_format


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """Everything decided about one run."""

    source: StreamInfo
    size: Size
    """Coded output size."""
    format: PixelFormat
    colour: Colour
    rate: Fraction | None
    """Output frames a second, or None for the source's own instants."""
    chain: tuple[ModelSpec, ...]
    """Restoration networks, in order; empty means plain resampling or none."""
    motion: ModelSpec | None
    """None if nothing is interpolated."""
    order: Plan

    @property
    def factor(self) -> Fraction:
        """Enlargement along the longer side."""
        return factor_between(self.source.size, self.size)

    @property
    def restores(self) -> bool:
        """Whether pictures change before they are encoded."""
        return bool(self.chain) or (self.size, self.format) != (self.source.size, self.source.format)

    @property
    def runs_per_second(self) -> Fraction | None:
        """Restoration runs per second of film, or None where the source's rate is unknown."""
        if not self.chain or self.source.rate is None:
            return Fraction(0) if not self.chain else None
        if self.order is Plan.INTERPOLATE_FIRST and self.rate is not None:
            return self.rate
        return self.source.rate if self.rate is None else min(self.source.rate, 2 * self.rate)


def make_plan(source: StreamInfo, options: ConvertOptions) -> WorkPlan:
    """Decide what a run will do.

    Raises:
        UsageError: If an option cannot be met with this source.
    """
    find_encoder(options.encode)
    size = options.to.apply(source.size, source.pixel_aspect, source.rotation)
    rate = options.fps.apply(source.rate)
    layout = output_format(source, size, options.encode)
    motion = motion_model(options.vfi)
    chain = restoration_chain(options.sr, factor_between(source.size, size))
    return WorkPlan(
        source, size, layout, output_colour(source), rate, chain, motion if rate is not None else None, options.plan
    )


def factor_between(source: Size, target: Size) -> Fraction:
    """Return the enlargement, along the side that grows more."""
    return max(Fraction(target.width, source.width), Fraction(target.height, source.height))


def output_colour(source: StreamInfo) -> Colour:
    """Return the colour in which the output is stored: the source's, or BT.709 limited for an RGB source."""
    if source.format.kind == "rgb":
        return Colour(Matrix.BT709, False, Siting.LEFT, source.colour.primaries, source.colour.transfer)
    return source.colour
