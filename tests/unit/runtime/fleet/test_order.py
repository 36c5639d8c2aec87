"""Errors and names survive their way between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fastrestore import errors
from fastrestore.errors import FastRestoreError
from fastrestore.runtime.fleet.order import Failure, part_name
from fastrestore.runtime.fleet.surroundings import processor, skew, surroundings
from fastrestore.runtime.workfolder import WorkFolder

ERRORS: list[tuple[FastRestoreError, type[FastRestoreError]]] = [
    (errors.DecodeError("it is broken", "mend it"), errors.DecodeError),
    (errors.JobCancelledError("stopped"), errors.JobCancelledError),
    (errors.EngineIncompatibleError("a", "b", "c"), errors.EngineError),
    (errors.EngineProofError(1.0, 0.1, "there", "c"), errors.EngineError),
    (errors.OutOfDeviceMemoryError(2, 1, "the card"), errors.DeviceError),
    (errors.ParityError(1.0, 0.1, "there"), errors.ExportError),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_an_error_arrives_with_its_words(error: FastRestoreError, kind: type[FastRestoreError]) -> None:
    arrived = pickle.loads(pickle.dumps(Failure.of(error))).error
    assert type(arrived) is kind and isinstance(error, kind)
    assert (arrived.message, arrived.hint, arrived.exit_code) == (error.message, error.hint, error.exit_code)


@pytest.mark.parametrize(("error", "kind"), ERRORS)
def test_another_worker_may_have_better_luck_with_a_card_but_not_with_a_film(
    error: FastRestoreError, kind: type[FastRestoreError]
) -> None:
    assert Failure.of(error).is_the_films == (kind not in (errors.EngineError, errors.DeviceError))


def test_parts_of_workers_are_ours_and_nobody_elses(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "out.mkv")
    with work.held():
        ours = [work.path / part_name(number, "w12.a0f.3") for number in (0, 999_999)]
        others = [work.path / "000001.nut.part", work.path / "000001.nut.mine.part", work.path / "000001.nut"]
        for path in (*ours, *others):
            path.touch()
        work.clear_parts()
        assert [path.exists() for path in (*ours, *others)] == [False, False, True, True, True]
        ours[0].touch()
        work.clear()
        assert {path.name for path in work.path.iterdir()} == {"lock", "000001.nut.mine.part"}


def test_what_differs_is_told() -> None:
    ours = surroundings()
    assert skew(ours, surroundings()) == []
    assert skew(ours, {**ours, "Python": "2.7"}) == [f"Python: 2.7, wanted {ours['Python']}"]
    assert skew(ours, {}) == [f"{name}: unknown, wanted {value}" for name, value in sorted(ours.items())]
    assert len(ours["code"]) == 16 and processor()
