"""Which batch and how many streams are taken, on engines that take as long as they are told."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.models.packages import tiny
from tests.unit.runtime.engine_samples import KEY

from fastrestore.errors import EngineError
from fastrestore.export.engines import tuning
from fastrestore.export.engines.tuning import Measured, best, choice_facts, choice_of, tune
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.devices.driver import Card
from fastrestore.runtime.engine_key import Profile, Shape

PROFILE = Profile("tile", Shape(1, 8, 8), Shape(1, 16, 16), Shape(4, 32, 32))


class Card4:
    """Counts what runs on it at once."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.lock, self.opened, self.closed, self.batches = threading.Lock(), 0, 0, set[int]()
        self.fails_at = fails_at

    def engine(self) -> FakeEngine:
        self.opened += 1
        return FakeEngine(self)


class FakeEngine:
    largest = Size(32, 32)

    def __init__(self, card: Card4) -> None:
        self._card, self.spec = card, tiny()

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        (given,), (wanted,) = inputs.values(), out.values()
        assert given.shape[2:] == (16, 16) and wanted.shape == (given.shape[0], 3, 32, 32)
        with self._card.lock:
            self._card.batches.add(given.shape[0])
            if self._card.fails_at == given.shape[0]:
                raise EngineError("out of memory")

    def close(self) -> None:
        self._card.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def tuned(card: Card4, spec: ModelSpec | None = None) -> list[Measured]:
    return tune(card.engine, spec or tiny(), PROFILE, streams=(2, 1), seconds=0)


def test_every_setting_is_measured_and_every_engine_closed() -> None:
    card = Card4()
    found = tuned(card)
    assert [(each.streams, each.batch) for each in found] == [(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4)]
    assert all(each.pictures_per_s > 0 for each in found)
    assert (card.opened, card.closed, card.batches) == (2, 2, {1, 2, 4})


def test_a_setting_that_the_card_has_no_memory_for_ends_it_and_gives_all_back() -> None:
    card = Card4(fails_at=4)
    with pytest.raises(EngineError, match="out of memory"):
        tuned(card)
    assert card.opened == card.closed == 1


def test_pictures_of_all_streams_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that moves one second a look: two streams that run once each finish twice the pictures."""
    ticks = iter(range(10**6))
    lock = threading.Lock()

    def clock() -> float:
        with lock:
            return float(next(ticks))

    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=clock))
    found = {(each.streams, each.batch): each.pictures_per_s for each in tuned(Card4())}
    assert (found[1, 1], found[1, 4]) == (1 / 2, 4 / 2)  # it begins, looks whether to go on, ends
    assert (found[2, 1], found[2, 4]) == (2 / 5, 8 / 5)  # both do, and the first to begin is not the last to end


def test_more_memory_must_be_worth_it() -> None:
    slow, nearly, fastest = Measured(1, 1, 50), Measured(1, 2, 98), Measured(4, 2, 100)
    assert best([slow, nearly, fastest]) == nearly
    assert best([slow, Measured(1, 2, 90), fastest]) == fastest
    assert best([Measured(2, 1, 100), Measured(1, 2, 100)]) == Measured(2, 1, 100), "of equal memory, fewer streams"


def test_the_choice_is_kept_for_this_engine_on_this_card(cache: EngineCache) -> None:
    card = Card(0, "RTX 4090", "8.9", 24 << 30)
    choice: dict[str, Any] = choice_of([Measured(1, 1, 50.0), Measured(4, 2, 100.0)])
    facts = choice_facts(KEY, card, "580.65")
    cache.choices.put(tuning.CHOICE, facts, choice)
    found = cache.choices.get(tuning.CHOICE, facts)
    assert found is not None and (found["batch"], found["streams"]) == (4, 2) and len(found["measured"]) == 2
    assert cache.choices.get(tuning.CHOICE, choice_facts(KEY, card, "590.10")) is None
