"""Whether a finished file holds what it promises."""
