"""Training of a small colour network."""
