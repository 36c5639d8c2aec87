"""MotionRecipe: everything that decides how a motion network is trained, read from `recipes.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastrestore.export.train.recipe import read_table

RECIPES = Path(__file__).with_name("recipes.toml")


@dataclass(frozen=True)
class MotionRecipe:
    """One table of the file; the keys there are the fields here."""

    name: str
    widths: tuple[int, ...]
    init_from: str
    distil_steps: int
    real_share: float
    steps: int
    warmup_steps: int
    batch: int
    learning_rate: float
    final_learning_rate: float
    ema: float
    seed: int

    @classmethod
    def load(cls, name: str, path: Path = RECIPES) -> Self:
        """Read the recipe `name` from a TOML file."""
        table = read_table(path, name, besides="clips")
        return cls(name=name, widths=tuple(table.pop("widths")), **table)


@dataclass(frozen=True)
class ClipShare:
    """What is cut from one clip."""

    spans: tuple[tuple[int, int], ...]
    """First frame and the one after the last, of each part that may be used."""
    share: float
    """Of the real triplets."""


def training_clips(path: Path = RECIPES) -> dict[str, ClipShare]:
    """Return what is cut from which clip, by file name."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))["clips"]
    return {
        name: ClipShare(tuple((int(a), int(b)) for a, b in row["frames"]), float(row["share"]))
        for name, row in table.items()
    }
