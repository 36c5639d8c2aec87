"""`python -m fastrestore.cli`."""

from __future__ import annotations

from fastrestore.cli.shell import main

main()
