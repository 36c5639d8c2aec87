"""Training of motion-base."""
