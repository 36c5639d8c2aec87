"""How much each stage of a conversion has to do, in millions of pixels, and the way in which it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction

from fastrestore.config import ConvertOptions, FilmOptions, Plan
from fastrestore.runtime.media.encoders import find_encoder
from fastrestore.runtime.plan import WorkPlan
from fastrestore.runtime.restorer import network_tiles


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run does, in pictures."""

    source: int
    output: int
    restored: int
    synthesized: int

    @property
    def pictures(self) -> int:
        """Source pictures that the output shows."""
        return min(self.source, self.output)


def way(plan: WorkPlan, options: ConvertOptions) -> dict[str, str]:
    """Return what the speed of a conversion hangs on beside the sizes of its pictures; all of it in words."""
    encoder, encode = find_encoder(options.encode), options.encode
    crf = encoder.crf if encode.crf is None else encode.crf
    return {
        "restore": "+".join(spec.name for spec in plan.chain) or ("resampling" if plan.restores else "nothing"),
        "motion": "nothing" if plan.motion is None else plan.motion.name,
        "order": plan.order.value,
        "backend": options.backend,
        "tile": "auto" if options.tile is None else str(options.tile),
        "threads": str(options.threads),
        "film": _film(options.film),
        "codec": encode.codec,
        "crf": "lossless" if crf is None else str(crf),
        "preset": encode.preset or encoder.preset or "none",
        "format": plan.format.name,
        "verify": "yes" if options.verify else "no",
    }


def work_mpx(plan: WorkPlan, counts: Counts, options: ConvertOptions) -> dict[str, float]:
    """Return what each stage handles, in millions of pixels.

    Those of the networks' inputs for `restore`, tiles and their halos included; of the pictures that motion is found
    on for `motion`; of the source for `decode` and `treat`; of the output for all others.
    """
    source, output = plan.source.size.pixels, plan.size.pixels
    found = {
        "decode": counts.source * source,
        "motion": counts.source * (output if plan.order is Plan.UPSCALE_FIRST else source) if plan.motion else 0,
        "treat": counts.source * source if options.film else 0,
        "restore": counts.restored * _restored_px(plan, options.tile),
        "synthesize": counts.synthesized * (source if plan.order is Plan.INTERPOLATE_FIRST else output),
        "encode": counts.output * output,
        "verify": counts.output * output,
    }
    return {stage: pixels / 1e6 for stage, pixels in found.items()}


def expected_counts(plan: WorkPlan, output: int, source_rate: Fraction | None = None) -> Counts:
    """Return what a film will take whose every frame moves.

    Args:
        plan: The plan.
        output: Output frames.
        source_rate: Frames a second of a source that does not tell; unused where it does.
    """
    rate = plan.source.rate or source_rate or plan.rate or Fraction(24)
    if plan.rate is None:
        return Counts(output, output, output if plan.restores else 0, 0)
    seconds = output / plan.rate
    source = max(round(seconds * rate), 1)
    alone = round(seconds * rate / (plan.rate / rate).denominator)
    synthesized = max(output - alone, 0)
    if not plan.restores:
        restored = 0
    elif plan.order is Plan.INTERPOLATE_FIRST:
        restored = output
    else:
        restored = min(source, 2 * output)
    return Counts(source, output, restored, synthesized)


def _film(asked: FilmOptions) -> str:
    """Return the stages for old film; whose colours are taken does not matter."""
    words = asdict(asked) | {"color_from": "yes" if asked.color_from else ""}
    return ", ".join(f"{stage} {word}" for stage, word in words.items() if word) or "nothing"


def _restored_px(plan: WorkPlan, tile: int | None) -> int:
    if not plan.chain:
        return plan.size.pixels
    pixels, size = 0, plan.source.size
    for spec in plan.chain:
        cover = network_tiles(spec, size, tile)
        pixels += len(cover) * cover.tile.pixels
        size = size.times(spec.scale)
    return pixels
