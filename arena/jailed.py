"""The referee in a jail of its own: numpy, tasks and rules, and no way to anything else.

It holds what hostile players would like to have (labels, seeds, both packages), speaks with them
all day, and is therefore kept as they are: no files of the site, no credentials, no broker, no
network, no other process, no new ones. Its orders arrive in a file in memory, players' streams
are handed to it by the keeper (:mod:`arena.keeper`), and its finding leaves in a file in memory.

``warm()`` is what its zygote calls once; ``python -m arena.jailed`` is what a fork of it runs.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import socket
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from arena.games import game
from arena.games.base import Step
from arena.rounds import GameName
from arena.sandbox.backend import SandboxBackend, Strength
from arena.sandbox.guest_lockdown import lock_down
from arena.sandbox.remote import MESSAGE_BYTES, Line, RemoteBackend
from arena.tasks import load

CONTROL: Final = 3
ORDERS: Final = Path("/sub")
FINDING: Final = Path("/tmp/finding")  # noqa: S108 - the jail's own
ARGUMENTS: Final = "arguments.json"

Program = Callable[..., int]


def programs() -> dict[str, Program]:
    """What a referee can be asked to do: the same code as without a jail."""
    from arena import controls, crafting, qualification, runner

    return {
        "match": runner.main,
        "crafting": crafting.main,
        "controls": controls.main,
        "qualification": qualification.main,
    }


def warm(*tasks: str) -> None:
    """Import what every match needs, once for all forks; and read these tasks."""
    programs()
    for name in GameName:
        game(name)
    for module in ("scipy.ndimage", "numpy.random", "arena.house.registry"):
        importlib.import_module(module)
    _write_a_table()
    for task in tasks:
        _ = load(task).splits


def _write_a_table() -> None:
    """What is dear the first time."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"nothing": [0]}), io.BytesIO())


def main() -> int:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CONTROL)
    text, (bundle, finding), _, _ = socket.recv_fds(stream, MESSAGE_BYTES, 2)
    order = json.loads(text)
    _unpack(bundle)
    lock_down()
    line = Line(stream)
    backend = RemoteBackend(line, order["backend"], Strength(order["strength"]))
    status = _run(order["program"], backend, line)
    _hand_in(finding)
    line.tell({"do": "end", "status": status})
    return 0


def _run(program: str, backend: SandboxBackend, line: Line) -> int:
    def tell(step: Step) -> None:
        line.tell({"do": "progress", "step": asdict(step)})

    arguments = json.loads((ORDERS / ARGUMENTS).read_text())
    return programs()[program](arguments, backend=backend, progress=tell)


def _unpack(bundle: int) -> None:
    """Our own keeper packed it: names are plain."""
    with os.fdopen(bundle, "rb") as file, zipfile.ZipFile(file) as files:
        files.extractall(ORDERS)


def _hand_in(finding: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        for path in sorted(FINDING.glob("*")):
            files.write(path, path.name)
    with os.fdopen(finding, "wb") as file:
        file.write(packed.getbuffer())


if __name__ == "__main__":
    sys.exit(main())
