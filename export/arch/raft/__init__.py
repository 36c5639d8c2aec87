"""RAFT-small: optical flow from one picture to another."""

from fastrestore.export.arch.raft.checkpoint import load

__all__ = ["load"]
