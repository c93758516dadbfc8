"""``make bench-endurance``: what a thousand matches leave behind, and what two hundred kills do.

A keeper in a process of its own plays match after match, as a worker's does. Counted are the
memory, descriptors, processes, threads, mounts, control groups and files of it and of everything
below it. Then a process of its tree, drawn at random (the referee, a zygote, an outer, a player,
the keeper itself), is killed at a random moment, again and again: each match must end scored or
void, never as a player's fault, never not at all, and nothing may outlive its keeper.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from arena import house
from arena.packages import Package
from arena.rounds import GameName, RoundSpec
from arena.threat_model import ThreatModel
from benchmarks.sandbox import FORGETFUL, IDLE, TASK, guest
from submissions.processes import descendants

ENDS_WITHIN = 60.0
FRESH_SECONDS, WARM_SECONDS = 4.0, 0.8
"""What a match takes of a keeper that has yet to start its zygotes, and of one that has them."""
SLOW = """
import time
from arena.players import EvasionAttack

class Player(EvasionAttack):
    def attack(self, challenge):
        time.sleep(0.3)
        return challenge.x
"""


@dataclass
class Kept:
    """A keeper in a process of its own; ``directory`` holds its orders and findings."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None

    def order(self, attack: str, defense: str, *, examples: int) -> str:
        """One line for its stdin."""
        round_ = RoundSpec(
            GameName.EVASION, TASK, ThreatModel.white(), epsilons=(0.1,), examples=examples
        )
        match = {
            "round": round_.to_json(),
            "attack": attack,
            "defense": defense,
            "seed": 1,
            "secret": "00" * 32,
            "out": str(self.directory / "out"),
        }
        path = self.directory / "match.json"
        path.write_text(json.dumps(match))
        return json.dumps({"program": "match", "arguments": [str(path)], "trusted": True})

    def ask(self, order: str) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "arena.keeper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(order.encode() + b"\n")
        self.process.stdin.flush()

    def ended(self) -> str:
        """``scored``, ``void``, ``keeper died`` or what else became of it."""
        assert self.process is not None
        assert self.process.stdout is not None
        stdout, until, text = self.process.stdout.fileno(), time.monotonic() + ENDS_WITHIN, b""
        while (left := until - time.monotonic()) > 0:
            if not select.select([stdout], [], [], left)[0]:
                break
            more = os.read(stdout, 65536)  # a buffered line would not be seen by select
            if not more:
                self.process.wait()
                return "keeper died"
            *lines, text = (text + more).split(b"\n")
            for said in map(json.loads, lines):
                if "ended" in said:
                    return self._status(said)
        return "hung"

    def _status(self, said: dict[str, Any]) -> str:
        if said["sentence"]:
            return "our fault"
        verdict = json.loads((self.directory / "out" / "verdict.json").read_text())
        return str(verdict["status"])

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(ENDS_WITHIN)


def below(pid: int) -> list[int]:
    """``pid`` and everything under it."""
    return [pid, *descendants(pid)]


def count(pid: int) -> dict[str, float]:
    """What the keeper and its tree hold now."""
    tree = below(pid)
    groups = [
        path
        for root in ("memory", "pids", "")
        for path in Path("/sys/fs/cgroup", root).glob("**/arena-jail-*")
        if str(pid) in path.name
    ]
    return {
        "processes": len(tree),
        "threads": sum(_listed(p, "task") for p in tree),
        "descriptors": sum(_listed(p, "fd") for p in tree),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "control groups": len(groups),
        "files in /tmp": len(list(Path(tempfile.gettempdir()).glob("arena-*"))),
        "memory, MiB": sum(_private(p) for p in tree) / 1024,
    }


def _listed(pid: int, what: str) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/{what}").iterdir()))
    return 0


def _private(pid: int) -> int:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(s.split()[1]) for s in text.splitlines() if s.startswith("Private_"))
    return 0


def endure(kept: Kept, order: str, *, matches: int) -> Table:
    table = Table(title=f"What {matches:,} matches leave behind")
    marks = sorted({min(20, matches), matches // 2, matches})
    counts: list[dict[str, float]] = []
    began = time.perf_counter()
    for n in range(1, matches + 1):
        kept.ask(order)
        ended = kept.ended()
        if ended != "scored":
            raise RuntimeError(f"Match {n} ended {ended}.")
        if n in marks:
            assert kept.process is not None
            counts.append(count(kept.process.pid))
    spent = time.perf_counter() - began
    table.caption = f"{1000 * spent / matches:.0f} ms a match"
    table.add_column("after matches")
    for mark in marks:
        table.add_column(f"{mark:,}", justify="right")
    for name in counts[0]:
        table.add_row(name, *(f"{c[name]:.0f}" for c in counts))
    return table


def kill(kept: Kept, order: str, *, kills: int, seed: int) -> Table:
    rng = random.Random(seed)
    ends: Counter[tuple[str, str]] = Counter()
    for _ in range(kills):
        fresh = kept.process is None or kept.process.poll() is not None
        kept.ask(order)
        assert kept.process is not None
        time.sleep(rng.uniform(0.0, FRESH_SECONDS if fresh else WARM_SECONDS))
        what, victim = _drawn(rng, kept.process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        ended = kept.ended()
        ends[what, ended] += 1
        if ended == "hung":
            os.killpg(kept.process.pid, signal.SIGKILL)
            kept.process.wait()
    kept.close()
    time.sleep(1.0)
    table = Table(title=f"What {kills} kills did; left alive afterwards: {len(_orphans())}")
    for column in ("killed", "the match", "times"):
        table.add_column(column)
    for (what, ended), times in sorted(ends.items()):
        table.add_row(what, ended, str(times))
    if any(ended not in ("scored", "void", "our fault", "keeper died") for _, ended in ends):
        raise RuntimeError(f"A match ended as it must not: {ends}")
    return table


def _drawn(rng: random.Random, keeper: int) -> tuple[str, int]:
    """A kind of process and one of that kind: by number alone, players would be left in peace."""
    kinds: dict[str, list[int]] = {}
    for pid in below(keeper):
        kinds.setdefault(_what(pid, keeper), []).append(pid)
    kind = rng.choice(sorted(kinds))
    return kind, rng.choice(kinds[kind])


def _what(pid: int, keeper: int) -> str:
    if pid == keeper:
        return "keeper"
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
        kind = "referee's" if "arena.jailed" in command else "players'"
        if "bwrap" in command:
            return f"{kind} outer"
        status = Path(f"/proc/{pid}/status").read_text()
        inner = next(s for s in status.splitlines() if s.startswith("NSpid:")).split()
        return f"{kind} zygote" if len(inner) < 4 else ("referee" if "ref" in kind else "player")
    return "gone already"


def _orphans() -> list[int]:
    """Processes of jails whose keeper is gone."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"guest_zygote" in path.read_bytes():
                parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == 1:
                    found.append(int(path.parent.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    parser.add_argument("--matches", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as scratch:
        kept = Kept(Path(scratch))
        names = ("idle", "slow", "forgetful")
        sources = (guest("attack", IDLE), guest("attack", SLOW), guest("defense", FORGETFUL))
        idle, slow, forgetful = (
            _archive(kept, name, package) for name, package in zip(names, sources, strict=True)
        )
        cnn = _archive(kept, "cnn", house.package("cnn", TASK))
        if options.matches:
            order = kept.order(idle, forgetful, examples=10)
            console.print(endure(kept, order, matches=options.matches))
        if options.kills:
            order = kept.order(slow, cnn, examples=50)
            console.print(kill(kept, order, kills=options.kills, seed=options.seed))
        kept.close()


def _archive(kept: Kept, name: str, package: Package) -> str:
    path = kept.directory / f"{name}.zip"
    path.write_bytes(package.to_zip())
    return str(path)


if __name__ == "__main__":
    main()
