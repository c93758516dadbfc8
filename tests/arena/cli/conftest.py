"""Dana's model, which every command may be given."""

from __future__ import annotations

import pytest

from arena.cli import run


@pytest.fixture(scope="module")
def dana(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A defense in numpy: its jail starts fast."""
    folder = tmp_path_factory.mktemp("dana") / "softmax"
    assert run(["init", "defense", str(folder), "--template", "numpy", "--task", "digits"]) == 0
    return str(folder)
