"""Exposure that is uneven from frame to frame."""
