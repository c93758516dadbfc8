"""Plays one match in a process of its own: ``python -m arena.runner MATCH.json``.

The file holds one object::

    {"round": {...}, "attack": "house:pgd", "defense": "/path/to/package.zip", "seed": 1,
     "secret": "00ff...", "related": [...], "reference": "house:cnn", "out": "/path",
     "trusted": false, "split_secret": "00ff...", "versions": {...}, "crafted": "/path",
     "controls": "/path"}

``attack``, ``defense``, ``related`` and ``reference`` are paths (zip or directory) or house names.
``related`` left out means those of the defense's declared family, where the round shows any;
``split_secret`` left out means ``secret``; ``versions``, those that are found here; ``crafted`` is
what ``python -m arena.crafting`` wrote of the same orders before, or nothing; ``controls``, what
``python -m arena.controls`` wrote.

Progress goes to stdout, one JSON object a line: ``{"stage", "done", "total", "sentence"}``. The
verdict is written to ``out``. Exit status: 0 with a verdict, 2 for a file that cannot be read,
5 our fault (a void verdict is written).
"""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Final

from arena import house, tasks
from arena.games.base import Progress, Step, Table
from arena.games.controls import Controls
from arena.games.crafted import Crafted
from arena.packages import Package
from arena.referee import MatchSpec, lay_table, play_match, void
from arena.rounds import RoundSpec
from arena.sandbox import choose
from arena.sandbox.backend import SandboxBackend
from arena.threat_model import Parameters
from arena.verdict import Status, Verdict

OK: Final = 0
USAGE: Final = 2
OUR_FAULT: Final = 5
HOUSE: Final = "house:"

Order = Mapping[str, Any]
Program = Callable[[Order, SandboxBackend | None, Progress], int]
"""(order, backend, progress) -> exit status."""


def main(
    arguments: Sequence[str] | None = None,
    *,
    backend: SandboxBackend | None = None,
    progress: Progress | None = None,
) -> int:
    """Play the match of a file. ``backend``: the strongest of this machine where left out."""
    return carried_out(arguments, _play, backend=backend, progress=progress)


def carried_out(
    arguments: Sequence[str] | None,
    program: Program,
    *,
    backend: SandboxBackend | None,
    progress: Progress | None,
) -> int:
    """Have ``program`` do what the one file of the command line says; its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        (path,) = given
        order = json.loads(Path(path).read_text("utf-8"))
        Path(order["out"])
    except (ValueError, OSError, KeyError, TypeError) as error:
        sys.stderr.write(f"usage: python -m {program.__module__} MATCH.json ({error})\n")
        return USAGE
    signal.signal(signal.SIGTERM, _leave)
    return program(order, backend, progress or print_step)


def keep(
    file: str,
    made: Callable[[Table], Controls | Crafted],
    order: Order,
    backend: SandboxBackend | None,
    progress: Progress,
) -> int:
    """Write what is ``made`` at the table of an order, for many matches, to ``file`` in ``out``."""
    match = read_match(order)
    table = lay_table(
        match,
        backend=backend or choose(trusted=bool(order.get("trusted", False))),
        task=tasks.load(match.round.task),
        progress=progress,
    )
    out = Path(order["out"])
    out.mkdir(parents=True, exist_ok=True)
    made(table).write(out / file)
    return OK


def _play(order: Order, backend: SandboxBackend | None, progress: Progress) -> int:
    verdict = _verdict(order, backend, progress)
    verdict.write(Path(order["out"]))
    return OUR_FAULT if verdict.status is Status.VOID else OK


def _leave(signum: int, _frame: FrameType | None) -> None:
    """Unwind, so that every jail is closed on the way out."""
    raise SystemExit(128 + signum)


def print_step(step: Step) -> None:
    """Progress for who started this process: see above."""
    sys.stdout.write(json.dumps(asdict(step)) + "\n")
    sys.stdout.flush()


def _verdict(
    order: Mapping[str, Any], backend: SandboxBackend | None, progress: Progress
) -> Verdict:
    try:
        match = read_match(order)
        chosen = backend or choose(trusted=bool(order.get("trusted", False)))
        task = tasks.load(match.round.task)
        return play_match(match, backend=chosen, task=task, progress=progress)
    except Exception as error:  # noqa: BLE001 (before the match began: ours, and told as such)
        return void(f"The match could not be set up: {error}", traceback.format_exc())


def read_match(order: Mapping[str, Any]) -> MatchSpec:
    """The match that a file describes; PackageError and ThreatModelError say what is wrong."""
    round_ = RoundSpec.from_json(order["round"])
    attack, defense = (_package(order[side], round_) for side in ("attack", "defense"))
    return MatchSpec(
        round=round_,
        attack=attack,
        defense=defense,
        seed=int(order["seed"]),
        secret=bytes.fromhex(order["secret"]),
        split_secret=_split_secret(order),
        related=_related(order, round_, attack, defense),
        reference=_reference(order, round_),
        versions=order.get("versions"),
        seconds=order.get("seconds"),
        house_attack=str(order["attack"]).startswith(HOUSE),
        crafted=Crafted.read(Path(order["crafted"])) if order.get("crafted") else None,
        controls=Controls.read(Path(order["controls"])) if order.get("controls") else None,
    )


def _split_secret(order: Mapping[str, Any]) -> bytes | None:
    """The tournament's; None makes the round's own decide."""
    text = order.get("split_secret")
    return None if text is None else bytes.fromhex(text)


def _related(
    order: Mapping[str, Any], round_: RoundSpec, attack: Package, defense: Package
) -> tuple[Package, ...]:
    """Those given; else the house's, where the round shows them, or lets an attack ask for them."""
    if order.get("related") is not None:
        return tuple(_package(source, round_) for source in order["related"])
    shown = round_.threat_model.parameters
    needed = attack.manifest.needs.related and shown is Parameters.FULL
    if shown is Parameters.RELATED or needed:
        return house.related(defense.manifest.family, round_.task)
    return ()


def _reference(order: Mapping[str, Any], round_: RoundSpec) -> Package | None:
    wanted = HOUSE + house.REFERENCE if round_.needs_reference else None
    source = order.get("reference") or wanted
    return None if source is None else _package(source, round_)


def _package(source: str, round_: RoundSpec) -> Package:
    if source.startswith(HOUSE):
        return house.package(source.removeprefix(HOUSE), round_.task)
    return Package.read(Path(source))


if __name__ == "__main__":
    raise SystemExit(main())
