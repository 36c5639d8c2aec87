"""One line on what limits a conversion, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastrestore.bench.stagetimes import StageTimes, fps_without
from fastrestore.config import ConvertOptions, Plan
from fastrestore.runtime.media.encoders import find_encoder

_BOUND = 0.75
"""A stage that is busy so much of the time sets the pace."""
_FULL = 0.85
_MUCH = 0.1


@dataclass(frozen=True, slots=True)
class Use:
    """What a run had of the machine."""

    wall_s: float
    cpu_s: float
    """Processor time, all threads together."""
    cores: int
    others: float = 0.0
    """Share of the cores' time that other programs took."""

    @property
    def busy(self) -> float:
        """Share of the cores' time that the run took."""
        return self.cpu_s / self.wall_s / self.cores

    @property
    def cores_left(self) -> float:
        """Cores that other programs left to it; what it did use at the least."""
        return self.cores * max(1 - self.others, self.busy)


def verdict(
    stages: Mapping[str, StageTimes],
    use: Use,
    frames: int,
    options: ConvertOptions,
) -> str:
    """Return the verdict.

    Args:
        stages: Of the run.
        use: What it had of the machine.
        frames: Output frames.
        options: What was asked for.
    """
    if not stages:
        return "nothing was done"
    busiest = max(stages, key=lambda stage: stages[stage].busy_s)
    share, full = stages[busiest].share, use.busy
    name, advice = _name(busiest, options), _try(busiest, options)
    without = f"without it about {fps_without(stages, frames, use.cpu_s, use.cores_left)[busiest]:.1f} fps"
    others = f", other programs took {use.others:.0%} of the cores" if use.others > _MUCH else ""
    if share >= _BOUND:
        crowd = f" with all {use.cores} cores at {full:.0%}" if full >= _FULL else ""
        return f"{busiest}-bound: {name} takes {share:.0%} of the time{crowd}{others}; {without}; {advice}"
    if full + use.others >= _FULL:
        return (
            f"core-bound: {use.cores} cores are {full:.0%} busy with it{others}; no stage alone sets the pace, most "
            f"goes to {busiest} ({name}, {share:.0%}): {without}; {advice}"
        )
    return (
        f"bound by waiting: cores are {full:.0%} busy, the busiest stage ({name}) {share:.0%}; starting and finishing "
        "count here: measure a longer clip"
    )


def _name(stage: str, options: ConvertOptions) -> str:
    if stage == "encode":
        preset = options.encode.preset or find_encoder(options.encode).preset
        return " ".join(word for word in (options.encode.codec, preset) if word)
    return {"restore": f"restoring ({options.sr})", "motion": f"motion ({options.vfi})"}.get(stage, stage)


def _try(stage: str, options: ConvertOptions) -> str:
    """Return what makes a stage faster."""
    if stage == "encode":
        presets = find_encoder(options.encode).presets
        used = options.encode.preset or find_encoder(options.encode).preset
        if used in presets and used != "ultrafast" and "ultrafast" in presets:
            return "try `--preset ultrafast`, or a hardware encoder"
        return "try `--codec x264 --preset ultrafast`" if options.encode.codec != "x264" else "try a smaller `--to`"
    if stage == "restore":
        if options.plan is not Plan.GUIDED:
            return "try `--plan guided`, which restores every source frame once"
        return "try a smaller network (`--sr`), another `--backend`, or a smaller `--to`"
    advice = {
        "motion": "try `--vfi dis`" if options.vfi != "dis" else "try a lower `--fps`",
        "synthesize": "try a lower `--fps`, or a smaller `--to`",
        "verify": "try `--no-verify`",
        "treat": "try fewer stages for old film",
        "decode": "try a source that is easier to decode",
    }
    return advice.get(stage, "")
