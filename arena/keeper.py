"""Plays match after match, each refereed in a jail: ``python -m arena.keeper``.

The process between a worker, who has credentials and no player, and the jails, who have players
and nothing else. It holds neither: it starts jails, hands the referee's one the streams into the
others, kills what has to die, and puts the finding where the worker looks for it. It never reads
a byte that a player sent, but for logs, which are text to it.

It is kept, because its zygotes are: each line on stdin is an order ::

    {"program": "match", "arguments": ["/path/match.json"], "trusted": false}
    {"program": "qualification", "arguments": ["/path/package.zip", "--task", "digits",
     "--out", "/path"], "fresh": true}

A *crafting* takes the orders of a match whose attack asks nothing, and starts the attack alone;
*controls* takes those of a match and starts the defense alone.
``trusted``: the arena's own players alone take part. ``fresh``: players start in bubblewrap jails
of their own instead of as forks (or behind gVisor, where that was chosen), for what nobody has seen
before. Each order is answered on stdout by lines of progress as :mod:`arena.runner` prints them,
and a last one ``{"ended": STATUS, "sentence": "..."}``. It ends with its stdin.

Where no namespaces can be had (the arena's own players alone then play), programs run in this
process.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from arena.errors import ArenaError, RefereeError, SandboxUnavailable, Side
from arena.games.controls import FILE as CONTROLS
from arena.games.crafted import FILE as CRAFTED
from arena.house import registry
from arena.jailed import ARGUMENTS, FINDING, ORDERS, programs
from arena.manifest import Framework
from arena.packages import Package
from arena.referee import versions
from arena.rounds import Limits
from arena.runner import HOUSE, OUR_FAULT
from arena.sandbox import choose, processors
from arena.sandbox.backend import (
    Ending,
    ExitReport,
    Jail,
    JailSpec,
    SandboxBackend,
    Strength,
)
from arena.sandbox.bubblewrap import BubblewrapBackend, Kind
from arena.sandbox.limits import forked_lockdown
from arena.sandbox.remote import MESSAGE_BYTES
from arena.sandbox.zygote import RenewedOuter, ZygoteBackend, ZygoteJail
from arena.tasks import Device

REFEREE: Final = "arena.jailed"
FINDING_FILES: Final = (
    *("verdict.json", "outcome.parquet", "images.npz"),
    *("qualification.json", "log.txt", CRAFTED, CONTROLS),
)
FINDING_BYTES: Final = 256 * 2**20
MOST_JAILS: Final = 32
"""That one referee may have open at a time: no game needs half of them."""
_LIMITS: Final = Limits(
    cpu_seconds=24 * 3600.0, memory_mib=4096, disk_mib=512, threads=4, open_files=256
)
"""The referee's: it is our own code, and its worker ends it when it takes too long."""

Tell = Callable[[Mapping[str, Any]], None]


@dataclass
class Keeper:
    """The jails of one slot of a worker: zygotes of both sides and of the referee."""

    players: SandboxBackend
    fresh: SandboxBackend
    referees: RenewedOuter

    @classmethod
    def of(cls, players: SandboxBackend) -> Keeper:
        binary = players.binary if isinstance(players, ZygoteBackend) else None
        virtual = players.strength is Strength.VIRTUAL
        fresh = players if virtual else BubblewrapBackend(binary)
        return cls(players, fresh, RenewedOuter(binary, Kind.REFEREE, REFEREE))

    def play(self, order: Mapping[str, Any], tell: Tell) -> int:
        """Carry out one order; the program's status. Its finding lies where the order says.

        Raises:
            ArenaError: the referee did not come to an end: our fault.
        """
        files, out, players, task = _packed(str(order["program"]), list(order["arguments"]))
        backend = self.fresh if order.get("fresh") else self.players
        self._warm(backend, players, task)
        with _Refereeing(self._start(), backend, tell) as refereeing:
            status, finding = refereeing.run(str(order["program"]), files)
            if not finding:
                raise refereeing.failed()
        _put(finding, out)
        return status

    def _warm(
        self, backend: SandboxBackend, players: Mapping[Side, Framework], task: str | None
    ) -> None:
        """Side by side, before the first jail is asked for."""
        ready = self.referees.ready if task is None else partial(self.referees.warm, task)
        calls: list[Callable[[], object]] = [ready]
        if isinstance(backend, ZygoteBackend):
            for side, framework in players.items():
                calls.append(partial(backend.warm, side, framework))
        with ThreadPoolExecutor(max_workers=len(calls)) as pool:
            for future in [pool.submit(call) for call in calls]:
                future.result()

    def _start(self) -> ZygoteJail:
        lockdown = replace(forked_lockdown(_LIMITS), receives_descriptors=True)
        return self.referees.start(
            REFEREE, _LIMITS, socket_type=socket.SOCK_SEQPACKET, lockdown=lockdown
        )


@dataclass
class _Refereeing:
    """One referee in its jail, and the jails that it has asked for. Leaving it kills them all."""

    referee: ZygoteJail
    backend: SandboxBackend
    tell: Tell
    jails: dict[int, Jail] = field(default_factory=dict)
    _started: int = 0
    _in_turn: list[Jail] = field(default_factory=list)
    _processor: processors.ClaimedProcessor | None = None

    def __enter__(self) -> _Refereeing:
        return self

    def __exit__(self, *exc: object) -> None:
        for jail in self.jails.values():
            jail.kill()
            jail.socket.close()
        self.referee.close()
        if self._processor is not None:
            self._processor.release()

    def run(self, program: str, files: Mapping[str, bytes]) -> tuple[int, dict[str, bytes]]:
        """To its end: the status of the program, and what it found.

        Raises:
            RefereeError: it ended without one.
        """
        bundle, finding = os.memfd_create("bundle"), os.memfd_create("finding")
        try:
            _write(bundle, files)
            order = {
                "program": program,
                "backend": self.backend.name,
                "strength": int(self.backend.strength),
            }
            self._send(order, [bundle, finding])
            status = self._serve()
            self.referee.kill()  # before its finding is read: nothing changes it any more
            return status, _read(finding)
        finally:
            os.close(bundle)
            os.close(finding)

    def _serve(self) -> int:
        """Answer until the referee says that it is done; its status."""
        while True:
            try:
                text = self.referee.socket.recv(MESSAGE_BYTES)
            except OSError:
                text = b""
            if not text:
                raise self._ended()
            call = json.loads(text)
            if call["do"] == "end":
                return int(call["status"])
            if call["do"] == "progress":
                self.tell(call["step"])
            else:
                self._answer(call)

    def _answer(self, call: Mapping[str, Any]) -> None:
        descriptors: list[int] = []
        try:
            answer = _CALLS[call["do"]](self, call, descriptors)
        except SandboxUnavailable as error:
            answer = {"unavailable": str(error)[:2000]}
        try:
            self._send(answer, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _begin(self, call: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if len(self.jails) >= MOST_JAILS:
            raise SandboxUnavailable(f"One referee may have {MOST_JAILS} jails at a time.")
        spec = JailSpec(
            side=Side(call["side"]),
            framework=Framework(call["framework"]),
            limits=Limits(**call["limits"]),
            device=Device(call["device"]),
            in_turn=call["in_turn"],
        )
        jail = self.backend.start(spec)
        if spec.in_turn:
            self._in_turn.append(jail)
        self._started += 1
        self.jails[self._started] = jail
        descriptors.append(jail.socket.detach())
        return {"jail": self._started}

    def _gather(self, _call: Mapping[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        """Have what speaks in turn, and the referee, run on the one processor of this match."""
        if self._in_turn and self._processor is None:
            self._processor = processors.claim()
        for jail in (self.referee, *self._in_turn):
            pid = jail.init_pid if isinstance(jail, ZygoteJail) else None
            if self._processor is not None and pid is not None:
                self._processor.take(pid)
        return {}

    def _poll(self, call: Mapping[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        return _report(self.jails[call["jail"]].poll())

    def _kill(self, call: Mapping[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        return _report(self.jails[call["jail"]].kill())

    def _log(self, call: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """The last word on a jail: it is forgotten once it has ended."""
        jail = self.jails[call["jail"]]
        if jail.poll().ending is not Ending.RUNNING:
            del self.jails[call["jail"]]
        file = os.memfd_create("log")
        descriptors.append(file)
        os.write(file, jail.log().encode("utf-8", "backslashreplace"))
        os.lseek(file, 0, os.SEEK_SET)
        return {}

    def _send(self, message: Mapping[str, Any], descriptors: list[int]) -> None:
        try:
            socket.send_fds(self.referee.socket, [json.dumps(message).encode()], descriptors)
        except OSError as error:
            raise self._ended() from error

    def _ended(self) -> RefereeError:
        report = self.referee.kill()
        return RefereeError(f"The referee ended early. {self._last_words() or report.sentence}")

    def failed(self) -> RefereeError:
        """It came to an end, and found nothing: in its log it says why."""
        return RefereeError(self._last_words() or "The referee left no finding.")

    def _last_words(self) -> str:
        said = self.referee.log().strip().splitlines()
        return said[-1] if said else ""


_CALLS: Final = {
    "start": _Refereeing._begin,
    "poll": _Refereeing._poll,
    "kill": _Refereeing._kill,
    "log": _Refereeing._log,
    "gather": _Refereeing._gather,
}


def _report(report: ExitReport) -> dict[str, Any]:
    return {
        "ending": report.ending.value,
        "sentence": report.sentence,
        "status": report.status,
    }


# --- what goes in, and what comes out -----------------------------------------------------------

_Packed = tuple[dict[str, bytes], Path, dict[Side, Framework], str | None]
"""The files of an order as the jailed referee finds them, where its finding goes, who plays, and
the task, where it is known beforehand."""


def _packed(program: str, arguments: list[str]) -> _Packed:
    """Every path of the host becomes a file of the bundle.

    Raises:
        RefereeError: the order cannot be read.
    """
    try:
        return _PACKERS[program](arguments)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RefereeError(f"The order cannot be read: {error}") from error


def _match(arguments: list[str]) -> _Packed:
    (path,) = arguments
    order = json.loads(Path(path).read_text("utf-8"))
    out = Path(order["out"])
    files: dict[str, bytes] = {}

    def moved(source: str, name: str) -> str:
        if source.startswith(HOUSE):
            return source
        files[name] = _archive(Path(source))
        return str(ORDERS / name)

    for key in ("attack", "defense", "reference"):
        if order.get(key) is not None:
            order[key] = moved(order[key], f"{key}.zip")
    for key, name in (("crafted", CRAFTED), ("controls", CONTROLS)):
        if order.get(key) is not None:
            files[name] = Path(order[key]).read_bytes()
            order[key] = str(ORDERS / name)
    if order.get("related") is not None:
        order["related"] = [moved(s, f"related-{n}.zip") for n, s in enumerate(order["related"])]
    players = dict(_frameworks(order))
    order |= {"out": str(FINDING), "versions": dict(versions())}
    files["match.json"] = json.dumps(order).encode()
    files[ARGUMENTS] = json.dumps([str(ORDERS / "match.json")]).encode()
    return files, out, players, str(order["round"]["task"])


def _frameworks(order: Mapping[str, Any]) -> Iterator[tuple[Side, Framework]]:
    """Of the house's players; a guest's package is not read here."""
    for side in Side:
        source = str(order[side.value])
        if source.startswith(HOUSE):
            with suppress(ArenaError):
                yield side, registry.manifest(source.removeprefix(HOUSE)).framework


def _qualification(arguments: list[str]) -> _Packed:
    package, *options = arguments
    at = options.index("--out") + 1
    out, options[at] = Path(options[at]), str(FINDING)
    files = {
        "package.zip": _archive(Path(package)),
        ARGUMENTS: json.dumps([str(ORDERS / "package.zip"), *options]).encode(),
    }
    return files, out, {}, None


_PACKERS: Final = {
    "match": _match,
    "crafting": _match,
    "controls": _match,
    "qualification": _qualification,
}


def _archive(path: Path) -> bytes:
    return Package.read(path).to_zip() if path.is_dir() else path.read_bytes()


def _write(descriptor: int, files: Mapping[str, bytes]) -> None:
    with os.fdopen(os.dup(descriptor), "wb") as file, zipfile.ZipFile(file, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    os.lseek(descriptor, 0, os.SEEK_SET)


def _read(descriptor: int) -> dict[str, bytes]:
    """The files of a finding: known names, of a bounded size.

    Raises:
        RefereeError: it is none.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        packed = file.read(FINDING_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as files:
            if sum(entry.file_size for entry in files.infolist()) > FINDING_BYTES:
                raise RefereeError("The finding is larger than any finding may be.")
            return {n: files.read(n) for n in files.namelist() if n in FINDING_FILES}
    except zipfile.BadZipFile as error:
        raise RefereeError("The referee left no finding.") from error


def _put(files: Mapping[str, bytes], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


# --- as a command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve orders from stdin until it ends."""
    if arguments or sys.argv[1:]:
        sys.stderr.write("usage: python -m arena.keeper  (orders on stdin)\n")
        return 2
    signal.signal(signal.SIGTERM, _leave)
    kept = Kept()
    for line in sys.stdin:
        _tell(kept.ended(line))
    return 0


def _leave(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


def _tell(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Kept:
    """The keeper of this process, made when the first order shows which walls will do."""

    def __init__(self) -> None:
        self._keepers: dict[bool, Keeper | None] = {}

    def ended(self, line: str) -> dict[str, Any]:
        """Carry out the order of one line; what its last line says."""
        try:
            order = json.loads(line)
            status = self._play(order)
        except (ArenaError, ValueError, KeyError, TypeError) as error:
            return {"ended": OUR_FAULT, "sentence": str(error)}
        return {"ended": status, "sentence": ""}

    def _play(self, order: Mapping[str, Any]) -> int:
        keeper = self._keeper(trusted=bool(order.get("trusted", False)))
        if keeper is not None:
            return keeper.play(order, _tell)
        return programs()[str(order["program"])](list(order["arguments"]))

    def _keeper(self, *, trusted: bool) -> Keeper | None:
        """None where no zygote can be had."""
        if trusted not in self._keepers:
            backend = choose(trusted=trusted)
            same = next((k for k in self._keepers.values() if k and k.players is backend), None)
            forks = isinstance(backend, ZygoteBackend)
            self._keepers[trusted] = same or (Keeper.of(backend) if forks else None)
        return self._keepers[trusted]


if __name__ == "__main__":
    raise SystemExit(main())
