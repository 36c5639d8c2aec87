"""The seal: a secret of the user's own, made once, read by nobody else."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastrestore.errors import EngineError
from fastrestore.runtime.seal import SECRET_BYTES, Seal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "seal.key"


def test_what_was_signed_is_known_again(path: Path) -> None:
    tag = Seal(path).sign("engine", b"content")
    again = Seal(path)
    assert again.holds("engine", b"content", tag) and again.sign("engine", b"content") == tag
    assert not again.holds("engine", b"content!", tag)
    assert not again.holds("timing", b"content", tag)
    assert not again.holds("engine", b"content", tag[:-1])
    assert not again.holds("engine", b"content", "\u00e9" * 64)
    assert not again.holds("engine", b"content", "")


def test_the_secret_is_made_when_something_is_signed(path: Path) -> None:
    assert not Seal(path).holds("engine", b"content", "0" * 64)
    assert not path.parent.exists()
    Seal(path).sign("engine", b"")
    assert path.stat().st_size == SECRET_BYTES and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_two_secrets(path: Path) -> None:
    other = Seal(path.with_name("other.key"))
    tag = other.sign("engine", b"content")
    Seal(path).sign("engine", b"content")
    assert not Seal(path).holds("engine", b"content", tag)


def test_made_once_by_many(path: Path) -> None:
    seals = [Seal(path) for _ in range(32)]
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda seal: seal.sign("engine", b"content"), seals))) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"x" * (SECRET_BYTES + 1)])
def test_a_damaged_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_bytes(content)
    for use in (lambda: Seal(path).sign("engine", b""), lambda: Seal(path).holds("engine", b"", "")):
        with pytest.raises(EngineError, match="no file of 32 bytes"):
            use()
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_that_others_can_use(path: Path, mode: int) -> None:
    Seal(path).sign("engine", b"")
    path.chmod(mode)
    with pytest.raises(EngineError, match=f"mode {mode:o}") as caught:
        Seal(path).holds("engine", b"", "")
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True)
    with pytest.raises(EngineError, match="no file of 32 bytes"):
        Seal(path).sign("engine", b"")


def test_nowhere_to_make_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="cannot be"):
        Seal(tmp_path / "file" / "seal.key").sign("engine", b"")


def test_a_link_to_it(path: Path) -> None:
    """Somebody keeps it on another disk."""
    tag = Seal(path).sign("engine", b"")
    link = path.with_name("link")
    os.symlink(path, link)
    assert Seal(link).holds("engine", b"", tag)
