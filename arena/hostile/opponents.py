"""Packages of the suite: hostile players and honest ones, packed as a guest would pack them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np

from arena import tasks
from arena.errors import Side
from arena.hostile.cases import HELPER, PLAYERS, Case
from arena.packages import Package

TASK: Final = "digits"


def hostile(case: Case, side: Side, told: bytes) -> Package:
    """The case's player of that side. ``told``: what it may know of the canary."""
    return _package(case.name, side, case.source, told, case.manifest)


def honest(side: Side, told: bytes) -> Package:
    """Plays by the rules, and tells what it finds of others."""
    return _package("Honest", side, (PLAYERS / "honest.py").read_bytes(), told, {})


def _package(name: str, side: Side, source: bytes, told: bytes, more: Mapping[str, Any]) -> Package:
    values = {
        "schema_version": 1,
        "name": name[:80],
        "role": side.value,
        "task": TASK,
        "entry": f"player.py:{side.value.capitalize()}",
        **(more if side is Side.DEFENSE else {}),
    }
    manifest = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    files = {
        "manifest.toml": manifest.encode(),
        "player.py": source,
        HELPER: (PLAYERS / HELPER).read_bytes(),
        "canary.json": told,
    }
    return Package.of(files | ({"weights.npz": _weights()} if side is Side.DEFENSE else {}))


@cache
def _weights() -> bytes:
    """A linear classifier by least squares, with a little weight decay."""
    train = tasks.load(TASK).train
    x = np.c_[train.x.reshape(len(train), -1), np.ones(len(train))].astype(np.float64)
    w = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ np.eye(10)[train.y])
    buffer = io.BytesIO()
    np.savez(buffer, w=w.astype(np.float32))
    return buffer.getvalue()
