"""A record says whose faces were rebuilt, and by what: never that a detector redrew the film."""

from __future__ import annotations

import pytest

from fastrestore.runtime.credentials import _actions
from fastrestore.runtime.provenance import Frames, Network, Provenance, StageRecord

NETWORKS = (
    Network("gfpgan", "faces", "Apache-2.0", "its authors", {"fp32": "0" * 64}),
    Network("yunet", "detect", "MIT", "the OpenCV Zoo", {"fp32": "1" * 64}),
)


def record(rebuilt: int) -> Provenance:
    shots = ({"shot": 0, "faces.rebuilt": rebuilt}, {"shot": 1, "faces.rebuilt": 0})
    return Provenance({}, {}, Frames(4), NETWORKS, (StageRecord("faces", "gfpgan", shots),))


def test_rebuilt_faces_are_told_of_as_invented() -> None:
    made = record(2)
    assert made.learned and made.faces_rebuilt == 1
    assert "Faces were rebuilt by gfpgan in 1 shot: their likeness is invented" in made.summary()
    told = [str(action.get("description")) for action in _actions(made)]
    assert told[0] == "faces rebuilt by gfpgan in 1 shot, their likeness invented"
    assert not any("redrawn" in each or "yunet" in each for each in told)


@pytest.mark.parametrize("words", ["rebuilt", "redrawn"])
def test_where_no_face_was_rebuilt_nothing_is_said(words: str) -> None:
    made = record(0)
    assert not made.learned and words not in made.summary()
    assert not any(words in str(action.get("description")) for action in _actions(made))
