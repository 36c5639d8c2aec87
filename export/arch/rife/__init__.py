"""RIFE 4: the interpolation networks of Practical-RIFE, 4.0 to 4.26, as flow and mask."""

from fastrestore.export.arch.rife.checkpoint import load

__all__ = ["load"]
