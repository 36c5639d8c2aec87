"""A network that was built from a checkpoint, with what is known of it before it is exported."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fastrestore.models.spec import Task, Tensor


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A torch module that takes and yields exactly the tensors of a `ModelSpec`.

    The facts here are what the architecture says of itself; `export` measures them before it believes them.
    """

    module: torch.nn.Module
    """In evaluation mode, float32, on the CPU. Called with `inputs` in order it returns `outputs` in order (a single
    tensor for one). After `.half()` it computes in float16, but takes and returns in float32 the tensors that are not
    `half`, and keeps coordinates, grids and GridSample in float32 inside."""
    architecture: str
    """For the card, such as `RIFE 4.22 lite`."""
    task: Task
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    scale: int = 1
    multiple_px: int = 1
    """Sides of the input must be multiples of this, as far as is known."""
    least_px: int = 1
    """Shortest side it takes, as far as is known."""
    fixed_px: int = 0
    """Both sides of the only picture it takes, one at a time; 0 if sizes and batches are free."""
    notes: tuple[str, ...] = ()
    """What the card should say besides, such as how the published network's own input range was brought to `[0, 1]`."""
