"""What of the machine each worker has: cores, threads, a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """A worker's part of the machine."""

    cores: tuple[int, ...] = ()
    """The cores it is kept to; none: it may use any."""
    threads: int = 0
    """Threads for its networks; 0 uses every core it may use."""
    card: str | None = None
    """The only card that it sees, as `CUDA_VISIBLE_DEVICES` has it; None: it sees all."""

    def __str__(self) -> str:
        parts = [f"card {self.card}"] if self.card is not None else []
        if self.cores:
            parts.append(f"cores {','.join(map(str, self.cores))}" if len(self.cores) > 1 else f"core {self.cores[0]}")
        return ", ".join(parts) or "any core"


def divide(workers: int, cores: Sequence[int], cards: Sequence[str] = (), threads: int = 0) -> tuple[Share, ...]:
    """Divide a machine among workers: as many cores for each, give or take one, and a card in turn.

    Args:
        workers: How many; at least one.
        cores: The cores there are. With fewer of them than workers, none is kept to any.
        cards: The cards there are, as `CUDA_VISIBLE_DEVICES` has them.
        threads: Threads for the networks of each worker; 0: as many as it has cores.

    Raises:
        ValueError: If there is no worker or no core.
    """
    if workers < 1 or not cores:
        raise ValueError(f"cannot divide {len(cores)} cores among {workers} workers")
    shares = []
    for number in range(workers):
        begin, end = (len(cores) * place // workers for place in (number, number + 1))
        own = tuple(cores[begin:end]) if workers <= len(cores) else ()
        card = cards[number % len(cards)] if cards else None
        shares.append(Share(own, threads or max(1, len(own)), card))
    return tuple(shares)
