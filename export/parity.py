"""The proof that an export computes what its original computes, on natural pictures of several sizes and batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import ExportError, ParityError
from fastrestore.export import bisection, pictures
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.onnx_export import Exported
from fastrestore.export.session import Graph, HalfModule, Module
from fastrestore.models.spec import Task, Tensor

Array = NDArray[np.float32]
Run = Callable[[Sequence[Array]], list[Array]]
PICTURE_TOLERANCE = {"fp32": 1e-4, "fp16": 2e-3}
"""Difference allowed in a picture or mask, as a share of its range; the range is 1, or what is found if more."""
FLOW_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2}
"""Difference allowed in a flow, as a share of its largest displacement, taken as 1 px at least. Flow is sums over many
steps, each of which looks where the last one pointed, so that roundings grow; a hundredth of a pixel moves no edge."""
SPIKE = 25.0
"""In fp32 every value must be within the tolerance. In fp16 their root mean square must, and every value within so many
tolerances. Deep networks are steep at some edges: with nothing but its weights rounded, the published
`realesr-general-wdn-x4v3` differs by up to 2.3e-2 at single pixels of photographs, and by 2.6e-4 on average."""
IN_TORCH = "fp16 in PyTorch"
_LEAST_TRIED_PX = 37
_STEP_PX = 9
HINT = "the package was removed; "


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch of pictures of one size."""

    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely one output agreed on one trial."""

    precision: str
    trial: Trial
    output: str
    max_abs: float
    rms: float
    """Root mean square of the differences."""
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether they agree. NaN is no agreement."""
        if self.precision == "fp32":
            return self.max_abs <= self.tolerance
        return self.rms <= self.tolerance and self.max_abs <= SPIKE * self.tolerance


@dataclass(frozen=True, slots=True)
class Contest:
    """What is compared: an original, a graph that should equal it, and how to find where they part."""

    original: Run
    graph: Callable[[], Run]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    task: Task
    precision: str
    """`fp32`, `fp16`, or `IN_TORCH`."""
    locate: Callable[[list[Array]], str]
    """Given inputs on which they differ, says where in the network the difference begins."""


def trials(multiple_px: int, least_px: int, fixed_px: int = 0) -> tuple[Trial, ...]:
    """Return three sizes and two batches: none square, and odd where the size rule permits it.

    Of a network that takes pictures of `fixed_px` alone, one at a time, there is that one trial.
    """
    if fixed_px:
        return (Trial(1, fixed_px, fixed_px),)
    first = -(-max(_LEAST_TRIED_PX, least_px) // multiple_px)
    step = max(1, _STEP_PX // multiple_px)
    side = [(first + number * step) * multiple_px for number in range(5)]
    return Trial(1, side[0], side[2]), Trial(2, side[3], side[1]), Trial(1, side[4], side[0])


def prove(network: LoadedNetwork, exported: Exported) -> tuple[Agreement, ...]:
    """Hold an exported file against the torch module it was made of, in float32 on the CPU.

    Returns:
        What was found, by trial and output.

    ONNX Runtime on a CPU keeps float32 between operators that it has in float32 only, so that an fp16 file is seen with
    its weights rounded and little else. Therefore the torch module is run in half precision too, where every result is
    rounded and can overflow, as on a GPU.

    Raises:
        ParityError: If they differ by more than the tolerance anywhere, or the file cannot run; it says where in the
            network the difference begins.
    """
    tried = trials(network.multiple_px, network.least_px, network.fixed_px)
    contest = Contest(
        original=Module(network.module),
        graph=lambda: Graph(exported.path),
        inputs=network.inputs,
        outputs=network.outputs,
        task=network.task,
        precision=exported.precision,
        locate=partial(_locate_in_module, network, exported),
    )
    agreements = compare(contest, tried)
    if exported.precision == "fp16":
        halved = copy.deepcopy(network.module).half()
        rounded = replace(
            contest,
            graph=lambda: HalfModule(halved, network.inputs),
            precision=IN_TORCH,
            locate=lambda given: bisection.in_modules(network, halved, given, PICTURE_TOLERANCE["fp16"]),
        )
        agreements += compare(rounded, tried[:1])
    return agreements


def compare(contest: Contest, tried: Sequence[Trial]) -> tuple[Agreement, ...]:
    """Run an original and a graph on the same pictures.

    Raises:
        ParityError: See `prove`.
    """
    advice = "use `--precision fp32`" if contest.precision != "fp32" else "report the network and this message"
    try:
        graph = contest.graph()
    except ExportError as error:
        raise ParityError(np.inf, _share(contest), error.message, HINT + advice) from error
    agreements = []
    for trial in tried:
        given = pictures.arguments(contest.inputs, trial.batch, trial.height, trial.width)
        wanted = contest.original(given)
        try:
            found = graph(given)
        except ExportError as error:
            where = f"{contest.precision}, on {trial}: {error.message}"
            raise ParityError(np.inf, _share(contest), where, HINT + advice) from error
        for tensor, ours, theirs in zip(contest.outputs, found, wanted, strict=True):
            agreement = _agreement(contest, trial, tensor, ours, theirs)
            if not agreement.holds:
                where = f"`{tensor.name}` in {contest.precision}, on {trial}; {contest.locate(given)}"
                raise ParityError(agreement.max_abs, agreement.tolerance, where, HINT + advice)
            agreements.append(agreement)
    return tuple(agreements)


def _agreement(contest: Contest, trial: Trial, tensor: Tensor, found: Array, wanted: Array) -> Agreement:
    shape = tensor.shape(trial.batch, trial.height, trial.width)
    if found.shape != shape or wanted.shape != shape:
        where = f"`{tensor.name}` on {trial} is {found.shape}, the original's {wanted.shape}, wanted {shape}"
        raise ParityError(
            np.inf, _share(contest), where, HINT + "a size is frozen in the network: report it and this message"
        )
    if not np.isfinite(wanted).all():
        raise ExportError(f"the network itself yields NaN or infinity on a natural picture, {trial}", "use another")
    if _is_flow(contest, tensor):
        tolerance = _share(contest, FLOW_TOLERANCE) * max(1.0, float(np.abs(wanted).max()))
    else:
        tolerance = _share(contest) * max(1.0, float(np.ptp(wanted)))
    difference = np.abs(found - wanted)
    rms = float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
    return Agreement(contest.precision, trial, tensor.name, float(difference.max()), rms, tolerance)


def _is_flow(contest: Contest, tensor: Tensor) -> bool:
    return contest.task is Task.MOTION and tensor.channels != 1


def _share(contest: Contest, table: Mapping[str, float] = PICTURE_TOLERANCE) -> float:
    return table["fp32" if contest.precision == "fp32" else "fp16"]


def _locate_in_module(network: LoadedNetwork, exported: Exported, given: list[Array]) -> str:
    return bisection.in_module(network, exported, given, PICTURE_TOLERANCE[exported.precision])
