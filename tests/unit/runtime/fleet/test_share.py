"""A machine and a cluster are divided without remainder, and nobody is given what another one has."""

from __future__ import annotations

import pytest

from fastrestore.errors import UsageError
from fastrestore.runtime.fleet import opening as opening_module
from fastrestore.runtime.fleet.opening import Helpers, open_crew, parse_helpers
from fastrestore.runtime.fleet.places import Place, places
from fastrestore.runtime.fleet.share import Share, divide


@pytest.mark.parametrize("cores", [1, 2, 7, 64])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_cores(workers: int, cores: int) -> None:
    shares = divide(workers, range(10, 10 + cores))
    assert len(shares) == workers
    given = [core for share in shares for core in share.cores]
    if workers > cores:
        assert given == [] and all(share.threads == 1 for share in shares)
        return
    assert given == list(range(10, 10 + cores))
    sizes = [len(share.cores) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert [share.threads for share in shares] == sizes


def test_cards_are_dealt_in_turn() -> None:
    assert [share.card for share in divide(3, range(4), ("0", "GPU-b"))] == ["0", "GPU-b", "0"]
    assert str(divide(2, [4, 5, 6, 7], ("0", "1"))[1]) == "card 1, cores 6,7"
    assert str(Share()) == "any core" and str(Share((3,))) == "core 3"


def test_threads_that_were_asked_for() -> None:
    assert [share.threads for share in divide(2, range(8), threads=3)] == [3, 3]


@pytest.mark.parametrize(("workers", "cores"), [(0, 4), (2, 0)])
def test_nothing_to_divide(workers: int, cores: int) -> None:
    with pytest.raises(ValueError, match="cannot divide"):
        divide(workers, range(cores))


CPUS = [{"CPU": 8.0}, {"CPU": 4.0}, {"CPU": 0.0}]
NAMES = ["a", "b", "head"]


def test_a_worker_for_each_node_without_cards() -> None:
    assert places(CPUS, NAMES, None) == [Place("a", 0, 8, card=False), Place("b", 0, 4, card=False)]
    assert places(CPUS, NAMES, 1) == [Place("a", 0, 8, card=False)]
    assert [(place.node, place.cores) for place in places(CPUS, NAMES, 4)] == [("a", 4), ("b", 2), ("a", 4), ("b", 2)]
    assert len(places(CPUS, NAMES, 100)) == 12, "not more than there are cores"
    assert places([], [], None) == places([], [], 3) == []


def test_a_worker_for_each_card() -> None:
    nodes = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}, {"GPU": 1.0}]
    found = places(nodes, ["a", "b", "c"], None)
    assert [(place.node, place.number, place.cores) for place in found] == [("a", 0, 8), ("a", 1, 8), ("c", 0, 1)]
    assert all(place.card for place in found)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("1", None), Helpers(1)),
        (("4", None), Helpers(4)),
        (("auto", None), Helpers(None)),
        (("1", "auto"), Helpers(None, "auto")),
        (("6", "10.0.0.1:6379"), Helpers(6, "10.0.0.1:6379")),
    ],
)
def test_what_was_asked_for(words: tuple[str, str | None], wanted: Helpers) -> None:
    assert parse_helpers(*words, 0) == wanted


@pytest.mark.parametrize("word", ["0", "-1", "257", "many", "", "²"])
def test_what_cannot_be_asked_for(word: str) -> None:
    with pytest.raises(UsageError, match="--workers"):
        parse_helpers(word, None, 0)


def test_one_worker_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_crew(Helpers(1)) as crew:
        assert crew is None
    monkeypatch.setattr(opening_module, "driver", lambda: "there is no driver")
    with open_crew(Helpers(None)) as crew:
        assert crew is None, "there is no card"
    with open_crew(Helpers(2)) as crew:
        assert crew is not None, "and no process is started before there is a film"
