"""What a run will do, decided before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from types import MappingProxyType

from fastrestore.config import ConvertOptions, FilmOptions, Plan, cpu_count
from fastrestore.errors import UsageError
from fastrestore.frames import Colour, Matrix, PixelFormat, Siting, StreamInfo
from fastrestore.geometry import Size
from fastrestore.models.catalog import motion_model, restoration_chain
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.card_media import require_decodable
from fastrestore.runtime.media.encoders import find_encoder, output_format, require_size
from fastrestore.runtime.motion_network import network_grid
from fastrestore.runtime.restorer import network_tiles

_LIBRARY_BYTES = 300 << 20
_PICTURES_AHEAD = 12
_ENCODER_PICTURES = 100
"""What x264 was seen to hold at its default preset: those it looks ahead at, in two sizes, and references."""


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


def describe(
    plan: WorkPlan, options: ConvertOptions, expected: int | None, largest: Mapping[str, Size] = MappingProxyType({})
) -> dict[str, str]:
    """Return the plan in words, as shown before the work starts.

    Args:
        plan: The plan.
        options: What it was made from.
        expected: Output frames, if the source's header tells.
        largest: The largest inputs of engines that have one, by model.

    Raises:
        UsageError: If the tile asked for is too small for a network.
    """
    source = plan.source
    span = "" if source.duration is None else f", {float(source.duration):.2f} s"
    count = "" if source.frame_count is None else f", {source.frame_count} frames"
    frames = "" if expected is None else f", {expected} frames"
    encoder = find_encoder(options.encode)
    crf = encoder.crf if options.encode.crf is None else options.encode.crf
    quality = "lossless" if crf is None else f"quality {crf}, preset {options.encode.preset or encoder.preset}"
    source_rate = _rate(source.rate, "varying rate")
    lines = {
        "source": f"{source.size} {source.format.name}, {_colour(source.colour)}, {source_rate}{count}{span}",
        "target": f"{plan.size} {plan.format.name}, {_rate(plan.rate)}{frames}",
        "film": _film(options.film),
        "restore": _chain(plan),
        "tiles": _tiles(plan, options.tile, largest),
        "motion": "none: the source's own instants" if plan.motion is None else _motion(plan),
        "work": _work(plan),
        "encode": f"{options.encode.codec}, {quality}",
        "memory": f"about {needed_bytes(plan, options.tile) / (1 << 30):.1f} GiB",
    }
    return {key: value for key, value in lines.items() if value}


def make_plan(source: StreamInfo, options: ConvertOptions) -> WorkPlan:
    """Decide what a run will do.

    Raises:
        UsageError: If an option cannot be met with this source.
    """
    find_encoder(options.encode)
    size = options.to.apply(source.size, source.pixel_aspect, source.rotation)
    rate = options.fps.apply(source.rate)
    layout = output_format(source, size, options.encode)
    require_size(options.encode, size, layout)
    motion = motion_model(options.vfi)
    chain = restoration_chain(options.sr, factor_between(source.size, size))
    require_decodable(source, options, restored=bool(chain))
    plan = WorkPlan(
        source, size, layout, output_colour(source), rate, chain, motion if rate is not None else None, options.plan
    )
    if options.max_memory is not None and (needed := needed_bytes(plan, options.tile)) > options.max_memory:
        raise UsageError(
            f"this needs about {needed >> 20} MiB of memory, and `--max-memory` allows {options.max_memory >> 20}",
            "use a smaller `--to` or `--tile`, or allow more",
        )
    return plan


def needed_bytes(plan: WorkPlan, tile: int | None) -> int:
    """Return about how much memory a run needs: pictures on their way, the encoder's own, networks and libraries."""
    source, coded = plan.source.size, plan.size
    samples = 3 if plan.format.chroma_shift == (0, 0) else 2 if plan.format.chroma_shift == (1, 0) else 1.5
    picture = coded.pixels * samples * (1 if plan.format.bits == 8 else 2)
    largest, working, size = coded.pixels, 0, source
    for spec in plan.chain:
        cover = network_tiles(spec, size, tile)
        working = max(working, cover.tile.pixels * spec.working_bytes_per_px)
        size = size.times(spec.scale)
        largest = max(largest, size.pixels)
    on_the_way = 2 * cpu_count() + _PICTURES_AHEAD
    return round(_LIBRARY_BYTES + picture * (on_the_way + _ENCODER_PICTURES) + 2 * 3 * 4 * largest + working)


def factor_between(source: Size, target: Size) -> Fraction:
    """Return the enlargement, along the side that grows more."""
    return max(Fraction(target.width, source.width), Fraction(target.height, source.height))


def output_colour(source: StreamInfo) -> Colour:
    """Return the colour in which the output is stored: the source's, or BT.709 limited for an RGB source."""
    if source.format.kind == "rgb":
        return Colour(Matrix.BT709, False, Siting.LEFT, source.colour.primaries, source.colour.transfer)
    return source.colour


def _rate(rate: Fraction | None, without: str = "source instants") -> str:
    if rate is None:
        return without
    return f"{rate} fps" if rate.denominator == 1 else f"{rate} ({float(rate):.3f}) fps"


def _colour(colour: Colour) -> str:
    return f"{colour.matrix.name.replace('_NCL', '')} {'full' if colour.full_range else 'limited'} range"


def _chain(plan: WorkPlan) -> str:
    if not plan.restores:
        return "none: pictures keep their size"
    reached = plan.source.size
    for spec in plan.chain:
        reached = reached.times(spec.scale)
    words = [f"{spec.name} (x{spec.scale})" for spec in plan.chain]
    if reached != plan.size:
        shrinks = reached.width >= plan.size.width and reached.height >= plan.size.height
        words.append(f"{'area mean' if shrinks else 'Lanczos'} from {reached} to {plan.size}")
    return ", then ".join(words) or "repacking only"


def _film(film: FilmOptions) -> str:
    """Say which stages for old film there are, with their words."""
    words = [(field.name.replace("_", "-"), getattr(film, field.name)) for field in fields(film)]
    told = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in words if value}
    return "; ".join(name if value is True else f"{name} {value}" for name, value in told.items())


def _tiles(plan: WorkPlan, tile: int | None, largest: Mapping[str, Size]) -> str:
    size, words = plan.source.size, []
    for spec in plan.chain:
        cover = network_tiles(spec, size, tile, largest=largest.get(spec.name))
        words.append("whole picture" if len(cover) == 1 else f"{len(cover)} of {cover.tile}, halo {cover.halo_px} px")
        size = size.times(spec.scale)
    return "; ".join(words)


def _motion(plan: WorkPlan) -> str:
    assert plan.motion is not None
    at, how = {
        Plan.GUIDED: (plan.source.size, "restored neighbours are warped"),
        Plan.UPSCALE_FIRST: (plan.size, "found on and applied to restored frames"),
        Plan.INTERPOLATE_FIRST: (plan.source.size, "every output frame is restored"),
    }[plan.order]
    return f"{plan.motion.name} at {at}{_motion_network(plan.motion, at)}; {plan.order.value}: {how}"


def _motion_network(spec: ModelSpec, size: Size) -> str:
    """Say how much smaller than the pictures a network's own grid is, and how often it runs."""
    if spec.classical:
        return ""
    shrink = network_grid(spec, size).shrink
    reduced = f" reduced to 1/{shrink}" if shrink > 1 else ""
    return f"{reduced}, {'one run per frame between' if spec.any_instant else 'two runs per pair'}"


def _work(plan: WorkPlan) -> str:
    runs, words = plan.runs_per_second, []
    if plan.chain:
        words.append("one restoration per source frame" if runs is None else f"{float(runs):g} restorations")
    if plan.rate is not None:
        words.append(f"{float(plan.rate):g} output frames")
    return ", ".join(words) + " per second of film" if words else ""
