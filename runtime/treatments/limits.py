"""What numbers the words of a stage may give."""

from __future__ import annotations

from collections.abc import Mapping

from fastrestore.errors import UsageError


def require_within(option: str, settings: object, limits: Mapping[str, tuple[float, float]], hint: str) -> None:
    """Refuse numbers that mean nothing.

    Args:
        option: As the user wrote it, such as `--steady`.
        settings: Has the numbers, by name.
        limits: The least and the most that each may be.
        hint: What to write instead.

    Raises:
        UsageError: If a number is out of its range, or is none.
    """
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UsageError(f"`{option}`: `{name}` is {value:g}, wanted {low:g} to {high:g}", hint)
