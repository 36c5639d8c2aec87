"""Faces are found, followed through their shots, and rebuilt by a network."""

from fastrestore.runtime.treatments.faces.stage import asked_for

__all__ = ["asked_for"]
