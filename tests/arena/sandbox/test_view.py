"""What a jail is shown: no more than an honest player needs."""

from __future__ import annotations

import importlib.metadata
import io
import re
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

import arena
from arena.sandbox import view

ROOT = Path(arena.__file__).parent
NEVER_IMPORTED = {"setuptools"}
"""torch asks for it to compile extensions: no compiler, no extensions in a jail."""


def jail_modules() -> set[str]:
    with zipfile.ZipFile(io.BytesIO(view.arena_lib())) as lib:
        names = {name.removesuffix(".py") for name in lib.namelist() if name.endswith(".py")}
    return {name.removesuffix("/__init__").replace("/", ".") for name in names}


def test_everything_the_child_imports_is_in_the_jail_and_nothing_the_referee_needs() -> None:
    guests = sorted(path.stem for path in (ROOT / "sandbox").glob("guest_*.py"))
    imports = ["arena.sandbox.child", "arena.sandbox.landlock"]
    imports += ["arena.torch_layout", "arena.torch_players"]
    imports += [f"arena.sandbox.{name}" for name in guests]
    script = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r})\n"
    script += "".join(f"import {name}\n" for name in imports)
    script += "print(*(name for name in sys.modules if name.split('.')[0] == 'arena'))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert set(ran.stdout.split()) == jail_modules()


def test_the_jails_copy_of_the_sandbox_package_is_empty() -> None:
    with zipfile.ZipFile(io.BytesIO(view.arena_lib())) as lib:
        assert lib.read("arena/sandbox/__init__.py") == b""


def test_every_pattern_of_the_list_names_a_file() -> None:
    missing = [pattern for pattern in view.JAIL_FILES if not list(ROOT.glob(pattern))]

    assert missing == []


def test_what_guests_may_import_holds_all_that_it_needs() -> None:
    needed = set()
    for name in view.guest_distributions():
        for requirement in importlib.metadata.requires(name) or []:
            if ";" not in requirement or "extra" not in requirement.split(";", 1)[1]:
                found = re.match(r"[\w.-]+", requirement)
                assert found is not None
                needed.add(re.sub(r"[-_.]+", "-", found.group()).lower())

    allowed = {re.sub(r"[-_.]+", "-", name) for name in view.guest_distributions()}
    assert needed - NEVER_IMPORTED - allowed == set()


def test_of_site_packages_only_named_packages_are_bound() -> None:
    shown = {b.target: b.source for b in view.host_view().binds if b.target.startswith("/site")}

    assert {"/site/numpy", "/site/torch", "/site/sklearn"} <= set(shown)
    assert not any(fnmatch(target, "/site/*django*") for target in shown)
    assert "/site" not in shown
    assert "/site/google" not in shown
    assert not any(source.name == "site-packages" for source in shown.values())


def test_the_project_is_not_below_anything_that_is_bound() -> None:
    project = ROOT.parent.resolve()

    for bind in view.host_view().binds:
        source = bind.source.resolve()
        assert source not in (project, *project.parents), bind


def test_scikit_learns_own_data_is_covered() -> None:
    assert "/site/sklearn/datasets/data" in view.host_view().hidden


def test_other_packages_of_the_interpreter_are_covered() -> None:
    library = Path(sys.base_prefix, "lib")
    if not list(library.glob("python3*/site-packages")):
        pytest.skip("this interpreter has no site-packages of its own")

    hidden = view.host_view().hidden
    assert any(fnmatch(path, "/python/lib/python3*/site-packages") for path in hidden)


def test_what_torch_needs_of_an_accelerator_is_followed_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CUDA build asks for one toolkit, which asks for a dozen libraries."""
    needs = {
        "torch": ["cuda-toolkit[cublas]==13.0.2; platform_system == 'Linux'", "sympy>=1.13"],
        "cuda-toolkit": ["nvidia-cublas==13.1.*; extra == 'cublas'"],
        "nvidia-cublas": ["nvidia-cuda-nvrtc"],
        "nvidia-cuda-nvrtc": [],
    }
    monkeypatch.setattr(view.importlib.metadata, "requires", needs.__getitem__)

    assert view._accelerator_distributions() == [
        "cuda-toolkit",
        "nvidia-cublas",
        "nvidia-cuda-nvrtc",
    ]
