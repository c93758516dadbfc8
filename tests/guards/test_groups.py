"""Tests that share a site, or a whole hostile suite, are handed to one worker, not torn apart."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("turn", range(6))
def test_one_of_six(turn): ...
"""


def test_a_group_goes_to_one_worker(tmp_path: Path) -> None:
    """pytest 9.2 kept node ids elsewhere, and xdist 3.8 ignored every group without a word."""
    (tmp_path / "test_some.py").write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    plugins = ["-p", "no:django", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-v", "-n", "2", "--dist", "loadgroup", *plugins]
    said = subprocess.run(
        [*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    ).stdout
    workers = re.findall(r"\[(gw\d)\] .*PASSED", said)
    assert len(workers) == 6, said
    assert len(set(workers)) == 1, said
