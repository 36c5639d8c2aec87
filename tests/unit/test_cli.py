"""What the command line works out itself: how errors are put into words."""

from __future__ import annotations

import pytest

from fastrestore.cli import shell
from fastrestore.errors import UsageError


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        shell._fail(UsageError("a name with\na break in it", "rename it"))
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "error: a name with a break in it\nhint: rename it\n")
