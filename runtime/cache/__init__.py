"""Engines and what was measured, kept between runs: never stale, never somebody else's."""
