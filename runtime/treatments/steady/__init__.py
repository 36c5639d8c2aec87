"""Where the camera pointed, and where it was meant to."""
