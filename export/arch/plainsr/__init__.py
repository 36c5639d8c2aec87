"""PlainSR: the small default restoration network."""
