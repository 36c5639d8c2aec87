"""Measures how fast this machine runs engines and whole conversions, and whether one version is slower than another."""
