"""Recipe: everything that decides how a default network is trained, read from `recipes.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

RECIPES = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class LossWeights:
    """Shares of the training loss."""

    original: float
    """L1 to the undegraded picture."""
    teacher: float
    """L1 to the teacher's result on the same input."""
    gradient: float = 0.0
    """Unlikeness of gradients to the teacher's result, see `gradients.py`."""
    log_error: float = 0.0
    """Natural logarithm of each patch's mean squared error, of colour and of luma: in effect PSNR."""


@dataclass(frozen=True)
class Recipe:
    """One table of `recipes.toml`; the keys there are the fields here."""

    name: str
    data: Literal["clean", "film"]
    scale: int
    channels: int
    convs: int
    steps: int
    warmup_steps: int
    batch: int
    lr_patch_px: int
    learning_rate: float
    final_learning_rate: float
    ema: float
    seed: int
    init_from: str
    loss: LossWeights
    network: Literal["plain", "srvgg"] = "plain"
    """`PlainSR`, or `SRVGG`, the network of the teacher; `convs` counts all convolutions of either."""
    last_channels: int | None = None
    """How many channels the last convolution sees; None for all. See `PlainSR`."""
    permute_colours: bool = True
    """Whether patches of clean data get their colours exchanged at random."""
    candidates: int = 1
    """Of so many crops of a clean still the busiest becomes a patch."""
    error_share: float = 0.0
    """Share of clean patches that are drawn as often as bicubic errs in them, all stills equally likely.

    With the logarithm of the error as loss this makes the mean PSNR of whole stills what is trained for.
    """
    optimiser: Literal["adam", "muon"] = "adam"
    """Of the inner convolutions; first and last layer and biases are always Adam's."""
    edge_weight: float = 1.0
    """Weight in the loss of what lies within reach of the zero padding around a patch."""

    pool: str = ""
    """The film recipe whose pool of patches serves this one too; empty for a pool of its own."""

    @property
    def pool_name(self) -> str:
        """File name of the pool of patches."""
        return f"pool-{self.pool or self.name}.npz"

    @classmethod
    def load(cls, name: str, path: Path = RECIPES) -> Self:
        """Read the recipe `name` from a TOML file."""
        table = read_table(path, name, besides="degradation")
        table["loss"] = LossWeights(**table["loss"])
        return cls(name=name, **table)


def read_table(path: Path, name: str, besides: str) -> dict[str, Any]:
    """Read one recipe's table.

    Args:
        path: A TOML file with a table for each recipe.
        name: The recipe.
        besides: The one table of the file that is no recipe.

    Raises:
        KeyError: If there is no such recipe.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    tables.pop(besides)
    if name not in tables:
        raise KeyError(f"no recipe {name!r} in {path.name}; there are {', '.join(tables)}")
    return dict(tables[name])
