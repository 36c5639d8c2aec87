"""Which pictures the frames of a film were made of."""
