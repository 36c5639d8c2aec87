"""What is known of a shot's grain, from what a probe found in its frames.

Grain is what changes from each frame to the next where the picture does not: it is measured on the difference of two
frames, in those blocks that differ least, brightness by brightness. Blocks that an encoder repeated tell nothing, and
those that its transform blocks show through in tell the wrong thing: both are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.kernels.film_grain import BLOCK_PX, LAGS, Blocks, cut_blocks, lag_products, steps, unbiased
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Shot

F64: TypeAlias = NDArray[np.float64]
_Kept: TypeAlias = NDArray[np.bool_]

PROBE: Final = "grain/1"
BINS: Final = 8
"""Brightnesses that are told apart, over the range of the samples."""
LEAST_SIGMA: Final = 0.45
"""A weaker standard deviation, in 8-bit code values, is taken for coding noise, and the shot for one without grain."""
_ROUNDING: Final = 1 / 12  # variance that rounding to whole 8-bit samples adds
_PERIOD: Final = 7  # in step with no usual pattern of repeated frames
_LOOKS: Final = (0, 3)  # frames of each period that are looked at
_EVEN: Final = 1.6  # times the variance of the difference of two frames, halved: a block has no more without texture
_PLAIN: Final = 1.0  # variance of a block up to which it has neither texture nor grain to be seen
_CODING_STEP: Final = 2.2  # times the other steps: four standard deviations above what grain has by chance
_START: Final = 0.1  # quantile of variances from which a mode is climbed
_ABOVE: Final = 0.25  # quantile that is held against that
_ALIKE: Final = (
    2.2  # times it, at most: film as compressed as it usually comes has 1.3 to 2, fine texture in motion 2.5
)
_WIDEST: Final = 1.6  # times the mean variance of a mode's blocks: what is beyond it is no part of the mode
_NARROWEST: Final = 0.25
_STRONGEST: Final = 6.0  # times the variance at the usual brightness, at most
_ROUNDS: Final = 12
_LEAST_BLOCKS: Final = 8
_LEAST_SHARE: Final = 0.02  # of all blocks: what is seen in fewer is an accident
_CORRELATED_BLOCKS: Final = 96  # blocks of a frame that correlation is measured in
_DOUBT: Final = 32  # blocks of one brightness that weigh as much as the mean over all
_TRUSTED_BLOCKS: Final = 64  # a shot with as many is believed as much as the whole film

_COUNT = slice(1, 1 + BINS)
_SUM = slice(1 + BINS, 1 + 2 * BINS)
_PRODUCTS = slice(1 + 2 * BINS, 1 + 2 * BINS + len(LAGS))
_CORRELATED = _PRODUCTS.stop
_CHROMA = slice(_CORRELATED + 1, _CORRELATED + 4)
_SEEN = _CHROMA.stop
_WIDTH = _SEEN + 1


class GrainProbe:
    """Measures grain in two of seven frames.

    A row of its findings is 0 for frames not looked at. Else it holds whether it was measured in one picture, where a
    shot begins, for want of two; for each of `BINS` brightnesses the blocks that count, and the sum of their
    variances; the sum over some blocks of their products at `LAGS`, and how many these are; the blocks of chroma that
    count, and the sums of both planes' variances; the blocks that the frame has. All in 8-bit code values.
    """

    @property
    def name(self) -> str:
        """See `Probe.name`."""
        return PROBE

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """See `Probe.look`."""
        row = np.zeros(_WIDTH)
        if glimpse.previous is not None and glimpse.index % _PERIOD not in _LOOKS:
            return row.tolist()
        row[0] = float(glimpse.previous is None)
        _measure(_blocks(glimpse), row)
        row[_CHROMA] = _chroma(glimpse.picture)
        row[_SEEN] = glimpse.luma.size // BLOCK_PX**2
        return row.tolist()


@dataclass(frozen=True, slots=True)
class GrainModel:
    """The grain of a shot."""

    strength: F64
    """`(256,)` standard deviations in 8-bit code values, by brightness of the stored sample."""
    correlation: F64
    """`(len(LAGS),)`, by lag in source pixels; 1 for the first."""
    chroma: tuple[float, float]
    """Standard deviations of both chroma planes in 8-bit code values."""
    blocks: int
    """How many blocks it was measured in."""

    @property
    def level(self) -> float:
        """Mean standard deviation over the brightness range, in 8-bit code values."""
        return float(self.strength.mean())

    @property
    def width_px(self) -> float:
        """Distance along a row at which correlation falls to one half, in source pixels."""
        along = np.array([self.correlation[LAGS.index((0, dx))] for dx in range(5)])
        below = np.flatnonzero(along < 0.5)
        if not len(below):
            return 4.0
        right = int(below[0])
        return float(right - 1 + (along[right - 1] - 0.5) / (along[right - 1] - along[right]))


class GrainModels:
    """The grain of a film's shots. What the whole film shows is added up once.

    Args:
        film: With what `GrainProbe` found in it.
    """

    def __init__(self, film: Film) -> None:
        self._rows = film.findings[PROBE]
        self._whole = _total(self._rows)

    def of(self, shot: Shot) -> GrainModel | None:
        """Return the grain of a shot; see `grain_of`."""
        return _model(self._whole, _total(self._rows[shot.begin : shot.end]))


def grain_of(film: Film, shot: Shot) -> GrainModel | None:
    """Return the grain of a shot, or None if it has none to speak of.

    What is seen in few blocks leans towards what the whole film shows.
    """
    return GrainModels(film).of(shot)


def _model(whole: F64, part: F64) -> GrainModel | None:
    blocks = int(part[_COUNT].sum())
    if whole[_COUNT].sum() <= _LEAST_SHARE * whole[_SEEN]:
        return None
    weight = min(1.0, _TRUSTED_BLOCKS / max(1.0, float(whole[_COUNT].sum())))
    sums = part + whole * weight
    products = unbiased(sums[_PRODUCTS] / sums[_CORRELATED])
    lost = max(1.0, products[0] * sums[_CORRELATED] / max(sums[_PRODUCTS][0], 1e-9))
    variances = _by_brightness(sums[_COUNT], sums[_SUM]) * lost - _ROUNDING
    products[0] -= _ROUNDING
    level = float(np.dot(variances, sums[_COUNT]) / sums[_COUNT].sum())
    if level < LEAST_SIGMA**2 or products[0] <= 0:
        return None
    centres = (np.arange(BINS) + 0.5) * (256 / BINS)
    strength = np.interp(np.arange(256), centres, np.sqrt(np.clip(variances, 0, None)))
    count, first, second = sums[_CHROMA]
    chroma = tuple(float(np.sqrt(max(0.0, total / max(1.0, count) - _ROUNDING))) for total in (first, second))
    first_sigma, second_sigma = (sigma if sigma >= LEAST_SIGMA else 0.0 for sigma in chroma)
    return GrainModel(strength, products / products[0], (first_sigma, second_sigma), blocks)


def _total(rows: F64) -> F64:
    """Return the sum of rows: of those measured on two pictures, if there are any."""
    on_two = rows[rows[:, 0] == 0]
    return np.asarray((on_two if on_two[:, _SEEN].any() else rows).sum(0))


def _by_brightness(counts: F64, sums: F64) -> F64:
    """Return variances by brightness; where few blocks were seen they lean towards the mean."""
    known = np.flatnonzero(counts)
    mean = float(sums.sum() / counts.sum())
    found = (sums[known] + _DOUBT * mean) / (counts[known] + _DOUBT)
    return np.interp(np.arange(BINS), known, found)


def _blocks(glimpse: Glimpse) -> Blocks:
    """Return what changed in those blocks of a frame that may hold nothing but grain."""
    shown = cut_blocks(glimpse.luma)
    if glimpse.previous is None:
        rest, even = shown.rest, np.ones(len(shown.mean), np.bool_)
    else:
        before = cut_blocks(glimpse.previous)
        rest = (shown.rest - before.rest) * np.float32(np.sqrt(0.5))
        either = np.maximum(_variance(shown.rest), _variance(before.rest))
        # Whatever stands still or moves a little is seen more in the frames than in their difference; so is what an
        # encoder repeated. Where nothing at all is to be seen, there is no grain either.
        even = (either < _EVEN * _variance(rest)) | (either < _PLAIN)
        if np.array_equal(glimpse.luma, glimpse.previous):  # a frame shown twice
            even[:] = False
    step = steps(rest)
    even &= step.edge <= _CODING_STEP * step.inner
    return Blocks(shown.mean[even], rest[even])


def _measure(blocks: Blocks, row: F64) -> None:
    """Enter into a row what blocks tell: for each brightness those that vary least."""
    variance = np.maximum(_variance(blocks.rest), _ROUNDING)
    brightness = (blocks.mean * np.float32(BINS / 256)).astype(np.intp).clip(0, BINS - 1)
    kept = []
    for number in range(BINS):
        among = np.flatnonzero(brightness == number)
        kept.append(among[_mode(variance[among])])
    levels = np.array([variance[each].mean() if len(each) else 0.0 for each in kept])
    counts = np.array([len(each) for each in kept])
    if not counts.any():
        return
    usual = _middle(levels, counts)
    # Grain is weaker in shadows and lights; where it seems to be much stronger, something fine moves.
    kept = [each if level <= _STRONGEST * usual else each[:0] for each, level in zip(kept, levels, strict=True)]
    for number, each in enumerate(kept):
        row[_COUNT.start + number], row[_SUM.start + number] = len(each), variance[each].sum()
    places = np.sort(np.concatenate(kept))
    places = places[:: -(-len(places) // _CORRELATED_BLOCKS)]
    row[_PRODUCTS] = lag_products(blocks.rest[places]) * len(places)
    row[_CORRELATED] = len(places)


def _variance(rest: NDArray[np.float32]) -> F64:
    return np.asarray(np.einsum("nij,nij->n", rest, rest) / rest[0].size if len(rest) else np.empty(0), np.float64)


def _middle(values: F64, weights: NDArray[np.intp]) -> float:
    """Return the weighted median."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _mode(variance: F64) -> _Kept:
    """Return which of the variances belong to the lowest mode: grain alone; texture and motion only add to it.

    Grain makes all blocks nearly alike. Where even the calmest are not, none of them holds grain alone.
    """
    if len(variance) < _LEAST_BLOCKS:
        return np.zeros(len(variance), np.bool_)
    level, above = (float(value) for value in np.quantile(variance, (_START, _ABOVE)))
    if above > _ALIKE * level:
        return np.zeros(len(variance), np.bool_)
    kept = variance <= level
    for _ in range(_ROUNDS):
        kept = (variance <= _WIDEST * level) & (variance >= _NARROWEST * level)
        if not kept.any():
            break
        level = float(variance[kept].mean())
    return kept


def _chroma(picture: Picture) -> tuple[float, float, float]:
    """Return the blocks of chroma that count, and the sums of both planes' variances."""
    if picture.format.kind != "yuv" or picture.neutral_chroma:
        return 0.0, 0.0, 0.0
    unit = 1 << (picture.format.bits - 8)
    found = [_variance(cut_blocks(plane).rest) for plane in picture.planes[1:]]
    kept = [_mode(each) for each in found]
    counts = [int(each.sum()) for each in kept]
    if min(counts) == 0:
        return 0.0, 0.0, 0.0
    means = [float(each[mask].mean()) / unit**2 for each, mask in zip(found, kept, strict=True)]
    return float(min(counts)), means[0] * min(counts), means[1] * min(counts)
