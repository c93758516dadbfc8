"""Mallory's whole collection against every wall that guests may play behind.

The cases are in ``arena/hostile/players``, each with what must become of it; all of them are
played once for each backend, in one process, one after the other: a worker's life.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import pytest

from arena.hostile.cases import all_cases
from tests.arena.sandbox.hostile_runs import BACKENDS, Row, attack, check, need, turns

pytestmark = [pytest.mark.jail, pytest.mark.slow]


@cache
def findings(backend: str) -> dict[tuple[str, str], Row] | str:
    """Played once, also if it fails: then what was said."""
    try:
        return attack(backend)
    except Exception as error:
        return repr(error)


def parameters() -> list[Any]:
    return [
        pytest.param(
            backend,
            *turn,
            id=f"{backend}-{'-'.join(turn)}",
            marks=pytest.mark.xdist_group(f"hostile-{backend}"),
        )
        for backend, turn in product(BACKENDS, turns(all_cases()))
    ]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("backend", "case", "side"), parameters())
def test_a_hostile_player_gets_nothing_and_leaves_nothing(
    backend: str, case: str, side: str
) -> None:
    need(backend)
    found = findings(backend)
    if isinstance(found, str):
        pytest.fail(found)
    check(found[case, side])
