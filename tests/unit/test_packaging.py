"""What is shipped is what is in the tree: a package or data file that the build does not know is silently left out."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LINKED = ("export", "kernels", "models", "runtime")
BUILT_FROM = {"fastrestore": REPOSITORY / "src" / "fastrestore"} | {f"fastrestore.{n}": REPOSITORY / n for n in LINKED}


def packages_in_tree() -> dict[str, Path]:
    found = {}
    for name, folder in BUILT_FROM.items():
        for init in folder.rglob("__init__.py"):
            inner = init.parent.relative_to(folder).parts
            if not init.parent.is_relative_to(folder / LINKED[0]) and (
                name != "fastrestore" or inner[:1] not in _LINKS
            ):
                found[".".join([name, *inner])] = init.parent
    return found


_LINKS = {(name,) for name in LINKED}


def test_package_list_equals_the_tree() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_in_tree())


def test_package_dir_names_every_linked_folder() -> None:
    wanted = {name: str(folder.relative_to(REPOSITORY)) for name, folder in BUILT_FROM.items()}
    assert SETUPTOOLS["package-dir"] == wanted


@pytest.mark.parametrize("name", LINKED)
def test_links_are_relative_and_right(name: str) -> None:
    link = REPOSITORY / "src" / "fastrestore" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{name}"


def test_every_data_file_is_shipped() -> None:
    patterns = SETUPTOOLS["package-data"]
    packages = packages_in_tree()
    for package, folder in packages.items():
        inner = set(packages.values()) - {folder}
        for file in folder.rglob("*"):
            owned_below = any(file.is_relative_to(other) for other in inner if other.is_relative_to(folder))
            if file.is_dir() or owned_below or file.suffix in (".py", ".pyc"):
                continue
            path = str(file.relative_to(folder))
            assert any(fnmatch.fnmatch(path, p) for p in patterns.get(package, [])), f"{package}: {path} is not shipped"


def test_every_pattern_matches_something() -> None:
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            assert list(packages_in_tree()[package].glob(pattern)), f"{package}: {pattern} matches nothing"


def test_versions_agree() -> None:
    import fastrestore

    assert fastrestore.__version__ == PROJECT["project"]["version"]


def test_wheel_made_from_the_source_archive_is_whole(tmp_path: Path) -> None:
    """The longest way round: archive, wheel from the archive; it holds every module and data file, and is small."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    wheel, archive = next(tmp_path.glob("*.whl")), next(tmp_path.glob("*.tar.gz"))
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in packages_in_tree().items():
        for module in folder.glob("*.py"):
            assert f"{package.replace('.', '/')}/{module.name}" in names
    for wanted in (
        "demo/sample.mp4",
        "models/catalog.toml",
        "models/film-x4-tiny/model.fp32.onnx",
        "compare.html",
        "py.typed",
    ):
        assert f"fastrestore/{wanted}" in names
    assert wheel.stat().st_size < 12_000_000
    with tarfile.open(archive) as tar:
        assert any(name.endswith("/models/film-x4-tiny/model.fp32.onnx") for name in tar.getnames())


def test_readme_holds_the_two_commands_and_ci_runs_the_second() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    first = "python3 -m venv .venv && .venv/bin/pip install -e '.[cpu]' && .venv/bin/fastrestore demo"
    second = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cpu,export,test]' && scripts/check"
    assert first in readme
    assert second in readme
    assert second in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
