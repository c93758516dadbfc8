"""Jails that are none: the child runs unconfined, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.arena.sandbox.players import Unjailed


@pytest.fixture
def unjailed() -> Iterator[Unjailed]:
    backend = Unjailed()
    yield backend
    for jail in backend.jails:
        jail.kill()
        jail.socket.close()
