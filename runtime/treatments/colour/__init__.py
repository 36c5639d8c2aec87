"""Colour carried along motion from frames that have it."""
