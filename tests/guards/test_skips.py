"""In CI nothing is skipped for want of something: half a run must not look like a whole one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest

def test_that_passes(): ...

def test_of_its_own(): pytest.skip("needs a second disk")

@pytest.mark.skipif(True, reason="needs a third")
def test_by_mark(): ...

@pytest.mark.browser
def test_by_marker(): ...

@pytest.mark.skip(reason="only on Mondays")
def test_for_another_reason(): ...

@pytest.mark.xfail(reason="needs thought", strict=True)
def test_expected_to_fail(): assert False
"""
WHOLE_MODULE = "import pytest\npytest.skip('needs a machine', allow_module_level=True)\n"


def run(tmp_path: Path, root: Path, module: str, *, ci: str) -> str:
    shutil.copy(root / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_some.py").write_text(module)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    plugins = ["-p", "no:django", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": "", "CI": ci, "HOME": str(tmp_path)},
        timeout=120,
    ).stdout


def test_a_machine_that_lacks_something_skips(tmp_path: Path, project_root: Path) -> None:
    output = run(tmp_path, project_root, MODULE, ci="")
    assert "1 passed, 4 skipped, 1 xfailed" in output


def test_the_same_skips_fail_in_ci(tmp_path: Path, project_root: Path) -> None:
    output = run(tmp_path, project_root, MODULE, ci="true")
    assert "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors" in output
    assert "Skipping is a failure under CI=true: needs a second disk" in output


def test_a_whole_module_skipped_ends_the_run_in_ci(tmp_path: Path, project_root: Path) -> None:
    output = run(tmp_path, project_root, WHOLE_MODULE, ci="true")
    assert "Skipping is a failure under CI=true: needs a machine" in output
