"""The attempts that walls must stop, on a worker that runs as an ordinary user.

There are no control groups for him, all of his jails have one uid, and his interpreter lies in a
directory of his own. What frames and referee stop hangs on none of that, and is left out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arena.sandbox.hostile_runs import (
    BACKENDS,
    UID,
    at_the_walls,
    attack_as_ordinary_user,
    check,
    need,
    turns,
)

pytestmark = [pytest.mark.jail, pytest.mark.slow]


@pytest.fixture
def stage() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ordinary-user-"))
    if os.geteuid() == 0:
        os.chown(folder, UID, UID)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "backend",
    [pytest.param(name, marks=pytest.mark.xdist_group(f"user-{name}")) for name in BACKENDS],
)
def test_the_walls_stop_the_same_for_an_ordinary_user(stage: Path, backend: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("test_hostile.py is run by an ordinary user already")
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("needs util-linux (setpriv, unshare)")
    need(backend)
    cases = at_the_walls()
    found = attack_as_ordinary_user(stage, backend, [case.id for case in cases])
    assert set(found) == set(turns(cases))
    for row in found.values():
        check(row)
