"""Damages bytes and text at random, the same way for the same number."""

from __future__ import annotations

import random
from typing import Literal


def mutate(data: bytes, seed: str) -> bytes:
    """Return damaged bytes: flipped, cut off, doubled, removed, moved, or with numbers set to extremes.

    Half of the damage goes into the first kilobytes, where headers are.
    """
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not out:
            break
        rng.choice(_KINDS)(out, rng)
    return bytes(out)


def mutate_text(text: str, seed: str) -> str:
    """Return damaged text; whatever was damaged inside a letter becomes U+FFFD."""
    return mutate(text.encode(), seed).decode(errors="replace")


def _place(out: bytearray, rng: random.Random) -> int:
    return rng.randrange(min(len(out), rng.choice((64, 1024, 8192, len(out), len(out), len(out)))))


def _flip(out: bytearray, rng: random.Random) -> None:
    out[_place(out, rng)] ^= 1 << rng.randrange(8)


def _overwrite(out: bytearray, rng: random.Random) -> None:
    at, length = _place(out, rng), rng.choice((1, 2, 4, 16, 200))
    out[at : at + length] = rng.randbytes(min(length, len(out) - at))


def _extreme(out: bytearray, rng: random.Random) -> None:
    """Set a number of 1 to 8 bytes to 0, to all ones, to the largest or smallest signed, or to 1."""
    at, length = _place(out, rng), rng.choice((1, 2, 3, 4, 8))
    first, rest = rng.choice(((b"\0", b"\0"), (b"\xff", b"\xff"), (b"\x7f", b"\xff"), (b"\x80", b"\0"), (b"\0", b"\1")))
    number = first + rest * (length - 1)
    out[at : at + length] = (number if rng.random() < 0.5 else number[::-1])[: len(out) - at]


def _nudge(out: bytearray, rng: random.Random) -> None:
    at, length = _place(out, rng), rng.choice((1, 2, 4, 8))
    order: Literal["big", "little"] = rng.choice(("big", "little"))
    value = int.from_bytes(out[at : at + length], order)
    by = rng.choice((-1, 1, 2, -2, 256, -256, 65536))
    here = len(out[at : at + length])
    out[at : at + length] = ((value + by) % (1 << 8 * here)).to_bytes(here, order)


def _cut(out: bytearray, rng: random.Random) -> None:
    del out[rng.randrange(len(out)) :]


def _remove(out: bytearray, rng: random.Random) -> None:
    at = _place(out, rng)
    del out[at : at + rng.choice((1, 2, 8, 188, 1000, 20000))]


def _double(out: bytearray, rng: random.Random) -> None:
    at = _place(out, rng)
    part = out[at : at + rng.choice((1, 4, 188, 1000, 20000))]
    out[at:at] = part * rng.choice((1, 1, 1, 20))


def _move(out: bytearray, rng: random.Random) -> None:
    source, target = _place(out, rng), _place(out, rng)
    part = out[source : source + rng.choice((4, 32, 188, 2000))]
    out[target : target + len(part)] = part


_KINDS = (_flip, _flip, _overwrite, _overwrite, _extreme, _extreme, _nudge, _cut, _remove, _double, _move)
