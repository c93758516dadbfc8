"""What tests of the engine share."""

from __future__ import annotations

import pytest

from arena.errors import SandboxUnavailable
from arena.sandbox import choose
from arena.sandbox.backend import SandboxBackend


@pytest.fixture(scope="module")
def backend() -> SandboxBackend:
    """The strongest for guests on this machine, kept for the tests of a module."""
    try:
        return choose(trusted=False)
    except SandboxUnavailable as error:
        pytest.skip(f"needs a sandbox for guests: {error}")
