"""One processor for a match, and another one for the next."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from arena.sandbox import processors

NOWHERE = {70_001, 70_002}
"""Numbers that no machine has, and no match beside this test claims."""


@pytest.fixture(autouse=True)
def _two_of_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: NOWHERE)


def test_each_match_claims_another_one_until_none_is_left() -> None:
    one, other = processors.claim(), processors.claim()

    assert one is not None
    assert other is not None
    assert {one.number, other.number} == NOWHERE
    assert processors.claim() is None
    other.release()
    again = processors.claim()
    assert again is not None
    assert again.number == other.number
    one.release()
    again.release()


def test_where_there_is_but_one_nobody_claims_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {70_001})

    assert processors.claim() is None


def test_a_process_is_placed_and_one_that_is_gone_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    number = min(os.sched_getaffinity(0))
    placed = processors.ClaimedProcessor(number, processors.socket.socket())
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    placed.take(sleeper.pid)

    assert os.sched_getaffinity(sleeper.pid) == {number}
    sleeper.communicate(b"\n")
    placed.take(sleeper.pid)
    placed.release()
