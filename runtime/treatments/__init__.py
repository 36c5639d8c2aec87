"""Stages for old film: what is done to source pictures before they are restored, and to finished ones after."""
