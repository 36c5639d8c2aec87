"""What a network needs and does, measured: which sizes it takes, how far it sees, how much memory it works in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from fastrestore.errors import ExportError
from fastrestore.export import bisection, pictures
from fastrestore.models.spec import Tensor

Array = NDArray[np.float32]
Run = Callable[[Sequence[Array]], list[Array]]
UNBOUNDED_HALO_PX = 4096
"""Recorded for a network in which everything can influence everything: as far as the widest frame is wide."""
LARGEST_MULTIPLE_PX = 128
LARGEST_LEAST_PX = 128
"""A network whose shortest side is longer than this takes no tiles worth the name."""
_LEAST_TRIED_PX = 24
_NOTICED = 1e-6
"""Share of the output's range from which on a change is an influence and not a rounding."""
_STRIP_PX = 32
_SHORTEST_STRIP_PX, _LONGEST_STRIP_PX = 96, 768
_FEW_PHASES, _ALL_PHASES = 4, 16
_SCRATCH = 1.2
"""What runtimes use beside the values themselves: 1.14 on the networks that ship, ONNX Runtime on a CPU."""


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which sizes a network takes: sides that are multiples of one number and no shorter than another, in px."""

    multiple_px: int
    least_px: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far away an input pixel can influence an output pixel."""

    px: int
    """In input pixels; `UNBOUNDED_HALO_PX` if without end."""
    unbounded: bool
    even: bool
    """Whether it is the same wherever the pixel lies. If not, the network works on a grid (windows, shrunk copies)."""


def size_rule(run: Run, inputs: Sequence[Tensor], outputs: Sequence[Tensor], claim: SizeRule) -> SizeRule:
    """Find the sizes on which a network runs and yields as many pixels as it should.

    Args:
        run: The network.
        inputs: What it takes.
        outputs: What it yields.
        claim: What its author says. Less is not tried: a network may run on other sizes and be wrong.

    Raises:
        ExportError: If it runs on no size tried, or only on sides longer than a tile should be.
    """
    multiple = claim.multiple_px
    while not all(_runs(run, inputs, outputs, size) for size in _sizes(multiple, claim.least_px)):
        multiple *= 2
        if multiple > max(LARGEST_MULTIPLE_PX, claim.multiple_px):
            raise ExportError(
                f"the network runs on no multiple of {claim.multiple_px} to {multiple // 2} px",
                "it may take one size only; export it with symbolic height and width",
            )
    least = _round_up(max(1, claim.least_px), multiple)
    while not _runs(run, inputs, outputs, (least, least)):
        least += _round_up(max(1, least // 2), multiple)
        if least > max(LARGEST_LEAST_PX, multiple):
            break
    if least > max(LARGEST_LEAST_PX, multiple):
        raise ExportError(
            f"the network needs sides of {least} px at least, more than {LARGEST_LEAST_PX}", "choose another network"
        )
    return SizeRule(multiple, least)


def reach(run: Run, inputs: Sequence[Tensor], outputs: Sequence[Tensor], rule: SizeRule, *, structural: bool) -> Reach:
    """Measure how far a restoration network sees.

    All pixels on one side of a line are replaced, and the farthest output pixel on the other side that changes is
    looked for: with NaN, which spreads through everything that depends on it however little; and with noise, which also
    passes through what NaN does not. Along both axes, both ways, with the line at several places.

    Args:
        run: The network, taking one picture.
        inputs: What it takes.
        outputs: What it yields.
        rule: Which sizes it takes.
        structural: Whether `run` lets NaN through, as torch does; ONNX Runtime's ReLU does not.
    """
    length = _SHORTEST_STRIP_PX
    while length <= _LONGEST_STRIP_PX:
        strip = _Strip(run, inputs, outputs[0].scale, rule, length, structural)
        found = [strip.reach(phase) for phase in range(_FEW_PHASES)]
        even = len(set(found)) == 1
        if not even and None not in found:
            found += [strip.reach(phase) for phase in range(_FEW_PHASES, _ALL_PHASES)]
        if None not in found:
            return Reach(max(px for px in found if px is not None), unbounded=False, even=even)
        length *= 2
    return Reach(UNBOUNDED_HALO_PX, unbounded=True, even=False)


def working_bytes_per_px(model: onnx.ModelProto, inputs: Sequence[Tensor], rule: SizeRule, fixed_px: int = 0) -> int:
    """Return the most memory that the values of a graph take at one time, in bytes per input pixel.

    The graph is run once with every value as an output, at two sizes; a value lives from the node that makes it to the
    last one that reads it. The greater of both is returned: attention needs more per pixel the more pixels there are.

    Args:
        model: The float32 graph.
        inputs: What it takes.
        rule: Which sizes it takes.
        fixed_px: Both sides of the only picture it takes; 0 if sizes are free.
    """
    if fixed_px:
        return _peak_per_px(model, inputs, fixed_px)
    side = _round_up(max(64, rule.least_px), rule.multiple_px)
    return max(_peak_per_px(model, inputs, side), _peak_per_px(model, inputs, 2 * side))


class _Strip:
    """A long narrow picture, and what a network makes of it: a line across it can be far from both ends."""

    def __init__(
        self, run: Run, inputs: Sequence[Tensor], scale: int, rule: SizeRule, length: int, structural: bool
    ) -> None:
        self._run, self._scale = run, scale
        long = _round_up(max(length, 2 * rule.least_px), rule.multiple_px)
        short = _round_up(max(_STRIP_PX, rule.least_px), rule.multiple_px)
        self._length = long
        self._cases = []
        for axis, (height, width) in ((2, (long, short)), (3, (short, long))):
            (image,) = pictures.arguments(inputs, 1, height, width)
            self._cases.append((axis, image, run([image])[0]))
        noise = np.random.default_rng(long).random((1, 1, 1, 1 + long), dtype=np.float32)
        self._fills: list[Callable[[Array], Array]] = [
            lambda part: np.resize(noise, part.shape),
            lambda part: np.asarray(8 * np.resize(noise[..., ::-1], part.shape) - 4, np.float32),
        ]
        if structural:
            self._fills[1] = lambda part: np.full_like(part, np.nan)

    def reach(self, phase: int) -> int | None:
        """Return the reach across a line `phase` px beyond the middle; None if it meets an end of the strip."""
        cut = self._length // 2 + phase
        farthest = 0
        for axis, image, wanted in self._cases:
            noticed = _NOTICED * max(1.0, float(np.ptp(wanted)))
            for fill in self._fills:
                for behind in (slice(cut, None), slice(0, cut)):
                    found = self._run([_replaced(image, axis, behind, fill)])[0]
                    same = np.abs(found - wanted) <= noticed
                    other = tuple(place for place in range(4) if place != axis)
                    changed = np.flatnonzero(~same.all(axis=other)) // self._scale
                    beyond = changed[changed < cut] if behind.start else changed[changed >= cut]
                    if beyond.size == 0:
                        continue
                    end = int(beyond.min()) if behind.start else int(beyond.max())
                    if end in (0, self._length - 1):
                        return None
                    farthest = max(farthest, cut - end if behind.start else end - cut + 1)
        return farthest


def _replaced(image: Array, axis: int, behind: slice, fill: Callable[[Array], Array]) -> Array:
    changed = image.copy()
    place = (slice(None),) * axis + (behind,)
    changed[place] = fill(changed[place])
    return changed


def _runs(run: Run, inputs: Sequence[Tensor], outputs: Sequence[Tensor], size: tuple[int, int]) -> bool:
    try:
        found = run(pictures.arguments(inputs, 1, *size))
    except ExportError:
        return False
    return all(array.shape == tensor.shape(1, *size) for tensor, array in zip(outputs, found, strict=True))


def _sizes(multiple_px: int, least_px: int) -> Iterable[tuple[int, int]]:
    """Yield sizes by which a larger multiple than this one would show itself."""
    first = -(-max(_LEAST_TRIED_PX, least_px) // multiple_px)
    for number in (first + 1 - first % 2, first + first % 2):  # an odd multiple, and an even one
        yield number * multiple_px, (number + 1) * multiple_px


def _peak_per_px(model: onnx.ModelProto, inputs: Sequence[Tensor], side: int) -> int:
    names = [name for node in model.graph.node for name in node.output if name]
    given = pictures.arguments(inputs, 1, side, side)
    sizes = {name: value.size * 4 for name, value in bisection.graph_values(model, given, names).items()}
    sizes |= {value.name: array.nbytes for value, array in zip(model.graph.input, given, strict=True)}
    last_use = {name: index for index, node in enumerate(model.graph.node) for name in node.input}
    last_use |= {value.name: len(model.graph.node) for value in model.graph.output}
    live = sum(sizes[value.name] for value in model.graph.input)
    peak = live
    for index, node in enumerate(model.graph.node):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        done = {name for name in (*node.input, *node.output) if last_use.get(name, index) == index}
        live -= sum(sizes.get(name, 0) for name in done)
    return math.ceil(peak * _SCRATCH / side**2)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
