"""`platform/` is a source root, no package: it must never shadow the standard library's module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = ("django", "celery", "kombu", "redis", "rest_framework")

IMPORT_EVERYTHING = f"""
import importlib, pkgutil, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ImportError(f"the engine must not import {{name}}")

sys.meta_path.insert(0, Wall())
import arena

def complain(name):
    raise

for module in pkgutil.walk_packages(arena.__path__, "arena.", onerror=complain):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
strays = [name for name in sys.modules if name.split(".")[0] in {BLOCKED!r}]
assert not strays, strays
"""


def run_python(code: str, root: Path, *, first_on_path: Path | None = None) -> str:
    insert = f"import sys; sys.path.insert(0, {str(first_on_path)!r})\n" if first_on_path else ""
    done = subprocess.run(
        [sys.executable, "-c", insert + code], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("with_source_root", [False, True])
def test_the_standard_librarys_platform_wins(project_root: Path, with_source_root: bool) -> None:
    code = "import platform; print(platform.system(), platform.__file__)"
    path = project_root / "platform" if with_source_root else None
    system, file = run_python(code, project_root, first_on_path=path).split(" ", 1)
    assert system
    assert not Path(file).is_relative_to(project_root / "platform")


def test_platform_is_no_package(project_root: Path) -> None:
    assert not (project_root / "platform" / "__init__.py").exists()


def test_no_package_of_the_site_takes_a_standard_library_name(project_root: Path) -> None:
    names = {path.parent.name for path in (project_root / "platform").glob("*/__init__.py")}
    assert not names & set(sys.stdlib_module_names)


def test_tests_are_no_packages(project_root: Path) -> None:
    # With one, `tests/platform` would be importable as a package and its neighbours by short names.
    assert not list((project_root / "tests").rglob("__init__.py"))


def test_the_engine_imports_without_the_site(project_root: Path) -> None:
    run_python(IMPORT_EVERYTHING, project_root)


def test_importing_the_engine_imports_nothing_else(project_root: Path) -> None:
    # What runs in a jail imports `arena.players`; an import written there would come along.
    assert (project_root / "arena" / "__init__.py").read_text() == ""
