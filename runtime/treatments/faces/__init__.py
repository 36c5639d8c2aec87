"""Faces are found, followed through their shots, and rebuilt by a network."""
