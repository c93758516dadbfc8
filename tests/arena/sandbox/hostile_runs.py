"""Runs ``arena sandbox attack`` in a process of its own, as this user or as an ordinary one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from arena import sandbox
from arena.hostile.cases import Case, Layer, all_cases
from arena.sandbox.backend import Strength
from arena.sandbox.choice import strong
from tests.arena.sandbox.test_ordinary_user import STAGE, UID, environment

ROOT = Path(__file__).resolve().parents[3]
BACKENDS = [b.name for b in strong() if b.strength is Strength.NAMESPACES]
"""Behind gVisor each of the many starts costs seconds: ``test_gvisor.py`` plays some of them."""
PATIENCE = 900
JUDGED_OUTSIDE = {Layer.FRAMES, Layer.REFEREE, Layer.RANKING}
"""What these stop hangs on no wall, and no user."""

Row = dict[str, Any]


def turns(cases: Sequence[Case]) -> list[tuple[str, str]]:
    """(case, side) of all that are for this machine."""
    return [
        (case.id, side.value) for case in cases if case.is_for_this_machine for side in case.roles
    ]


def at_the_walls() -> list[Case]:
    return [case for case in all_cases() if set(case.stopped_by) - JUDGED_OUTSIDE]


def need(backend: str) -> None:
    """Skip where this backend does not work; a failure in CI."""
    said = next(d for d in sandbox.doctor() if d.backend == backend)
    if not said.works:
        pytest.skip(f"needs {backend}: {said.sentence} {said.remedy}")


def attack(backend: str, cases: Sequence[str] = ()) -> dict[tuple[str, str], Row]:
    """Every finding by case and side."""
    command = [sys.executable, "-m", "arena.cli", *_arguments(backend, cases)]
    return _findings(command, {**os.environ, "OMP_NUM_THREADS": "1"}, ROOT)


def attack_as_ordinary_user(
    stage: Path, backend: str, cases: Sequence[str]
) -> dict[tuple[str, str], Row]:
    """As root: the same with root given up, and an interpreter outside of /usr."""
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    binds = {sys.base_prefix: "python", str(ROOT): "project"}
    binds |= {path: f"site{n}/{Path(path).name}" for n, path in enumerate(sites)}
    executable = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    paths = [f"{stage}/project", *(f"{stage}/{binds[path]}" for path in sites)]
    command = ["unshare", "--mount", "sh", "-c", STAGE, "sh", str(UID), str(stage)]
    command += [word for bind in binds.items() for word in bind]
    command += ["--", f"{stage}/python/{executable}", "-m", "arena.cli"]
    return _findings([*command, *_arguments(backend, cases)], environment(stage, paths), stage)


def _arguments(backend: str, cases: Sequence[str]) -> list[str]:
    chosen = [word for case in cases for word in ("--case", case)]
    return ["sandbox", "attack", "--json", "--backend", backend, *chosen]


def _findings(command: list[str], env: dict[str, str], cwd: Path) -> dict[tuple[str, str], Row]:
    ran = subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    said = json.loads(ran.stdout)
    assert ran.returncode == any(not row["stopped"] and not row["known"] for row in said["cases"])
    return {(row["case"], row["by"]): row for row in said["cases"]}


def check(row: Row) -> None:
    """Stopped, unless its file says that it is known to get through: then it still must."""
    if row["known"]:
        assert row["problems"], f"It is stopped now: take {row['known']!r} out of the case."
    else:
        assert not row["problems"], f"{row['case']} by {row['by']}: " + "; ".join(row["problems"])
