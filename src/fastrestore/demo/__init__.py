"""The sample film of `fastrestore demo`: drawn, aged and scored by our own code."""
